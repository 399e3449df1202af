"""The registry of checks, and what each check must have: a page, a row in an overview, tests in which it fires and is silent."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from milepost.diagnostics.doctor import CHECKS as OF_FOLDERS
from milepost.diagnostics.inspect.findings import CHECKS as OF_TABLES
from milepost.diagnostics.inspect.findings import Facts, check_table
from milepost.finding import STATUSES, Check, Checks, Verdict, load_checks
from milepost.models.check.positions import CHECKS as OF_MODELS
from milepost.reporting.findings import STATUSES as MARKS

ROOT = Path(__file__).parents[1]
ALL: tuple[Mapping[str, Check[Any]], ...] = (OF_TABLES, OF_FOLDERS, OF_MODELS)
OVERVIEWS = ("docs/inspect.md", "docs/doctor.md")
TESTS = ("tests/diagnostics", "tests/models/check")
PARTS = ["How it is detected", "Why it matters", "What to do", "Limits"]
FIRED = re.compile("issue|tip|fired")
SILENT = re.compile("passed|not_applicable|cannot_tell|SILENT")


def lacks(check: Check[Any], root: Path) -> Iterator[str]:
    """What is still to be written for a check."""
    page = root / check.page
    text = page.read_text("utf-8") if page.exists() else ""
    if not text.startswith(f"# {check.code}: {check.title}\n"):
        yield f"{check.page} that begins with: # {check.code}: {check.title}"
    elif re.findall("^## (.*)$", text, re.M) != PARTS:
        yield f"{check.page} with these parts, in this order: {', '.join(PARTS)}"
    name, folder = page.name, page.parent.name
    row = f"| [{check.code}]({folder}/{name}) | {check.title} | {check.most} |"
    if not any(row in (root / overview).read_text("utf-8").splitlines() for overview in OVERVIEWS):
        yield f"in one of {' and '.join(OVERVIEWS)} this row: {row}"
    naming = [text for text in statements(root) if check.code in text]
    if not any(FIRED.search(text) for text in naming):
        yield f"a test in which {check.code} fires"
    if not any(SILENT.search(text) for text in naming):
        yield f"a test in which {check.code} stays silent"


def statements(root: Path) -> Iterator[str]:
    """The functions and data of the tests of checks, decorators included, each as text."""
    for folder in TESTS:
        for file in sorted((root / folder).rglob("*.py")):
            text = file.read_text("utf-8")
            for node in ast.parse(text).body:
                first = min([node.lineno, *(one.lineno for one in getattr(node, "decorator_list", ()))])
                yield "\n".join(text.splitlines()[first - 1 : node.end_lineno])


def without_a_check(root: Path) -> list[str]:
    """Pages and rows of checks that do not exist."""
    known = {code for checks in ALL for code in checks}
    pages = {page.stem for page in (root / "docs").glob("*/MP*.md")}
    rows = {
        code
        for overview in OVERVIEWS
        for code in re.findall(r"^\| \[(MP\d+)\]", (root / overview).read_text("utf-8"), re.M)
    }
    return sorted((pages | rows) - known)


@pytest.mark.parametrize(
    "check", [check for checks in ALL for check in checks.values()], ids=lambda c: c.code
)
def test_each_check_has_its_page_its_row_and_its_tests(check: Check[Any]) -> None:
    assert list(lacks(check, ROOT)) == []


def test_each_page_and_row_has_its_check() -> None:
    assert without_a_check(ROOT) == []


def test_a_check_that_lacks_everything_is_told_what_to_write(tmp_path: Path) -> None:
    new = Check("MP299", "a new fault", "docs/findings/MP299.md", "tip", lambda seen: Verdict("passed"))
    row = "| [MP299](findings/MP299.md) | a new fault | tip |"
    (tmp_path / "docs" / "findings").mkdir(parents=True)
    for overview in OVERVIEWS:
        (tmp_path / overview).touch()
    missing = list(lacks(new, tmp_path))
    assert missing == [
        "docs/findings/MP299.md that begins with: # MP299: a new fault",
        f"in one of docs/inspect.md and docs/doctor.md this row: {row}",
        "a test in which MP299 fires",
        "a test in which MP299 stays silent",
    ]
    (tmp_path / new.page).write_text("# MP299: a new fault\n\n## Why it matters\n")
    assert "with these parts" in next(lacks(new, tmp_path))
    (tmp_path / new.page).write_text("# MP299: a new fault\n" + "".join(f"## {part}\n" for part in PARTS))
    (tmp_path / OVERVIEWS[0]).write_text(f"{row}\n")
    (tmp_path / TESTS[0]).mkdir(parents=True)
    test = tmp_path / TESTS[0] / "test_new.py"
    test.write_text("def test_fires():\n    assert look()['MP299'].status == 'tip'\n")
    assert list(lacks(new, tmp_path)) == ["a test in which MP299 stays silent"]
    with test.open("a") as file:
        file.write("def test_is_silent():\n    assert look()['MP299'].status == 'passed'\n")
    assert list(lacks(new, tmp_path)) == []
    assert without_a_check(tmp_path) == ["MP299"]  # a page and a row of a check that was never entered


def test_no_two_checks_have_one_code() -> None:
    codes = [code for checks in ALL for code in checks]
    assert len(codes) == len(set(codes)) > 40


def test_a_code_can_be_taken_once() -> None:
    checks: Checks[int] = Checks("docs/findings")
    checks.enter("MP299", "one")(lambda seen: Verdict("passed"))
    with pytest.raises(ValueError, match="MP299 is there already"):
        checks.enter("MP299", "another")(lambda seen: Verdict("passed"))
    assert checks["MP299"].title == "one"


def test_checks_come_in_the_order_of_their_codes() -> None:
    checks: Checks[int] = Checks("docs/findings")
    for code in ("MP212", "MP201", "MP207"):
        checks.enter(code, "some")(lambda seen: ())
    assert list(checks) == ["MP201", "MP207", "MP212"]


def test_silence_is_a_pass_and_a_failure_is_none() -> None:
    checks: Checks[int] = Checks("docs/findings")
    checks.enter("MP298", "silent")(lambda seen: ())
    checks.enter("MP299", "fails")(lambda seen: [Verdict("passed"), Verdict("passed", str(1 // seen))])
    assert checks["MP298"].run(0) == [Verdict("passed")]
    with pytest.raises(ZeroDivisionError):
        checks["MP299"].run(0)


def test_a_check_says_no_more_than_it_declares() -> None:
    checks: Checks[int] = Checks("docs/findings")
    checks.enter("MP299", "a tip", most="tip")(lambda seen: Verdict("issue" if seen else "tip"))
    assert checks["MP299"].run(0)[0].status == "tip"
    with pytest.raises(AssertionError, match="MP299"):
        checks["MP299"].run(1)


def test_a_new_file_in_the_folder_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "some_checks"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from milepost.finding import Checks, load_checks\n"
        "CHECKS = Checks('docs/findings')\n"
        "load_checks(__name__, __path__)\n"
    )
    (folder / "new.py").write_text(
        "from some_checks import CHECKS\nCHECKS.enter('MP299', 'a new fault')(lambda seen: ())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    from some_checks import CHECKS  # type: ignore[import-not-found]

    assert list(CHECKS) == ["MP299"]
    for name in ("some_checks", "some_checks.new"):
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError):
        load_checks("absent", [str(folder)])


def test_the_check_of_the_contributing_page_works() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text("utf-8").partition("## A new check")[2]
    block = re.search(r"```python\n(.*?)```", page, re.S)
    assert block
    try:
        exec(compile(block[1], "CONTRIBUTING.md", "exec"), {})
        rows = np.where(np.arange(32) % 2, 1, -1) * np.ones((4, 1))
        assert statuses(Facts(rows))["MP299"] == "passed"
        assert statuses(Facts(np.abs(rows)))["MP299"] == "tip"
        assert next(lacks(OF_TABLES["MP299"], ROOT)).startswith("docs/findings/MP299.md")
    finally:
        OF_TABLES._by_code.pop("MP299", None)


def statuses(facts: Facts) -> dict[str, str]:
    return {found.code: found.status for found in check_table(facts)}


def test_each_status_has_its_mark_in_reports_and_its_place_in_the_schemas() -> None:
    assert set(MARKS) == set(STATUSES)
    for name in ("inspect", "doctor"):
        schema = json.loads((ROOT / "src" / "milepost" / "schemas" / f"{name}.json").read_text("utf-8"))
        assert schema["$defs"]["finding"]["properties"]["status"]["enum"] == list(STATUSES)
