"""Imports only point down, and nothing heavy is imported before it is needed."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from milepost.cli import VERBS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "milepost"
GROUND = ["errors", "spec", "options", "plugins", "catalog", "finding", "storage"]
"""Floor 0 stands on itself, in this order."""
FLOORS = [
    set(GROUND),
    {"corpus", "encodings", "tables", "statistics"},
    {"diagnostics", "models", "tasks"},
    {"comparison", "extension", "probing", "monitoring"},
    {"tuning"},
    {"reporting", "schemas"},
    {"api"},
    {"cli", "testing"},
]
FLOOR = {name: height for height, names in enumerate(FLOORS) for name in names}
WITHOUT_TORCH = (
    "errors",
    "spec",
    "options",
    "catalog",
    "corpus",
    "tables",
    "statistics",
    "extension",
    "diagnostics",
    "reporting",
)


def imports(file: Path) -> set[str]:
    """Full names of all modules that a file imports, anywhere in it, relative ones resolved."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level + (node.module or ""))
            if node.module == "milepost":
                found |= {f"milepost.{alias.name}" for alias in node.names}
    return found


def upward_arrows(source: Path) -> list[str]:
    """Imports that point up or sideways, and relative ones, which this reading cannot follow."""
    wrong = []
    for file in sorted(source.rglob("*.py")):
        package = file.relative_to(source).parts[0].removesuffix(".py")
        if package not in FLOOR:
            continue
        for name in sorted(imports(file)):
            target = name.split(".")[1] if name.startswith("milepost.") else None
            relative = name.startswith(".")
            points_down = target not in FLOOR or target == package or FLOOR[target] < FLOOR[package]
            if package in GROUND and target in GROUND:
                points_down = GROUND.index(target) <= GROUND.index(package)
            if relative or not points_down:
                wrong.append(f"{file.relative_to(source)} imports {name}")
    return wrong


def test_the_ground_floor_stands_in_one_order(tmp_path: Path) -> None:
    (tmp_path / "spec.py").write_text("from milepost.catalog import rows")
    (tmp_path / "catalog.py").write_text("from milepost.spec import Spec")
    assert upward_arrows(tmp_path) == ["spec.py imports milepost.catalog"]


def floors_on_page(text: str) -> list[set[str]]:
    """The packages in the table of CONTRIBUTING.md, from the ground floor up."""
    rows = re.findall(r"^\| (\d+) \| (.+) \|$", text, re.MULTILINE)
    assert [int(floor) for floor, _ in rows] == list(range(len(rows)))[::-1]
    return [set(re.findall(r"`(\w+)`", packages)) for _, packages in rows][::-1]


def test_the_table_for_contributors_is_that_of_the_code() -> None:
    present = {path.stem for path in SOURCE.iterdir()}
    page = floors_on_page((ROOT / "CONTRIBUTING.md").read_text("utf-8"))
    assert page == [packages & present for packages in FLOORS]


def test_every_make_target_for_contributors_exists() -> None:
    named = set(re.findall(r"\bmake ([a-z][a-z-]+)", (ROOT / "CONTRIBUTING.md").read_text("utf-8")))
    assert {"test", "matrix", "check"} <= named
    assert named <= set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_imports_only_point_down() -> None:
    assert upward_arrows(SOURCE) == []
    assert {
        p.name.removesuffix(".py")
        for p in SOURCE.iterdir()
        if p.suffix == ".py" or (p / "__init__.py").exists()
    } <= (FLOOR.keys() | {"__init__", "__main__"})


@pytest.mark.parametrize(
    "line",
    [
        "from milepost.comparison import compare",
        "import milepost.models.swapping",
        "from milepost import models",
        "from ..tasks import text",
    ],
)
def test_an_arrow_that_points_up_or_sideways_is_found(tmp_path: Path, line: str) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "bad.py").write_text(f"def late():\n    {line}\n")
    assert len(upward_arrows(tmp_path)) == 1


def arrows(source: Path) -> dict[str, set[str]]:
    """Which modules each module imports, anywhere in it; a package is its ``__init__``."""
    files = {name_of(file.relative_to(source)): file for file in source.rglob("*.py")}
    found = {}
    for name, file in files.items():
        targets = set()
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                targets |= {one if one in files else str(node.module) for one in inner}
        found[name] = targets & files.keys() - {
            name,
            "milepost",
        }  # the root holds the version, and names that are lazy
    return found | {"milepost": set()}


