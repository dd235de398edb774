"""phases.py: the marks of one exchange -> where its time went."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel import semconv
from kubenurse_otel.model import FallbackReason, TimingSource
from kubenurse_otel.probe.kernel import (
    STAMP_ACKNOWLEDGED,
    STAMP_SENT,
    ClockPair,
    Stamp,
    TcpInfo,
)
from kubenurse_otel.probe.marks import Attempt, Marks, Received, Sent, Stage
from kubenurse_otel.probe.phases import measure, own_delay_so_far_ns

US = 1_000
MS = 1_000_000
REALTIME = 1_790_000_000_000_000_000
"""CLOCK_REALTIME at CLOCK_MONOTONIC 0 in these tests."""


def info(**changes: int) -> TcpInfo:
    fields = {
        "retransmits": 0,
        "rtt_us": 300,
        "min_rtt_us": 280,
        "lost": 0,
        "pmtu": 1500,
        "last_ack_received_ms": 0,
        "dsacks": 0,
        "send_mss": 1448,
        "options": 7,
    }
    return TcpInfo(**(fields | changes))


def clocks(at_ns: int, *, step_ns: int = 0) -> ClockPair:
    return ClockPair(REALTIME + at_ns + step_ns, at_ns, 100)


def received(stage: Stage, kernel_ns: int, *, late_ns: int = 0) -> Received:
    return Received(stage, kernel_ns + late_ns, REALTIME + kernel_ns)


def plain(*, own_ns: int = 0, far_end_ns: int = 2 * MS, lost_ns: int = 0) -> Marks:
    """A plain exchange: connect 300 us, round trip 250 us, with delays of our own in between."""
    marks = Marks(started=clocks(0))
    used = Attempt("10.0.0.1", "ipv4", started_ns=100 * US + own_ns)
    used.ended_ns = used.started_ns + 300 * US + own_ns
    marks.attempts.append(used)
    marks.used = used
    marks.info_at_connect = info()
    marks.info_at_connect_ns = used.ended_ns
    marks.timestamps_enabled = True
    marks.got_connection_ns = used.ended_ns + own_ns
    sent_at = marks.got_connection_ns + 50 * US
    first = sent_at + lost_ns + 250 * US + far_end_ns
    marks.steps = [
        Sent(Stage.REQUEST, sent_at - 5 * US, sent_at + 10 * US + own_ns, 99),
        received(Stage.REQUEST, first, late_ns=40 * US + own_ns),
    ]
    marks.stamps = [
        Stamp(STAMP_SENT, 99, REALTIME + sent_at),
        Stamp(STAMP_ACKNOWLEDGED, 99, REALTIME + sent_at + lost_ns + 250 * US),
    ]
    if lost_ns:
        marks.stamps.insert(1, Stamp(STAMP_SENT, 99, REALTIME + sent_at + lost_ns))
    marks.first_byte = marks.last_byte = marks.steps[1]  # type: ignore[assignment]
    marks.info_at_end = info(retransmits=1 if lost_ns else 0)
    marks.ended = clocks(marks.steps[1].user_ns + own_ns)  # type: ignore[union-attr]
    return marks


def test_kernel_stamps_make_every_figure_of_a_plain_exchange() -> None:
    """connect is the SYN's round trip, the request is sent to first byte by the kernel's word."""
    timeline = measure(plain())
    split = timeline.split
    assert timeline.source is TimingSource.KERNEL
    assert timeline.reason is FallbackReason.NONE
    assert split.connect == pytest.approx(300e-6)
    assert split.request == pytest.approx(2.25e-3)
    assert split.network_round_trip == pytest.approx(250e-6)
    assert split.far_end == pytest.approx(2e-3)
    assert split.loss == 0
    assert split.dns is None
    assert split.tls is None
    assert timeline.round_trip_source == "request_ack"


@given(own_ns=st.integers(0, 3_000 * MS))
def test_our_own_delay_moves_no_network_figure(own_ns: int) -> None:
    """However late our process is at every step, only own delay grows."""
    quiet, busy = measure(plain()).split, measure(plain(own_ns=own_ns)).split
    for name in ("connect", "request", "network_round_trip", "far_end", "loss", "receive"):
        assert getattr(quiet, name) == getattr(busy, name)
    assert busy.own_delay is not None
    assert quiet.own_delay is not None
    assert busy.own_delay == pytest.approx(quiet.own_delay + 5 * own_ns / 1e9, abs=1e-9)


@given(
    far_end_ns=st.integers(0, 4_000 * MS),
    own_ns=st.integers(0, 100 * MS),
    lost_ns=st.sampled_from([0, 204 * MS, 612 * MS]),
)
def test_the_request_is_the_sum_of_its_parts(far_end_ns: int, own_ns: int, lost_ns: int) -> None:
    """request = loss + network round trip + far end, exactly, and nothing is negative."""
    split = measure(plain(own_ns=own_ns, far_end_ns=far_end_ns, lost_ns=lost_ns)).split
    assert split.request is not None
    assert split.request_loss is not None
    assert split.network_round_trip is not None
    assert split.far_end is not None
    parts = split.request_loss + split.network_round_trip + split.far_end
    assert split.request == pytest.approx(parts, abs=1e-12)
    assert min(split.request_loss, split.network_round_trip, split.far_end) >= 0


def test_a_retransmitted_request_is_loss_and_leaves_the_round_trip() -> None:
    """Last minus first send stamp is loss; the last one to the acknowledgement is the network."""
    split = measure(plain(lost_ns=204 * MS)).split
    assert split.loss == pytest.approx(0.204)
    assert split.request_loss == pytest.approx(0.204)
    assert split.network_round_trip == pytest.approx(250e-6)
    assert split.far_end == pytest.approx(2e-3)


def test_a_needless_retransmission_is_no_loss() -> None:
    """The peer had the first copy (DSACK): the time since is the far end's, not the network's."""
    marks = plain(lost_ns=6 * MS)
    marks.info_at_end = info(retransmits=1, dsacks=1)
    timeline = measure(marks)
    assert timeline.split.loss == 0
    assert timeline.round_trip_source == "min_rtt"
    assert timeline.split.far_end == pytest.approx(6e-3 + 250e-6 + 2e-3 - 280e-6)
    marks.info_at_end = info(retransmits=2, dsacks=1)
    assert measure(marks).split.loss == pytest.approx(6e-3)


def test_what_the_peer_got_twice_in_an_exchange_before_excuses_nothing_in_this_one() -> None:
    """tcpi_dsack_dups is the whole connection's."""
    marks = plain(lost_ns=204 * MS)
    marks.used, marks.attempts, marks.reused = None, [], True
    marks.info_at_connect, marks.retransmits_before, marks.dsacks_before = None, 1, 1
    marks.info_at_end = info(retransmits=2, dsacks=1)
    assert measure(marks).split.loss == pytest.approx(0.204)


