from __future__ import annotations

import itertools

import numpy as np
import pytest

from milepost.corpus.markov import MarkovChain
from milepost.tasks import CausalLM, Options


@pytest.mark.parametrize(("symbols", "concentration", "seed"), [(3, 0.5, 1), (5, 2.0, 2)])
def test_the_stationary_shares_stay_when_a_step_is_taken(symbols, concentration, seed):
    chain = MarkovChain.draw(symbols, concentration, seed)
    shares = chain.stationary()
    np.testing.assert_allclose(shares @ chain.transition, shares, atol=1e-12)
    np.testing.assert_allclose(chain.transition.sum(1), 1.0)
    assert shares.sum() == pytest.approx(1.0)


def test_the_losses_known_beforehand_are_those_of_a_long_text():
    chain = MarkovChain.draw(6, 0.5, seed=3)
    text = np.array(chain.sample(100_000, seed=4))
    assert -np.log(chain.transition[text[:-1], text[1:]]).mean() == pytest.approx(chain.next_loss(), abs=0.01)
    assert -np.log(chain.stationary()[text]).mean() == pytest.approx(chain.unigram_loss(), abs=0.01)
    assert chain.next_loss() < chain.unigram_loss()


def test_hidden_losses_equal_a_sum_over_all_texts():
    chain = MarkovChain.draw(3, 0.7, seed=5)
    hidden = np.array([[False, True, True, False, True], [True, False, True, True, True]])
    symbols = np.array([chain.sample(5, seed) for seed in (1, 2)])
    wanted = []
    for text, mask in zip(symbols, hidden, strict=True):
        likely = {}
        for filled in itertools.product(range(3), repeat=5):
            if all(mask[i] or filled[i] == text[i] for i in range(5)):
                steps = [chain.transition[a, b] for a, b in itertools.pairwise(filled)]
                likely[filled] = chain.stationary()[filled[0]] * np.prod(steps)
        for place in np.flatnonzero(mask):
            right = sum(p for filled, p in likely.items() if filled[place] == text[place])
            wanted.append(-np.log(right / sum(likely.values())))
    np.testing.assert_allclose(chain.hidden_losses(symbols, hidden), wanted, rtol=1e-10)


def test_the_built_in_text_is_the_chain_and_parts_of_it_are_apart():
    task = CausalLM.open("builtin:markov", Options())
    train, test = (np.asarray(task.streams.parts[part]) for part in ("train", "test"))
    assert len(train) > 300_000 and len(test) > 30_000
    letters = sorted(set(train))
    index = np.searchsorted(letters, train)
    chain = MarkovChain.draw()
    counts = np.zeros((16, 16))
    np.add.at(counts, (index[:-1], index[1:]), 1)
    common = counts.sum(1) > 10_000
    shares = counts[common] / counts[common].sum(1, keepdims=True)
    np.testing.assert_allclose(shares, chain.transition[common], atol=0.02)
    assert task.floor() == pytest.approx(chain.unigram_loss(), abs=0.02)
