"""Compute from the marks of one exchange where its time went. No I/O, no clock.

docs/split.md explains this, with a picture of the two time lines. On the network's line our own
process takes no time; figures and offsets are on this line. The real line is CLOCK_MONOTONIC: each
step is where it happened, and the gaps are own delay. Kernel stamps (CLOCK_REALTIME) are converted
to CLOCK_MONOTONIC by the distance of the two clocks at the start. Times are int nanoseconds until
the end, where they become float seconds. If one stamp is missing or implausible, only our own marks
are used.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, Protocol

from kubenurse_otel import semconv
from kubenurse_otel.model import FallbackReason, Split, TimingSource
from kubenurse_otel.probe import egress, repairs, round_trip
from kubenurse_otel.probe.kernel import STAMP_ACKNOWLEDGED, STAMP_SCHEDULED, STAMP_SENT
from kubenurse_otel.probe.marks import Attempt, Marks, Queried, Received, Sent, Stage
from kubenurse_otel.record import record

CLOCK_STEP_TOLERANCE_NS: Final = 50_000
"""How much the distance of the two clocks may change during a check, beyond the uncertainty of
reading them.
"""
PLAUSIBLE_NS: Final = 100_000
"""How far a kernel stamp may be on the wrong side of our own mark."""
_NS: Final = 1_000_000_000


@record(frozen=True, slots=True)
class Step:
    """One step of connection setup on the real line (CLOCK_MONOTONIC, ns).

    Its duration is its figure. It does not include the time until our process noticed the end.
    """

    started_ns: int
    duration_ns: int


@record(frozen=True, slots=True)
class Timeline:
    """Where the time of one exchange went, and whose marks tell it.

    ``offsets`` are (event, seconds on the network's line). ``event_times_ns`` has the same events
    in the same order, on the real line (CLOCK_MONOTONIC ns).
    """

    split: Split
    source: TimingSource
    reason: FallbackReason
    round_trip_source: str
    offsets: tuple[tuple[str, float], ...]
    event_times_ns: tuple[int, ...]
    dns: Step | None
    connect: Step | None
    tls: Step | None


class _Unusable(Exception):  # noqa: N818 - a signal between functions of this module, not an error
    def __init__(self, reason: FallbackReason) -> None:
        self.reason = reason


class _Times(Protocol):
    """When bytes were sent and when they arrived, as the kernel or our own process saw it.

    Points in time are CLOCK_MONOTONIC ns, durations are ns.
    """

    source: TimingSource

    def connect_ns(self, marks: Marks, used: Attempt) -> tuple[int, int]:
        """Return (ns that connecting took, the part of them lost because a SYN was sent again)."""

    def given(self, step: Sent) -> int:
        """Return when TCP had the last byte of the send. Time after that is not own delay."""

    def sent(self, step: Sent) -> tuple[int, int]:
        """Return when the last byte of the send left this node: (its first copy, its last copy)."""

    def kept(self, step: Sent) -> tuple[int, int]:
        """Return (ns for which this node held the send back, their part in the device's queue)."""

    def received(self, step: Received) -> int:
        """Return when the bytes of the read arrived at this node."""

    def acknowledged(self, step: Sent) -> int | None:
        """Return when the peer's kernel acknowledged the send. None if that is unknown."""

    def quickest(self) -> int | None:
        """Return the shortest time in ns from a send's departure to its acknowledgement. None if
        there was no acknowledgement.
        """


class _KernelTimes:
    source = TimingSource.KERNEL

    def __init__(self, marks: Marks) -> None:
        if marks.connected and not marks.timestamps_enabled:
            raise _Unusable(FallbackReason.NO_TIMESTAMPS)
        if marks.queried is not None and not marks.queried.is_kernel_timed:
            raise _Unusable(FallbackReason.NO_TIMESTAMPS)
        started, ended = marks.started, marks.ended
        if ended is not None:
            drift = abs(ended.offset_ns - started.offset_ns)
            allowed = CLOCK_STEP_TOLERANCE_NS + started.uncertainty_ns + ended.uncertainty_ns
            if drift > allowed:
                raise _Unusable(FallbackReason.CLOCK_STEP)
        self._offset_ns = started.offset_ns
        self._ended_ns = ended.monotonic_ns if ended is not None else None
        # If nobody can tell (unproven), the first copy counts as well. directions.py then decides
        # what is known of the loss.
        self._needless = repairs.needless(marks)
        self._is_unproven = repairs.unproven(marks)
        self._window_was_closed = egress.window_was_closed(marks)
        self._scheduled: dict[int, int] = {}
        self._sent: dict[int, tuple[int, int]] = {}
        self._acknowledged: dict[int, int] = {}
        self._ways_out: dict[int, egress.WayOut] = {}
        for stamp in marks.stamps:
            at_ns = stamp.realtime_ns - self._offset_ns
            if stamp.what == STAMP_SCHEDULED:
                self._scheduled.setdefault(stamp.key, at_ns)
            elif stamp.what == STAMP_SENT:
                first, last = self._sent.get(stamp.key, (at_ns, at_ns))
                self._sent[stamp.key] = min(first, at_ns), max(last, at_ns)
            elif stamp.what == STAMP_ACKNOWLEDGED:
                self._acknowledged.setdefault(stamp.key, at_ns)
        for key, realtime_ns in repairs.unstamped(marks).items():
            self._sent[key] = self._sent[key][0], realtime_ns - self._offset_ns
            self._acknowledged.pop(key, None)  # it is that of the repair; TCP's sample is better

    def connect_ns(self, marks: Marks, used: Attempt) -> tuple[int, int]:
        info = marks.info_at_connect
        if info is None:
            raise _Unusable(FallbackReason.NO_TCP_INFO)
        if info.retransmits == 0:
            return info.rtt_us * 1000, 0
        # A SYN was sent again, so tcpi_rtt is useless. But the SYN-ACK was the last
        # acknowledgement, and the kernel knows how long ago that came (to a tick).
        established_ns = marks.info_at_connect_ns - info.last_ack_received_ms * 1_000_000
        taken_ns = max(0, min(established_ns, used.ended_ns) - used.started_ns)
        return taken_ns, repairs.handshake_lost_ns(marks, taken_ns)

    def given(self, step: Sent) -> int:
        return self._way_out(step).given_ns

    def kept(self, step: Sent) -> tuple[int, int]:
        self.sent(step)  # raises _Unusable if there is no stamp
        way_out = self._way_out(step)
        held_ns = 0 if self._window_was_closed else way_out.held_ns
        return held_ns + way_out.queued_ns, way_out.queued_ns

    def _way_out(self, step: Sent) -> egress.WayOut:
        known = self._ways_out.get(step.key)
        if known is not None:
            return known
        sent_ns = self.sent(step)[0] if step.key in self._sent else step.ended_ns
        way_out = self._ways_out[step.key] = egress.way_out(
            step, self._scheduled.get(step.key), sent_ns
        )
        if way_out.given_ns < step.started_ns - PLAUSIBLE_NS:
            raise _Unusable(FallbackReason.IMPLAUSIBLE)
        return way_out

    def sent(self, step: Sent) -> tuple[int, int]:
        times = self._sent.get(step.key)
        if times is None:
            raise _Unusable(FallbackReason.NO_TIMESTAMPS)
        if times[0] < step.started_ns - PLAUSIBLE_NS:
            raise _Unusable(FallbackReason.IMPLAUSIBLE)
        if self._ended_ns is not None and times[1] > self._ended_ns + PLAUSIBLE_NS:
            raise _Unusable(FallbackReason.IMPLAUSIBLE)
        return (times[0], times[0]) if self._first_counts(step) else times

    def received(self, step: Received) -> int:
        if step.kernel_realtime_ns is None:
            raise _Unusable(FallbackReason.NO_TIMESTAMPS)
        at_ns = step.kernel_realtime_ns - self._offset_ns
        if at_ns > step.user_ns + PLAUSIBLE_NS:
            raise _Unusable(FallbackReason.IMPLAUSIBLE)
        return at_ns

    def acknowledged(self, step: Sent) -> int | None:
        # If a copy was sent needlessly, nobody can say which one was acknowledged.
        return None if self._first_counts(step) else self._acknowledged.get(step.key)

    def _first_counts(self, step: Sent) -> bool:
        return self._is_unproven or step.key in self._needless

    def quickest(self) -> int | None:
        quickest: int | None = None
        for key, at_ns in self._acknowledged.items():
            sent = self._sent.get(key)
            if sent is not None and at_ns > sent[0]:
                taken_ns = at_ns - sent[0]
                quickest = taken_ns if quickest is None else min(quickest, taken_ns)
        return quickest


class _UserTimes:
    source = TimingSource.USER

    def connect_ns(self, marks: Marks, used: Attempt) -> tuple[int, int]:
        taken_ns = used.ended_ns - used.started_ns
        info = marks.info_at_connect
        return taken_ns, taken_ns if info is not None and info.retransmits else 0

    def given(self, step: Sent) -> int:
        return step.ended_ns

    def sent(self, step: Sent) -> tuple[int, int]:
        return step.ended_ns, step.ended_ns

    def kept(self, step: Sent) -> tuple[int, int]:  # noqa: ARG002 - only a kernel can know
        return 0, 0

    def received(self, step: Received) -> int:
        return step.user_ns

    def acknowledged(self, step: Sent) -> int | None:  # noqa: ARG002 - only a kernel can know
        return None

    def quickest(self) -> int | None:
        return None


@dataclass(slots=True)
class _Figures:
    """What becomes a Split: durations in ns, on the network's line."""

    dns: int | None = None
    wait: int = 0
    """ns spent on addresses that were tried before the one that was used."""
    handshake: int | None = None
    """TCP's handshake with the address that was used."""
    connect: int | None = None
    """wait + handshake + proxy"""
    proxy: int = 0
    tls: int | None = None
    tls_waited: int = 0
    request: int | None = None
    unanswered: int = 0
    """If no byte of an answer came: how long it was waited for after the request."""
    receive: int | None = None
    request_egress: int = 0
    request_loss: int = 0
    egress: int = 0
    egress_queue: int = 0
    """The part of ``egress`` that was spent in the device's queue."""
    loss: int = 0
    round_trip: int | None = None
    round_trip_source: str = ""
    reached: list[tuple[str, int, int]] = field(default_factory=list)
    """(event, ns on the network's line, CLOCK_MONOTONIC ns)"""


def measure(marks: Marks) -> Timeline:
    """Compute the figures of one exchange, as far as it got."""
    try:
        figures, source, reason = _figures(marks, _KernelTimes(marks)), TimingSource.KERNEL, None
    except _Unusable as unusable:
        figures, source, reason = _figures(marks, _UserTimes()), TimingSource.USER, unusable.reason
    if marks.used is not None and marks.attempts[0] is not marks.used and reason is None:
        # Only our own marks tell when an earlier address failed.
        source, reason = TimingSource.USER, FallbackReason.ADDRESS_FAILED
    return Timeline(
        split=_split(marks, figures, source),
        source=source,
        reason=reason or FallbackReason.NONE,
        round_trip_source=figures.round_trip_source,
        offsets=tuple([(event, offset / _NS) for event, offset, _ in figures.reached]),
        event_times_ns=tuple([at_ns for _, _, at_ns in figures.reached]),
        dns=_step(marks.dns_started_ns, figures.dns),
        connect=_step(marks.used.started_ns if marks.used else None, figures.handshake),
        tls=_step(marks.tls_started_ns, figures.tls),
    )


def own_delay_so_far_ns(marks: Marks, now_ns: int, waiting_since_ns: int) -> int:
    """Return how many ns of an unfinished exchange are own delay so far.

    ``now_ns`` and ``waiting_since_ns`` (when the present wait for the far end began) are
    CLOCK_MONOTONIC.
    """
    elapsed = now_ns - marks.started.monotonic_ns
    figures = _figures_or_none(marks)
    waited = now_ns - waiting_since_ns
    known = (
        (figures.dns or 0)
        + (figures.connect or 0)
        + figures.tls_waited
        + (figures.request or figures.unanswered)
        + (figures.receive or 0)
        if figures
        else elapsed
    )
    return max(0, elapsed - waited - known)


def _figures_or_none(marks: Marks) -> _Figures | None:
    try:
        return _figures(marks, _KernelTimes(marks))
    except _Unusable:
        return None


def _figures(marks: Marks, times: _Times) -> _Figures:
    figures = _Figures()
    line = _Line(figures)
    if marks.dns_started_ns is not None:
        line.reach(semconv.EVENT_DNS_START, marks.dns_started_ns)
        if marks.dns_ended_ns is not None:
            figures.dns = marks.dns_ended_ns - marks.dns_started_ns
            line.reach(semconv.EVENT_DNS_DONE, marks.dns_ended_ns, after=figures.dns)
    if marks.used is not None:
        _connect(marks, marks.used, times, figures, line)
    elif marks.attempts:
        line.reach(semconv.EVENT_CONNECT_START, marks.attempts[0].started_ns)
    if marks.tls_started_ns is not None:
        line.reach(semconv.EVENT_TLS_START, marks.tls_started_ns)
        waited = figures.tls_waited = _waited(marks, Stage.TLS, times, figures)
        if marks.tls_ended_ns is not None:
            figures.tls = waited
            line.reach(semconv.EVENT_TLS_DONE, marks.tls_ended_ns, after=waited)
    if marks.got_connection_ns is not None:
        line.reach(semconv.EVENT_GOT_CONN, marks.got_connection_ns)
    request = _last_sent(marks, Stage.REQUEST)
    if request is None:
        _without_request(marks, figures, line)
    else:
        # Not when send(2) returned: our process may be held up in it for longer than the answer
        # takes.
        given = times.given(request)
        line.reach(semconv.EVENT_WROTE_REQUEST, given)
        _request(marks, request, given, times, figures, line)
    _unsent(marks, times, figures)
    return figures


class _Line:
    """The network's line. Only the network and the far end move its position forward."""

    def __init__(self, figures: _Figures) -> None:
        self._reached = figures.reached
        self._position_ns = 0

    def reach(self, event: str, at_ns: int, *, after: int = 0) -> None:
        self._position_ns += after
        self._reached.append((event, self._position_ns, at_ns))

    def advance(self, by_ns: int) -> None:
        self._position_ns += by_ns


def _connect(marks: Marks, used: Attempt, times: _Times, figures: _Figures, line: _Line) -> None:
    figures.wait = used.started_ns - marks.attempts[0].started_ns
    taken, lost = times.connect_ns(marks, used)
    line.advance(figures.wait)
    line.reach(semconv.EVENT_CONNECT_START, used.started_ns)
    line.reach(semconv.EVENT_CONNECT_DONE, used.started_ns + taken, after=taken)
    figures.handshake = taken
    figures.loss += lost
    figures.proxy = _waited(marks, Stage.PROXY, times, figures)
    figures.connect = figures.wait + taken + figures.proxy
    line.advance(figures.proxy)


def _without_request(marks: Marks, figures: _Figures, line: _Line) -> None:
    """Fill in the figures of a DNS query, or of a connection without a request (its handshake is a
    round trip).
    """
    if marks.queried is not None:
        _query(marks.queried, figures, line)
    elif marks.used is not None and not marks.failed:
        figures.round_trip = round_trip.least_ns(marks)
        figures.round_trip_source = "" if figures.round_trip is None else "min_rtt"


def _query(queried: Queried, figures: _Figures, line: _Line) -> None:
    """Fill in the figures of a query that was answered. The time of earlier tries, which nobody
    answered, is loss.
    """
    lost = 0 if queried.tries == 1 else max(0, queried.left_ns - queried.asked_ns)
    figures.loss = lost
    figures.request_loss = lost
    figures.request = queried.answered_ns - queried.left_ns + lost
    line.reach(semconv.EVENT_WROTE_REQUEST, queried.left_ns - lost)
    line.reach(semconv.EVENT_FIRST_BYTE, queried.answered_ns, after=figures.request)


def _waited(marks: Marks, stage: Stage, times: _Times, figures: _Figures) -> int:
    """Return for how many ns the far end was waited for in this stage. Add egress and loss to the
    figures.

    Each wait begins with a send (or with the read before, if more was to come) and ends with the
    next read. So our own cryptography in between is in no wait.
    """
    waited = 0
    steps = [step for step in marks.steps if step.stage is stage]
    for before, step in pairwise(steps):
        if isinstance(step, Received):
            if isinstance(before, Sent):
                first, last = times.sent(before)
                figures.loss += last - first
                _note_egress(before, times, figures)
                since = times.given(before)
            else:
                since = times.received(before)
            waited += max(0, times.received(step) - since)
    return waited


def _note_egress(step: Sent, times: _Times, figures: _Figures) -> int:
    kept, queued = times.kept(step)
    figures.egress += kept
    figures.egress_queue += queued
    return kept


def _unsent(marks: Marks, times: _Times, figures: _Figures) -> None:
    """If the last send never left this node, count the time until the end as egress."""
    last = marks.steps[-1] if marks.steps else None
    if marks.ended is None or not isinstance(last, Sent):
        return
    if egress.unsent(marks) is egress.Unsent.NODE:
        kept = max(0, marks.ended.monotonic_ns - times.given(last))
        figures.egress += kept
        if egress.is_queued(marks, last):
            figures.egress_queue += kept


def _last_sent(marks: Marks, stage: Stage) -> Sent | None:
    for step in reversed(marks.steps):
        if isinstance(step, Sent) and step.stage is stage:
            return step
    return None


def _request(  # noqa: PLR0917 - of one exchange
    marks: Marks, request: Sent, given: int, times: _Times, figures: _Figures, line: _Line
) -> None:
    so_far = _interim(marks, given, times, line)
    if marks.first_byte is None:  # reads may have brought TLS's own: session tickets, key updates
        figures.unanswered = _waited(marks, Stage.REQUEST, times, figures)
        return
    first_sent, last_sent = times.sent(request)
    first_byte = times.received(marks.first_byte)
    if first_byte < first_sent:
        # The answer came before the request's last byte left: a 4xx to half a request, or a wrong
        # stamp.
        if times.source is TimingSource.KERNEL:
            raise _Unusable(FallbackReason.IMPLAUSIBLE)
        first_byte = first_sent
    figures.request = first_byte - given
    figures.request_egress = _note_egress(request, times, figures)
    figures.request_loss = min(last_sent - first_sent, first_byte - first_sent)
    figures.loss += figures.request_loss
    line.reach(semconv.EVENT_FIRST_BYTE, first_byte, after=max(0, figures.request - so_far))
    if marks.last_byte is not None:
        figures.receive = max(0, times.received(marks.last_byte) - first_byte)
    _round_trip(marks, request, times, figures)


def _interim(marks: Marks, since: int, times: _Times, line: _Line) -> int:
    """Put each interim answer on the line. Return how many ns after ``since`` the last one came."""
    so_far = 0
    for interim in marks.interim:
        at_ns = times.received(interim)
        after = max(0, at_ns - since - so_far)
        line.reach(semconv.EVENT_INTERIM, at_ns, after=after)
        so_far += after
    return so_far


def _round_trip(marks: Marks, request: Sent, times: _Times, figures: _Figures) -> None:
    """Find the round trip: the peer kernel's acknowledgement of the connection's first bytes, else
    TCP's least round trip.

    Only a connection's first bytes are acknowledged at once (quick-ack mode). The acknowledgement
    of later ones may be 40 ms late. An acknowledgement does not count if it is not earlier than the
    answer's first byte, because then it came with the answer. It does not count either if it is
    late (round_trip.is_late), because then it waited for the answer: HAProxy switches quick-ack
    mode off.
    """
    assert marks.first_byte is not None
    acknowledged: int | None = None
    sent_at, source = times.sent(request)[1], "request_ack"
    answered_at = times.received((*marks.interim, marks.first_byte)[0])
    if not marks.reused and not marks.encrypted and figures.proxy == 0:
        acknowledged = times.acknowledged(request)
    elif not marks.reused and marks.encrypted and figures.proxy == 0:
        hello = next((s for s in marks.steps if isinstance(s, Sent)), request)
        answer = next((s for s in marks.steps if isinstance(s, Received)), marks.first_byte)
        source = "hello_ack"
        acknowledged = times.acknowledged(hello)
        sent_at = times.sent(hello)[1]
        answered_at = times.received(answer)
    assert figures.request is not None
    possible = figures.request - figures.request_egress - figures.request_loss
    least_ns = round_trip.least_ns(marks)
    quickest = times.quickest()
    if least_ns is not None and quickest is not None:
        # TCP's own samples begin before the device's queue, our stamps behind it. If TCP has no
        # sample (a SYN was sent again), an acknowledgement may have come with the answer.
        least_ns = min(least_ns, quickest)
    if (
        acknowledged is not None
        and sent_at <= acknowledged < answered_at
        and not round_trip.is_late(acknowledged - sent_at, least_ns)
    ):
        figures.round_trip = min(acknowledged - sent_at, possible)
        figures.round_trip_source = source
    elif least_ns is not None:
        figures.round_trip = min(least_ns, possible)
        figures.round_trip_source = "min_rtt"


def _split(marks: Marks, figures: _Figures, source: TimingSource) -> Split:
    far_end: int | None = None
    if figures.request is not None and figures.round_trip is not None:
        before = figures.request_egress + figures.request_loss
        far_end = figures.request - before - figures.round_trip
    own: int | None = None
    if marks.ended is not None and not marks.failed:
        elapsed = marks.ended.monotonic_ns - marks.started.monotonic_ns
        for part in (figures.dns, figures.connect, figures.tls, figures.request, figures.receive):
            elapsed -= part or 0
        own = max(0, elapsed)
    stamped = marks.connected and source is TimingSource.KERNEL
    answered = figures.request is not None
    counted = marks.queried is not None or (marks.connected and marks.info_at_end is not None)
    return Split(
        dns=_seconds(figures.dns),
        connect=_seconds(figures.connect),
        tls=_seconds(figures.tls),
        request=_seconds(figures.request),
        receive=_seconds(figures.receive),
        egress=figures.egress / _NS if stamped else None,
        egress_queue=figures.egress_queue / _NS if stamped else None,
        request_egress=figures.request_egress / _NS if stamped and answered else None,
        loss=figures.loss / _NS if counted else None,
        request_loss=figures.request_loss / _NS if counted and answered else None,
        network_round_trip=_seconds(figures.round_trip),
        far_end=_seconds(far_end),
        own_delay=_seconds(own),
    )


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / _NS


def _step(started_ns: int | None, duration_ns: int | None) -> Step | None:
    if started_ns is None or duration_ns is None:
        return None
    return Step(started_ns, duration_ns)
