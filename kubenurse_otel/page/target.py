"""One target: its last check, whose time that was, and its last 30 minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import htpy as h

from kubenurse_otel.page import frame as framing
from kubenurse_otel.page import links, strip, waterfall, words

if TYPE_CHECKING:
    from kubenurse_otel.page.frame import Frame
    from kubenurse_otel.report.checked import Checked

_DAY_SECONDS: Final = 86_400
_COUNTED: Final = (
    ("retransmits", "segments sent again"),
    ("dsacks", "of these needless (D-SACK)"),
    ("lost", "segments taken as lost"),
    ("synack_retransmits", "SYN-ACKs sent again by the far end"),
    ("pmtu", "path MTU"),
)


def view(frame: Frame, one: Checked) -> bytes:
    title = f"{one.key}: {'good' if one.outcome == 'ok' else one.outcome or 'not checked yet'}"
    return framing.document(
        frame,
        title,
        [
            h.h1[words.outcome(one.outcome), f": {one.key}"],
            body(frame, one),
            strip.section(one.strip),
            h.p[h.a(href=links.target(one.key, as_json=True))["The same as JSON"]],
        ],
    )


def missing(frame: Frame, key: str) -> bytes:
    """Return the view of a target that is gone, or never existed."""
    return framing.document(
        frame,
        "No such target",
        [
            h.h1["No such target"],
            h.p[f"Node {frame.node} does not check ", h.code[key or "nothing"], " now."],
            h.p[h.a(href=links.FRONT)["All that it checks"]],
        ],
    )


def body(frame: Frame, one: Checked) -> h.Node:
    """The last check: what is known of it, and its waterfall."""
    return h.fragment[
        one.text("message")
        and h.div(".card.is-bad")[
            h.p[words.mark("bad"), f"{one.text('error_type')}: {one.text('message')}"]
        ],
        h.dl[((h.dt[term], h.dd[value]) for term, value in _facts(frame, one))],
        waterfall.section(one),
    ]


def _facts(frame: Frame, one: Checked) -> list[tuple[str, h.Node]]:
    facts: list[tuple[str, h.Node]] = [("asked", h.code[one.url])]
    facts += _outcome(frame, one)
    facts += _counted(one)
    if one.text("certificate_expiry"):
        facts.append(("certificate", _certificate(frame, one.text("certificate_expiry"))))
    trace_id = one.text("trace_id")
    if trace_id:
        facts.append(("trace", framing.out(links.trace(frame.config, trace_id), trace_id)))
    promql = f"kubenurse_check_success{{{links.matcher('type', one.type)}}}"
    facts.append(("its metric", framing.out(links.query(frame.config, promql), promql)))
    dashboard = links.dashboard(frame.config, "target", type=one.type, node=one.node)
    if dashboard:
        facts.append(("dashboard", framing.out(dashboard, "One target")))
    return facts


def _outcome(frame: Frame, one: Checked) -> list[tuple[str, h.Node]]:
    """Say when the last check was, since when its outcome holds, how long it took, and which agent
    made it.
    """
    facts: list[tuple[str, h.Node]] = []
    checked_at, since = one.text("checked_at"), one.text("since")
    status = one.number("status_code")
    if checked_at:
        facts.append(("last check", f"{words.ago(checked_at, frame.now)} ({checked_at})"))
    if since:
        facts.append(("so since", f"{words.ago(since, frame.now)}{_failures(one)}"))
    if one.duration is not None:
        facts.append(("took", f"{words.duration(one.duration)}, without own delay"))
    if status is not None:
        facts.append(("status", f"{status:.0f}"))
    if one.text("peer"):
        facts.append(("address", h.code[one.text("peer")]))
    if one.text("answering_node"):
        facts.append(("answered by", f"node {one.text('answering_node')}"))
    if one.text("timing_source"):
        facts.append(("stopwatch", _stopwatch(one)))
    return facts


def _failures(one: Checked) -> str:
    failures = one.number("consecutive_failures") or 0
    return f", {words.plural(int(failures), 'failure')} in a row" if failures else ""


def _stopwatch(one: Checked) -> str:
    reason, source = one.text("timing_fallback_reason"), one.text("round_trip_source")
    if one.text("timing_source") == "kernel":
        return "the kernel" + (f"; network by {source}" if source else "")
    return "this agent, not the kernel" + (f" ({reason})" if reason else "")


def _counted(one: Checked) -> list[tuple[str, h.Node]]:
    found: list[tuple[str, h.Node]] = []
    for name, term in _COUNTED:
        number = one.number(name)
        if number is not None and (number or name == "retransmits"):
            way = one.text("loss_direction") if name == "retransmits" else ""
            found.append((term, f"{number:.0f}{f', lost on the way {way}' if way else ''}"))
    return found


def _certificate(frame: Frame, expiry: str) -> str:
    at = words.unix(expiry)
    if at is None:
        return expiry
    days = (at - frame.now) / _DAY_SECONDS
    if days < 0:
        return f"expired {words.lasting(frame.now - at)} ago ({expiry})"
    return f"valid for {words.lasting(at - frame.now)} ({expiry})"
