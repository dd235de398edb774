"""What each connection's check took on the wire, of the segments of a capture.

The truth that reported figures are compared with. Knows the bench's own traffic: one request a
connection, an answer of at least RESPONSE_BYTES; TLS 1.3 where the first bytes are a handshake's.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bench.pcap import ACK, SYN, Segment

if TYPE_CHECKING:
    from collections.abc import Iterable

RESPONSE_BYTES: Final = 600
"""The bench's server answers with at least so many: more than a TLS session ticket or an alert."""
_TLS_HANDSHAKE: Final = 0x16
_HALF: Final = 1 << 31


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One connection. Durations in ns; None where the wire does not tell."""

    started_ns: int
    """The first SYN, CLOCK_REALTIME."""
    port: int
    """The client's."""
    server: str = ""
    """Its address."""
    connect_ns: int | None = None
    syn_count: int = 0
    tls_ns: int | None = None
    """The last byte of the client's hello (its first transmission) to the end of the answer."""
    request_ns: int | None = None
    round_trip_ns: int | None = None
    """Of the connection's first bytes: last transmission to a bare acknowledgement."""
    loss_ns: int = 0
    """Between the first and the last transmission of hello and of request; none of what the far end
    says that it had before: a late acknowledgement made the kernel send again."""


def exchanges(
    segments: Iterable[Segment], *, server_port: int, answer_bytes: int = RESPONSE_BYTES
) -> list[Exchange]:
    """One Exchange a connection to ``server_port``, in the order of their first SYNs.

    The first segment of at least ``answer_bytes`` is the answer.
    """
    connections: dict[tuple[str, int, str], list[Segment]] = {}
    for segment in segments:
        client, server = segment.source, segment.destination
        if client[1] == server_port:
            client, server = server, client
        if server[1] == server_port:
            key = (client[0], client[1], server[0])
            begins = segment.has(SYN) and not segment.has(ACK)
            known = connections.get(key)
            if known is None and not begins:
                continue  # it began before the capture did
            connections.setdefault(key, []).append(segment)
    found = [_exchange(one, server_port, answer_bytes) for one in connections.values()]
    return sorted(found, key=lambda exchange: exchange.started_ns)


def _exchange(segments: list[Segment], server_port: int, answer_bytes: int) -> Exchange:
    syns = [s for s in segments if s.has(SYN) and not s.has(ACK)]
    accepted = next((s.at_ns for s in segments if s.has(SYN) and s.has(ACK)), None)
    came = [s for s in segments if s.source[1] == server_port]
    sent = [s for s in segments if s.destination[1] == server_port and s.payload_bytes]
    answers = [s for s in came if s.payload_bytes]
    begun = Exchange(
        started_ns=syns[0].at_ns,
        port=syns[0].source[1],
        server=syns[0].destination[0],
        connect_ns=None if accepted is None else accepted - syns[0].at_ns,
        syn_count=len(syns),
    )
    if not sent or not answers:
        return begun
    opening = _flight([s for s in sent if s.at_ns < answers[0].at_ns])
    tls_ns: int | None = None
    loss_ns = 0
    needless = doubled = [s.doubled for s in came if s.doubled is not None]
    if sent[0].payload[:1] == bytes([_TLS_HANDSHAKE]):
        # The opening was a hello; the server's flight lasts until we send again.
        sent = [s for s in sent if s.at_ns > answers[0].at_ns]
        again_ns = sent[0].at_ns if sent else answers[-1].at_ns + 1
        tls_ns = max(s.at_ns for s in answers if s.at_ns < again_ns) - opening.first_ns
        needless = [one for one in doubled if (opening.end - one) % (1 << 32) >= _HALF]
        if len(needless) == len(doubled):
            loss_ns = opening.last_ns - opening.first_ns
        answers = [s for s in answers if s.at_ns > again_ns]
    answer = next((s for s in answers if s.payload_bytes >= answer_bytes), None)
    request = None
    if answer is not None and sent:
        request = _flight([s for s in sent if s.at_ns < answer.at_ns])
        if not needless:
            loss_ns += request.last_ns - request.first_ns
    return replace(
        begun,
        tls_ns=tls_ns,
        request_ns=answer.at_ns - request.first_ns if answer and request else None,
        round_trip_ns=_acknowledged(opening, came),
        loss_ns=loss_ns,
    )


@dataclass(frozen=True, slots=True)
class _Flight:
    """One send, in one segment or more, as it was transmitted."""

    first_ns: int
    """All of it had left for the first time."""
    last_ns: int
    """The last of its segments that was sent again left; ``first_ns`` where none was."""
    end: int
    """The sequence number after it."""


def _flight(segments: list[Segment]) -> _Flight:
    last = max(segments, key=lambda s: (_offset(segments[0], _end(s)), -s.at_ns))
    end = _end(last)
    # What leaves after the last byte was there before: any of its segments, not only the last.
    return _Flight(last.at_ns, max(s.at_ns for s in segments), end)


def _end(segment: Segment) -> int:
    return (segment.sequence + segment.payload_bytes) % (1 << 32)


def _offset(base: Segment, sequence: int) -> int:
    return (sequence - base.sequence) % (1 << 32)


def _acknowledged(flight: _Flight, came: list[Segment]) -> int | None:
    for segment in came:
        covers = (segment.acknowledgement - flight.end) % (1 << 32) < _HALF
        if segment.at_ns >= flight.last_ns and covers:
            return None if segment.payload_bytes else segment.at_ns - flight.last_ns
    return None
