from __future__ import annotations

import io

import pytest
from rich.console import Console

from milepost.reporting import print_plan


@pytest.fixture
def planned(result):
    """Six encodings with three seeds, of which those of one encoding are done."""
    for trial in result["trials"]:
        trial["status"] = "done" if trial["encoding"] == "learned" else "missing"
    one = {"seconds": 90.0, "peak_memory_bytes": 2.0**28}
    names = [name for name in result["spec"]["encodings"] if name != "learned"]
    estimate = {"seconds": 675.0, "peak_memory_bytes": 2.0**29, "by_encoding": dict.fromkeys(names, one)}
    return result | {"tuning": None, "estimate": estimate}


def printed(document, width=80):
    stream = io.StringIO()
    print_plan(document, Console(file=stream, width=width, _environ={}))
    return stream.getvalue()


def test_a_plan_says_what_is_missing_and_what_it_takes(planned):
    text = printed(planned)
    assert text.startswith("18 trials, 3 of them done\n")
    rows = {
        line.split()[0]: line.split()[1:]
        for line in text.splitlines()
        if line.startswith(("learned", "rotary"))
    }
    assert rows == {"learned": ["3", "0", "–", "–"], "rotary": ["3", "3", "90", "s", "256.0", "MiB"]}
    assert "About 11 min 15 s of training and 512.0 MiB of memory at once" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80


def test_a_plan_with_settings_to_try_lists_those_trials(planned, classified):
    planned["tuning"] = classified["tuning"]
    assert printed(planned).startswith("36 trials, 36 of them done\n")


def test_a_plan_that_may_grow_says_so(planned):
    assert "up to" not in printed(planned)
    planned["spec"]["looks"] = [3, 4, 5]
    assert "every verdict is decided, up to 5" in " ".join(printed(planned).split())
