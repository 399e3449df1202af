from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.errors import SpecError
from milepost.spec import Spec, parse_spec, parse_specs

names = st.from_regex(r"[a-z_][a-z0-9_-]{0,8}", fullmatch=True)
words = st.text(st.characters(exclude_characters="'\"\\", min_codepoint=32, max_codepoint=0x2FF), max_size=8)
numbers = st.integers(-(10**12), 10**12) | st.floats(allow_nan=False, allow_infinity=False, width=64)
specs = st.recursive(
    st.builds(Spec, names),
    lambda inner: st.builds(Spec, names, st.dictionaries(names, numbers | words | inner, max_size=3)),
    max_leaves=5,
)


@given(specs)
def test_what_is_written_reads_back_as_itself(spec: Spec) -> None:
    assert parse_spec(str(spec)) == spec
    assert str(parse_spec(str(spec))) == str(spec)


@given(st.text(max_size=40))
def test_any_text_is_a_spec_or_one_clear_error(text: str) -> None:
    try:
        parse_specs(text)
    except SpecError as error:
        assert str(error).count("\n") == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a(",
        "a(1)",
        "a)b",
        "a(b=1,b=2)",
        "a(b=__import__('os').x)",
        "a b",
        "a(b=1e999)",
        "a,",
        "a(b=1,)",
        "a(b=nan)x",
    ],
)
def test_what_is_no_spec_is_refused_with_the_place(text: str) -> None:
    with pytest.raises(SpecError, match="at character"):
        parse_specs(text)


def test_commas_in_parentheses_belong_to_a_spec() -> None:
    assert [s.name for s in parse_specs("t5(buckets=8,max_distance=16),none")] == ["t5", "none"]


def test_a_deep_nest_and_a_long_text_are_refused() -> None:
    with pytest.raises(SpecError, match="nested"):
        parse_spec("a(b=" * 50 + "c" + ")" * 50)
    with pytest.raises(SpecError, match="too long"):
        parse_spec("a" * 9000)


def test_a_spec_survives_pickling() -> None:
    spec = parse_spec("randomized(inner=rotary(theta=500),max_len=64)")
    assert pickle.loads(pickle.dumps(spec)) == spec  # noqa: S301
