"""Build one exchange's Measurement from its marks, time line and answer. No I/O, no clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel.model import DNS, TCP, Measurement, Target
from kubenurse_otel.probe import agent_headers, directions

if TYPE_CHECKING:
    from kubenurse_otel.probe.dns.reply import Reply as Query
    from kubenurse_otel.probe.exchange import Reply
    from kubenurse_otel.probe.marks import Attempt, Marks
    from kubenurse_otel.probe.phases import Timeline

_MICROSECONDS = 1e6
_NANOSECONDS = 1e9


def measurement(
    target: Target, marks: Marks, timeline: Timeline, reply: Reply | None
) -> Measurement:
    """Return the Measurement, as far as the exchange came. ``reply`` is None if it failed."""
    headers = reply.headers if reply is not None and target.answered_by_agent else []
    node = agent_headers.node_name(headers)
    timing = agent_headers.server_timing(headers if node else [], far_end=timeline.split.far_end)
    intercepted = (
        target.detect_interception
        and reply is not None
        and (
            not node
            or agent_headers.is_proxied(headers)
            or _is_other_port(timing.asker_port, marks.local_port)
        )
    )
    # Through an ingress it tells of a connection that is not ours.
    ours = not intercepted and 0 < marks.local_port == timing.asker_port
    split = directions.split_of(marks, timeline, timing, ours=ours)
    info, since_ns = marks.info_at_end, marks.started.monotonic_ns
    return Measurement(
        split=split,
        offsets=timeline.offsets,
        real_offsets=tuple(
            [(at_ns - since_ns) / _NANOSECONDS for at_ns in timeline.event_times_ns]
        ),
        timing_source=timeline.source,
        fallback_reason=timeline.reason,
        round_trip_source=timeline.round_trip_source,
        status_code=None if reply is None else reply.status_code,
        answer=_answer(target, marks),
        addresses=() if marks.queried is None else marks.queried.addresses,
        dns_tries=0 if marks.queried is None else marks.queried.tries,
        look_up_queries=len(marks.dns_queries),
        detour=_detour(marks.dns_queries) if marks.dns_ended_ns is not None else 0.0,
        transport=_transport(target, marks),
        peer_address=marks.peer[0],
        peer_port=marks.peer[1],
        connection_reused=marks.reused,
        retransmits=marks.retransmits,
        dsacks=marks.dsacks,
        lost=0 if info is None else info.lost,
        rtt=None if info is None else info.rtt_us / _MICROSECONDS,
        min_rtt=None if info is None else info.min_rtt_us / _MICROSECONDS,
        pmtu=None if info is None else info.pmtu,
        send_mss=None if info is None else info.send_mss,
        padding=marks.padding,
        answered_padding=agent_headers.padding(headers),
        synack_retransmits=timing.synack_retransmits,
        address_failures=tuple([a.family for a in marks.attempts if _failed(a, marks)]),
        certificate_expiry=marks.certificate_expiry,
        answering_node=node,
        view=agent_headers.view(headers) if node and _is_asked(target, node, reply) else "",
        intercepted=intercepted,
    )


def _detour(queries: tuple[Query, ...]) -> float:
    """Seconds that queries took for names before the one that was found, which is the last."""
    total_ns = 0
    for place in range(queries[-1].place if queries else 0):
        asked = [one for one in queries if one.place == place]
        if asked:  # a name that can be in no query has none
            ended_ns = max(one.ended_ns for one in asked)
            total_ns += max(0, ended_ns - min(one.started_ns for one in asked))
    return total_ns / _NANOSECONDS


def _answer(target: Target, marks: Marks) -> str:
    if marks.queried is not None:
        return marks.queried.code
    return "connected" if target.url.scheme == TCP and not marks.failed else ""


def _transport(target: Target, marks: Marks) -> str:
    if marks.queried is not None:
        return marks.queried.transport
    return "udp" if target.url.scheme == DNS else "tcp"


def _is_asked(target: Target, node: str, reply: Reply | None) -> bool:
    """Whether the neighbour itself gave a good answer. A view is read only from such an answer."""
    return (
        target.neighbour is not None
        and node == target.neighbour.node_name
        and reply is not None
        and target.expects(reply.status_code)
    )


def _is_other_port(told: int | None, ours: int) -> bool:
    """Whether the far end was asked from another port than ours: over a connection not ours.

    The port and not the address: plain source NAT leaves the port as it is. An agent that does not
    report it (an older one) proves nothing.
    """
    return told is not None and ours not in (0, told)


def _failed(attempt: Attempt, marks: Marks) -> bool:
    """An address that failed beside others, or was silent until a later one took its place.

    The only address there is fails as the check itself, which is counted as such. An address that
    was tried later than the one used had less time than that one needed: it may be as slow.
    """
    if attempt is marks.used or len(marks.attempts) == 1:
        return False
    return attempt.error is not None or (
        marks.used is not None and attempt.started_ns < marks.used.started_ns
    )
