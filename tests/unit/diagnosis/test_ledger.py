"""Verdicts over time: raised, held, cleared, flapping, absorbed."""

from __future__ import annotations

from dataclasses import replace

from kubenurse_otel.diagnosis.case import Finding
from kubenurse_otel.diagnosis.ledger import MOST_ENTRIES, Ledger
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Kind, State


def finding(kind: Kind = Kind.NODE, culprit: str = "n3", confidence: float = 0.9) -> Finding:
    return Finding(
        kind=kind,
        culprit=culprit,
        cause=Cause.SILENT,
        confidence=confidence,
        explains=frozenset({"path_n3"}),
    )


NODE, PAIR = finding(), finding(Kind.PAIR, "n1|n3", 0.8)


class Told:
    """A ledger, and what it raised and cleared: (when, kind)."""

    def __init__(self) -> None:
        self.ledger = Ledger(interval_seconds=5.0)
        self.raised: list[tuple[float, Kind]] = []
        self.cleared: list[tuple[float, Kind]] = []

    def take(self, at: float, *findings: Finding) -> None:
        raised, cleared = self.ledger.take(findings, at, since=lambda _: at - 3.0)
        self.raised += [(at, one.kind) for one in raised]
        self.cleared += [(at, one.kind) for one in cleared]

    @property
    def states(self) -> list[State]:
        return [one.state for one in self.ledger.verdicts()]


def test_a_verdict_is_raised_once_and_cleared_after_three_intervals() -> None:
    told = Told()
    for at in range(0, 20, 5):
        told.take(at, NODE)
    (verdict,) = told.ledger.verdicts()
    assert (verdict.since, verdict.last_seen, verdict.state) == (-3.0, 15, State.RAISED)
    for at in range(20, 40, 5):
        told.take(at)
    assert (told.raised, told.cleared) == ([(0, Kind.NODE)], [(30, Kind.NODE)])
    told.take(615.0)
    assert told.ledger.verdicts() == ()  # ten minutes later it is forgotten


def test_a_suspicion_is_shown_and_not_raised() -> None:
    told = Told()
    told.take(0, finding(confidence=0.4))
    assert (told.states, told.raised) == ([State.SUSPECTED], [])
    told.take(5, NODE)
    told.take(10, finding(confidence=0.4))  # less sure, and still there
    assert (told.states, told.raised) == ([State.RAISED], [(5, Kind.NODE)])
    assert told.ledger.verdicts()[0].confidence == 0.9


def test_what_is_raised_three_times_in_ten_minutes_flaps_until_it_is_quiet_for_five() -> None:
    told = Told()
    for at in (0, 100, 200):
        told.take(at, NODE)
        if at < 200:
            told.take(at + 20)
    assert told.states == [State.FLAPPING]
    told.take(499)
    assert told.states == [State.FLAPPING]
    told.take(500)
    assert told.states == [State.CLEARED]
    assert [at for at, _ in told.cleared] == [20, 120, 500]


def test_a_wider_verdict_takes_the_place_of_a_narrower_at_once() -> None:
    told = Told()
    told.take(0, PAIR)
    told.take(5, NODE)
    assert (told.raised, told.cleared) == ([(0, Kind.PAIR), (5, Kind.NODE)], [(5, Kind.PAIR)])


def test_what_is_left_of_a_fault_while_it_heals_is_no_new_culprit() -> None:
    """Others reach the node again, and I not yet: that is no pair."""
    told = Told()
    told.take(0, NODE)
    told.take(5, PAIR)
    assert told.raised == [(0, Kind.NODE)]
    told.take(20, PAIR)  # and if it stays so, it is one
    assert told.raised == [(0, Kind.NODE), (20, Kind.PAIR)]


def test_what_was_everybodys_is_not_mine_while_it_heals_and_the_other_way_it_is() -> None:
    """The last node to see the API server well again has no fault of its own."""
    everybodys, mine = finding(Kind.API_SERVER, "cluster"), finding(Kind.API_SERVER, "n1")
    heals, begins = Told(), Told()
    heals.take(0, everybodys)
    heals.take(5, mine)
    begins.take(0, mine)
    begins.take(5, everybodys)
    assert (len(heals.raised), len(heals.cleared)) == (1, 0)
    assert (len(begins.raised), len(begins.cleared)) == (2, 1)


def test_the_ledger_is_bounded() -> None:
    told = Told()
    for number in range(200):
        told.take(number / 100, *(finding(culprit=f"n{number}-{other}") for other in range(3)))
    assert len(told.ledger.verdicts()) <= MOST_ENTRIES


def test_a_node_s_direction_may_be_known_later() -> None:
    """It is the same verdict then, with one more word; lost packets are one for each direction."""
    told = Told()
    told.take(0, NODE)
    told.take(1, replace(NODE, direction=Direction.IN))
    (verdict,) = told.ledger.verdicts()
    assert (Direction.IN, -3.0) == (verdict.direction, verdict.since)
    assert [(0, Kind.NODE)] == told.raised
    assert [] == told.cleared
    loss = replace(finding(Kind.NODE_LOSS), explains=frozenset())
    told = Told()
    told.take(0, *(replace(loss, direction=one) for one in (Direction.IN, Direction.OUT)))
    assert 2 == len(told.raised)
