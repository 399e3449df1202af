"""Runs all checks on one encoding and says which rules it breaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from milepost.encodings import Encoding, Geometry, build, resolve
from milepost.errors import CheckFailed
from milepost.options import complete_options
from milepost.plugins import place_of
from milepost.spec import Spec, parse_spec
from milepost.testing import hooks, modules, padding, positions
from milepost.testing.case import Case

# an image of 4 x 5 patches and 4 tokens without a place, for encodings that need one
GEOMETRY = Geometry(dim=24, heads=3, head_dim=8, max_len=24, embedding_rms=0.05, grid=(4, 5), prefix=4)
CHECKS: dict[str, Callable[[Case], str | None]] = {
    name.removeprefix("check_"): check
    for module in (hooks, positions, modules, padding)
    for name, check in vars(module).items()
    if name.startswith("check_")
}


@dataclass(frozen=True)
class CheckResult:
    """What one check found.

    Args:
        name: of the check.
        status: ``passed``, ``failed`` or ``not_applicable``.
        message: what is wrong, or why the check says nothing of this encoding; empty where it passed.
    """

    name: str
    status: str
    message: str = ""


def check_encoding(
    encoding: str | Spec | type[Encoding],
    *,
    geometry: Geometry = GEOMETRY,
    raise_on_failure: bool = True,
) -> list[CheckResult]:
    """Run the battery on one encoding, given by its spec or its class.

    Guarantees that every check ran: an encoding that raises fails that check alone. The global random
    state is left as it was.

    Args:
        encoding: a spec of a registered encoding, or a class, built with its defaults.
        geometry: the model it is built for; ``max_len`` at least 16.
        raise_on_failure: raise at the end when a check failed; otherwise only report.

    Returns:
        One result a check, in the order in which they ran.

    Raises:
        CheckFailed: MP150, naming the checks that failed.

    >>> {result.status for result in check_encoding("alibi")} <= {"passed", "not_applicable"}
    True
    """
    case = _case(encoding, geometry)
    results = [_run(name, check, case) for name, check in CHECKS.items()]
    failed = [result for result in results if result.status == "failed"]
    if failed and raise_on_failure:
        raise CheckFailed(
            f"{case.label} fails {', '.join(result.name for result in failed)}",
            got="; ".join(f"{result.name}: {result.message}" for result in failed),
            fix="fix the encoding; milepost.encodings.base.Encoding documents what each hook promises",
        )
    return results


def _case(encoding: str | Spec | type[Encoding], geometry: Geometry) -> Case:
    if isinstance(encoding, type):
        options = complete_options(Spec(encoding.__name__), encoding.row.options)
        return Case(encoding.__name__, None, lambda wanted: encoding.from_spec(options, wanted), geometry)
    spec = parse_spec(encoding) if isinstance(encoding, str) else encoding
    resolve(spec)  # a misspelt spec is the caller's error, not a failed check
    return Case(str(spec), spec, lambda wanted: build(spec, wanted), geometry)


def _run(name: str, check: Callable[[Case], str | None], case: Case) -> CheckResult:
    with torch.random.fork_rng(devices=[]):
        try:
            reason = check(case)
        except Exception as error:
            kind = "" if type(error) is AssertionError else f"{type(error).__name__}: "
            text = str(error).splitlines()[0] if str(error) else "no message"
            place = place_of(error)
            return CheckResult(name, "failed", kind + text + (f" ({place})" if place else ""))
    return CheckResult(name, "not_applicable" if reason else "passed", reason or "")
