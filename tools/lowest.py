"""Print the lowest version of every package that pyproject.toml names, as constraints for pip.

python tools/lowest.py > build/lowest.txt

torch is left to constraints.txt: Milepost is tested with one release of it.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

PROJECT = Path(__file__).parents[1] / "pyproject.toml"


def requirements(project: dict[str, Any]) -> list[Requirement]:
    """All packages that the project, its extras and its development groups name."""
    groups = [
        project["project"]["dependencies"],
        *project["project"]["optional-dependencies"].values(),
        *project["dependency-groups"].values(),
    ]
    named = [Requirement(line) for group in groups for line in group if isinstance(line, str)]
    return [one for one in named if one.name != project["project"]["name"]]


def lowest(found: list[Requirement]) -> dict[str, str]:
    """The version after ``>=`` or ``==`` of each package; a package that is named twice has one floor.

    >>> lowest([Requirement("numpy>=2.0"), Requirement("transformers>=5.23,<6")])
    {'numpy': '2.0', 'transformers': '5.23'}
    """
    floors: dict[str, str] = {}
    for one in found:
        bounds = [bound.version for bound in one.specifier if bound.operator in (">=", "==")]
        if len(bounds) != 1 or floors.get(one.name, bounds[0]) != bounds[0]:
            raise SystemExit(f"no single lowest version of {one.name}: {one}")
        floors[one.name] = bounds[0]
    return floors


def main() -> int:
    """Print them."""
    floors = lowest(requirements(tomllib.loads(PROJECT.read_text("utf-8"))))
    floors.pop("torch")
    sys.stdout.write("".join(f"{name}=={version}\n" for name, version in sorted(floors.items())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
