"""What is mutated, and the readers that get it: one function for each kind, from a seed to a call."""

from __future__ import annotations

import contextlib
import functools
import gzip
import io
import json
import random
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fuzz.mutations import mutate_bytes, write_json
from milepost.errors import MilepostError

Target = Callable[[random.Random, Path], None]

ROWS = 40
_FAMILIES: tuple[tuple[dict[str, Any], str, tuple[int, ...]], ...] = (
    ({"model_type": "bert", "max_position_embeddings": ROWS, "pad_token_id": 0},
     "embeddings.position_embeddings.weight", (ROWS, 8)),
    ({"model_type": "roberta", "max_position_embeddings": ROWS, "pad_token_id": 1},
     "embeddings.position_embeddings.weight", (ROWS, 8)),
    ({"model_type": "gpt2", "n_positions": ROWS}, "wpe.weight", (ROWS, 8)),
    ({"model_type": "opt", "max_position_embeddings": ROWS - 2}, "decoder.embed_positions.weight", (ROWS, 8)),
    ({"model_type": "vit", "image_size": 32, "patch_size": 8}, "embeddings.position_embeddings", (1, 17, 8)),
    ({"model_type": "llama", "max_position_embeddings": 4096, "rope_parameters": {"rope_type": "default"}},
     "model.embed_tokens.weight", (ROWS, 8)),
    ({"model_type": "longformer", "max_position_embeddings": ROWS, "attention_window": [8], "pad_token_id": 1},
     "embeddings.position_embeddings.weight", (ROWS, 8)),
)  # fmt: skip
_SIZES = {"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 16,
          "vocab_size": 60}  # fmt: skip
_OTHERS: dict[str, Any] = {
    "tokenizer_config.json": {"model_max_length": ROWS, "tokenizer_class": "X", "truncation_side": "right"},
    "generation_config.json": {"max_length": ROWS, "max_new_tokens": 5},
    "sentence_bert_config.json": {"max_seq_length": ROWS, "do_lower_case": False},
    "preprocessor_config.json": {"size": {"height": 32, "width": 32}, "crop_size": 32, "do_resize": True},
    "tokenizer.json": {"truncation": {"max_length": ROWS, "strategy": "LongestFirst", "stride": 0},
                       "padding": {"strategy": {"Fixed": ROWS}, "pad_id": 0}},
    "modules.json": [{"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"}],
}  # fmt: skip


def configurations(rng: random.Random, folder: Path) -> None:
    """JSON files of model folders, through inspect, doctor, cost and a plan of extend, and what renders them."""
    import milepost

    config, key, shape = rng.choice(_FAMILIES)
    model = _clean(folder / "model")
    _write_tensors(model / "model.safetensors", {key: shape})
    documents: dict[str, Any] = {"config.json": config | _SIZES}
    documents |= {name: one for name, one in _OTHERS.items() if rng.random() < 0.35}
    broken = rng.choice(list(documents)) if rng.random() < 0.4 else "config.json"
    for name, document in documents.items():
        raw = write_json(rng, document) if name == broken else json.dumps(document).encode()
        (model / name).write_bytes(raw)
    verb = rng.choice(("inspect", "doctor", "cost", "extend"))
    if verb == "extend":
        to = "64x64" if config["model_type"] == "vit" else 80
        milepost.extend(model, to=to, out=folder / "out", dry_run=True)
    else:
        _show(verb, getattr(milepost, verb)(model), html=verb != "cost" and rng.random() < 0.05)


def tables(rng: random.Random, folder: Path) -> None:
    """Files of tensors, single and in shards, and tables of numpy, through inspect."""
    import milepost

    config, key, shape = rng.choice(_FAMILIES[:5])
    model, kind = _clean(folder / "model"), rng.random()
    if kind < 0.15:
        stream = io.BytesIO()
        np.save(stream, np.zeros((8, 4), rng.choice(("f4", "f8", "f2"))))
        (model / "table.npy").write_bytes(mutate_bytes(rng, stream.getvalue(), within=128))
        milepost.inspect(model / "table.npy", first_row=rng.choice((0, 1, 2)))
        return
    (model / "config.json").write_text(json.dumps(config | _SIZES))
    if kind < 0.35:
        names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
        _write_tensors(model / names[0], {key: shape})
        _write_tensors(model / names[1], {"other.weight": (4, 8)})
        index = {"metadata": {"total_size": 4}, "weight_map": {key: names[0], "other.weight": names[1]}}
        (model / "model.safetensors.index.json").write_bytes(write_json(rng, index))
    else:
        _write_tensors(model / "model.safetensors", {key: shape, "other.weight": (4, 8)})
        raw = (model / "model.safetensors").read_bytes()
        end = 8 + int.from_bytes(raw[:8], "little")
        if kind < 0.6:
            header = write_json(rng, json.loads(raw[8:end]))
            raw = struct.pack("<Q", len(header)) + header + raw[end:]
        else:
            raw = mutate_bytes(rng, raw, within=end if rng.random() < 0.5 else None)
        (model / "model.safetensors").write_bytes(raw)
    _show("inspect", milepost.inspect(model), html=rng.random() < 0.02)


