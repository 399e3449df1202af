from __future__ import annotations

import pytest

from milepost.errors import OptionError, SpecError, UnknownName
from milepost.options import complete_options, nested, number, shorten, text, whole, word
from milepost.spec import Spec, parse_spec

SCALES = {"linear": {"factor": number(2.0, least=1)}, "none": {}}


def scale_options(name):
    if name not in SCALES:
        raise UnknownName.among("scaling", name, SCALES)
    return SCALES[name]


KNOWN = {
    "size": whole(4, least=2, even=True),
    "theta": number("auto", above=1),
    "share": number(0.5, above=0, most=1),
    "past": word("error", "clamp"),
    "list": text("auto"),
    "scaling": nested("none", scale_options),
}


def test_defaults_are_filled_in_and_values_have_the_kind_of_their_option():
    options = complete_options(parse_spec("toy(theta=5,past=clamp,scaling=linear)"), KNOWN)
    assert options == {
        "size": 4, "theta": 5.0, "share": 0.5, "past": "clamp", "list": "auto",
        "scaling": Spec("linear", {"factor": 2.0}),
    }  # fmt: skip
    assert type(options["theta"]) is float
    assert (options.whole("size"), options.number("theta", auto=9.0), options.word("past")) == (
        4,
        5.0,
        "clamp",
    )
    assert complete_options(Spec("toy"), KNOWN).number("theta", auto=9.0) == 9.0
    assert options.spec("scaling").name == "linear"


@pytest.mark.parametrize(
    ("spec", "error", "says"),
    [
        ("toy(speed=1)", SpecError, "toy has no option speed"),
        ("toy(size=2.5)", SpecError, "size must be an even number, 2 or more"),
        ("toy(size=3)", OptionError, "size must be an even number, 2 or more"),
        ("toy(size=0)", OptionError, "size must be an even number"),
        ("toy(size=2147483648)", OptionError, "size must be"),
        ("toy(size=clamp)", SpecError, "size must be"),
        ("toy(theta=1)", OptionError, "theta must be auto or a number above 1"),
        ("toy(theta=fast)", OptionError, "theta must be auto or"),
        ("toy(theta=fast(x=1))", SpecError, "theta must be auto or"),
        ("toy(share=1.5)", OptionError, "share must be a number above 0 and at most 1"),
        ("toy(share=auto)", SpecError, "share must be a number"),
        ("toy(past=forget)", OptionError, "past must be one of error, clamp"),
        ("toy(past=3)", SpecError, "past must be one of"),
        ("toy(list=3)", SpecError, "list must be a text"),
        ("toy(scaling=3)", SpecError, "scaling must be a spec"),
        ("toy(scaling='linear')", SpecError, "scaling must be a spec"),
        ("toy(scaling=yarn)", UnknownName, "no scaling of this name"),
        (
            "toy(scaling=linear(factor=0.5))",
            OptionError,
            "linear's option factor must be a number, 1 or more",
        ),
    ],
)
def test_a_value_that_makes_no_sense_is_one_error_of_three_lines(spec, error, says):
    with pytest.raises(error, match=says) as caught:
        complete_options(parse_spec(spec), KNOWN)
    assert str(caught.value).count("\n") == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True])
def test_what_is_no_finite_number_is_refused(value):
    with pytest.raises((OptionError, SpecError)):
        KNOWN["theta"].read("toy", "theta", value)


def test_the_short_form_drops_defaults_inside_too():
    options = complete_options(parse_spec("toy(size=4,theta=5,scaling=linear(factor=2))"), KNOWN)
    assert str(shorten(Spec("toy", options), KNOWN)) == "toy(scaling=linear,theta=5)"
    assert str(shorten(Spec("toy", {"list": "1 2", "past": "clamp"}), KNOWN)) == "toy(list='1 2',past=clamp)"
