"""The numbers behind every figure of ``compare``, in long format, and the CSV files made of them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from milepost.reporting.breakdown import each_entry
from milepost.reporting.compare_summary import CompareSummary
from milepost.storage.files import durable, expand

_KEYS = ["run", "encoding", "seed"]
_FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what makes a spreadsheet compute a cell instead of showing it
Row = list[Any]


def read_figures(runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Collect the numbers behind the figures of several runs.

    Returns:
        One object a figure: ``name``, ``x`` and ``value`` as its axes are called, ``columns``, and ``rows`` with a
        value a column. Every seed has its own rows; nothing is averaged.
    """
    figures: dict[str, dict[str, Any]] = {}
    for run in runs:
        found = CompareSummary.from_result(run["result"])
        for name, x, value, columns, rows in _each_figure(found):
            figure = figures.setdefault(
                name, {"name": name, "x": x, "value": value, "columns": [*_KEYS, *columns], "rows": []}
            )
            figure["rows"] += [[run["name"], *row] for row in rows]
    return [figure for figure in figures.values() if figure["rows"]]


def _each_figure(found: CompareSummary) -> Iterator[tuple[str, str, str, list[str], list[Row]]]:
    done = [trial for name in found.encodings for trial in found.trials_of(name)]
    for metric in found.metrics:
        values = [
            [trial["encoding"], trial["seed"], length, value]
            for trial in done
            for length in found.lengths
            if (value := found.value_of(trial, length, metric["name"])) is not None
        ]
        yield f"{metric['title']} by length", "length", metric["title"], ["x", "value"], values
    if found.axis:
        title = found.curve_metric["title"]
        places = [[*_who(t), at, v] for t in done for at, v in enumerate(t.get("loss_by_position") or (), 1)]
        yield f"{title} by {found.axis}", found.axis, title, ["x", "value"], places
    steps = [[*_who(t), *point] for t in found.trials for point in t.get("training_loss") or ()]
    yield "training loss", "step", "loss", ["x", "value"], steps
    entries = [[*_who(t), n, *entry] for t in done for n in found.lengths for entry in each_entry(t, n)]
    yield "breakdown", "label", "value", ["length", "title", "x", "value"], entries
    norms, cosines = [], []
    for name, picture in found.document["pictures"].items():
        who = [name, picture.get("seed")]
        norms += [[*who, row, value] for row, value in enumerate(picture["norms"])]
        cosines += [
            [*who, x, y, value] for y, row in enumerate(picture["cosine"]) for x, value in enumerate(row)
        ]
    yield "norms of the table", "row", "norm", ["x", "value"], norms
    yield "cosines of the table", "cell of the picture", "cosine", ["x", "y", "value"], cosines


def _who(trial: Mapping[str, Any]) -> Row:
    return [trial["encoding"], trial["seed"]]


def write_csv(figures: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Write one CSV file a figure, safe to open in a spreadsheet: no text is taken for a formula.

    Args:
        figures: from `read_figures`.
        folder: where to; made where it is missing. Files of the same names are replaced.

    Returns:
        The files.

    Raises:
        FolderError: MP107, a file cannot be written; DiskFull: MP108.
    """
    written: list[Path] = []
    folder = expand(folder)
    for figure in figures:
        path = folder / f"{_file_name(figure['name'])}.csv"
        while path in written:
            path = path.with_stem(f"{path.stem}-2")
        with durable(path) as beside, beside.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(figure["columns"])
            writer.writerows([_cell(value) for value in row] for row in figure["rows"])
        written.append(path)
    return written


def _file_name(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-") or "figure"


def _cell(value: Any) -> Any:
    """A cell as it stands in the file; text that a spreadsheet would compute begins with an apostrophe.

    >>> _cell("=1+1"), _cell(-0.5), _cell("rotary")
    ("'=1+1", -0.5, 'rotary')
    """
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
