"""The rules, in the order of the argument: is it me, is it the way, is it what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import Case, Facts, Finding
from kubenurse_otel.diagnosis.rules import (
    agent,
    dns,
    loss,
    mtu,
    node,
    pair,
    prober,
    service,
    service_path,
    shared,
    zone,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kubenurse_otel.diagnosis.view import View

    Rule = Callable[[Case], Iterable[Finding]]

ORDER: Final[tuple[Rule, ...]] = (
    # Is it me? Then nothing that I see tells of others.
    prober.doubtful,
    prober.delayed,
    node.cut_off,
    mtu.on_most_ways,
    loss.own_node,
    loss.own_node_is_slow,
    mtu.far_ends,
    # Is it more than one node? What is wide explains what is narrow.
    zone.unreachable,
    service_path.dead,
    # Is it one node, for those who check it? It may say so itself.
    prober.neighbour_doubts,
    node.unanswering,
    pair.cut,
    node.kernel_answers,
    node.unexplained,
    agent.shared_certificate,
    agent.answering_badly,
    loss.of_neighbour,
    loss.of_pair,
    # Is it what all share? Without names nothing that goes by name is asked.
    dns.failing,
    dns.search_path,
    shared.api_server,
    shared.ingress,
    shared.extra,
    service.failing,
)
"""What one explains, those after it do not see."""


def diagnose(mine: View, heard: Mapping[str, View], facts: Facts) -> tuple[Finding, ...]:
    """Conclude from my view and fresh ones of neighbours, by node.

    What was heard refines what I see, and no finding is made of it alone. A node that is leaving
    is never named.
    """
    case = Case(
        mine=mine,
        heard={node: view for node, view in heard.items() if node != mine.node},
        facts=facts,
    )
    findings: list[Finding] = []
    for rule in () if case.is_well else ORDER:  # which is most of the time, and costs less
        found = tuple(rule(case))
        findings.extend(one for one in found if _may_be_named(one, case))
        if any(one.is_last for one in found):
            break
        case = case.after(found)
    return tuple(findings)


def _may_be_named(finding: Finding, case: Case) -> bool:
    """Other nodes are known where a rule comes upon them; we may be leaving ourselves."""
    mine = case.mine.node
    return mine in case.facts.known or mine not in finding.culprit.split("|")
