"""docs/faults.md, when a few of its rows are run again."""

from __future__ import annotations

from e2e.faults import all_faults, report
from e2e.faults.run import Result
from e2e.faults.scene import Seen

PAGE = report.PAGE.read_text()
AT = "2026-12-24 10:00"


def _result(name: str, *, passed: bool = True) -> Result:
    fault = all_faults.by_name()[name]
    problem = "" if passed else "AssertionError: not seen\nwhere"
    return Result(fault, passed, problem, Seen(shown=["a|b (3 s)"]), 60.0, AT)


def test_no_row_changes_nothing() -> None:
    """The rows and sections of the page stand as the tables have them."""
    assert report.with_rows(PAGE, []) == PAGE


def test_a_row_takes_the_place_of_its_last_run() -> None:
    """And no other line changes."""
    page = report.with_rows(PAGE, [_result("dns-stopped")])
    changed = set(page.splitlines()) - set(PAGE.splitlines())
    assert [line.rsplit("| ", 1)[1] for line in changed] == [f"pass, {AT} |"]
    assert len(page.splitlines()) == len(PAGE.splitlines())
    assert "a\\|b (3 s)" in page


def test_a_row_that_failed_is_counted() -> None:
    """The head says how many of how many passed."""
    page = report.with_rows(PAGE, [_result("dns-stopped", passed=False)])
    passed, failed = page.count("| pass, "), page.count("| **FAILED**, ")
    assert failed >= 1
    assert f" {passed} of {passed + failed} faults passed." in page
    assert f"**FAILED**, {AT}: AssertionError: not seen |" in page


def test_a_fault_that_was_never_run_says_so() -> None:
    """It has its row where the tables have it, and counts neither as passed nor as failed."""
    name = "extra-tcp-refused"
    ran = report.with_rows(PAGE, [_result(name)])
    without = "\n".join(line for line in ran.splitlines() if f"`{name}`" not in line)
    page = report.with_rows(without, [])
    sections = [line[3:] for line in page.splitlines() if line.startswith("## ")]
    assert sections == list(all_faults.AREAS)
    rows = [line for line in page.splitlines() if f"`{name}`" in line]
    assert [row.rsplit(" | ", 1)[1] for row in rows] == ["not run yet |"]
    assert "**FAILED**" not in page
    assert f" {page.count('| pass, ')} of {page.count('| pass, ')} faults passed." in page
