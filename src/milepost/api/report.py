"""Finished comparisons side by side, and compared with each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from milepost.api.outputs import OnWritten, plan_outputs, write_outputs
from milepost.errors import OptionError
from milepost.storage.files import expand


def report(
    runs: str | Path | Sequence[str | Path],
    *,
    html: str | Path | None = None,
    csv: str | Path | None = None,
    log: str | None = None,
    on_written: OnWritten | None = None,
) -> dict[str, Any]:
    """Read one or several run folders of ``compare``, put them side by side, and compare two with each other.

    Nothing is trained, and nothing written but what is asked for. Runs of one task that were measured on the same data share a table;
    others have tables of their own. Two runs whose designs differ in one thing at most are compared encoding by
    encoding, paired by seed, with the statistics of ``compare``; otherwise the document says what differs.

    Args:
        runs: run folders, each with the ``result.json`` that ``compare`` left.
        html: where to write a page.
        csv: a folder for the numbers of every figure, one CSV file each.
        log: ``tensorboard:DIR`` or ``trackio:PROJECT``: curves and metrics of each trial.
        on_written: called with what was written.

    Returns:
        A JSON document as ``schemas/report.json`` says: ``runs`` with their whole results, ``tables``, ``pair``
        (None but for two runs), and ``figures``: the numbers behind every figure, in long format.

    Raises:
        FolderError: MP107, a folder has no result, one that was changed, or a file that cannot be written.
        OptionError: MP105, no folder, or the same one twice. UnknownName: MP104, no such kind of log. MissingExtra: MP106.
    """
    from milepost.reporting import check_log, render_report_html, write_csv, write_logs

    if log:
        check_log(log)
    planned = plan_outputs(html=html)
    document = _read(runs)
    if planned:
        write_outputs({planned["html"]: render_report_html(document).encode()}, on_written)
    say = on_written or (lambda _: None)
    if csv:
        files = write_csv(document["figures"], Path(csv))
        say(f"{len(files)} files in {csv}")
    if log:
        count = write_logs({run["name"]: run["result"] for run in document["runs"]}, log)
        say(f"{count} trials to {log}")
    return document


def _read(folders: str | Path | Sequence[str | Path]) -> dict[str, Any]:
    from milepost.reporting.contrast import contrast_runs
    from milepost.reporting.curves import read_figures
    from milepost.reporting.runs import (
        SCHEMA_VERSION,
        build_table,
        describe_measure,
        name_runs,
        read_result,
    )

    paths = [expand(folders)] if isinstance(folders, (str, Path)) else [expand(one) for one in folders]
    if not paths:
        raise OptionError("there is no run to report on", got="no folder", fix="name a run folder of compare")
    places = [path.resolve() for path in paths]
    if len(set(places)) < len(places):
        twice = next(str(path) for path, place in zip(paths, places, strict=True) if places.count(place) > 1)
        raise OptionError("a run folder is named twice", got=twice, fix="name each folder once")
    results = [read_result(path) for path in paths]
    runs = [{"name": name, "result": result} for name, result in zip(name_runs(places), results, strict=True)]
    alike: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        alike.setdefault(describe_measure(run), []).append(run)
    tables = [build_table(same) for same in alike.values()]
    return {
        "schema_version": SCHEMA_VERSION,
        "runs": runs,
        "tables": tables,
        "pair": contrast_runs(*runs, together=len(tables) == 1) if len(runs) == 2 else None,
        "figures": read_figures(runs),
    }