def repaired(*, size: int = 1_600) -> Marks:
    """A request of two segments whose first one was lost: one send stamp, and 6 ms of repair."""
    marks = plain()
    sent, answer = marks.steps
    assert isinstance(sent, Sent)
    assert isinstance(answer, Received)
    late = Received(answer.stage, answer.user_ns + 6 * MS, answer.kernel_realtime_ns + 6 * MS)  # type: ignore[operator]
    marks.steps = [Sent(sent.stage, sent.started_ns, sent.ended_ns, sent.key, size), late]
    marks.first_byte = marks.last_byte = late
    first, acknowledged = marks.stamps
    marks.stamps = [first, Stamp(STAMP_ACKNOWLEDGED, 99, acknowledged.realtime_ns + 6 * MS)]
    marks.info_at_end = info(retransmits=1)
    marks.ended = clocks(marks.ended.monotonic_ns + 6 * MS)  # type: ignore[union-attr]
    return marks


def test_the_repair_of_an_earlier_segment_is_loss() -> None:
    """It has no stamp: TCP_INFO counts it, and the acknowledgement came a round trip after it."""
    timeline = measure(repaired())
    split = timeline.split
    assert timeline.round_trip_source == "min_rtt"
    assert split.network_round_trip == pytest.approx(280e-6)
    assert split.loss == split.request_loss == pytest.approx(6e-3 + 250e-6 - 280e-6)
    assert split.far_end == pytest.approx(2e-3)