def _show(verb: str, result: dict[str, Any], *, html: bool) -> None:
    """Everything that is made of a document."""
    from milepost import reporting

    json.dumps(result)
    with contextlib.redirect_stdout(io.StringIO()):
        getattr(reporting, f"print_{verb}")(result)
    if html:
        getattr(reporting, f"render_{verb}_html")(result)


def tokenizers(rng: random.Random, folder: Path) -> None:
    """Files of tokenizers, and text through those that load; one process serves until a file ends it."""
    from milepost.corpus import TokenizerProcess

    kind = "sentencepiece" if _sentencepiece() and rng.random() < 0.2 else "json"
    if kind == "json":
        raw = write_json(rng, rng.choice(_tokenizers()))
    else:
        raw = mutate_bytes(rng, _sentencepiece())
    if kind not in _PROCESSES or not _PROCESSES[kind].runs:
        sound = json.dumps(_tokenizers()[0]).encode() if kind == "json" else _sentencepiece()
        _PROCESSES[kind] = TokenizerProcess("sound", kind, sound)
    _PROCESSES[kind].load("fuzz", kind, raw)
    _PROCESSES[kind].encode_all(["aaaa bbb ccc " * 20, "", "hello 世界 \U0001f600", "a" * 60 + "!"])


_PROCESSES: dict[str, Any] = {}


@functools.cache
def _tokenizers() -> list[dict[str, Any]]:
    split = {"type": "Split", "pattern": {"Regex": r"\s"}, "behavior": "Isolated", "invert": False}
    common = {
        "version": "1.0",
        "added_tokens": [{"id": 9, "content": "[X]", "single_word": False, "lstrip": False, "rstrip": False,
                          "normalized": False, "special": True}],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "NFC"}, {"type": "Strip", "strip_left": True, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": "a+"}, "content": "b"},
            {"type": "Replace", "pattern": {"String": "c"}, "content": "cc"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, split]},
        "post_processor": None, "decoder": None,
        "truncation": {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 4}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"},
    }  # fmt: skip
    models = (
        {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "[PAD]": 3}, "merges": [["a", "b"]], "unk_token": None,
         "dropout": None, "continuing_subword_prefix": None, "fuse_unk": False, "byte_fallback": False},
        {"type": "Unigram", "unk_id": 0, "vocab": [["[PAD]", 0.0], ["a", -1.0], ["b", -2.0]], "byte_fallback": False},
        {"type": "WordPiece", "unk_token": "[PAD]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
         "vocab": {"[PAD]": 0, "a": 1, "##b": 2}},
        {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "[UNK]": 2}, "unk_token": "[UNK]"},
    )  # fmt: skip
    return [common | {"model": model} for model in models]


@functools.cache
def _sentencepiece() -> bytes:
    """A small trained model; empty where the library is not installed."""
    try:
        from sentencepiece import SentencePieceTrainer
    except ImportError:
        return b""
    stream, lines = io.BytesIO(), [f"hello world the cat sat {number} on the mat" for number in range(300)]
    SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=stream, vocab_size=40, minloglevel=9, num_threads=1
    )
    return stream.getvalue()


def images(rng: random.Random, folder: Path) -> None:
    """JPEG, PNG and idx files."""
    from milepost.tasks.pictures import read_pictures

    kind = rng.random()
    if kind < 0.3:
        home, packed = _clean(folder / "idx"), rng.random() < 0.5
        files = {
            "train-images-idx3-ubyte": struct.pack(">4I", 0x803, 4, 2, 2) + bytes(16),
            "train-labels-idx1-ubyte": struct.pack(">2I", 0x801, 4) + bytes([0, 1, 0, 1]),
        }
        broken = rng.choice(list(files))
        for name, raw in files.items():
            raw = mutate_bytes(rng, raw) if name == broken and (not packed or rng.random() < 0.5) else raw
            raw = gzip.compress(raw, mtime=0) if packed else raw
            raw = mutate_bytes(rng, raw) if name == broken and packed and rng.random() < 0.5 else raw
            (home / f"{name}{'.gz' if packed else ''}").write_bytes(raw)
        read_pictures(str(home))
        return
    home = _clean(folder / "images")
    pictures = _pictures()
    for name in "ab":
        (home / name).mkdir()
        (home / name / "0.png").write_bytes(pictures["png"])
    suffix = rng.choice(list(pictures))
    raw = mutate_bytes(rng, pictures[suffix], within=rng.choice((40, 260, None)))
    (home / "a" / f"1.{suffix}").write_bytes(raw)
    read_pictures(str(home))


@functools.cache
def _pictures() -> dict[str, bytes]:
    from PIL import Image

    picture, exif = Image.new("RGB", (16, 16), (200, 10, 90)), Image.Exif()
    exif[0x0112], exif[0x8769], exif[0x010E] = 6, {36864: b"0230"}, "x" * 50
    made = {}
    for suffix, form in (("jpg", "JPEG"), ("png", "PNG")):
        stream = io.BytesIO()
        picture.save(stream, form, exif=exif)
        made[suffix] = stream.getvalue()
    return made


