"""Every length that a model's folder states, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from milepost.diagnostics.doctor.folder import Limit, ModelFolder, count, dig, place
from milepost.tables import RECORD, PositionTable, read_rule

TOKENIZER = "tokenizer_config.json"
TOKENIZER_DATA = "tokenizer.json"
SENTENCE = "sentence_bert_config.json"
GENERATION = "generation_config.json"


def measure_limits(folder: ModelFolder) -> dict[str, Limit]:
    """All limits: those of the table that reads text, then those of the files.

    A model that reads no text shows the limits of its first table. In one whose text positions have no table (rotary, beside
    a vision tower), the tower's rows are not the length of a text.

    Returns:
        ``allocated`` (rows), ``usable``, ``configured``, ``trained``, ``tuned``, ``tokenizer``, ``truncation``,
        ``sentence_transformers``, ``generation``.
    """
    table = folder.text_table
    if table is None and folder.checkpoint.positions_by in ("learned", "fixed_sinusoid"):
        table = next((table for table, _ in folder.placed), None)
    limits = _of_table(folder, table)
    limits["tokenizer"] = _tokenizer(folder)
    limits["truncation"] = _stated(folder, TOKENIZER_DATA, "truncation", "max_length")
    limits["sentence_transformers"] = _sentence_transformers(folder, limits["tokenizer"])
    limits["generation"] = _generation(folder)
    limits["trained"] = _trained(folder, table)
    limits["tuned"] = _tuned(folder, limits)
    order = (
        "allocated", "usable", "configured", "trained", "tuned", "tokenizer", "truncation", "sentence_transformers",
        "generation",
    )  # fmt: skip
    return {name: limits[name] for name in order}


def rope_parts(config: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """The parts of a configuration that may speak of rotary positions, with the path to each."""
    yield (), config
    inner = config.get("text_config")
    if isinstance(inner, Mapping):
        yield ("text_config",), inner


def _of_table(folder: ModelFolder, table: PositionTable | None) -> dict[str, Limit]:
    if table is None:
        order = folder.checkpoint.positions_by
        none = f"no position table: positions by {order}"
        return {
            "allocated": Limit(None, "", none),
            "usable": Limit(None, "", none),
            "configured": _claimed(folder),
        }
    where = f"{_file_of(folder, table)}: {table.key}"
    positions = table.usable_length
    note = f"positions start at row {table.first_row}" if table.first_row else ""
    if (rule := read_rule(folder.checkpoint.config)) is not None:
        note = f"{positions} rows, which positions find by {rule.spec}"
        positions = max(positions, rule.to_length)
    configured = Limit(None, "", "the configuration does not say")
    if table.length_field and folder.config_file:
        path = table.length_field.split(".")
        stated = dig(folder.checkpoint.config, path)
        what = "pixels" if table.kind == "patches" else ""
        configured = Limit(count(stated), place(folder.config_file, *path), what or _unread(stated))
    return {
        "allocated": Limit(len(table.rows), where, "rows"),
        "usable": Limit(positions, where, note),
        "configured": configured,
    }


def _file_of(folder: ModelFolder, table: PositionTable) -> str:
    entry = folder.checkpoint.tensors.get(table.key)
    return entry.file if entry else folder.checkpoint.source


def _claimed(folder: ModelFolder) -> Limit:
    for path, part in rope_parts(folder.checkpoint.config):
        for name in (
            "max_position_embeddings",
            "n_positions",
            "max_sequence_length",
            "seq_length",
            "max_seq_len",
        ):
            if count(part.get(name)) is not None:
                return Limit(
                    count(part[name]), place(folder.config_file, *path, name), "not enforced by a table"
                )
    return Limit(None, "", "the configuration does not say")


def _stated(folder: ModelFolder, file: str, *path: str) -> Limit:
    if file not in folder.documents:
        return Limit(None, "", f"no {file}")
    value = folder.value(file, *path)
    return Limit(count(value), place(file, *path), _unread(value))


def _unread(value: object) -> str:
    if value is None:
        return "not set"
    if count(value) is not None:
        return ""
    large = isinstance(value, int | float) and not isinstance(value, bool) and value >= 10**20
    return "no limit" if large else "not a length"


def _tokenizer(folder: ModelFolder) -> Limit:
    if TOKENIZER not in folder.documents and TOKENIZER_DATA in folder.documents:
        return Limit(None, "", f"no {TOKENIZER}, so no limit")
    # max_len is what tokenizers before 2020 wrote; transformers still reads it
    name = "max_len" if folder.value(TOKENIZER, "model_max_length") is None else "model_max_length"
    found = _stated(folder, TOKENIZER, name)
    return found if found.value is not None else _stated(folder, TOKENIZER, "model_max_length")


def _sentence_transformers(folder: ModelFolder, tokenizer: Limit) -> Limit:
    if "modules.json" not in folder.documents and SENTENCE not in folder.documents:
        return Limit(None, "", "no sentence-transformers model")
    found = _stated(folder, SENTENCE, "max_seq_length")
    if folder.value(SENTENCE, "max_seq_length") is None and tokenizer.value is not None:
        return Limit(tokenizer.value, tokenizer.where, "sentence-transformers takes the tokenizer's")
    return found


def _generation(folder: ModelFolder) -> Limit:
    file = GENERATION if GENERATION in folder.documents else folder.config_file
    return _stated(folder, file, "max_length") if file else Limit(None, "", f"no {GENERATION}")


def _trained(folder: ModelFolder, table: PositionTable | None) -> Limit:
    if table is not None and table.trained_counts is not None:
        seen = np.flatnonzero(table.trained_counts[table.first_row :] > 0)
        last = int(seen[-1]) + 1 if len(seen) else 0
        return Limit(
            last, f"{_file_of(folder, table)}: trained_counts", "the last position that got a gradient"
        )
    recorded = _stated(folder, folder.config_file, RECORD, "trained_length")
    if recorded.value is not None:
        return recorded
    if table is None:
        for path, part in rope_parts(folder.checkpoint.config):
            for names in (("rope_parameters",), ("rope_scaling",), ()):
                name = (*names, "original_max_position_embeddings")
                if (length := count(dig(part, name))) is not None:
                    return Limit(
                        length, place(folder.config_file, *path, *name), "as the configuration claims"
                    )
        return Limit(None, "", "no file says")
    return Limit(None, "", "no file says; milepost inspect looks at the rows")


def _tuned(folder: ModelFolder, limits: Mapping[str, Limit]) -> Limit:
    """The most explicit statement of the length seen in fine-tuning; shorter ones are in its note."""
    usable = limits["usable"].value
    candidates = [
        _stated(folder, folder.config_file, RECORD, "tuned_length"),
        limits["sentence_transformers"],
    ]
    candidates += [limits["truncation"]]
    known = [found for found in candidates if found.value and (usable is None or found.value <= usable)]
    if not known:
        return Limit(None, "", "no file says")
    others = [f"{found.where} says {found.value}" for found in known[1:] if found.value != known[0].value]
    return Limit(known[0].value, known[0].where, "; ".join(others))
