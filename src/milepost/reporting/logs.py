"""Trials of a ``compare`` document as logs of TensorBoard or trackio, for those who look at runs there."""

from __future__ import annotations

import contextlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from milepost.errors import MissingExtra, OptionError, UnknownName
from milepost.reporting.compare_summary import CompareSummary
from milepost.storage.files import expand, unwritable

_OURS = ".milepost"
Point = tuple[str, int, float]
"""Name of a curve, step, value."""


def check_log(to: str) -> tuple[str, str]:
    """Read where logs go, before anything is trained: the kind and the place.

    Raises:
        As `write_logs`.

    >>> check_log("notes:here")
    Traceback (most recent call last):
    milepost.errors.UnknownName: [MP104] there is no kind of log of this name
      got: notes
      fix: known: tensorboard, trackio
    """
    kind, _, place = to.partition(":")
    if kind not in _WRITERS:
        raise UnknownName.among("kind of log", kind, _WRITERS)
    if not place:
        raise OptionError(
            "a log needs a place", got=to, fix="--log tensorboard:DIR, or --log trackio:PROJECT"
        )
    if importlib.util.find_spec(kind) is None:
        raise MissingExtra.of(kind, kind)
    return kind, place


def write_logs(results: Mapping[str, Mapping[str, Any]], to: str) -> int:
    """Write each trial as a run of its own: its training loss by step, each metric on the test part by length.

    Args:
        results: documents that ``compare`` returns, by a name that tells them apart. Left untouched.
        to: ``tensorboard:DIR``, where files that this function left before are replaced, or ``trackio:PROJECT``,
            where runs are added.

    Returns:
        How many runs were written: the trials that have anything to show.

    Raises:
        OptionError: MP105, ``to`` names no place. UnknownName: MP104, no such kind of log.
        MissingExtra: MP106. FolderError: MP107, the folder cannot be written.
    """
    kind, place = check_log(to)
    runs = {}
    for name, result in results.items():
        found = CompareSummary.from_result(result)
        for trial in found.trials:
            if points := list(_read_points(found, trial)):
                runs[_name(name if len(results) > 1 else "", trial)] = points
    _WRITERS[kind](runs, place)
    return len(runs)


def _name(run: str, trial: Mapping[str, Any]) -> str:
    """A name that is one harmless part of a path."""
    whole = "-".join(filter(None, (run, trial["encoding"], f"seed-{trial['seed']}")))
    return re.sub(r"[^\w=(),.-]+", "_", whole).lstrip(".")


def _read_points(found: CompareSummary, trial: Mapping[str, Any]) -> Iterator[Point]:
    for step, loss in trial.get("training_loss") or ():
        yield "training/loss", step, loss
    for metric in found.metrics:
        for length in found.lengths:
            if (value := found.value_of(trial, length, metric["name"])) is not None:
                yield f"test/{metric['name']}", length, value


def _write_tensorboard(runs: Mapping[str, list[Point]], place: str) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    try:
        for name, points in runs.items():
            folder = expand(place) / name
            for old in folder.glob(f"events.out.tfevents.*{_OURS}"):
                old.unlink()
            writer = EventFileWriter(str(folder), filename_suffix=_OURS)
            for tag, step, value in points:
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                writer.add_event(Event(step=step, summary=summary))
            writer.close()
    except OSError as error:
        raise unwritable("a log", Path(place), error) from error


def _write_trackio(runs: Mapping[str, list[Point]], place: str) -> None:
    import trackio

    for name, points in runs.items():
        with contextlib.redirect_stdout(sys.stderr):  # it greets on standard output, where our document goes
            run = trackio.init(project=place, name=name, auto_log_gpu=False, auto_log_cpu=False)
            for tag, step, value in points:
                run.log({tag: value}, step=step)
            trackio.finish()


_WRITERS: dict[str, Callable[[Mapping[str, list[Point]], str], None]] = {
    "tensorboard": _write_tensorboard,
    "trackio": _write_trackio,
}
