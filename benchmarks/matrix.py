"""Run family × encoding × property on tiny random models, and write docs/families.md.

python benchmarks/matrix.py --out docs/families.md --workers 2     everything, minutes
python benchmarks/matrix.py --families roberta,vit                 some of it, nothing written
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import torch
from family_matrix import PROPERTIES, SUBJECTS, Case, check, quiet, refusal

from milepost.encodings import registered
from milepost.models.families import explain_refusal
from milepost.storage.processes import PIPE, start_python
from milepost.tables import FAMILIES, stacks_by_type

ROOT = Path(__file__).parents[1]
# folders of the package models that have no part in a swap
ELSEWHERE = {"building", "check"}
Results = dict[Case, dict[str, str] | str]


_HEADER = re.compile(r"Inputs: `(\w+)`; the same results with (.+)\.$", re.MULTILINE)


def read_header(text: str) -> tuple[str, list[str]]:
    """The hash of the inputs of a page, and the versions under which it was made."""
    found = _HEADER.search(text)
    return ("", []) if found is None else (found[1], found[2].split(", "))


def merge(old: str, new: str) -> str:
    """The page ``new``, with the versions of ``old`` where they gave the same.

    Ends with a message, if the same sources gave something else under other versions.
    """
    (inputs, before), (same, now) = read_header(old), read_header(new)
    if inputs != same or before == now:
        return new
    if _HEADER.sub("", old) != _HEADER.sub("", new):
        sys.exit(f"the results differ from those with {', '.join(before)}; nothing is written")
    return new.replace(
        f"the same results with {', '.join(now)}.",
        f"the same results with {', '.join(sorted({*before, *now}))}.",
    )


def inputs_hash() -> str:
    """A hash of the code that the page depends on, wherever it lies and however it is described."""
    package = ROOT / "src" / "milepost"
    sources = [
        *(path for path in (package / "models").rglob("*.py") if path.parent.name not in ELSEWHERE),
        *(package / "encodings").glob("*.py"),
        package / "tables" / "family.py",
        *(package / "tables" / "families").glob("*.py"),
        Path(__file__).with_name("family_matrix.py"),
        Path(__file__),
    ]
    return hashlib.sha256("".join(sorted(map(code_hash, sources))).encode()).hexdigest()[:32]


def code_hash(path: Path) -> str:
    """A hash of the statements of a file: without imports, docstrings, comments and blank lines."""
    text = path.read_text("utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            left_out |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = (line for number, line in enumerate(text.splitlines(), 1) if number not in left_out)
    code = "\n".join(line for line in lines if line.strip() and not line.lstrip().startswith("#"))
    return hashlib.sha256(code.encode()).hexdigest()


def run_family(name: str) -> Results:
    """Every encoding and property of a family; a refusal instead, where there is one."""
    torch.set_num_threads(1)
    results: Results = {}
    with quiet():
        for encoding in registered():
            case = Case(name, encoding)
            refused = refusal(case)
            results[case] = refused or {one.__name__: check(case, one) for one in PROPERTIES}
            print(f"{name:18} {encoding:14} {describe(results[case])}", file=sys.stderr, flush=True)
    return results


def run_all(names: Iterable[str], workers: int) -> Results:
    """Some families, each in one of so many processes."""
    if workers == 1:
        return {case: found for name in names for case, found in run_family(name).items()}
    with ThreadPoolExecutor(workers) as pool:
        return {case: found for part in pool.map(run_apart, names) for case, found in part.items()}


def run_apart(name: str) -> Results:
    """``run_family`` in a process of its own."""
    place = str(Path(__file__).parent)
    program = f"import sys; sys.path.insert(0, {place!r}); import matrix; matrix.tell({name!r})"
    with start_python(["-W", "ignore", "-c", program], stdout=PIPE) as process:
        assert process.stdout is not None
        text = process.stdout.read()
    if process.returncode:
        raise SystemExit(f"{name}: exit code {process.returncode}")
    return {Case(name, encoding): found for encoding, found in json.loads(text.splitlines()[-1]).items()}


def tell(name: str) -> None:
    """Print what ``run_family`` finds, by encoding, as JSON."""
    print(json.dumps({case.encoding: found for case, found in run_family(name).items()}))


def describe(found: Mapping[str, str] | str) -> str:
    """One cell: properties that hold out of those that apply, or a dash for a refusal."""
    if isinstance(found, str):
        return "–"
    applied = [value for value in found.values() if not value.startswith("inapplicable")]
    held = sum(value == "passed" for value in applied)
    return f"{held}/{len(applied)}" + ("" if held == len(applied) else " **!**")


def render(results: Results) -> str:
    """The page."""
    return "\n\n".join(
        [
            "# Families: which encodings work where",
            "Written by `make matrix`; do not edit. Each cell is a tiny random model of the family with the "
            "encoding swapped in: how many properties held, of those that apply. A dash is a refusal.",
            f"Inputs: `{inputs_hash()}`; the same results with transformers {version('transformers')}.",
            _render_cells(results),
            "## What did not hold",
            _render_failures(results),
            "## Properties",
            "\n".join(f"- `{one.__name__}`: {_first_line(one.__doc__)}" for one in PROPERTIES),
            "Tolerance is 1e-5 of the largest value, in float32 on a CPU. Properties that do not apply:",
            _render_reasons(results),
            "## Refusals",
            _render_refusals(results),
            "Families that are refused whole (MP121):",
            _render_refused_families(),
        ]
    )


def _render_refused_families() -> str:
    reasons: dict[str, list[str]] = {}
    for family in FAMILIES:
        named = [f"`{name}`" for name in family.model_types if name not in stacks_by_type()]
        reasons.setdefault(explain_refusal(family)[0], []).extend(named)
    return "\n".join(f"- {reason}: {', '.join(names)}" for reason, names in reasons.items() if names)


def _first_line(text: str | None) -> str:
    assert text is not None
    return text.strip().splitlines()[0]


def _render_cells(results: Results) -> str:
    encodings = list(registered())
    rows = [f"| family | {' | '.join(encodings)} |", "|---" * (len(encodings) + 1) + "|"]
    for name in dict.fromkeys(case.family for case in results):
        cells = " | ".join(describe(results[Case(name, encoding)]) for encoding in encodings)
        rows.append(f"| {name} | {cells} |")
    return "\n".join(rows)


def _render_failures(results: Results) -> str:
    lines = [
        f"- {case.family}, {case.encoding}, `{name}`: {value.removeprefix('failed: ')}"
        for case, found in results.items()
        if not isinstance(found, str)
        for name, value in found.items()
        if value.startswith("failed")
    ]
    return "\n".join(lines) or "Everything held."


def _render_reasons(results: Results) -> str:
    reasons: dict[tuple[str, str], dict[str, None]] = {}
    for case, found in results.items():
        for name, value in {} if isinstance(found, str) else found.items():  # type: ignore[union-attr]
            if value.startswith("inapplicable"):
                key = (name, value.removeprefix("inapplicable: "))
                reasons.setdefault(key, {})[case.family] = None
    return "\n".join(
        f"- `{name}`: {reason} ({_named(names)})" for (name, reason), names in sorted(reasons.items())
    )


def _render_refusals(results: Results) -> str:
    reasons: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for case, found in results.items():
        if isinstance(found, str):
            general = re.sub(rf"\b({case.encoding}|{re.escape(case.family)})\b", "...", found)
            names, encodings = reasons.setdefault(general, ({}, {}))
            names[case.family] = encodings[case.encoding] = None
    return "\n".join(
        f"- {reason}: {', '.join(encodings)} ({_named(names)})"
        for reason, (names, encodings) in reasons.items()
    )


def _named(names: Iterable[str]) -> str:
    names = list(names)
    return "all families" if len(names) == len(SUBJECTS) else ", ".join(names)


def main() -> int:
    """Run, write, and say with the exit code whether everything held."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", default=",".join(SUBJECTS), help="some of them, by comma")
    parser.add_argument("--out", type=Path, help="the page to write")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    options = parser.parse_args()
    assert SUBJECTS.keys() == stacks_by_type().keys(), "a family without a tiny model, or the other way round"
    results = run_all(options.families.split(","), options.workers)
    page = render(results)
    if options.out is not None:
        old = options.out.read_text("utf-8") if options.out.exists() else ""
        options.out.write_text(merge(old, page + "\n"), encoding="utf-8")
    return 1 if "**!**" in page else 0


if __name__ == "__main__":
    sys.exit(main())