@pytest.mark.parametrize("quiet", ["one segment", "nothing repeated", "doubled", "reused"])
def test_what_was_not_repaired_unseen_is_no_loss(quiet: str) -> None:
    """Each sign alone says nothing: the size, the count, and what the peer had got before."""
    marks = repaired(size=1_448 if quiet == "one segment" else 1_600)
    if quiet == "nothing repeated":
        marks.info_at_end = info()
    elif quiet == "doubled":
        marks.info_at_end = info(retransmits=1, dsacks=1)
    elif quiet == "reused":
        marks.used, marks.attempts, marks.reused = None, [], True
        marks.info_at_connect, marks.retransmits_before = None, 1
    assert measure(marks).split.loss == 0


def test_a_last_segment_that_was_sent_again_is_told_by_its_stamps() -> None:
    """Where the stamps account for everything, nothing is added."""
    marks = repaired()
    marks.stamps.insert(1, Stamp(STAMP_SENT, 99, marks.stamps[0].realtime_ns + 5 * MS))
    split = measure(marks).split
    assert split.loss == pytest.approx(5e-3)
    assert split.network_round_trip == pytest.approx(1.25e-3)


def test_the_repair_of_a_hello_is_loss_before_the_request() -> None:
    """OpenSSL 3.5's ClientHello has two segments."""
    marks = encrypted()
    hello, first, *rest = marks.steps
    assert isinstance(hello, Sent)
    marks.steps = [
        Sent(hello.stage, hello.started_ns - 6 * MS, hello.ended_ns - 6 * MS, hello.key, 1_560),
        first,
        *rest,
    ]
    marks.stamps[0] = Stamp(STAMP_SENT, 517, REALTIME + 905 * US - 6 * MS)
    marks.started, marks.info_at_end = clocks(-7 * MS), info(retransmits=1)
    timeline = measure(marks)
    assert timeline.round_trip_source == "min_rtt"
    assert timeline.split.loss == pytest.approx(6e-3 + 200e-6 - 280e-6)
    assert timeline.split.request_loss == 0


def test_an_acknowledgement_with_the_answer_is_no_measure() -> None:
    """Where the ack is not earlier than the first byte, the least round trip stands in."""
    marks = plain()
    assert marks.first_byte is not None
    assert marks.first_byte.kernel_realtime_ns is not None
    marks.stamps[-1] = Stamp(STAMP_ACKNOWLEDGED, 99, marks.first_byte.kernel_realtime_ns)
    timeline = measure(marks)
    assert timeline.round_trip_source == "min_rtt"
    assert timeline.split.network_round_trip == pytest.approx(280e-6)


@pytest.mark.parametrize(
    ("late_ns", "source", "round_trip"),
    [
        (7 * MS, "request_ack", 7_250e-6),
        (8 * MS + 31 * US, "min_rtt", 280e-6),
        (41 * MS, "min_rtt", 280e-6),
    ],
)
def test_a_late_acknowledgement_is_no_round_trip(
    late_ns: int, source: str, round_trip: float
) -> None:
    """Who acknowledges after 8 ms beyond the least round trip waited for the answer to go with."""
    marks = plain(far_end_ns=60 * MS)
    acknowledged = marks.stamps[-1]
    marks.stamps[-1] = Stamp(STAMP_ACKNOWLEDGED, 99, acknowledged.realtime_ns + late_ns)
    timeline = measure(marks)
    assert timeline.round_trip_source == source
    assert timeline.split.network_round_trip == pytest.approx(round_trip)
    assert timeline.split.far_end == pytest.approx(60e-3 + 250e-6 - round_trip)


def test_a_late_acknowledgement_of_a_hello_is_no_round_trip() -> None:
    """The far end's thinking over a ClientHello is not the network either."""
    marks = encrypted()
    hello = next(step for step in marks.steps if isinstance(step, Received))
    later = Received(hello.stage, hello.user_ns + 60 * MS, REALTIME + 61 * MS)
    marks.steps[1] = later
    marks.stamps[1] = Stamp(STAMP_ACKNOWLEDGED, 517, REALTIME + 905 * US + 41 * MS)
    timeline = measure(marks)
    assert timeline.round_trip_source == "min_rtt"
    assert timeline.split.network_round_trip == pytest.approx(280e-6)


