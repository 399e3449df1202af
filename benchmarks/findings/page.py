"""The page of published findings, from what the studies left behind."""

from __future__ import annotations

import json
import math
from pathlib import Path

from benchmarks.findings.claims import CLAIMS, Claim, Condition
from benchmarks.findings.study import RESULTS, Measured

PAGE = Path(__file__).parents[2] / "docs" / "published-findings.md"
_INTRODUCTION = """# Published findings, trained again

What papers say about position encodings, tried with Milepost at a small scale: small models, short lengths, one CPU.
`python -m benchmarks.findings STUDY` trains what is missing of a study and `python -m benchmarks.findings --page` writes this
page; the conditions are in `benchmarks/findings/claims.py` and were set before the runs. A finding *came out* when each
condition holds in every seed, *in part* when some do. What did not is listed all the same: it may still be true at
another scale. A finding marked *withdrawn* rests on an error that has been fixed since; its section says which.
"""


def write_page() -> Path:
    """Write docs/published-findings.md."""
    PAGE.write_text(render(), "utf-8")
    return PAGE


def render() -> str:
    """The page's text."""
    results = {claim.study: Measured.read(claim.study) for claim in CLAIMS}
    lines = [_INTRODUCTION, "| finding | paper | here |", "|---|---|---|"]
    for claim in CLAIMS:
        lines.append(
            f"| [{claim.title}](#{_anchor(claim.title)}) | {claim.paper} | {_verdict(claim, results)} |"
        )
    for claim in CLAIMS:
        lines += ["", f"## {claim.title}", "", f"**{claim.paper}.** {claim.finding}", "", claim.differs, ""]
        lines += [f"*withdrawn*: {claim.withdrawn}", ""] if claim.withdrawn else []
        lines += _table(claim, results[claim.study])
    lines += ["", "## What was trained", ""]
    lines += [_study(name) for name, found in results.items() if found is not None]
    return "\n".join(lines) + "\n"


def _verdict(claim: Claim, results: dict[str, Measured | None]) -> str:
    if claim.withdrawn:
        return "*withdrawn*"
    found = results[claim.study]
    conditions = [] if found is None else claim.conditions(found)
    if found is None or not all(condition.values for condition in conditions):
        return "not run"
    if claim.came_out(found):
        return "came out"
    held = sum(condition.holds for condition in conditions)
    return f"**in part**: {held} of {len(conditions)}" if held else "**did not come out**"


def _table(claim: Claim, found: Measured | None) -> list[str]:
    if found is None:
        return [f"The study `{claim.study}` has not been run."]
    rows = [
        f"| {one.what} | {_values(one)} | {_wanted(one)} | {'✓' if one.holds else '✗'} |"
        for one in claim.conditions(found)
    ]
    return [f"| study `{claim.study}` | each seed | wanted | |", "|---|---|---|---|", *rows]


def _values(condition: Condition) -> str:
    return ", ".join(f"{value:.3g}" for value in condition.values)


def _wanted(condition: Condition) -> str:
    least, most = condition.least, condition.most
    if least == -most:
        return f"within ± {most:g}"
    return " and ".join(
        f"{word} {bound:g}" for word, bound in (("above", least), ("at most", most)) if math.isfinite(bound)
    )


def _study(name: str) -> str:
    document = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    versions = ", ".join(f"{package} {number}" for package, number in document["versions"].items())
    seeds = max(map(len, document["measured"].values()))
    command = f"python -m benchmarks.findings {name} --seeds {seeds}"
    return f"- `{command}`: {document['sentence']} {document['cpu_seconds']:.0f} CPU-seconds; {versions}."


def _anchor(title: str) -> str:
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -").replace(" ", "-")
