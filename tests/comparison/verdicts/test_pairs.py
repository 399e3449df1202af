"""One family of all pairs: intervals and p agree, table and sentence agree, and error rates by simulation."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from milepost.comparison.sentences.recommendation import build_recommendation
from milepost.comparison.verdicts.comparisons import build_comparisons
from milepost.comparison.verdicts.pairs import build_family
from milepost.comparison.verdicts.scores import Criterion
from milepost.statistics import SequentialTest
from milepost.tasks import Floor

SIX = ("alibi", "learned", "none", "rotary", "sinusoidal", "t5")
CLAIMS = ("better", "worse", "constant_better", "constant_worse")


def sweep(scores, metric="loss", **changes):
    """Trials of ``{encoding: [score of each seed]}``; a score of ``diverged`` is a trial that did."""
    return [
        {
            "encoding": name,
            "seed": seed,
            "status": "diverged",
            "metrics": {},
            "reason": "the loss is not a number",
        }
        if value == "diverged"
        else {"encoding": name, "seed": seed, "status": "done", "metrics": {"32": {metric: value}}} | changes
        for name, values in scores.items()
        for seed, value in enumerate(values)
    ]


def family(trials, baseline="learned", **criterion):
    return build_family(trials, 32, baseline, Criterion(**criterion))


def judge(trials, baseline="learned", **criterion):
    found = family(trials, baseline, **criterion)
    return build_comparisons([found]), build_recommendation(found, trials)


# intervals and p

values = st.lists(st.floats(0.5, 5).map(lambda value: round(value, 3)), min_size=4, max_size=4)
sweeps = st.dictionaries(st.sampled_from(SIX), values, min_size=2, max_size=6)


@settings(max_examples=60, deadline=None)
@given(sweeps, st.sampled_from([None, SequentialTest.up_to(6)]))
def test_an_adjusted_interval_excludes_zero_exactly_where_the_adjusted_p_is_small(scores, looks):
    found = family(sweep(scores), next(iter(scores)), sequential=looks)
    for pair in found.pairs.values():
        if pair.tested and pair.difference.sd > 1e-6:
            excludes = pair.low_adjusted > 0 or pair.high_adjusted < 0
            assert excludes == (pair.p_adjusted < 0.05)
            assert pair.low_adjusted <= pair.difference.low and pair.high_adjusted >= pair.difference.high


def test_plain_intervals_would_fail_that_check():
    scores = {"learned": [1.0, 1.1, 1.2], "rotary": [1.1, 1.26, 1.40], "none": [1.0, 1.4, 1.1]}
    pair = family(sweep(scores)).pair("rotary", "learned")
    assert pair.difference.low > 0 and pair.p_adjusted > 0.05
    assert pair.low_adjusted < 0


@settings(max_examples=60, deadline=None)
@given(sweeps)
def test_a_pair_says_the_same_from_both_sides(scores):
    found = family(sweep(scores), next(iter(scores)))
    opposite = {"better": "worse", "worse": "better", "constant_better": "constant_worse"}
    for one, other in found.pairs:
        there, back = found.pair(one, other), found.pair(other, one)
        assert back.difference.mean == -there.difference.mean
        assert (back.low_adjusted, back.p_adjusted) == (
            pytest.approx(-there.high_adjusted, nan_ok=True), pytest.approx(there.p_adjusted, nan_ok=True),
        )  # fmt: skip
        if there.verdict in opposite:
            assert back.verdict == opposite[there.verdict]


# the table and the sentence


def test_a_verdict_of_the_table_counts_every_pair_not_only_those_with_the_baseline():
    """Corrected for its three pairs with the baseline alone, rotary would be better; of six pairs it is not."""
    scores = {
        "learned": [2.00, 2.10, 2.05, 2.02],
        "rotary": [1.92, 1.97, 1.99, 1.95],
        "alibi": [1.95, 2.05, 1.93, 2.04],
        "none": [2.06, 2.00, 2.11, 1.99],
    }
    comparisons, answer = judge(sweep(scores))
    rotary = next(c for c in comparisons if c["encoding"] == "rotary")
    assert 3 * rotary["p"] < 0.05 < rotary["p_adjusted"]
    assert rotary["verdict"] == "undecided"
    assert answer["sentence"].startswith("No significant difference between rotary")


@settings(max_examples=80, deadline=None)
@given(sweeps, st.sampled_from([{}, {"higher_is_better": True}]))
def test_table_and_sentence_agree(scores, criterion):
    comparisons, answer = judge(sweep(scores), next(iter(scores)), **criterion)
    at = {c["encoding"]: c["verdict"] for c in comparisons}
    named, baseline = answer["encoding"], comparisons[0]["baseline"]
    if named == baseline:
        assert set(at.values()) <= {"worse", "constant_worse"}
    elif named is not None:
        assert at[named] in ("better", "constant_better")
    elif "between" in answer["sentence"] and baseline in answer["sentence"].split(" at length")[0]:
        best = answer["because"][0].split()[0]
        assert best == baseline or at[best] not in ("better", "constant_better")


# verdicts that nobody may read as more than they are


def test_an_encoding_that_diverged_in_two_of_five_seeds_is_not_the_winner():
    scores = {"learned": [2.0, 2.01, 2.02, 2.0, 2.01], "rotary": ["diverged", "diverged", 1.8, 1.81, 1.79]}
    comparisons, answer = judge(sweep(scores))
    assert answer["encoding"] is None
    assert (
        answer["sentence"]
        == "No winner at length 32: rotary has a lower mean loss than learned, but no verdict."
    )
    assert [(c["verdict"], c["unconverged"]) for c in comparisons] == [("not_converged", ["rotary"])]
    assert (
        "rotary carries no verdict at length 32: seeds 0 and 1 diverged, so the rest is a selection."
        in answer["because"]
    )
    assert "A lower learning rate: rotary diverged." in answer["would_change"]


def test_an_encoding_that_diverged_at_every_seed_is_named():
    comparisons, answer = judge(sweep({"learned": [2.0, 2.01, 2.03], "rotary": ["diverged"] * 3}))
    assert comparisons[0]["verdict"] == "not_converged"
    assert answer["encoding"] is None
    assert "only learned can be judged (rotary: seeds 0, 1 and 2 diverged" in answer["sentence"]


@pytest.mark.parametrize("seeds", [1, 2])
def test_with_too_few_seeds_a_trial_that_did_not_converge_is_still_said_to_be_so(seeds):
    trials = sweep({"learned": [2.0, 2.1][:seeds], "rotary": [1.8, 1.7][:seeds]})
    trials[-1]["converged"] = False
    comparisons, answer = judge(trials)
    assert comparisons[0]["verdict"] == "not_converged"
    assert any(
        f"training did not converge; {seeds} of at least 3 seeds finished" in line
        for line in answer["because"]
    )


def test_a_baseline_that_did_not_converge_is_the_one_that_is_marked():
    trials = sweep({"learned": [2.0, 2.1, 2.05], "rotary": [1.8, 1.72, 1.77], "none": [2.3, 2.33, 2.31]})
    for trial in trials[:3]:
        trial["converged"] = False
    comparisons, answer = judge(trials)
    assert {c["verdict"] for c in comparisons} == {"not_converged"}
    assert {tuple(c["unconverged"]) for c in comparisons} == {("learned",)}
    assert any(line.startswith("The baseline learned carries no verdict") for line in answer["because"])
    alone = judge(trials[:6])[1]
    assert alone["sentence"] == (
        "No winner at length 32: only rotary can be judged (learned: training did not converge)."
    )


NOTHING = {"metric": "exact_match", "title": "exact match", "higher_is_better": True, "bounded": True}


def test_a_score_at_its_floor_everywhere_is_no_equivalence():
    trials = sweep({"learned": [0.0] * 3, "rotary": [0.0] * 3}, "exact_match", converged=False, at_floor=True)
    found = family(trials, **NOTHING)
    answer = build_recommendation(found, trials, floor=Floor(0.0))
    assert {c["verdict"] for c in build_comparisons([found])} == {"not_converged"}
    assert answer["sentence"] == (
        "No verdict at length 32: nothing was learned. No encoding has a higher exact match than an answer that "
        "ignores the input."
    )
    assert "An answer that ignores the input gets 0.000 at length 32." in answer["because"]
    said = " ".join((answer["sentence"], *answer["because"], *answer["would_change"]))
    assert "equivalent" not in said and "No difference" not in said and "keep" not in said


def test_a_task_that_nobody_solves_at_a_longer_length_names_nobody():
    trials = sweep({"learned": [0.0] * 3, "rotary": [0.004, 0.0, 0.0]}, "exact_match")
    answer = build_recommendation(family(trials, **NOTHING), trials, floor=Floor(0.0))
    assert answer["encoding"] is None
    assert answer["sentence"].startswith(
        "No encoding solves the task at length 32: the best exact match, 0.001 of"
    )
    solved = sweep({"learned": [0.0] * 3, "rotary": [0.9, 0.91, 0.89]}, "exact_match")
    assert build_recommendation(family(solved, **NOTHING), solved, floor=Floor(0.0))["encoding"] == "rotary"


def test_an_excluded_encoding_stays_in_the_family_and_is_not_named():
    trials = sweep({"learned": [2.0, 2.1, 2.05], "rotary": [1.3, 1.33, 1.39], "none": [1.0, 1.01, 1.03]})
    found = family(trials)
    answer = build_recommendation(found, trials, excluded={"none"})
    assert answer["encoding"] == "rotary"
    assert not any(line.startswith("none") for line in answer["because"])
    assert "3 pairs of 3 encodings" in answer["because"][-1]


def test_the_length_that_decides_is_not_proposed_as_another_need():
    rows = [
        {"encoding": name, "length": length, "n_seeds": 3, "holds": True, "relative": 0.0}
        for name in ("learned", "none")
        for length in (32, 64)
    ]
    trials = sweep({"learned": [2.0, 2.1, 2.05], "none": [1.0, 1.01, 1.03]})
    said = build_recommendation(family(trials), trials, degradations=rows)["would_change"]
    assert [line for line in said if "A need for length" in line] == [
        "A need for length 64: learned and none keep the loss of the trained length."
    ]
    only = build_recommendation(family(trials), trials, degradations=rows[:1])["would_change"]
    assert not any("A need for length" in line for line in only)


# error rates


def null_sweeps(means, seeds, count, sd=0.05):
    """Sweeps with true ``means``: a part of the noise is the seed's, shared by all encodings."""
    rng = np.random.default_rng(20 + seeds)
    noise = rng.normal(0, sd, (count, len(means), seeds)) + rng.normal(0, 0.1, (count, 1, seeds))
    for losses in np.array(list(means.values()))[:, None] + noise:
        yield sweep({name: losses[i].tolist() for i, name in enumerate(means)})


