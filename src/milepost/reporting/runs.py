"""Results of finished comparisons: read from their run folders and checked, and put side by side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, product
from pathlib import Path
from typing import Any

from milepost.errors import FolderError
from milepost.reporting.compare_summary import CompareSummary
from milepost.reporting.schemas import read_schema
from milepost.reporting.validation import find_faults
from milepost.reporting.words import clean
from milepost.storage.records import read_json

SCHEMA_VERSION = 1
_AGAIN = "run the same compare again; its finished trials are kept"
_MEASURED_ON = (
    "sha256",
    "tokenizer",
    "vocabulary",
    "horizon",
)  # facts of the data without which numbers differ


def merge(runs: Sequence[Mapping[str, Any]]) -> CompareSummary:
    """Runs of one task and data as one sweep whose encodings carry the names of their runs."""
    trials = [
        {**trial, "encoding": f"{run['name']}: {trial['encoding']}"}
        for run in runs
        for trial in run["result"]["trials"]
    ]
    spec = runs[0]["result"]["spec"]
    trained = {run["result"]["spec"]["train_length"] for run in runs}
    names = list(dict.fromkeys(trial["encoding"] for trial in trials))
    together = {
        "encodings": names,
        "baseline": names[0],
        "lengths": sorted({n for run in runs for n in run["result"]["spec"]["lengths"]}),
        "train_length": trained.pop() if len(trained) == 1 else None,
    }
    return CompareSummary.from_result(
        {"spec": spec | together, "trials": trials, "comparisons": [], "degradations": []}
    )


def build_table(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The deciding metric of all encodings of runs that were measured alike."""
    found, spec = merge(runs), runs[0]["result"]["spec"]
    return {
        "task": spec["task"],
        "source": spec["data"]["source"],
        "metric": found.metric,
        "unit": found.unit,
        "runs": [run["name"] for run in runs],
        "rows": [
            {
                "run": run["name"],
                "encoding": name,
                "length": length,
                "n_seeds": len(own.values(name, length)),
                "mean": own.value(name, length),
            }
            for run in runs
            for own in [CompareSummary.from_result(run["result"])]
            for name in own.encodings
            for length in own.lengths
        ],
    }


def describe_measure(run: Mapping[str, Any]) -> str:
    """What two runs must share for their numbers to mean the same."""
    spec = run["result"]["spec"]
    facts = {name: spec["data"].get(name) for name in _MEASURED_ON}
    metrics = [metric["name"] for metric in spec.get("metrics") or ()]
    decides = CompareSummary.from_result(run["result"]).metric["name"]
    return json.dumps([spec["task"], spec["evaluate"], decides, metrics, facts])


def name_runs(places: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths, of two parts or more where one does not tell them apart."""
    for parts in range(1, max(len(place.parts) for place in places) + 1):
        names = ["/".join(place.parts[-parts:]) for place in places]
        if max(Counter(names).values()) == 1:
            break
    return [str(clean(name)) for name in names]


def read_result(folder: Path) -> dict[str, Any]:
    """The result in a run folder, if it is what ``compare`` left.

    Raises:
        FolderError: MP107, no result, or one that was changed.
    """
    path = folder / "result.json"
    if not path.exists():
        raise FolderError(
            "this is no run folder with a result",
            got=str(folder),
            fix="give the folder that compare names; a run that was interrupted has a result once it is continued",
        )
    result = read_json(path, fix=_AGAIN)
    if result.get("schema_version") != SCHEMA_VERSION:
        faults = iter(["no result of this version"])
    else:
        faults = chain(find_faults(result, read_schema("compare")), _contradictions(result))
    if (fault := next(faults, None)) is not None:
        raise FolderError(
            "the result of this run is not what compare wrote",
            got=f"{str(path)[:300]!a}: {fault[:300]}",
            fix=_AGAIN,
        )
    return result


def _contradictions(result: dict[str, Any]) -> Iterator[str]:
    """Where parts of a result, each of which fits its schema, do not fit together."""
    try:
        json.dumps(result, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        yield "a text that is no Unicode"
    spec = result["spec"]
    known = {name: set(spec[name]) for name in ("encodings", "seeds", "lengths")}
    known["metrics"] = {metric["name"] for metric in spec.get("metrics") or ()}
    for place in ("baseline", "deciding_length"):
        if spec.get(place) not in {None, *known["encodings"], *known["lengths"]}:
            yield f"spec.{place} is not among what was compared"
    if spec.get("metric") not in {None, *known["metrics"]}:
        yield "spec.metric is not among what was measured"
    found = set[tuple[str, int]]()
    for trial in result["trials"]:
        one = (trial["encoding"], trial["seed"])
        if one in found:
            yield f"the trial of {trial['encoding'][:80]!a}, seed {trial['seed']}, is listed twice"
        found.add(one)
        metrics = trial["metrics"] or {}
        names = {name for values in metrics.values() for name in values or ()}
        if trial["encoding"] not in known["encodings"] or trial["seed"] not in known["seeds"]:
            yield f"the trial of {trial['encoding'][:80]!a}, seed {trial['seed']}, is none of the design"
        elif not {int(length) for length in metrics} <= known["lengths"]:
            yield f"the trial of {trial['encoding'][:80]!a} was measured at a length that is not listed"
        elif known["metrics"] and not names <= known["metrics"]:
            yield f"the trial of {trial['encoding'][:80]!a} has a metric that is not listed"
    for encoding, seed in product(spec["encodings"], spec["seeds"]):
        if (encoding, seed) not in found:
            yield f"the trial of {encoding[:80]!a}, seed {seed}, is missing"
    for name in ("comparisons", "degradations"):
        for row in result[name]:
            if not {row["encoding"], row.get("baseline", row["encoding"])} <= known["encodings"]:
                yield f"{name} are of an encoding that is not listed"
            elif row["length"] not in known["lengths"]:
                yield f"{name} are at a length that is not listed"
    if not result["pictures"].keys() <= known["encodings"]:
        yield "pictures are of an encoding that is not listed"
