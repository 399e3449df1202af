"""Models whose learned table is read by a position rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from transformers import PreTrainedModel

from milepost.models.swapped_config import KEY
from milepost.models.swapping import swap
from milepost.tables import Rule

Model = TypeVar("Model", bound=PreTrainedModel)
ENCODINGS: Mapping[str, str] = {"group": "learned(past=group)", "recur": "learned(past=tile)"}
"""The encoding that reads a table by each rule."""


def install_rule(model: Model, rule: Rule, record: Mapping[str, Any]) -> Model:
    """Let the positions of a model find the rows of its table by a rule, in place.

    Outputs within ``rule.rows`` positions are bit-identical to the model's before, but where the attention mask shows left
    pads: real tokens are counted there.

    Args:
        model: a text model of transformers with a learned table, never swapped. Changed.
        rule: the rule.
        record: what its config's record is to hold besides.

    Returns:
        ``model``.

    Raises:
        UnknownFamily: MP120. SwapRefused: MP121.
    """
    setattr(model.config, KEY, {key: value for key, value in record.items() if key != "rule"})
    swap(model, ENCODINGS[rule.spec])
    getattr(model.config, KEY)["rule"] = rule.document()
    return model