@pytest.mark.parametrize("seeds", [3, 5])
def test_a_false_claim_in_any_pair_appears_in_at_most_6_of_100_null_sweeps(seeds):
    claims = [
        any(pair.verdict in CLAIMS for pair in family(trials).pairs.values())
        for trials in null_sweeps(dict.fromkeys(SIX, 1.8), seeds, 500)
    ]
    assert 0.01 <= np.mean(claims) <= 0.06  # and it is no test that never rejects


def test_the_check_fails_a_correction_for_the_pairs_with_the_baseline_alone():
    claims = [
        any(5 * pair.difference.p < 0.05 for pair in family(trials).pairs.values())
        for trials in null_sweeps(dict.fromkeys(SIX, 1.8), 5, 300)
    ]
    assert np.mean(claims) > 0.08


def test_a_share_of_few_prompts_rarely_differs_by_the_same_amount_at_every_seed_by_chance():
    rng = np.random.default_rng(3)
    hits = rng.binomial(256, 0.98, (1000, 2, 3)) / 256
    claims = [
        family(sweep({"learned": a.tolist(), "none": b.tolist()}, "exact_match"), **NOTHING)
        .pair("none", "learned").verdict.startswith("constant")
        for a, b in hits
    ]  # fmt: skip
    assert np.mean(claims) <= 0.01