def name_of(file: Path) -> str:
    return ".".join(["milepost", *file.with_suffix("").parts]).removesuffix(".__init__")


def cycles(source: Path) -> list[list[str]]:
    """Groups of modules that import each other, in whatever way around."""
    graph = arrows(source)
    reached = {name: reach(graph, name) for name in graph}
    circular = {name for name in graph if name in reached[name]}
    groups = {tuple(sorted(one for one in reached[name] if name in reached[one])) for name in circular}
    return sorted(map(list, groups))


def reach(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - seen
        seen |= new
        waiting += new
    return seen


def test_no_modules_import_each_other() -> None:
    assert cycles(SOURCE) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("import milepost.tasks.b", "def late():\n    from milepost.tasks.a import x"),
        ("from milepost.tasks import b", "from milepost.tasks.a import x"),
        ("from milepost.tasks.b import x", "from milepost.tasks import x"),
    ],
    ids=["late", "module", "package"],
)
def test_a_cycle_is_found(tmp_path: Path, one: str, other: str) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "__init__.py").write_text("from milepost.tasks.a import x")
    (tmp_path / "tasks" / "a.py").write_text(one)
    (tmp_path / "tasks" / "b.py").write_text(other)
    assert cycles(tmp_path) == [["milepost.tasks", "milepost.tasks.a", "milepost.tasks.b"]] or cycles(
        tmp_path
    ) == [["milepost.tasks.a", "milepost.tasks.b"]]
    (tmp_path / "tasks" / "b.py").write_text("")
    assert cycles(tmp_path) == []


def loaded(statement: str) -> set[str]:
    script = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


HEAVY = {"torch", "transformers", "matplotlib", "scipy", "rich", "jinja2", "huggingface_hub"}


def test_help_loads_nothing_heavy() -> None:
    text = "from milepost.cli import cli\nimport click.testing\n"
    for verb in ([], *([name] for name in VERBS)):
        text += f"assert click.testing.CliRunner().invoke(cli, {[*verb, '--help']}).exit_code == 0\n"
    assert not loaded(text) & (HEAVY | {"numpy"})


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert not loaded("import milepost") & (HEAVY | {"numpy", "click"})


def test_an_eager_import_would_be_seen() -> None:
    assert "scipy" in loaded("import milepost, scipy")


def test_what_reads_and_renders_needs_no_torch() -> None:
    present = [name for name in WITHOUT_TORCH if (SOURCE / name).exists() or (SOURCE / f"{name}.py").exists()]
    text = "\n".join(f"import milepost.{name}" for name in present)
    assert not loaded(text) & {"torch", "transformers"}


def public_classes(source: Path) -> dict[str, list[str]]:
    """The modules that define a public class, or type alias, of each name."""
    found: dict[str, list[str]] = {}
    for file in sorted(source.rglob("*.py")):
        for node in ast.parse(file.read_text("utf-8")).body:
            name = node.name if isinstance(node, ast.ClassDef) else ""
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
                name = ast.unparse(node.target)
            if name and not name.startswith("_"):
                found.setdefault(name, []).append(name_of(file.relative_to(source)))
    return found


def shared_names(source: Path) -> dict[str, list[str]]:
    """Names of public classes and aliases that more than one module defines."""
    return {name: modules for name, modules in public_classes(source).items() if len(modules) > 1}


def test_no_two_public_classes_have_one_name() -> None:
    assert shared_names(SOURCE) == {}


def test_two_classes_of_one_name_are_found(tmp_path: Path) -> None:
    for package in ("tasks", "models"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "plan.py").write_text("class Plan: ...\nclass _Own: ...\n")
    (tmp_path / "plan.py").write_text("from typing import TypeAlias\nPlan: TypeAlias = tuple[int, ...]\n")
    assert shared_names(tmp_path) == {
        "Plan": ["milepost.models.plan", "milepost.plan", "milepost.tasks.plan"]
    }
    (tmp_path / "tasks" / "plan.py").write_text("class TaskPlan: ...\nclass _Own: ...\n")
    (tmp_path / "plan.py").unlink()
    assert shared_names(tmp_path) == {}
