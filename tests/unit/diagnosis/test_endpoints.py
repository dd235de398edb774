"""Servers of DNS that are asked by their own addresses: who is silent, and what is said of it."""

from __future__ import annotations

from typing import Final

import pytest
from views import ME, found, named, view

from kubenurse_otel.diagnosis.diagnosis import Diagnosis
from kubenurse_otel.diagnosis.dns import Ports
from kubenurse_otel.diagnosis.endpoints import MOST_ASKED, Endpoints, Figure, OneAnswer
from kubenurse_otel.diagnosis.ledger import Ledger
from kubenurse_otel.diagnosis.sentence import sentence
from kubenurse_otel.model import DnsEndpoint, Neighbourhood

INTERVAL: Final = 5.0
ONE, TWO = (
    DnsEndpoint(address=f"10.91.{n}.2", udp_port=53, tcp_port=53, node_name=f"n{n}") for n in (2, 3)
)
BOTH: Final = "both"


def answers(*silent: tuple[DnsEndpoint, str]) -> list[OneAnswer]:
    """One check of both: all answer but these; "both" are both transports."""
    return [
        OneAnswer(one, transport, (one, transport) not in silent and (one, BOTH) not in silent)
        for one in (ONE, TWO)
        for transport in ("udp", "tcp")
    ]


def figures(*checks: list[OneAnswer]) -> tuple[Figure, ...]:
    endpoints = Endpoints(interval_seconds=INTERVAL)
    for number, check in enumerate(checks):
        endpoints.asked(check, INTERVAL * number)
    return endpoints.figures(INTERVAL * len(checks))


def silent(*checks: list[OneAnswer]) -> dict[DnsEndpoint, tuple[str, ...]]:
    return {one.endpoint: one.silent for one in figures(*checks) if one.silent}


def test_who_is_silent_twice_while_another_answers() -> None:
    """Each transport apart; who is silent comes first."""
    well, dead, deaf = answers(), answers((TWO, BOTH)), answers((TWO, "tcp"))
    assert silent(well, well) == {}
    assert silent(well, dead) == {}
    assert silent(dead, dead) == {TWO: ("udp", "tcp")}
    assert silent(well, dead, dead) == {TWO: ("udp", "tcp")}
    assert silent(dead, dead, well) == {}
    assert silent(well, deaf, deaf) == {TWO: ("tcp",)}
    assert [one.endpoint for one in figures(dead, dead)] == [TWO, ONE]


def test_where_all_are_silent_it_is_none_of_them() -> None:
    """A policy that lets nobody pass but by the Service, or DNS as a whole."""
    none = answers((ONE, BOTH), (TWO, BOTH))
    assert figures(none, none, none) == ()  # none ever answered: nothing is known
    assert silent(answers(), none, none) == {}
    told = figures(answers(), none, none)
    assert [(by.answered, by.asked) for one in told for by in one.by] == [(1, 3)] * 4


def test_no_server_is_silent_for_a_node_that_has_no_way_by_its_family() -> None:
    """A dual-stack Service, and an agent without IPv6; where one of a family answers it has."""
    six, other = (
        DnsEndpoint(address=f"fd00::{n}", udp_port=53, tcp_port=53, node_name=f"n{n}")
        for n in (2, 3)
    )

    def check(*answered: DnsEndpoint) -> list[OneAnswer]:
        return [
            OneAnswer(one, transport, one in answered)
            for one in (ONE, TWO, six, other)
            for transport in ("udp", "tcp")
        ]

    assert silent(*[check(ONE, TWO)] * 3) == {}
    assert silent(*[check(ONE, TWO, other)] * 3) == {six: ("udp", "tcp")}


def test_figures_are_of_the_latest_questions() -> None:
    """Who is gone is forgotten, and what is old."""
    endpoints = Endpoints(interval_seconds=INTERVAL)
    for number in range(MOST_ASKED + 3):
        endpoints.asked(answers((TWO, "udp")), INTERVAL * number)
    now = INTERVAL * (MOST_ASKED + 2)
    assert [(one.answered, one.asked) for one in endpoints.figures(now)[0].by] == [
        (0, MOST_ASKED),
        (MOST_ASKED, MOST_ASKED),
    ]
    assert endpoints.figures(now + 4 * INTERVAL) == ()
    endpoints.asked([one for one in answers() if one.endpoint is ONE], now)
    assert [one.endpoint for one in endpoints.figures(now)] == [ONE]


