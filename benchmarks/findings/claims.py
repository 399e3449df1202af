"""What papers say, as conditions on what the studies measured."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.findings.study import Measured

LEARNED, SHAPE = "learned(rows=160)", "shape(inner={},max_shift={})"
COPY_LEARNED = "learned(rows=42)"
IMAGES = "learned(past=bicubic)"


@dataclass(frozen=True)
class Condition:
    """A number for each seed, and where each of them has to lie.

    Args:
        what: the number is, for the page.
        values: one a seed.
        least: what each value has to be above.
        most: the largest value that agrees with the finding.
    """

    what: str
    values: Sequence[float]
    least: float = -math.inf
    most: float = math.inf

    @property
    def holds(self) -> bool:
        """Whether every seed agrees."""
        return bool(self.values) and all(self.least < value <= self.most for value in self.values)


@dataclass(frozen=True)
class Claim:
    """A published finding and how it is judged.

    Args:
        title: in a few words.
        study: whose measures it is judged by.
        paper: who found it.
        finding: what was found.
        differs: in what the study is not what the paper did, and what else to know.
        conditions: of the measures; the finding came out when all hold.
        withdrawn: why the numbers no longer count, until they are measured again.
    """

    title: str
    study: str
    paper: str
    finding: str
    differs: str
    conditions: Callable[[Measured], list[Condition]]
    withdrawn: str = ""

    def came_out(self, measured: Measured) -> bool:
        """Whether all conditions hold."""
        conditions = self.conditions(measured)
        return bool(conditions) and all(condition.holds for condition in conditions)


def order_inside(found: Measured) -> list[Condition]:
    ranked = ["alibi", "sinusoidal", LEARNED, "none"]
    return [
        Condition(
            f"loss of `{worse}` less that of `{better}`", found.minus(worse, better, "loss_32"), least=0
        )
        for better, worse in itertools.pairwise(ranked)
    ]


def extrapolation(found: Measured) -> list[Condition]:
    def rise(arm: str, **bounds: float) -> Condition:
        return Condition(
            f"loss of `{arm}` at 128 less at 32", found.rise(arm, "loss_128", "loss_32"), **bounds
        )

    return [rise("alibi", most=0.03), *(rise(arm, least=0.25) for arm in ("sinusoidal", "rotary", LEARNED))]


def shifts(found: Measured) -> list[Condition]:
    relative = [_shift(found, arm, least=-1e-5, most=1e-5) for arm in ("rotary", "alibi", "t5", "none")]
    return [*relative, *(_shift(found, arm, least=0.02) for arm in (LEARNED, "sinusoidal"))]


def moved_32(found: Measured) -> list[Condition]:
    return _moved(found, 32)


def moved_16(found: Measured) -> list[Condition]:
    return _moved(found, 16)


def _moved(found: Measured, most: int) -> list[Condition]:
    return [
        _shift(found, SHAPE.format(inner, most), least=-0.01, most=0.01) for inner in (LEARNED, "sinusoidal")
    ]


def _shift(found: Measured, arm: str, **bounds: float) -> Condition:
    return Condition(f"rise of the loss of `{arm}`", found.get(arm, "shift_16"), **bounds)


def causal_order(found: Measured) -> list[Condition]:
    return [
        Condition(
            "loss of `none` less the best there is", found.rise("causal none", "loss", "best"), most=0.05
        ),
        Condition(
            "loss without any context less that of `none`",
            found.rise("causal none", "unigram", "loss"),
            least=1.0,
        ),
    ]


def masked_order(found: Measured) -> list[Condition]:
    return [_gap(found, name) for name in ("sinusoidal", "rotary", "learned(std=1)")]


def masked_longer(found: Measured) -> list[Condition]:
    return [_gap(found, "learned(std=1), 1,500 steps")]


def _gap(found: Measured, name: str) -> Condition:
    gaps = found.minus("masked none", f"masked {name}", "loss")
    return Condition(f"loss of `none` less that of `{name}`", gaps, least=1.0)


def copying(found: Measured) -> list[Condition]:
    inside = [
        Condition(f"exact match of `{arm}` inside the trained lengths", found.get(arm, "inside"), least=0.9)
        for arm in ("none", "t5")
    ]
    past = [
        Condition(
            f"exact match of `{good}` past them less that of `{bad}`", found.minus(good, bad, "past"), least
        )
        for good, least in (("none", 0.5), ("t5", 0.1))
        for bad in (COPY_LEARNED, "sinusoidal")
    ]
    return inside + past


def probing(found: Measured) -> list[Condition]:
    def error(arm: str, **bounds: float) -> Condition:
        return Condition(f"error from the embeddings of `{arm}`", found.get(arm, "probe_0"), **bounds)

    return [
        error("sinusoidal", most=0.05),
        error(LEARNED, most=0.3),
        error("alibi", least=0.9),
        error("none", least=0.9),
        Condition(
            "error from the last layer of `alibi` less that of `none`",
            found.minus("alibi", "none", "probe_2"),
            least=0,
        ),
    ]


def images(found: Measured) -> list[Condition]:
    return [
        Condition(
            f"accuracy of `{IMAGES}` less that of `none`",
            found.minus(IMAGES, "none", "accuracy_8"),
            least=0.1,
        )
    ]


def resizing(found: Measured) -> list[Condition]:
    return [
        Condition(
            f"accuracy of `{IMAGES}` over that of `{flat}`, at 16 pixels",
            [
                two / max(one, 1e-9)
                for two, one in zip(
                    found.get(IMAGES, "accuracy_16"), found.get(flat, "accuracy_16"), strict=False
                )
            ],
            least=2.0,
        )
        for flat in ("learned(past=linear)", "learned(past=tile)")
    ]


CLAIMS = (
    Claim(
        "Order inside the trained length", "text", "Haviv et al. 2022",
        "A causal language model has the lowest loss with ALiBi, then sinusoidal, then learned positions, then none.",
        "Losses in nats a token at length 32. Characters and a small model, where theirs are words and 125M parameters "
        "and more.",
        order_inside,
    ),
    Claim(
        "ALiBi extrapolates, others do not", "text", "Press et al. 2022",
        "Past the trained length the loss stays level with ALiBi and rises with sinusoidal and rotary positions.",
        "Losses in nats a token in blocks without overlap. The learned table, which they leave out, has rows up to 160 "
        "here, of which those from 32 on keep their initial values.",
        extrapolation,
    ),
    Claim(
        "Moving all positions", "text", "Sinha et al. 2022; Su et al. 2021; Press et al. 2022; Raffel et al. 2020",
        "Adding a number to all positions of an input changes nothing with relative encodings and without any, and "
        "raises the loss with learned and sinusoidal positions.",
        "Inputs of 16 tokens at positions 16 to 31 against 0 to 15, so that all positions were trained. In nats a token.",
        shifts,
    ),
    Claim(
        "Training on moved positions", "text", "Kiyono et al. 2021 (SHAPE)",
        "Absolute positions that are moved at random in training no longer care where an input begins.",
        "As before, trained with moves of 0 to 32 for as few steps as all others. Theirs are sinusoidal positions in "
        "translation.",
        moved_32,
    ),
    Claim(
        "Training on moved positions, for longer", "shape", "Kiyono et al. 2021 (SHAPE)",
        "The same.",
        "Added when the one above had not come out: three times the steps and half the moves, so that positions 16 to 31 are "
        "in every training input, and each one before them in a share. A fall is no more what was found than a rise.",
        moved_16,
    ),
    Claim(
        "A causal model needs no positions to know order", "markov", "Haviv et al. 2022",
        "A causal language model without position encoding comes close to one that has it.",
        "On a Markov chain the best loss needs the last letter, so order; the measure is the distance to that loss, in "
        "nats a letter.",
        causal_order,
    ),
    Claim(
        "A masked model needs positions", "markov", "Haviv et al. 2022",
        "A masked language model without position encoding cannot use order at all.",
        "In nats a hidden letter; at best the gap is that between the loss without context and the best there is. `learned` "
        "starts at std 1, for at the scale of the token embeddings it learns later still.",
        masked_order,
    ),
    Claim(
        "A masked model needs positions, a table for longer", "markov", "Haviv et al. 2022",
        "The same.",
        "Added when the table above had not left the plateau of no encoding: two and a half times the steps, for the table "
        "alone.",
        masked_longer,
    ),
    Claim(
        "Length generalisation on copying", "copying", "Kazemnejad et al. 2023",
        "Trained on short prompts, models without positions and with T5's bias copy longer ones far better than those "
        "with absolute positions.",
        "Mean exact match at lengths 11 to 20. Theirs is a T5 decoder of 107M parameters, and no learned table; rows past "
        "the trained ones keep their initial values here.",
        copying,
        withdrawn="The exact match rested on 5 to 15 different prompts per length. The generator now has 1,000 symbols and "
        "about 200 test prompts.",
    ),
    Claim(
        "Positions in hidden states", "text", "Haviv et al. 2022",
        "A probe reads positions from the embeddings only with learned and sinusoidal positions; without any, later "
        "layers know more of position than ALiBi's.",
        "Error as a share of the error of guessing the middle.",
        probing,
    ),
    Claim(
        "Images need positions", "images", "Dosovitskiy et al. 2021, appendix D.4",
        "A vision Transformer without position embedding is worse than one with a learned table.",
        "Accuracy on digits, where place matters more than in photographs.",
        images,
    ),
    Claim(
        "Resizing a table in two dimensions", "images", "Dosovitskiy et al. 2021, section 3.2",
        "For images of another resolution the table is interpolated over the grid of patches, not along its rows.",
        "Digits of 16 × 16 pixels after training on 8 × 8. Bicubic, as later implementations have it, theirs is bilinear; "
        "held against a table stretched or tiled along its rows.",
        resizing,
    ),
)  # fmt: skip
