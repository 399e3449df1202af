"""The model card of an extended model: what was there, and what was done."""

from __future__ import annotations

import json
import re

from milepost import __version__
from milepost.extension.documents import shown_size
from milepost.extension.methods.sinusoid import Sinusoid
from milepost.extension.plan import ExtensionPlan
from milepost.extension.proofs import ProofResult

_FRONT = re.compile(r"\A---\r?\n(.*?)^---\r?$", re.DOTALL | re.MULTILINE)


def write_card(plan: ExtensionPlan, checks: list[ProofResult], existing: str | None) -> str:
    """The text of ``README.md``: an existing card is kept whole, with the base model named and a section added."""
    name = json.dumps(plan.source.title)
    if existing is None:
        text = f"---\nbase_model: {name}\ntags:\n- milepost\n---\n\n# {_plain(plan.output.name)}\n"
    else:
        text = existing.rstrip("\r\n") + "\n"
        front = _FRONT.match(text)
        if front is None:
            text = f"---\nbase_model: {name}\n---\n\n{text}"
        elif not re.search(r"^base_model:", front[1], re.MULTILINE):
            text = f"{text[: front.end(1)]}base_model: {name}\n{text[front.end(1) :]}"
    return f"{text}\n{_section(plan, checks)}"


def _section(plan: ExtensionPlan, checks: list[ProofResult]) -> str:
    target = plan.target
    unit = "pixels" if target.is_image else "positions"
    old, new = (_size(size) for size in (target.old, target.new))
    options = ", ".join(f"{key} = {value}" for key, value in target.method.options.items()) or "none"
    facts = [
        ("base model", _plain(plan.source.title)),
        ("length", f"{old} to {new} {unit}"),
        ("method", f"`{target.method.spec}` ({_plain(target.method.source)})"),
        ("options", options),
        ("old rows", target.method.guarantee),
        ("tables", ", ".join(f"`{_plain(table.key)}`" for table, _ in target.tables) or "none is stored"),
        ("made with", f"milepost {__version__}"),
    ]
    if plan.checkpoint.commit:
        facts.append(("base commit", plan.checkpoint.commit))
    lines = [f"## Extended from {old} to {new} {unit}", "", "The new rows have not been trained.", ""]
    if isinstance(target.method, Sinusoid):
        lines[2] = (
            "Positions are fixed sinusoids, made by formula; no length past the old one was seen in training."
        )
    if target.method.position_rule:
        lines[2] = "No row was added, and only `milepost.load` knows the rule."
    if target.method.shrinks:
        lines[2] = "No row was trained anew."
    lines += ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in facts), ""]
    if checks:
        lines += [
            "Proofs:",
            "",
            *(f"- {one.name.replace('_', ' ')}: {one.status}; {_plain(one.detail)}" for one in checks),
            "",
        ]
    return "\n".join(lines)


def _size(size: object) -> str:
    shown = shown_size(size)  # type: ignore[arg-type]
    return " x ".join(map(str, shown)) if isinstance(shown, list) else f"{shown:,}"


def _plain(text: str) -> str:
    """Text out of files that cannot become mark-up: one line, and nothing that Markdown or HTML reads."""
    return "".join(char if char.isprintable() and char not in "<>|`[]\\&" else "?" for char in text)