def test_on_a_kept_connection_the_acknowledgement_may_be_late_and_is_not_used() -> None:
    """A reused connection's round trip is tcpi_min_rtt, and it has no setup."""
    marks = plain()
    marks.used, marks.attempts, marks.reused = None, [], True
    timeline = measure(marks)
    assert timeline.round_trip_source == "min_rtt"
    assert timeline.split.connect is None
    events = [event for event, _ in timeline.offsets]
    assert events == [
        semconv.EVENT_GOT_CONN,
        semconv.EVENT_WROTE_REQUEST,
        semconv.EVENT_FIRST_BYTE,
    ]


def test_a_retransmitted_syn_is_timed_by_the_last_acknowledgement() -> None:
    """tcpi_rtt is useless then; established is as long ago as the last acknowledgement."""
    marks = plain(own_ns=70 * MS)
    assert marks.used is not None
    marks.info_at_connect = info(retransmits=1, rtt_us=1000, last_ack_received_ms=60)
    marks.used.ended_ns = marks.used.started_ns + 1_070 * MS
    marks.info_at_connect_ns = marks.used.ended_ns
    timeline = measure(marks)
    assert timeline.source is TimingSource.KERNEL
    assert timeline.split.connect == pytest.approx(1.010)
    assert timeline.split.loss == pytest.approx(1.010 - 250e-6)


@pytest.mark.parametrize("sample_us", [867_000, 61_000, 1_000])
def test_after_a_lost_syn_the_time_of_an_answer_is_no_round_trip(sample_us: int) -> None:
    """Its acknowledgement came with it: TCP's only sample is the answer's, or in milliseconds."""
    marks = plain(own_ns=70 * MS, far_end_ns=867 * MS)
    marks.info_at_connect = info(retransmits=1, rtt_us=1000, last_ack_received_ms=60)
    marks.info_at_end = info(retransmits=1, min_rtt_us=sample_us)
    marks.stamps = [stamp for stamp in marks.stamps if stamp.what != STAMP_ACKNOWLEDGED]
    timeline = measure(marks)
    assert timeline.split.network_round_trip is None
    assert timeline.round_trip_source == ""
    assert timeline.split.far_end is None
    assert timeline.split.loss == timeline.split.connect  # nobody knows how long one takes


@pytest.mark.parametrize(
    ("late_ns", "rtt_us", "round_trip"),
    [
        (7 * MS, 1_003_000, 7_250e-6),
        (41 * MS, 1_003_000, None),  # the SYN-ACK was lost: nothing says how long the way is
        (41 * MS, 1_000, None),
        (41 * MS, 40_000, 41_250e-6),  # it is far away
        (41 * MS, 0, None),  # a peer without time stamps
    ],
)
def test_after_a_lost_syn_a_late_acknowledgement_is_no_round_trip(
    late_ns: int, rtt_us: int, round_trip: float | None
) -> None:
    """What came alone is one, unless it may have waited for a timer of the peer's."""
    marks = plain(own_ns=70 * MS, far_end_ns=100 * MS)
    marks.info_at_connect = info(retransmits=1, rtt_us=rtt_us, last_ack_received_ms=60)
    marks.info_at_end = info(retransmits=1, min_rtt_us=1_000)
    marks.stamps[-1] = Stamp(STAMP_ACKNOWLEDGED, 99, marks.stamps[-1].realtime_ns + late_ns)
    split = measure(marks).split
    assert split.network_round_trip == (round_trip and pytest.approx(round_trip))
    assert split.connect is not None
    assert split.loss == pytest.approx(max(0, split.connect - (round_trip or 0)))


