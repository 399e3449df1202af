import copy
import json

import jsonschema
import pytest

from milepost.errors import UnknownName
from milepost.reporting import read_schema


def check(document):
    """Validate a ``compare`` document as a reader elsewhere would: after a trip through strict JSON."""
    text = json.dumps(document, allow_nan=False)
    jsonschema.Draft202012Validator(read_schema("compare")).validate(json.loads(text))


def test_the_schema_is_itself_valid():
    jsonschema.Draft202012Validator.check_schema(read_schema("compare"))


@pytest.mark.parametrize("seeds", [1, 3])
def test_a_compare_document_fits_its_schema(make, seeds):
    check(make(seeds=seeds))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["schema_version"], 2),
        (["spec", "seeds"], []),
        (["spec", "data", "sha256"], "abc"),
        (["trials", 0, "status"], "finished"),
        (["trials", 0, "metrics", "32"], {"loss": "1.0"}),
        (["trials", 0, "loss_by_position", 0], "2.1"),
        (["comparisons", 0, "verdict"], "significant"),
        (["comparisons", 0, "margin"], -0.1),
        (["recommendation", "sentence"], ""),
        (["pictures", "learned", "cosine"], [[0.0] * 65]),
        (["pictures", "learned", "cosine", 0, 0], 1.2),
    ],
)
def test_the_schema_refuses_a_wrong_value(result, path, value):
    *way, last = path
    part = result
    for key in way:
        part = part[key]
    part[last] = value
    with pytest.raises(jsonschema.ValidationError):
        check(result)


def test_the_schema_refuses_a_failed_trial_without_a_reason(result):
    next(t for t in result["trials"] if t["status"] == "failed")["reason"] = None
    with pytest.raises(jsonschema.ValidationError):
        check(result)


@pytest.mark.parametrize("part", ["spec", "trials", "comparisons", "recommendation", "pictures"])
def test_the_schema_refuses_a_document_without(result, part):
    broken = copy.deepcopy(result)
    del broken[part]
    with pytest.raises(jsonschema.ValidationError, match=part):
        check(broken)


def test_an_unknown_schema_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean compare"):
        read_schema("compere")
