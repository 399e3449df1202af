"""MP340: the model runs on tokens, and no weight is NaN."""

from __future__ import annotations

from torch import Tensor
from transformers import PreTrainedModel

from milepost.finding import Verdict
from milepost.models.check.common import listed
from milepost.models.check.runnable_model import CHECKS, RunnableModel


@CHECKS.enter("MP340", "the model runs on tokens")
def _runs(subject: RunnableModel) -> Verdict:
    """It has run before any check does; random tokens may miss the one row of a table that is NaN."""
    return find_nan(subject.model)


def find_nan(model: PreTrainedModel) -> Verdict:
    """Whether no weight is NaN; random tokens may miss the one row of a table that is."""
    wrong = [name for name, weight in model.named_parameters() if _has_nan(weight)]
    if not wrong:
        return Verdict("passed")
    got = f"weights that hold NaN: {listed(wrong)}"
    return Verdict(
        "issue", got, expected="weights that are numbers", fix="get the weights again, or train again"
    )


def _has_nan(weight: Tensor) -> bool:
    return weight.is_floating_point() and weight.itemsize > 1 and bool(weight.isnan().any())
