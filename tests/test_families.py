"""What `tables` knows of a model type, `swap`, `extend` and `cost` know as well, or refuse with a reason."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("transformers")
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from milepost.diagnostics.cost import read_shape, shape
from milepost.errors import MilepostError, UnknownFamily
from milepost.extension.target import choose_target
from milepost.models.families import find_stacks
from milepost.tables import FAMILIES, Checkpoint, Family, TensorEntry, families, family_of, recognise
from milepost.tables.build import build_table

SHARED = Path(__file__).parents[2] / "shared" / "families.csv"
GENERIC = "name the table"  # what `extend` says when it knows nothing of how a family knows positions


def checkpoint_of(config: dict[str, Any], family: Family) -> Checkpoint:
    """A checkpoint of a model type, its tables as long as the configuration says, and filled with zeros."""
    keys = [form.suffix for form in family.tables]
    _, order, matches = recognise({"pad_token_id": 1} | config, keys)
    tables = [
        build_table(match.key, np.zeros((match.expected_rows() or 8, 2), np.float32), "F32", match=match)
        for match in matches
    ]
    tensors = {table.key: TensorEntry("F32", table.rows.shape, "", 0, table.rows.nbytes) for table in tables}
    return Checkpoint(
        source="", kind="folder", family=family, model_type=str(config["model_type"]), config=config, tensors=tensors,
        tables=tuple(tables), positions_by=order, total_parameters=None, files=(), weight_map={}, metadata={},
    )  # fmt: skip


def extend(config: dict[str, Any], family: Family) -> None:
    checkpoint = checkpoint_of(config, family)
    learned = [table for table in checkpoint.tables if table.kind != "fixed_sinusoid"]
    form = learned[0].form if learned else None
    size = config.get(form.field or "") if form else None
    side = size[-1] if isinstance(size, list) else size
    usable = learned[0].usable_length if learned else config.get(family.computed or "", 8)
    to = 2 * side if learned and learned[0].kind == "patches" and isinstance(side, int) else 2 * usable
    choose_target(checkpoint, to, None, learned[0].key if learned else None)


def ask(model_type: str) -> dict[str, str]:
    """What each part of Milepost answers: nothing where it knows the model type, else its reason."""
    said = {"swap": answer(lambda: find_stacks(model_type))}
    family = family_of(model_type)
    if model_type in CONFIG_MAPPING:  # else what another library writes, or an old name
        config = CONFIG_MAPPING[model_type]().to_dict() | {"model_type": model_type}
        said["cost"] = answer(lambda: read_shape(config, max_len=64))
        if family is not None and (family.tables or not family.parts):  # parts are families of their own
            said["extend"] = answer(lambda: extend(config, family))
    return said


def answer(call: Any) -> str:
    try:
        call()
    except UnknownFamily:
        return "unknown"
    except MilepostError as error:
        return f"{error.problem}; {error.fix}"
    return ""


def gaps(model_types: list[str]) -> list[str]:
    """Model types of which one part of Milepost knows, and another neither knows them nor says why not."""
    return [
        f"{model_type}: {part} says {said!r}"
        for model_type in model_types
        for part, said in ask(model_type).items()
        if said == "unknown" or GENERIC in said
    ]


KNOWN = [model_type for family in FAMILIES for model_type in family.model_types]


def test_every_family_is_known_everywhere_or_refused_with_a_reason() -> None:
    assert gaps(KNOWN) == []


@pytest.mark.parametrize("part", ["swap", "cost", "extend"])
def test_every_part_of_milepost_does_know_families(part: str) -> None:
    assert [ask(name)[part] for name in ("bert", "roberta", "gpt2", "opt", "vit", "deit")] == [""] * 6


def test_every_part_of_a_family_is_a_family() -> None:
    parts = {part.model_type for family in FAMILIES for part in family.parts if part.model_type}
    assert [name for name in sorted(parts) if family_of(name) is None] == []


@pytest.mark.skipif(not SHARED.exists(), reason="the survey of families is not part of the project")
def test_a_model_type_of_the_survey_is_known_everywhere_or_nowhere() -> None:
    with SHARED.open(newline="") as file:
        surveyed = {row["model_type"] for row in csv.DictReader(file)}
    known = sorted(name for name in surveyed if family_of(name))
    assert len(known) > 100 and gaps(known) == []
    for name in sorted(surveyed - set(known)):
        assert answer(lambda name=name: find_stacks(name)) == "unknown"
        assert answer(lambda name=name: read_shape({"model_type": name})) == "unknown"


def test_the_gate_finds_a_family_that_one_part_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "family_of", lambda name: None if name == "bert" else family_of(name))
    assert gaps(["bert", "gpt2"]) == ["bert: cost says 'unknown'"]


def test_the_gate_finds_a_family_whose_order_is_in_words_that_no_part_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = Family("odd", ("odd",), positions_by="magic")
    monkeypatch.setitem(families._BY_TYPE, "odd", odd)
    monkeypatch.setitem(CONFIG_MAPPING._extra_content, "odd", CONFIG_MAPPING["bert"])
    assert [gap.partition(" says")[0] for gap in gaps(["odd"])] == ["odd: extend"]
