"""Proofs of a whole model: doctor reads its folder, and transformers loads and runs it in a process of its own."""

from __future__ import annotations

import json
import re
from importlib.util import find_spec
from pathlib import Path

from milepost.diagnostics.doctor import diagnose
from milepost.errors import MilepostError, MissingExtra, ProofFailed
from milepost.extension.plan import ExtensionPlan
from milepost.extension.proofs import ProofResult
from milepost.storage.processes import run_python
from milepost.tables import segment_of


def prove_by_doctor(plan: ExtensionPlan, folder: Path) -> list[ProofResult]:
    """Doctor finds no issue in the new folder that the old one does not have, and none that became worse.

    A failure does not undo the extension: the check says what was found.
    """
    name = "doctor"
    try:
        new = _issues(folder)
        old = _issues(plan.source.weights or plan.source.root)
    except MilepostError as error:
        return [ProofResult(name, "not_applicable", f"doctor cannot read this model: {error.problem}")]
    if found := {place: text for place, text in new.items() if _is_worse(old.get(place), text)}:
        text = "; ".join(f"{code} {text}" for (code, _), text in found.items())
        return [ProofResult(name, "failed", text)]
    codes = ", ".join(sorted({code for code, _ in new}))
    left = f"; there before, and still: {codes}" if new else ""
    return [ProofResult(name, "passed", f"no new issue{left}")]


def _is_worse(old: str | None, new: str) -> bool:
    """Whether an issue is new, says something else, or has a number that grew; the table's length is to grow."""
    if old is None:
        return True
    before, after = (
        re.split(r"(\d+)", re.sub(r"the table has \d+ positions", "", text)) for text in (old, new)
    )
    return before[::2] != after[::2] or any(
        int(n) > int(o) for o, n in zip(before[1::2], after[1::2], strict=True)
    )


def _issues(model: Path) -> dict[tuple[str, str], str]:
    found = [one for one in diagnose(model)["findings"] if one["status"] == "issue"]
    return {(one["code"], one["where"]): f"{one['where']}: {one['got']}" for one in found}


def prove_model(plan: ExtensionPlan, folder: Path) -> list[ProofResult]:
    """transformers loads the new model without keys that are missing or do not fit, and runs it at both lengths.

    Raises:
        ProofFailed: MP151. MissingExtra: MP106, without torch and transformers.
    """
    for module in ("torch", "transformers"):
        if find_spec(module) is None:
            raise MissingExtra.of("torch", module)
    task = {
        "old_folder": str(plan.source.folder),
        "new_folder": str(folder / plan.source.inner),
        "old": plan.target.old,
        "new": plan.target.new,
        "role": plan.target.tables[0][0].role if plan.target.tables else "text",
        "same_outputs": plan.target.method.keeps_old_rows and not _reads_one_length(plan),
    }
    done = run_python(
        ["-W", "ignore", "-m", "milepost.extension.reload_worker"],
        text=json.dumps(task),
        variables={"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"},
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise _failed("transformers cannot load it", last)
    checks = [ProofResult(**one) for one in json.loads(done.stdout.splitlines()[-1])]
    for check in checks:
        if check.status == "failed":
            raise _failed(check.name.replace("_", " "), check.detail)
    return checks


def _reads_one_length(plan: ExtensionPlan) -> bool:
    return any(match is not None and segment_of(match) for _, match in plan.target.tables)


def _failed(what: str, got: str) -> ProofFailed:
    return ProofFailed(
        f"the extended model is not what was promised: {what}",
        got=ascii(got)[:300],
        fix="nothing was kept; --verify files keeps the folder to look at",
    )
