"""Does a model give a token the same answer wherever it stands in a batch, a pad, a pack or a cache?"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from transformers import PreTrainedModel

from milepost.errors import UnknownFamily
from milepost.finding import Check, Finding, Verdict
from milepost.models.check.checks.weights import find_nan
from milepost.models.check.common import shown
from milepost.models.check.runnable_model import CHECKS, NotFinite, NotRunnable, RunnableModel

_REPORT = "look at the error; docs/contributing/compatibility.md lists the tested versions of transformers"
_OTHER_INPUTS = frozenset({"pixel_values", "input_features", "input_values", "bbox"})


def check_positions(
    model: PreTrainedModel,
    tokenizer: Any = None,
    *,
    length: int = 12,
    longest: int = 2048,
    tolerance: float = 1e-4,
) -> list[Finding]:
    """Run a model on random tokens and say where its positions go wrong, why, and what helps.

    Outputs of a sequence alone are compared with those of the same tokens in a batch, after and before
    pads, packed after another document, decoded from a cache, with a pad id in their middle and as embeddings;
    ``generate`` with left pads, and one token past the last position, are tried too. Pads and caches are
    also tried on both sides of each threshold of the positions: FIRE's, and the trained length of
    ``dynamic`` and ``longrope`` rotary settings. A fix that names ``position_ids`` was run and is right.
    The model is left as it is: a copy that shares its weights is run, and no random state is used.

    Args:
        model: a model of transformers, on its device. One in half precision is copied to float32.
        tokenizer: its tokenizer, for the ids that are special; the config's are used without it.
        length: tokens of the sequences; fewer where the model has no room for two.
        longest: inputs longer than this are not tried, so that the end of a long table is left alone.
        tolerance: largest difference that is none, as a share of the largest number expected.

    Returns:
        One finding for each of MP340 to MP349 (``docs/doctor``); MP340 alone for a model that cannot be run
        on tokens. ``issue``: outputs are wrong, silently, or there are none.

    Raises:
        UnknownFamily: MP120, no model of transformers.

    >>> from transformers import GPT2Config, GPT2Model
    >>> model = GPT2Model(GPT2Config(n_layer=1, n_embd=8, n_head=2, vocab_size=16, n_positions=32))
    >>> [(found.code, found.status) for found in check_positions(model) if found.status == "issue"]
    [('MP343', 'issue')]
    """
    if not isinstance(model, PreTrainedModel):
        raise UnknownFamily(
            "only models of transformers can be checked",
            got=type(model).__name__,
            fix="pass a PreTrainedModel; milepost.testing checks an encoding",
        )
    with torch.no_grad():
        try:
            subject = RunnableModel(model, tokenizer, length=length, longest=longest, tolerance=tolerance)
        except NotRunnable as error:
            verdict = Verdict("not_applicable", str(error))
        except NotFinite as error:
            verdict = _not_finite(error, model)
        except Exception as error:  # whatever a model raises is what is to be reported
            verdict = _not_run(error, model)
        else:
            return [
                check.report(verdict, subject.name)
                for check in CHECKS.values()
                for verdict in _run(check, subject)
            ]
    return [CHECKS["MP340"].report(verdict, type(model).__name__)]


def _run(check: Check[RunnableModel], subject: RunnableModel) -> list[Verdict]:
    """A check that applies and does not run is an issue: the model's own code raised, and nothing has passed."""
    try:
        return check.run(subject)
    except Exception as error:
        got = f"the check did not run: {shown(error)}"
        return [Verdict("issue", got, expected="a check that runs", fix=_REPORT)]


def _not_run(error: Exception, model: PreTrainedModel) -> Verdict:
    """An error on plain tokens is an issue, unless the model reads images or sounds next to them."""
    others = _OTHER_INPUTS & inspect.signature(model.forward).parameters.keys()
    if others:
        got = f"the model also reads {', '.join(sorted(others))}, and on tokens alone: {shown(error)}"
        return Verdict("cannot_tell", got)
    return Verdict(
        "issue",
        f"the model fails on tokens: {shown(error)}",
        expected="an answer",
        fix="fix the error it names",
    )


def _not_finite(error: NotFinite, model: PreTrainedModel) -> Verdict:
    weights = find_nan(model).got or "no weight is NaN"
    return Verdict(
        "issue", f"{error}; {weights}", expected="finite outputs", fix="get the weights again, or train again"
    )
