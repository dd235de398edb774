"""The board's book and the table that is made of it, with runs that were."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from e2e.faults import scoreboard
from e2e.faults.truth import TRUTHS

if TYPE_CHECKING:
    from pathlib import Path

BOOK = scoreboard.read()


def _of(fault: str) -> list[scoreboard.Run]:
    return [run for run in BOOK if run.fault == fault]


def _row(table: str, fault: str) -> list[str]:
    found = [line for line in table.splitlines() if line.startswith(f"| `{fault}` |")]
    return [cell.strip() for cell in found[0].strip("|").split("|")]


def test_the_page_says_what_the_book_says() -> None:
    """Nobody writes the table by hand, and no run is in one alone."""
    assert scoreboard.table(BOOK) in scoreboard.PAGE.read_text()


def test_the_book_is_of_faults_that_there_are() -> None:
    """A fault that gets another name takes its runs with it."""
    assert {run.fault for run in BOOK} <= set(TRUTHS)


def test_a_run_is_a_line_more(tmp_path: Path) -> None:
    """What was written before stays as it was."""
    book = tmp_path / "runs.jsonl"
    for run in BOOK[:3]:
        scoreboard.append(run, book)
    before = book.read_text()
    scoreboard.append(BOOK[3], book)
    assert book.read_text().startswith(before)
    assert scoreboard.read(book) == BOOK[:4]
    assert len(before.splitlines()) == 3
    assert json.loads(before.splitlines()[0])["fault"] == BOOK[0].fault


@pytest.mark.parametrize(
    ("share", "expected"), [(0.5, 11.0), (0.95, 26.0), (0.34, 11.0), (0.33, 7.0)]
)
def test_a_percentile_is_one_of_the_values(share: float, expected: float) -> None:
    """By nearest rank; runs without a verdict have no time."""
    assert scoreboard.percentile([26.0, None, 7.0, 11.0], share) == expected
    assert scoreboard.percentile([None], share) is None


def test_a_row_counts_what_was_wrong() -> None:
    """The run of a starved machine, in which a healthy node was named, stays in the score."""
    runs = [run for run in _of("certificate-rotated-agents") if run.date == "2026-11-29"]
    _, wanted, score, verdict, alert, besides = _row(scoreboard.table(runs), runs[0].fault)
    assert wanted.startswith("nobody: ")
    assert score == f"**{sum(run.right for run in runs)} of {len(runs)}**"
    assert (verdict, alert, besides) == ("", "", "node_loss: node-3, incoming (1)")
    assert "a healthy node was named in 1." in scoreboard.table(runs)


def test_a_row_has_times_and_what_was_named_besides() -> None:
    """Of the verdict and of its alert; what is right is not named besides."""
    seen = _of("node-link-flaps")[0]
    assert seen.verdicts == ("pair_loss node-1|node-2", "node_loss node-2 in")
    runs = [replace(seen, alert_seconds=90.0), replace(seen, verdict_seconds=20.0)]
    row = _row(scoreboard.table(runs), "node-link-flaps")
    assert row[1:] == [
        "node: the faulty node; or node_loss: the faulty node",
        "2 of 2",
        "20 / 64",
        "90 / 90",
        "pair_loss: node-1 and node-2 (2)",
    ]


def test_times_are_of_the_latest_three_runs_and_wrong_ones_stay() -> None:
    """Earlier rules were slower; that they were wrong is not forgotten."""
    (seen,) = _of("node-link-flaps")[:1]
    wrong = replace(seen, right=False, verdict_seconds=None, alert_seconds=None)
    late = [replace(seen, verdict_seconds=float(n), alert_seconds=float(2 * n)) for n in (9, 8, 7)]
    table = scoreboard.table([wrong, replace(seen, verdict_seconds=99.0), *late])
    assert _row(table, "node-link-flaps")[2:5] == ["**4 of 5**", "8 / 9", "16 / 18"]
    assert "4 of 5 runs were right" in table
    assert "Of the latest 3 runs of each fault 3 of 3 were right." in table


def test_rows_stand_in_the_order_of_the_truths() -> None:
    """Whenever they were run."""
    names = [line.split("`")[1] for line in scoreboard.table(BOOK).splitlines() if "| `" in line]
    assert names == [name for name in TRUTHS if name in names]
