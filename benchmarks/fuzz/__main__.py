"""Mutate what Milepost reads, and list what is not its own error, takes too long or too much memory.

python -m benchmarks.fuzz                                     20,000 mutations of each kind
python -m benchmarks.fuzz tokenizers --first 5000             go on from a seed
python -m benchmarks.fuzz data --first 1234 --count 1         one seed again

A seed always gives the same mutation. Exit code 1, if there was a fault.
"""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks.fuzz.campaign import MEGABYTES, SECONDS, Report, try_seeds
from benchmarks.fuzz.targets import TARGETS

COUNT = 20_000
_EVERY = 1000


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"{', '.join(TARGETS)}; default: all")
    parser.add_argument("--first", type=int, default=0, help="first seed")
    parser.add_argument("--count", type=int, default=COUNT, help="seeds of each target")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of computing for one seed")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="of memory for one seed")
    asked = parser.parse_args()
    if unknown := set(asked.targets) - TARGETS.keys():
        parser.error(f"no such target: {', '.join(sorted(unknown))}; choose from {', '.join(TARGETS)}")
    faults = 0
    for name in asked.targets or TARGETS:
        begin = time.monotonic()

        def tell(seed: int, report: Report, name: str = name, begin: float = begin) -> None:
            if seed in report.faults:
                print(f"{name} {seed}: {report.faults[seed]}", flush=True)
            elif (seed + 1) % _EVERY == 0:
                print(
                    f"{name}: up to seed {seed}, {time.monotonic() - begin:.0f} s",
                    file=sys.stderr,
                    flush=True,
                )

        report = try_seeds(
            name, asked.first, asked.count, seconds=asked.seconds, megabytes=asked.megabytes, progress=tell
        )
        tried = sum(report.outcomes.values()) + len(report.faults)
        counts = ", ".join(f"{code} {times:,}" for code, times in sorted(report.outcomes.items()))
        again = f", {len(report.repeated)} passed when repeated" if report.repeated else ""
        print(f"{name}: {tried:,} tried, {len(report.faults)} faults{again}; {counts}", flush=True)
        faults += len(report.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