def encrypted() -> Marks:
    """TLS 1.3: hello 400 us on the wire in two reads, 3 ms of our cryptography between them."""
    marks = plain()
    hello = Sent(Stage.TLS, 900 * US, 910 * US, 517)
    finished = Sent(Stage.TLS, 5_000 * US, 5_010 * US, 600)
    request = Sent(Stage.REQUEST, 5_200 * US, 5_210 * US, 700)
    answer = received(Stage.REQUEST, 7_200 * US, late_ns=10 * US)
    marks.encrypted = True
    marks.tls_started_ns, marks.tls_ended_ns = 850 * US, 5_010 * US
    marks.got_connection_ns = 5_100 * US
    marks.steps = [
        hello,
        received(Stage.TLS, 1_300 * US, late_ns=20 * US),
        received(Stage.TLS, 1_350 * US, late_ns=3 * MS),
        finished,
        request,
        answer,
    ]
    marks.stamps = [
        Stamp(STAMP_SENT, 517, REALTIME + 905 * US),
        Stamp(STAMP_ACKNOWLEDGED, 517, REALTIME + 1_105 * US),
        Stamp(STAMP_SENT, 600, REALTIME + 5_005 * US),
        Stamp(STAMP_SENT, 700, REALTIME + 5_205 * US),
        Stamp(STAMP_ACKNOWLEDGED, 700, REALTIME + 5_205 * US + 40 * MS),
    ]
    marks.first_byte = marks.last_byte = answer
    marks.ended = clocks(7_300 * US)
    return marks


def test_tls_is_only_what_we_waited_for_the_far_end() -> None:
    """From each flight's send stamp to the last receive stamp of the answer to it."""
    timeline = measure(encrypted())
    assert timeline.split.tls == pytest.approx(445e-6)
    assert timeline.tls is not None
    assert timeline.tls.started_ns == 850 * US


def test_under_tls_the_hello_is_what_the_peers_kernel_acknowledges_at_once() -> None:
    """The request's acknowledgement may be 40 ms late there, the ClientHello's is not."""
    timeline = measure(encrypted())
    assert timeline.round_trip_source == "hello_ack"
    assert timeline.split.network_round_trip == pytest.approx(200e-6)
    assert timeline.split.request == pytest.approx(1_995e-6)
    assert timeline.split.far_end == pytest.approx(1_795e-6)


@pytest.mark.parametrize(
    ("breakage", "reason"),
    [
        ("step", FallbackReason.CLOCK_STEP),
        ("no stamps", FallbackReason.NO_TIMESTAMPS),
        ("no send stamp", FallbackReason.NO_TIMESTAMPS),
        ("no receive stamp", FallbackReason.NO_TIMESTAMPS),
        ("no tcp_info", FallbackReason.NO_TCP_INFO),
        ("received in the future", FallbackReason.IMPLAUSIBLE),
        ("sent before we sent", FallbackReason.IMPLAUSIBLE),
        ("sent again after the end", FallbackReason.IMPLAUSIBLE),
        ("answered before sent", FallbackReason.IMPLAUSIBLE),
    ],
)
def test_what_cannot_be_believed_falls_back_and_says_why(
    breakage: str, reason: FallbackReason
) -> None:
    """User-space marks stand in for every figure, with the reason; nothing is negative."""
    marks = plain()
    assert marks.first_byte is not None
    first = marks.first_byte
    if breakage == "step":
        marks.ended = clocks(marks.ended.monotonic_ns, step_ns=MS)  # type: ignore[union-attr]
    elif breakage == "no stamps":
        marks.timestamps_enabled = False
    elif breakage == "no send stamp":
        marks.stamps = []
    elif breakage == "no receive stamp":
        marks.first_byte = Received(Stage.REQUEST, first.user_ns, None)
    elif breakage == "no tcp_info":
        marks.info_at_connect = None
    elif breakage == "received in the future":
        marks.first_byte = Received(Stage.REQUEST, first.user_ns, REALTIME + first.user_ns + MS)
    elif breakage == "sent before we sent":
        marks.stamps[0] = Stamp(STAMP_SENT, 99, REALTIME)
    elif breakage == "sent again after the end":
        assert marks.ended is not None
        marks.stamps.append(Stamp(STAMP_SENT, 99, marks.ended.realtime_ns + MS))
    elif breakage == "answered before sent":
        marks.stamps = [Stamp(STAMP_SENT, 99, REALTIME + first.user_ns + MS)]
    timeline = measure(marks)
    assert timeline.source is TimingSource.USER
    assert timeline.reason is reason
    assert timeline.split.connect == pytest.approx(300e-6)
    assert timeline.split.request is not None
    assert timeline.split.request > 0


