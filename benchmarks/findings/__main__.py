"""``python -m benchmarks.findings``: train studies, write the page."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.findings.study import Study

STUDIES = ("text", "shape", "markov", "copying", "images")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "studies", nargs="*", choices=[*STUDIES, []], help="what is missing of each is trained"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--page", action="store_true", help="write docs/published-findings.md")
    options = parser.parse_args()
    for name in options.studies:
        study: Study = importlib.import_module(f"benchmarks.findings.{name}").STUDY
        print(study.run(options.seeds))
    if options.page:
        from benchmarks.findings.page import write_page

        print(write_page())


if __name__ == "__main__":
    main()