# --- what comes of it ---------------------------------------------------------------------------


def words(*checks: list[OneAnswer], all_say: str = "Q:p3") -> tuple[str, list[str]]:
    """The verdict's sentence and its evidence."""
    heard = [view(f"n{n}", {ME: "o9"}, all_say) for n in (2, 3)]
    mine = view(ME, {"n2": "o9", "n3": "o9"}, all_say)
    findings = found(mine, heard, dns_endpoints=figures(*checks))
    ledger = Ledger(interval_seconds=INTERVAL)
    raised, _ = ledger.take(findings, 0.0, since=lambda _: 0.0)
    (verdict,) = (one for one in raised if one.kind.value.startswith("dns"))
    return sentence(verdict), [one.words for one in verdict.evidence]


def test_the_verdict_names_it_and_tells_the_figures() -> None:
    dead = answers((ONE, BOTH))
    said, evidence = words(*[dead] * 8)
    assert said == "one server of DNS (10.91.2.2 on n2) does not answer, while others do"
    assert evidence[1:3] == [
        "10.91.2.2 on n2 answers 0 of 8 by UDP and 0 of 8 by TCP",
        "10.91.3.2 on n3 answers 8 of 8 by UDP and 8 of 8 by TCP",
    ]


def test_by_tcp_alone() -> None:
    said, _ = words(*[answers((ONE, "tcp"))] * 3)
    assert said == "one server of DNS (10.91.2.2 on n2 by TCP) does not answer, while others do"


def test_where_each_answers_nobody_is_named_and_that_is_told() -> None:
    """One that answers by its own address and not by the Service's: its rules lead astray."""
    said, evidence = words(*[answers()] * 3)
    assert said == "one server of DNS does not answer, while others do"
    assert "10.91.2.2 on n2 answers 3 of 3 by UDP and 3 of 3 by TCP" in evidence
    said, evidence = words(*[answers()] * 3, all_say="Q:d3")
    assert said == "DNS does not answer"
    assert "10.91.3.2 on n3 answers 3 of 3 by UDP and 3 of 3 by TCP" in evidence


def test_a_server_on_a_node_that_is_silent_is_a_consequence() -> None:
    """The node is named, and not DNS as well."""
    heard = [view(f"n{n}", {ME: "o9", "n2": "s9"}, "Q:p9") for n in (3, 4)]
    mine = view(ME, {"n2": "s9", "n3": "o9", "n4": "o9"}, "Q:p9")
    dead = figures(*[answers((ONE, BOTH))] * 3)
    assert named(found(mine, heard, dns_endpoints=dead)) == [("node", "n2", "", "silent")]
    other = figures(*[answers((TWO, BOTH))] * 3)
    assert ("dns_replica", "cluster", "", "part") in named(found(mine, heard, dns_endpoints=other))


def test_a_server_on_a_node_that_lacks_cpu_is_a_consequence() -> None:
    """The agent there says so of itself, and is named for it."""
    heard = [view(f"n{n}", {ME: "o9", "n2": "o9"}, "Q:p9") for n in (2, 3, 4)]
    mine = view(ME, {"n2": "o9", "n3": "o9", "n4": "o9"}, "Q:p9")
    dead = figures(*[answers((ONE, BOTH))] * 3)
    starved = frozenset({"n2"})
    assert [] == named(found(mine, heard, dns_endpoints=dead, doubted_lately=starved))
    assert named(found(mine, heard, dns_endpoints=dead)) == [("dns_replica", "cluster", "", "part")]


@pytest.mark.parametrize("are_all", [True, False])
def test_one_that_is_silent_is_a_replica_though_every_port_was_answered(*, are_all: bool) -> None:
    """Of eight replicas seldom a port leads to the dead one. Of a share of them others ask others:
    there it is evidence alone.
    """
    diagnosis = Diagnosis(node=ME, interval_seconds=INTERVAL, timeout_seconds=5.0, slow_seconds=1.0)
    raised = []
    for number in range(8):
        now = 1_000.0 + INTERVAL * number
        dead = answers((ONE, BOTH))
        diagnosis.probed_name_servers(Ports(4, 0, 0), dead, now, are_all=are_all)
        raised += diagnosis.judge(Neighbourhood(own_node_name=ME, state="ok"), now).raised
    assert [(one.kind.value, one.culprit) for one in raised] == (
        [("dns_replica", "cluster")] if are_all else []
    )
    if are_all:
        assert "10.91.2.2 on n2" in sentence(raised[0])