_ENCODINGS = (
    *["utf-8"] * 12, "utf-8-sig", "utf-16", "utf-32", "utf-7", "latin-1", "cp1252", "shift_jis", "gb18030", "hz",
    "iso2022_jp", "idna", "punycode", "unicode_escape", "raw_unicode_escape", "rot13", "hex", "nothing", "",
)  # fmt: skip


def data(rng: random.Random, folder: Path) -> None:
    """Text, tables, tagged words and series."""
    from milepost.corpus.text import read_labelled, read_text
    from milepost.tasks.conll import read_tagged
    from milepost.tasks.series import read_series

    home = _clean(folder / "data")
    suffix = rng.choice(list(_files()))
    raw = _files()[suffix]
    raw = (
        write_json(rng, json.loads(raw))
        if suffix == ".jsonl" and rng.random() < 0.5
        else mutate_bytes(rng, raw)
    )
    file = home / f"a{suffix}"
    file.write_bytes(raw)
    header, encoding = rng.random() < 0.8, rng.choice(_ENCODINGS)
    if suffix in (".conll", ".conllu"):
        read_tagged(str(file), rng.choice((None, "0", "1")), encoding=encoding)
    elif suffix in (".csv", ".tsv", ".txt") and rng.random() < 0.4:
        asked = {
            "layout": rng.choice(("auto", "columns", "rows")),
            "fill": rng.choice(("none", "linear", "previous", "x")),
        }
        columns = rng.choice((None, None, "0", "1,2", "b"))
        read_series(str(file), columns, header=header, encoding=encoding, **asked)
    elif suffix != ".txt" and rng.random() < 0.5:
        read_labelled(str(file), header=header, encoding=encoding)
    else:
        read_text(
            str(file),
            None if suffix == ".txt" else rng.choice((None, "0", "text")),
            header=header,
            encoding=encoding,
        )


@functools.cache
def _files() -> dict[str, bytes]:
    rows = [("text", "label", "b")] + [(f"hello world {at}", str(at % 2), str(at * 0.5)) for at in range(12)]
    files = {
        ".txt": "\n".join(",".join(row[1:]) for row in rows),
        ".csv": "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows),
        ".tsv": "\n".join("\t".join(row) for row in rows),
        ".jsonl": json.dumps({"text": "hello", "label": "x", "n": [1, {"a": None}]}),
        ".conll": "the DT\ncat NN\n\na DT\ndog NN\n",
        ".conllu": "# newdoc\n1\tthe\tthe\tDET\tDT\t_\t2\tdet\t_\t_\n2\tcat\tcat\tNOUN\tNN\t_\t0\troot\t_\t_\n\n",
    }
    made = {suffix: text.encode() for suffix, text in files.items()}
    with contextlib.suppress(ImportError):
        import pyarrow
        from pyarrow import parquet

        for compression in ("none", "snappy"):
            stream = io.BytesIO()
            columns = dict(zip(rows[0], map(list, zip(*rows[1:], strict=True)), strict=True))
            parquet.write_table(pyarrow.table(columns), stream, compression=compression)
            made[".parquet" if compression == "none" else ".PARQUET"] = stream.getvalue()
    return made


TARGETS: dict[str, Target] = {
    "configurations": configurations,
    "tokenizers": tokenizers,
    "tables": tables,
    "images": images,
    "data": data,
}


def prepare(name: str, folder: Path) -> None:
    """Import what a target needs, so that no seed has to pay for it."""
    if name in ("data", "images"):
        import milepost.corpus.text
        import milepost.tasks.pictures
    elif name in ("configurations", "tables"):
        import milepost

        config, key, shape = _FAMILIES[0]
        model = _clean(folder / "model")
        _write_tensors(model / "model.safetensors", {key: shape})
        (model / "config.json").write_text(json.dumps(config | _SIZES))
        for verb in ("inspect", "doctor"):
            _show(verb, getattr(milepost, verb)(model), html=True)
    else:
        _sentencepiece()


def outcome(target: Target, seed: int, folder: Path) -> str:
    """``ok`` or the code of Milepost's error; everything else is raised.

    Raises:
        AssertionError: for an error whose text is not three lines, or is too long to be read.
    """
    rng = random.Random(f"{target.__name__} {seed}")
    try:
        target(rng, folder)
    except MilepostError as error:
        text = str(error)
        assert len(text.splitlines()) == 3, f"the text of an error is not three lines: {text[:300]!a}"
        assert len(text) <= 2000, f"the text of an error has {len(text)} characters: {text[:200]!a}"
        return error.code
    return "ok"


def _clean(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _write_tensors(path: Path, shapes: dict[str, tuple[int, ...]]) -> None:
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    save_file({key: rng.normal(size=shape).astype(np.float32) for key, shape in shapes.items()}, path)