def test_the_interval_of_a_single_pair_covers_its_difference_in_95_of_100_sweeps():
    means = {"learned": 1.8, "rotary": 1.7, "none": 2.5, "alibi": 1.8}
    missed = []
    for trials in null_sweeps(means, 4, 400):
        pair = family(trials).pair("rotary", "learned")
        missed.append(not pair.low_adjusted <= -0.1 <= pair.high_adjusted)
    assert np.mean(missed) <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("cause", ["failed", "infinite"])
def test_an_encoding_without_any_score_is_said_to_be_left_out(cause):
    trials = sweep({"learned": [2.0, 2.01, 2.03], "rotary": [math.inf] * 3})
    if cause == "failed":
        trials[3:] = [trial | {"status": "failed", "metrics": {}, "reason": "x"} for trial in trials[3:]]
    answer = judge(trials)[1]
    assert answer["encoding"] is None
    assert answer["sentence"] == (
        "No winner at length 32: only learned can be judged (rotary: 0 of at least 3 seeds finished with a score)."
    )
    answer = judge(trials + sweep({"none": [2.4, 2.41, 2.44]}))[1]
    assert answer["sentence"] == (
        "learned has a significantly lower loss at length 32 than none, the only other encoding that can be judged."
    )


def test_a_baseline_that_diverged_at_every_seed_is_no_selection_and_leaves_a_margin():
    trials = sweep({"learned": ["diverged"] * 3, "none": [2.0, 2.1, 2.2], "rotary": [2.0, 2.1, 2.2]})
    comparisons, answer = judge(trials)
    assert {c["verdict"] for c in comparisons} == {"not_converged"}
    assert answer["sentence"].endswith("all are within 0.021 of none.")
    assert "learned carries no verdict at length 32: seeds 0, 1 and 2 diverged." in answer["because"]


@pytest.mark.parametrize("looks", [None, SequentialTest.up_to(6)])
def test_equal_scores_are_equivalent_even_without_a_margin(looks):
    trials = sweep({"learned": [2.0, 2.1, 2.2], "rotary": [2.0, 2.1, 2.2]})
    comparisons, answer = judge(trials, margin=0.0, sequential=looks)
    assert comparisons[0]["verdict"] == "equivalent"
    assert "nan" not in " ".join((answer["sentence"], *answer["because"], *answer["would_change"]))


def test_a_best_score_that_chance_explains_at_a_longer_length_names_nobody():
    trials = sweep({"learned": [0.50, 0.51, 0.505], "rotary": [0.53, 0.54, 0.536]}, "exact_match")
    found = family(trials, **NOTHING)
    answer = build_recommendation(found, trials, floor=Floor(0.5, 0.07))
    assert answer["encoding"] is None and answer["sentence"].startswith("No encoding solves the task")
    assert build_recommendation(found, trials, floor=Floor(0.5, 0.001))["encoding"] == "rotary"
