"""The page names the attacks that there are; what has fallen; what a soak calls growth."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest
from hostile import __main__, soak, table, verdict, witness
from hostile.attacks import ATTACKS
from hostile.outcome import Outcome
from hostile.soak import Sample

HELD = Outcome(
    "idle",
    opened=12_345,
    peak_rss_mib=60.0,
    peak_sockets_mib=10.0,
    peak_mib=70.0,
    p99_seconds=0.02,
    slowest_probe_seconds=0.1,
    neighbour_p99_seconds=0.005,
    neighbour_failures=0,
    own_failures=0,
    missed=0,
    scrapes=20,
    whole_scrapes=20,
    slowest_scrape_seconds=0.1,
    rss_before_mib=44.0,
    rss_after_mib=45.0,
    settled_seconds=2.0,
    files_before=15,
    files_after=15,
    threads_before=5,
    threads_after=5,
)


def test_the_page_has_a_row_of_each_attack() -> None:
    """docs/hostile.md lists the attacks that there are, what they do and how many they are."""
    page = table.PAGE.read_text()
    rows = re.findall(r"^\| `([\w-]+)`: (.*?) \| (.*?) \|", page, re.MULTILINE)
    assert sorted(ATTACKS) == sorted(name for name, _, _ in rows)
    for name, what, crowd in rows:
        assert ATTACKS[name].what == what
        assert f"{ATTACKS[name].connections:,}" in crowd
        assert ATTACKS[name].load in crowd


@pytest.mark.parametrize("fact", table.FACTS)
def test_the_page_says_how_it_is_measured(fact: str) -> None:
    """Limits and times in the page's text are the code's."""
    assert table.FACTS[fact] in table.PAGE.read_text()


def test_the_gates_attacks_are_attacks() -> None:
    """What .ci/run plays is there, and at least one of each kind that fell by memory."""
    assert set(__main__.GATE) <= set(ATTACKS)


def test_what_is_written_is_read_again() -> None:
    """An outcome survives JSON, with what nobody could tell, and a page takes it up."""
    outcome = replace(HELD, p99_seconds=math.nan)
    found = outcome.to_json()
    assert found["p99_seconds"] is None
    assert str(outcome) == str(Outcome.from_json(found))
    page = table.place(table.PAGE.read_text(), {"now": {"idle": HELD.to_json()}})
    assert "| 12,345 | 70 (60, 10) | 20 | 44, 45 | 20 of 20, 0.10 | nothing |" in page
    assert page == table.place(page, {"now": {"idle": HELD.to_json()}})


@pytest.mark.parametrize(
    ("outcome", "fell"),
    [
        (HELD, []),
        (replace(HELD, p99_seconds=0.2, neighbour_p99_seconds=0.19), []),
        (replace(HELD, p99_seconds=0.2), ["p99 200 ms"]),
        (replace(HELD, p99_seconds=math.nan), ["p99 nan ms"]),
        (replace(HELD, peak_mib=161.0), ["161 MiB held"]),
        (replace(HELD, neighbour_failures=2), ["2 checks of its neighbour failed"]),
        (replace(HELD, own_failures=1), ["1 own checks failed"]),
        (replace(HELD, missed=3), ["3 ticks missed"]),
        (replace(HELD, whole_scrapes=19), ["1 of 20 scrapes not whole"]),
        (replace(HELD, rss_after_mib=53.0), ["9 MiB kept"]),
        (replace(HELD, files_after=40), ["25 files kept"]),
        (replace(HELD, threads_after=10), ["5 threads kept"]),
        (replace(HELD, wrong="the token went to a stranger"), ["the token went to a stranger"]),
        (Outcome("idle", ended="killed for memory"), ["killed for memory"]),
    ],
)
def test_what_fell(outcome: Outcome, fell: list[str]) -> None:
    """Each bound alone; what the machine did to the neighbour's p99 is nobody's fault."""
    assert fell == verdict.fallen(outcome, verdict.FULL)


def test_a_busy_machine_is_no_attack() -> None:
    """What the neighbour shares holds in the gate; what the attacked agent alone shows does not."""
    loaded = replace(HELD, p99_seconds=1.2, neighbour_p99_seconds=0.3, missed=3)
    assert [] == verdict.fallen(loaded, verdict.GATE)
    blocked = replace(loaded, neighbour_p99_seconds=0.02)
    assert ["p99 1200 ms"] == verdict.fallen(blocked, verdict.GATE)


def test_a_quantile_is_a_value_that_was_there() -> None:
    """One late answer of a hundred is no p99, two are."""
    assert witness.p99([0.1] * 99 + [5.0]) == 0.1
    assert witness.p99([0.1] * 98 + [5.0] * 2) == 5.0
    assert math.isnan(witness.p99([]))


@pytest.mark.parametrize(
    ("mib_an_hour", "files", "fell"),
    [
        (0.0, 20, []),
        (2.0, 20, ["RSS +2.00 MiB an hour"]),
        (0.0, 40, ["open_files 20 -> 40"]),
    ],
)
def test_what_grew_in_a_soak(mib_an_hour: float, files: int, fell: list[str]) -> None:
    """A slope after the first quarter, files of the last against the second quarter."""
    samples = [
        Sample(
            seconds=10.0 * number,
            client="idle",
            rss_mib=(40.0 if number < 100 else 50.0) + mib_an_hour * 10.0 * number / 3_600,
            sockets_mib=0.0,
            open_files=20 if number < 300 else files,
            threads=5,
        )
        for number in range(400)
    ]
    assert fell == soak.fallen(samples)


def test_a_soak_has_some_forty_targets() -> None:
    """Each with a name of its own."""
    assert len(soak.ways()) == len(set(soak.ways())) >= 37


def test_only_what_is_slow_and_nothing_else_is_attacked_again() -> None:
    """Memory, lost checks and an end are the agent's doing, however busy the machine is."""
    slow = replace(HELD, p99_seconds=5.0)
    assert verdict.only_slow(slow, verdict.GATE)
    assert not verdict.only_slow(replace(slow, own_failures=1), verdict.GATE)
    assert not verdict.only_slow(replace(slow, ended="OOM kill"), verdict.GATE)