@pytest.mark.parametrize(
    ("ahead_ns", "source"),
    [
        (60_000 * MS, TimingSource.USER),
        (-60_000 * MS, TimingSource.USER),
        (50 * US, TimingSource.KERNEL),
    ],
)
def test_a_request_without_an_answer_is_not_sent_after_its_check(
    ahead_ns: int, source: TimingSource
) -> None:
    """The clock was elsewhere between its two readings: no event stands outside of the check."""
    marks = plain()
    marks.first_byte = marks.last_byte = None
    marks.steps, marks.failed = marks.steps[:1], True
    sent = marks.steps[0]
    assert isinstance(sent, Sent)
    marks.ended = clocks(sent.ended_ns)
    marks.stamps = [Stamp(STAMP_SENT, 99, REALTIME + sent.ended_ns + ahead_ns)]
    timeline = measure(marks)
    assert timeline.source is source
    assert timeline.offsets[-1][0] == semconv.EVENT_WROTE_REQUEST
    assert 0 <= timeline.event_times_ns[-1] <= marks.ended.monotonic_ns + 100 * US
    if source is TimingSource.USER:
        assert timeline.reason is FallbackReason.IMPLAUSIBLE


def test_a_clock_that_slews_is_no_step() -> None:
    """The two clocks are steered together, and reading both takes a moment."""
    marks = plain()
    marks.ended = clocks(marks.ended.monotonic_ns, step_ns=20 * US)  # type: ignore[union-attr]
    assert measure(marks).source is TimingSource.KERNEL


def test_after_a_failed_address_the_wait_for_it_is_in_connect() -> None:
    """What users felt counts; only our own marks tell it, so the kernel is not claimed."""
    marks = plain(own_ns=0)
    assert marks.used is not None
    dead = Attempt("fd00::1", "ipv6", marks.used.started_ns - 80 * US)
    dead.ended_ns, dead.error = marks.used.started_ns, ConnectionRefusedError(111, "refused")
    marks.attempts.insert(0, dead)
    timeline = measure(marks)
    assert timeline.source is TimingSource.USER
    assert timeline.reason is FallbackReason.ADDRESS_FAILED
    assert timeline.split.connect == pytest.approx(380e-6)
    assert timeline.connect is not None
    assert timeline.connect.duration_ns == 300 * US


def test_offsets_are_cumulative_and_in_order() -> None:
    """Each event stands where it would if our process took no time, like Go's httptrace."""
    marks = encrypted()
    marks.dns_started_ns, marks.dns_ended_ns = 10 * US, 60 * US
    timeline = measure(marks)
    assert [event for event, _ in timeline.offsets] == list(semconv.EVENTS)
    offsets = [offset for _, offset in timeline.offsets]
    assert offsets == sorted(offsets)
    assert dict(timeline.offsets)[semconv.EVENT_DNS_DONE] == pytest.approx(50e-6)
    assert dict(timeline.offsets)[semconv.EVENT_FIRST_BYTE] == pytest.approx(
        timeline.split.duration
    )


def test_a_failed_exchange_has_the_events_it_reached_and_no_more() -> None:
    """A connection that was refused reached connect_start."""
    marks = Marks(started=clocks(0))
    refused = Attempt("10.0.0.1", "ipv4", 50 * US, 90 * US, ConnectionRefusedError())
    marks.attempts.append(refused)
    marks.ended = clocks(100 * US)
    marks.failed = True
    timeline = measure(marks)
    assert timeline.offsets == ((semconv.EVENT_CONNECT_START, 0.0),)
    assert timeline.split.own_delay is None
    assert timeline.split.loss is None
    assert timeline.reason is FallbackReason.NONE


