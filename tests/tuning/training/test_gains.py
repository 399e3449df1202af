"""What is reported of a document, against what transformers says of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from milepost.tables import read
from milepost.tuning.loading import load_subject
from milepost.tuning.training.gains import Gauge, rows_in
from milepost.tuning.training.split_table import find_parameter
from milepost.tuning.training.windows import Span

OLD, NEW = 16, 48
TOKENS = np.random.default_rng(0).integers(5, 25, 44)
Make = Callable[..., tuple[Path, Path]]


def gauge_of(model: Path) -> Gauge:
    table = read(model).table()
    rows, subject = torch.from_numpy(table.rows), load_subject(model)
    name = find_parameter(subject.model, table.key, rows)
    return Gauge(subject, name, rows, table.first_row, Span(OLD, NEW, OLD), OLD)


def test_losses_are_means_over_positions_of_one_pass(pair: Make) -> None:
    gauge = gauge_of(pair("causal-lm")[1])
    other = gauge.original + 1
    before, after = gauge.measure((gauge.original, other), TOKENS, 0)
    for rows, found in ((gauge.original, before), (other, after)):
        with rows_in(gauge.subject.model, gauge.name, rows), torch.no_grad():
            ids = torch.from_numpy(TOKENS)[None]
            said = gauge.subject.model(ids).logits[0].log_softmax(-1)
        losses = -said[:-1].gather(1, ids[0, 1:, None])[:, 0].double().numpy()  # of positions 1 to 43
        assert found.keys() == {
            ("loss", *ends) for ends in ((0, 16), (16, 24), (24, 32), (32, 40), (40, 48), (16, 48))
        }
        assert found["loss", 0, 16] == pytest.approx(losses[:15].mean(), rel=1e-5)
        assert found["loss", 16, 48] == pytest.approx(losses[15:].mean(), rel=1e-5)
        assert found["loss", 24, 32] == pytest.approx(losses[23:31].mean(), rel=1e-5)
    assert before != after


def test_a_short_document_leaves_out_what_it_does_not_reach(pair: Make) -> None:
    gauge = gauge_of(pair("masked-lm")[1])
    (found,) = gauge.measure((gauge.original,), TOKENS[:20], 0)
    assert found.keys() == {("loss", 0, 16), ("loss", 16, 24), ("loss", 16, 48)}


def test_agreement_and_distance_are_of_the_document_and_its_parts(pair: Make) -> None:
    gauge = gauge_of(pair("embedding")[1])
    model = gauge.subject.model

    def states(part: np.ndarray, positions: np.ndarray) -> np.ndarray:
        ids = torch.from_numpy(np.concatenate([[0], part, [2]]))[None]
        with torch.no_grad():
            hidden = model(ids, position_ids=torch.from_numpy(positions)[None]).last_hidden_state
        found: np.ndarray = hidden[0].double().numpy()
        return found

    def unit(vector: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = vector / np.linalg.norm(vector)
        return scaled

    (found,) = gauge.measure((gauge.original,), TOKENS, 0)
    parts = [TOKENS[at : at + 14] for at in range(0, 44, 14)]
    alone = [states(part, np.arange(len(part) + 2)) for part in parts]
    mean = unit(np.mean([unit(one.mean(0)) for one in alone], axis=0))
    whole = unit(states(TOKENS, np.arange(46)).mean(0))
    assert found["agreement", 0, 48] == pytest.approx(whole @ mean, abs=1e-6)
    # the second part's text lies at positions 15 to 28, behind the special token that stays in front
    there = states(parts[1], np.concatenate([[0], np.arange(15, 30)]))
    far = np.square(there - alone[1]).sum(-1) / np.square(alone[1]).sum(-1)
    assert found["distance", 16, 24] == pytest.approx(far[2:10].mean(), rel=1e-4)
    assert found["distance", 0, 16] == pytest.approx(far[1] / 15, rel=1e-4)  # the first part is where it was
