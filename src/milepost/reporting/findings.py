"""Findings and measures in words, the same on a page, on a terminal and in a log."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from milepost.reporting.text.console import plural
from milepost.reporting.words import clean

FindingDocument = Mapping[str, Any]


class StatusMark(NamedTuple):
    """How a finding's status is shown: never by colour alone."""

    mark: str
    ascii: str
    word: str
    colour: str
    meaning: str


# in the order in which a reader wants them
STATUSES: Mapping[str, StatusMark] = {
    "issue": StatusMark("✗", "x", "issue", "red", "mend it"),
    "tip": StatusMark("!", "!", "tip", "yellow", "know it"),
    "cannot_tell": StatusMark("?", "?", "cannot tell", "", "the evidence does not decide"),
    "passed": StatusMark("✓", "+", "passed", "green", "looked for and not found"),
    "not_applicable": StatusMark("–", "-", "not applicable", "", "this model has no such thing"),
}


def ordered(findings: Sequence[FindingDocument]) -> list[FindingDocument]:
    """Issues first, then tips, what could not be told, what passed, what did not apply; by code within each."""
    places = list(STATUSES)
    return sorted(findings, key=lambda found: (places.index(found["status"]), found["code"]))


def with_status(findings: Sequence[FindingDocument], *statuses: str) -> list[FindingDocument]:
    """The findings of these statuses, in the order of `ordered`."""
    return [found for found in ordered(findings) if found["status"] in statuses]


def tally(findings: Sequence[FindingDocument]) -> str:
    """What was found, counted.

    >>> tally([{"status": "issue"}, {"status": "tip"}, {"status": "tip"}, {"status": "passed"}])
    '1 issue, 2 tips'
    >>> tally([{"status": "passed"}])
    'no issue found'
    """
    counts = Counter(found["status"] for found in findings)
    parts = [f"{counts[name]} {plural(name, counts[name])}" for name in ("issue", "tip") if counts[name]]
    if not counts["issue"]:
        parts.insert(0, "no issue found")
    return ", ".join(parts)


class Measure(NamedTuple):
    """A measure of a table in a reader's words."""

    title: str
    digits: int
    meaning: str


MEASURES: Mapping[str, Measure] = {
    "norm_mean": Measure("mean norm", 3, "mean length of the rows"),
    "norm_sd": Measure("sd of norms", 3, "spread of the lengths of the rows"),
    "norm_variation": Measure("variation of norms", 3, "their spread, in means"),
    "first_norm_z": Measure("first row’s norm", 2, "in standard deviations of the other rows’ norms"),
    "last_norm_z": Measure("last row’s norm", 2, "in standard deviations of the other rows’ norms"),
    "neighbour_cosine": Measure("cosine of neighbours", 3, "mean cosine of a row and the next"),
    "order_accuracy": Measure("order accuracy", 3, "share of rows whose nearest row is a neighbour"),
    "reverse_mapping_error": Measure(
        "reverse mapping error", 2, "mean error, in positions, of a position read back from its row"
    ),
    "monotonicity": Measure("monotonicity", 3, "rank correlation of nearness and cosine"),
    "toeplitz_share": Measure(
        "Toeplitz share", 3, "share of the products of rows that distance alone explains"
    ),
    "effective_rank": Measure("effective rank", 1, "directions in use, by entropy"),
    "participation_ratio": Measure("participation ratio", 1, "directions in use, large ones counting more"),
    "low_frequency_share": Measure(
        "low-frequency share", 3, "share of variance in the 16 slowest waves along positions"
    ),
}


def measure_words(name: str) -> Measure:
    """The words of a measure; a measure that is newer than these words is shown under its own name."""
    return MEASURES.get(name, Measure(name.replace("_", " "), 3, ""))


