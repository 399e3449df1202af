"""Text that is not UTF-8: the error names the likely encoding, and naming it reads the same text."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from milepost.corpus.decoding import guess_encoding
from milepost.corpus.sources import read_characters
from milepost.corpus.text import read_labelled, read_text
from milepost.errors import DataError, OptionError
from milepost.tasks import Options, find_task
from milepost.tasks.conll import read_tagged
from milepost.tasks.series import read_series

REAL = Path(__file__).parents[3] / "shared" / "data"
real = pytest.mark.skipif(not REAL.exists(), reason="needs the real texts beside the project")
FRENCH = "Tous les êtres humains naissent libres et égaux en dignité et en droits.\n"
RUSSIAN = "Все люди рождаются свободными и равными в своем достоинстве и правах.\n"
TEXTS = {
    "cp1252": FRENCH, "cp1251": RUSSIAN, "koi8-r": RUSSIAN,
    "cp1253": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια.\n",
    "shift_jis": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。\n",
    "euc_jp": "すべての人間は、生れながらにして自由であり、かつ、尊厳と権利とについて平等である。\n",
    "cp949": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.\n",
    "gb18030": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。\n",
    "utf-16": FRENCH, "utf-16-le": RUSSIAN, "utf-16-be": FRENCH, "utf-32": FRENCH,
}  # fmt: skip


@pytest.mark.parametrize("encoding", TEXTS)
def test_the_error_names_the_encoding_that_then_reads_the_text(tmp_path: Path, encoding: str) -> None:
    text, file = TEXTS[encoding] * 3, tmp_path / "a.txt"
    file.write_bytes(text.encode(encoding))
    with pytest.raises(DataError) as caught:
        read_text(str(file))
    assert f"it is likely {encoding}" in caught.value.got
    assert caught.value.fix.endswith(f"--encoding {encoding}")
    assert read_text(str(file), encoding=encoding).documents == (text,)


def test_words_of_many_accents_are_western() -> None:
    assert guess_encoding(("été " * 9).encode("cp1252")) == "cp1252"


def test_what_is_in_no_known_encoding_is_not_guessed() -> None:
    assert guess_encoding(bytes(range(128, 256)) * 4) is None
    assert guess_encoding(b"\x00\x00\x00\x01") is None
    assert guess_encoding(b"") is None


def test_text_in_another_encoding_than_the_one_named_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(FRENCH.encode("cp1252") + b"\xff\xfe\xfd")
    with pytest.raises(DataError, match="not gb18030 text"):
        read_characters(tmp_path / "a.txt", "gb18030")


def test_a_letter_that_two_pieces_share_is_read_in_any_encoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("milepost.corpus.sources._PIECE_BYTES", 3)
    for encoding in ("utf-16", "shift_jis", "utf-8"):
        (tmp_path / "a.txt").write_bytes(("生れ\r\nながら" * 3).encode(encoding))
        assert read_characters(tmp_path / "a.txt", encoding) == "生れ\nながら" * 3


@pytest.mark.parametrize("name", ["latin-0", "base64", "rotary", "", "a" * 500, "utf\0"])
def test_what_is_no_encoding_is_refused_and_the_other_option_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(OptionError, match="--encodings") as caught:
        read_text(str(tmp_path / "a.txt"), encoding=name)
    assert len(str(caught.value)) < 400


def test_every_reader_takes_the_encoding(tmp_path: Path) -> None:
    with (tmp_path / "a.csv").open("w", newline="", encoding="cp1252") as file:
        csv.writer(file).writerows([("text", "label"), *((f"café {at}", "é") for at in range(30))])
    assert read_labelled(str(tmp_path / "a.csv"), encoding="cp1252").documents[0] == ("café 0", "é")
    (tmp_path / "a.jsonl").write_bytes('{"text": "café"}\n'.encode("utf-16"))
    assert read_text(str(tmp_path / "a.jsonl"), encoding="utf-16").documents == ("café",)
    (tmp_path / "a.conll").write_bytes("café\tO\n".encode("cp1252"))
    assert read_tagged(str(tmp_path / "a.conll"), encoding="cp1252").documents[0][0][0] == ("café", "O")
    (tmp_path / "s.csv").write_bytes("größe\n1\n2\n".encode("cp1252"))
    assert read_series(str(tmp_path / "s.csv"), encoding="cp1252").columns == ("größe",)
    task = find_task("classify").open(str(tmp_path / "a.csv"), Options(encoding="cp1252"))
    assert task.facts()["classes"] == "é"
    with pytest.raises(OptionError, match="no use"):
        find_task("images").open("builtin:digits", Options(encoding="cp1252"))


@real
def test_a_real_file_is_read_in_the_encoding_that_the_error_names() -> None:
    file = REAL / "documents" / "inaugural" / "2005-Bush.txt"
    with pytest.raises(DataError, match="--encoding cp1252"):
        read_text(str(file))
    assert "\ufffd" not in read_text(str(file), encoding="cp1252").documents[0]


@real
@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("fra", "cp1252"), ("deu_1901", "cp1252"), ("fin", "cp1252"), ("rus", "cp1251"), ("rus", "koi8-r"),
        ("ell_monotonic", "cp1253"), ("heb", "cp1255"), ("arb", "cp1256"), ("tha", "cp874"), ("jpn", "shift_jis"),
        ("jpn", "euc_jp"), ("kor", "cp949"), ("cmn_hans", "gb18030"),
    ],
)  # fmt: skip
def test_the_declaration_of_human_rights_is_recognised(language: str, encoding: str) -> None:
    text = (REAL / "multilingual" / "udhr2" / f"{language}.txt").read_text("utf-8")
    assert guess_encoding(text.encode(encoding, "ignore")) == encoding
