"""The model of each encoding built once, so that a bad option is an error before anything is trained or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from milepost.comparison.design import Design, Trial
from milepost.comparison.trials.model import build_model, count_trainable, find_encoding
from milepost.errors import OptionError
from milepost.tasks import Task


@dataclass(frozen=True)
class Models:
    """What is known of the models of a design before they are trained.

    Args:
        design: with the number of parameters that all are to have.
        scalable: encodings on which a factor on the initial scale has an effect.
        weights_bytes: that the weights of each encoding's model take.
    """

    design: Design
    scalable: frozenset[str]
    weights_bytes: Mapping[str, int]


def match_models(design: Design, names: tuple[str, ...], task: Task, match: str | None) -> Models:
    """Build the model of each encoding, and match their numbers of parameters.

    Args:
        design: that all trials share.
        names: encodings.
        task: the data.
        match: ``parameters``, or None.

    Raises:
        OptionError: MP105. SpecError: MP103. MilepostError: what building a model raises.
    """
    if match not in (None, "parameters"):
        raise OptionError("parameters can be matched", got=f"match={match!r}", fix="--match parameters")
    if match and design.model.weights:
        raise OptionError("trained weights cannot be widened", got="match and weights", fix="leave one out")
    models = {name: build_model(Trial(design, name, 0), task) for name in names}
    scaled = {name: build_model(Trial(design, name, 0, scale=2.0), task) for name in names}
    scalable = frozenset(
        name for name in names if find_encoding(models[name]).scales != find_encoding(scaled[name]).scales
    )
    sizes = {name: sum(p.nbytes for p in model.parameters()) for name, model in models.items()}
    if match is None:
        return Models(design, scalable, sizes)
    most = max(map(count_trainable, models.values()))
    widened = replace(design, model=replace(design.model, parameters=most))
    return Models(widened, scalable, dict.fromkeys(names, max(sizes.values())))