def beside_chance(metric: Mapping[str, Any]) -> str:
    """Where a value lies against what about 95 % of random tables give; empty where there is no level.

    >>> beside_chance({"value": 2.0, "low": 0.0, "high": 1.0})
    'above'
    """
    value, low, high = (metric.get(name) for name in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return ""
    return "above" if value > high else "below" if value < low else "as chance"


_WITHOUT_TABLE = {
    "rotary": "positions enter by rotation of queries and keys",
    "alibi": "positions enter as a bias on the scores that grows with distance (ALiBi)",
    "relative_bias": "positions enter as a learned bias by distance",
    "fixed_sinusoid": "positions are a fixed sinusoid, computed and not stored",
    "convolution": "positions enter by a convolution",
    "none": "the model has no position encoding",
}


def inspect_headline(document: Mapping[str, Any]) -> str:
    """The first sentence of an ``inspect`` result."""
    tables = document["tables"]
    if not tables:
        by = document["positions_by"]
        return f"No position table: {_WITHOUT_TABLE.get(by, f'positions by {by}')}"
    found = tally([finding for table in tables for finding in table["findings"]])
    return f"{len(tables)} position {plural('table', len(tables))}: {found}"


def list_other_tables(document: Mapping[str, Any]) -> tuple[str, list[str]]:
    """What else in the file may be a position table: a sentence, and the options that ask for each; empty without any."""
    others = document.get("other_tables", [])
    if not others:
        return "", []
    title = (
        "Not inspected: tensors whose names and shapes are like those of position tables. To ask for one, add"
    )
    return title, [
        f"--tensor {shlex.quote(one['key'])} --first-row 0   ({one['rows']:,} × {one['dim']:,})"
        for one in others
    ]


def doctor_headline(document: Mapping[str, Any]) -> str:
    """The first sentence of a ``doctor`` result.

    >>> doctor_headline({"limits": {"usable": {"value": 512}}, "findings": [{"status": "issue"}]})
    'Usable length 512: 1 issue'
    """
    usable = document["limits"]["usable"]["value"]
    length = "No fixed length" if usable is None else f"Usable length {usable:,}"
    return f"{length}: {tally(document['findings'])}"


def describe_model(document: Mapping[str, Any]) -> str:
    """Where the tables come from, on one line."""
    family, kind = document["family"], document.get("model_type")
    named = f"family {family}" if family else "no family"
    text = f"{document['source']} · {named}{f', model type {kind}' if kind and kind != family else ''}"
    if rule := document.get("position_rule"):
        text += f" · {rule['to_length']:,} positions find {rule['rows']:,} rows by {rule['spec']}"
    return text


def describe_table(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a table is, as pairs of a name and a value."""
    facts = [
        ("rows × width", f"{table['rows']:,} × {table['dim']:,}"),
        ("stored as", table["dtype"]),
        ("row of position 0", str(table["first_row"] + table["prefix_rows"])),
        ("usable length", f"{table['usable_length']:,}"),
        ("parameters", f"{table['parameters']:,}"),
    ]
    if (share := table["share_of_model"]) is not None:
        facts.append(("share of the model", f"{100 * share:.3g} %"))
    if table["grid"]:
        facts.append(("grid", " × ".join(map(str, table["grid"]))))
    for name in ("prefix_rows", "trailing_rows"):
        if table[name]:
            facts.append((name.replace("_", " "), str(table[name])))
    if table["reserved_rows"]:
        facts.append(("reserved rows", ", ".join(map(str, table["reserved_rows"]))))
    return facts


def table_line(table: Mapping[str, Any]) -> str:
    """What a table is, on one line."""
    parts = [
        f"{table['rows']:,} × {table['dim']:,} {table['dtype']}",
        f"position 0 in row {table['first_row'] + table['prefix_rows']}",
        f"usable length {table['usable_length']:,}",
        f"{table['parameters']:,} parameters",
    ]
    if (share := table["share_of_model"]) is not None:
        parts.append(f"{100 * share:.3g} % of the model")
    return ", ".join(parts)


def annotate(result: Mapping[str, Any]) -> list[str]:
    """A ``doctor`` document as workflow commands that GitHub shows beside the files: issues as errors, tips as warnings.

    >>> found = {"status": "tip", "code": "MP311", "title": "a, b", "where": "config.json: x", "got": "100 %",
    ...          "expected": "", "fix": ""}
    >>> annotate({"source": "model", "findings": [found]})
    ['::warning file=model/config.json,title=MP311 a%2C b::x: 100 %25']
    """
    document = clean(result)
    lines = []
    for found in with_status(document["findings"], "issue", "tip"):
        level = "error" if found["status"] == "issue" else "warning"
        file, place = _split(found["where"])
        properties = {"file": f"{_folder(document['source'])}/{file}"} if file else {}
        properties["title"] = f"{found['code']} {found['title']}"
        said = [f"{place}: {found['got']}" if place else found["got"]]
        said += [f"{word}: {found[word]}" for word in ("expected", "fix") if found[word]]
        written = ",".join(f"{name}={_escape(value, ':,')}" for name, value in properties.items())
        lines.append(f"::{level} {written}::{_escape('; '.join(said))}")
    return lines


def _split(where: str) -> tuple[str, str]:
    """The file that ``where`` begins with, and the place in it."""
    file, _, place = where.partition(": ")
    return (file, place) if re.fullmatch(r"[\w./-]+\.(json|safetensors|bin|npy)", file) else ("", where)


def _folder(source: str) -> str:
    return source.rpartition("/")[0] or "." if source.endswith(".safetensors") else source.rstrip("/")


def _escape(text: str, further: str = "") -> str:
    """Characters that would end a workflow command or its property."""
    return "".join(f"%{ord(char):02X}" if char in f"%\r\n{further}" else char for char in text)