def test_time_waited_for_the_far_end_is_not_our_own() -> None:
    """Of an unfinished exchange, what was neither network nor waiting is own delay."""
    marks = plain(own_ns=400 * MS)
    marks.first_byte = marks.last_byte = None
    marks.steps = marks.steps[:1]
    sent = marks.steps[0]
    assert isinstance(sent, Sent)
    waiting_since = sent.ended_ns
    now = waiting_since + 3_000 * MS
    own = own_delay_so_far_ns(marks, now, waiting_since)
    assert own == pytest.approx(4 * 400 * MS, abs=MS)


def test_the_time_through_a_proxys_tunnel_is_connect() -> None:
    """CONNECT's exchange stands between TCP's handshake and TLS, and is the network's."""
    marks = plain()
    marks.steps = [
        Sent(Stage.PROXY, 420 * US, 425 * US, 50),
        received(Stage.PROXY, 1_425 * US),
        *marks.steps,
    ]
    marks.stamps.append(Stamp(STAMP_SENT, 50, REALTIME + 425 * US))
    split = measure(marks).split
    assert split.connect == pytest.approx(1_300e-6)
    assert measure(marks).round_trip_source == "min_rtt"


# --- which of the two was sent again needlessly ---------------------------------------------------


def repeated(*, hello: int = 0, request: int = 0, dsacks: tuple[int, int] = (0, 0)) -> Marks:
    """A hello of two segments, of which the first is sent again after 6 ms (``hello`` times), and a
    request that is sent again after 5 ms; D-SACKs that came by the handshake's end, and after it.
    """
    marks = encrypted()
    later = (6 * hello + 5 * request) * MS
    sent, first, second, finished, asked, answer = marks.steps
    assert isinstance(sent, Sent)
    assert isinstance(finished, Sent)
    assert isinstance(asked, Sent)
    moved = [
        Sent(one.stage, one.started_ns + 6 * hello * MS, one.ended_ns + 6 * hello * MS, one.key)
        for one in (finished, asked)
    ]
    got = [
        received(one.stage, one.kernel_realtime_ns - REALTIME + by)  # type: ignore[union-attr,operator]
        for one, by in ((first, 6 * hello * MS), (second, 6 * hello * MS), (answer, later))
    ]
    marks.steps = [Sent(sent.stage, sent.started_ns, sent.ended_ns, 517, 1_600), *got[:2], *moved]
    marks.steps.append(got[2])
    marks.first_byte = marks.last_byte = got[2]
    at = REALTIME + 6 * hello * MS
    marks.stamps = [
        Stamp(STAMP_SENT, 517, REALTIME + 905 * US),
        Stamp(STAMP_ACKNOWLEDGED, 517, at + 1_105 * US),
        Stamp(STAMP_SENT, 600, at + 5_005 * US),
        Stamp(STAMP_SENT, 700, at + 5_205 * US),
        *[Stamp(STAMP_SENT, 700, at + 10_205 * US)] * request,
    ]
    marks.info_at_greeting = info(retransmits=hello, dsacks=dsacks[0])
    marks.info_at_greeting_ns = 4_990 * US + 6 * hello * MS
    marks.info_at_end = info(retransmits=hello + request, dsacks=sum(dsacks))
    marks.ended = clocks(7_300 * US + later)
    return marks


@pytest.mark.parametrize(
    ("marks", "loss_ms"),
    [
        (repeated(), 0),
        (repeated(hello=1), 5.92),
        (repeated(request=1), 5),
        (repeated(hello=1, request=1), 10.92),
        (repeated(hello=1, request=1, dsacks=(1, 0)), 5),
        (repeated(hello=1, request=1, dsacks=(0, 1)), 5.92),
        (repeated(hello=1, request=1, dsacks=(1, 1)), 0),
        (repeated(hello=1, dsacks=(0, 1)), 0),
        (repeated(hello=1, request=1, dsacks=(0, 2)), 0),
    ],
    ids=[
        *("nothing", "hello lost", "request lost", "both lost", "hello doubled"),
        *("request doubled", "both doubled", "hello doubled, told late", "both told late"),
    ],
)
def test_a_needless_repeat_is_of_the_handshake_or_of_the_request(
    marks: Marks, loss_ms: float
) -> None:
    """A D-SACK excuses neither both, nor the other one; it may come after the handshake's end."""
    assert measure(marks).split.loss == pytest.approx(loss_ms / 1e3)
