"""The kernel's stopwatch on real sockets: the figures are what the far end did, whatever we do.

Where a scheduler may be late the best of a few checks is taken: lateness only ever adds.
"""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from probing import Prober, block_event_loop_during
from servers import answer, big_body, interim, tunnel

from kubenurse_otel import semconv
from kubenurse_otel.model import FallbackReason, TimingSource
from kubenurse_otel.probe import kernel
from kubenurse_otel.probe.resolve import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from probing import Checked
    from servers import Certificates, FaultServer

    from kubenurse_otel.model import Split

MS = 0.001


async def best_of(
    check: Callable[[], Awaitable[Checked]],
    figure: Callable[[Split], float | None],
    *,
    times: int = 5,
) -> Checked:
    """The check whose ``figure`` is least."""
    checks = [await check() for _ in range(times)]
    assert all(checked.probe.failure is None for checked in checks)
    return min(checks, key=lambda checked: figure(checked.measured.split) or 0.0)


def parts(split: Split) -> float:
    """Everything that is not own delay."""
    return split.duration + (split.receive or 0.0)


async def test_who_acknowledges_late_is_no_slow_network(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Before HAProxy a request is acknowledged 40 ms later: that is the far end's time."""
    server = serve(answer(delay_seconds=80 * MS), quick_acks=False)

    checked = await best_of(
        lambda: prober.check(server.url()), lambda split: split.network_round_trip
    )

    split = checked.measured.split
    assert checked.measured.round_trip_source == "min_rtt"
    assert split.network_round_trip is not None
    assert split.network_round_trip < 8 * MS
    assert split.far_end is not None
    assert split.far_end >= 72 * MS


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_slow_far_end_is_far_end(
    *,
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    encrypted: bool,
) -> None:
    """80 ms of thinking are far end, and neither network nor ours."""
    server = serve(answer(delay_seconds=80 * MS), tls=certificates.context() if encrypted else None)

    # Of several: a busy machine adds to both of them by itself.
    checked = await best_of(
        lambda: prober.check(server.url()),
        lambda split: (split.far_end or 0.0) + (split.own_delay or 0.0),
    )

    measured, split = checked.measured, checked.measured.split
    assert measured.timing_source is TimingSource.KERNEL
    assert split.far_end is not None
    assert split.network_round_trip is not None
    assert split.own_delay is not None
    assert 79 * MS <= split.far_end <= 160 * MS  # the server waits for the processor, too
    assert split.network_round_trip < 5 * MS
    assert split.own_delay < 75 * MS
    assert split.loss == 0


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_every_moment_is_somewhere(
    *,
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    encrypted: bool,
) -> None:
    """Phases, receive and own delay together are the time that the caller waited."""
    server = serve(answer(delay_seconds=20 * MS), tls=certificates.context() if encrypted else None)

    checked = await prober.check(server.url())

    split = checked.measured.split
    assert split.own_delay is not None
    assert parts(split) + split.own_delay <= checked.elapsed
    assert parts(split) + split.own_delay == pytest.approx(checked.elapsed, abs=20 * MS)
    assert split.request == pytest.approx(
        (split.request_egress or 0)
        + (split.request_loss or 0)
        + (split.network_round_trip or 0)
        + (split.far_end or 0)
    )


async def test_a_blocked_loop_is_own_delay_while_the_far_end_thinks(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """100 ms of our own in the middle of a wait of 30 ms change nothing but own delay."""
    server = serve(answer(delay_seconds=30 * MS))

    async def blocked() -> Checked:
        checked, _ = await asyncio.gather(
            prober.check(server.url()), block_event_loop_during(100 * MS, after_seconds=10 * MS)
        )
        return checked

    checked = await best_of(blocked, lambda split: split.far_end)

    split = checked.measured.split
    assert checked.measured.timing_source is TimingSource.KERNEL
    assert split.far_end is not None
    assert split.network_round_trip is not None
    assert split.own_delay is not None
    assert 29 * MS <= split.far_end <= 45 * MS
    assert split.network_round_trip < 5 * MS
    assert split.own_delay >= 60 * MS


class BlockingResolver:
    """Answers at once, and has the loop stand still as soon as the connect is under way."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __call__(self, host: str, *, deadline: float) -> Answer:  # noqa: ARG002 - the seam's
        asyncio.get_running_loop().call_soon(time.sleep, 0.1)
        now = time.monotonic_ns()
        return Answer((self._address,), now, now)


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_blocked_loop_is_own_delay_while_it_connects(
    *, serve: Callable[..., FaultServer], certificates: Certificates, encrypted: bool
) -> None:
    """The connect's time is the handshake's round trip, though we noticed it 100 ms late."""
    server = serve(answer(), tls=certificates.context() if encrypted else None)
    resolver = BlockingResolver(server.host)

    async with Prober(ca_file=certificates.ca_file, resolve=resolver) as prober:

        async def blocked() -> Checked:
            prober.prober.retain(())  # a quick one would be waited for in place: nobody else's turn
            return await prober.check(server.url(host="localhost"))

        checked = await best_of(blocked, lambda split: split.duration)

    split = checked.measured.split
    assert split.connect is not None
    assert split.own_delay is not None
    assert split.connect < 20 * MS
    assert split.duration < 60 * MS
    assert split.own_delay >= 80 * MS


async def test_a_blocked_loop_is_own_delay_during_the_tls_handshake(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """The handshake's time is what we waited for the far end, not what we were late to read."""
    server = serve(answer(), tls=certificates.context())
    far = serve(tunnel((server.host, server.port), delay_seconds=30 * MS))

    async def blocked() -> Checked:
        checked, _ = await asyncio.gather(
            prober.check(far.url(scheme="https")),
            block_event_loop_during(150 * MS, after_seconds=10 * MS),
        )
        return checked

    checked = await best_of(blocked, lambda split: split.tls)

    split = checked.measured.split
    assert split.tls is not None
    assert split.own_delay is not None
    assert 29 * MS <= split.tls < 90 * MS
    assert split.own_delay >= 80 * MS


async def test_a_proxy_on_the_way_is_near_and_the_rest_far_end(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """The round trip goes to the first TCP end; what lies behind it is far end."""
    server = serve(answer())
    far = serve(tunnel((server.host, server.port), delay_seconds=40 * MS))

    checked = await best_of(lambda: prober.check(far.url()), lambda split: split.far_end)

    split = checked.measured.split
    assert split.network_round_trip is not None
    assert split.far_end is not None
    assert split.network_round_trip < 5 * MS
    assert 39 * MS <= split.far_end < 60 * MS


def offsets_of(checked: Checked) -> list[tuple[str, Any]]:
    """The events of the CLIENT span that have an offset, in order."""
    return [
        (event.name, event.attributes[semconv.OFFSET])
        for event in checked.client_span.events
        if event.attributes and semconv.OFFSET in event.attributes
    ]


async def test_interim_responses_do_not_hide_the_answer(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """The final answer's first byte counts; interim ones (100, 103) are events before it."""
    server = serve(interim(delay_seconds=40 * MS))

    checks = [await prober.check(server.url()) for _ in range(5)]

    told = (
        semconv.EVENT_WROTE_REQUEST,
        semconv.EVENT_INTERIM,
        semconv.EVENT_INTERIM,
        semconv.EVENT_FIRST_BYTE,
    )
    apart = []
    for checked in checks:
        split = checked.measured.split
        assert checked.measured.status_code == 200
        assert split.far_end is not None
        assert split.receive is not None
        assert split.far_end >= 39 * MS
        names, (sent, first, second, final) = zip(*offsets_of(checked)[-4:], strict=True)
        assert names == told
        assert sent <= first <= second <= final
        assert final == pytest.approx(split.duration)
        apart.append((second - first, split.receive))
    # Where we are held up, one read has all of them; not each time.
    assert max(between for between, _ in apart) >= 39 * MS
    assert min(receive for _, receive in apart) < 39 * MS


@pytest.mark.parametrize("piece_bytes", [1, 7, 1000])
async def test_an_interim_answer_is_told_from_the_final_one_however_it_is_cut(
    serve: Callable[..., FaultServer], prober: Prober, piece_bytes: int
) -> None:
    """One interim answer, one event, and the first byte after it."""
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"

    def behave(connection: Any) -> None:
        connection.read_request()
        for start in range(0, len(data), piece_bytes):
            connection.send(data[start : start + piece_bytes])

    checked = await prober.check(serve(behave).url())

    assert checked.measured.status_code == 204
    names = [name for name, _ in offsets_of(checked)]
    assert names.count(semconv.EVENT_INTERIM) == 1
    assert names[-2:] == [semconv.EVENT_INTERIM, semconv.EVENT_FIRST_BYTE]


async def test_without_a_final_answer_an_interim_one_is_none(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Nothing but an interim answer came: the request waits on, and its end says so."""

    def hold(connection: Any) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        connection.hold()

    def leave(connection: Any) -> None:
        connection.read_request()
        connection.send(b"HTTP/1.1 103 Early Hints\r\n\r\n")

    held = await prober.check(serve(hold).url(), timeout_seconds=1.5)
    left = await prober.check(serve(leave).url())

    assert held.probe.failure is not None
    assert (held.probe.failure.error_type, held.probe.failure.phase) == (
        "response_timeout",
        "request",
    )
    assert "after an interim answer, without a final one" in held.probe.failure.message
    assert held.measured.split.request is None
    assert offsets_of(held)[-1][0] == semconv.EVENT_INTERIM
    assert left.probe.failure is not None
    assert left.probe.failure.error_type == "connection_closed_early"
    assert "after an interim answer, without a final one" in left.probe.failure.message


async def test_a_long_body_is_receive_time(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A body that takes its time lengthens neither far end nor duration."""
    server = serve(slow_body)

    checked = await best_of(lambda: prober.check(server.url()), lambda split: split.receive)

    split = checked.measured.split
    assert split.receive is not None
    assert split.request is not None
    assert 39 * MS <= split.receive < 60 * MS
    assert split.request < 39 * MS


def slow_body(connection: Any) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    connection.sleep(40 * MS)
    connection.send(b"cd")


async def test_offsets_stand_on_a_line_without_us(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """Offsets never go back, end at the duration, and events stand in real time on the span."""
    server = serve(answer(delay_seconds=10 * MS), tls=certificates.context())

    checked = await prober.check(server.url())

    offsets = dict(checked.measured.offsets)
    assert list(offsets) == checked.events
    assert list(offsets.values()) == sorted(offsets.values())
    assert offsets["got_first_resp_byte"] == pytest.approx(checked.measured.split.duration)
    span = checked.client_span
    assert span.start_time is not None
    assert span.end_time is not None
    times = [event.timestamp for event in span.events if event.name in semconv.EVENTS]
    assert times == sorted(times)
    assert span.start_time <= times[0]
    assert times[-1] <= span.end_time
    for event in span.events:
        assert event.attributes is not None
        assert event.attributes[semconv.OFFSET] == offsets[event.name]


async def test_sub_spans_last_their_network_figure(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """Connect and TLS spans last their figures, inside the setup span, inside the client's."""
    server = serve(answer(), tls=certificates.context())

    checked = await prober.check(server.url())

    split = checked.measured.split
    client = checked.client_span
    (setup,) = checked.named(semconv.SPAN_CONNECTION_SETUP)
    (connect,) = checked.named(semconv.SPAN_SOCKET_CONNECT)
    (handshake,) = checked.named(semconv.SPAN_TLS_HANDSHAKE)
    assert not checked.named(semconv.SPAN_DNS_LOOKUP)
    assert seconds(connect) == pytest.approx(split.connect, abs=1e-9)
    assert seconds(handshake) == pytest.approx(split.tls, abs=1e-9)
    for outer, inner in ((client, setup), (setup, connect), (setup, handshake)):
        assert inner.parent is not None
        assert inner.parent.span_id == outer.context.span_id
        assert outer.start_time <= inner.start_time <= inner.end_time <= outer.end_time
    assert connect.end_time <= handshake.start_time


def seconds(span: Any) -> float:
    return (span.end_time - span.start_time) / 1e9


class SteppingClocks:
    """The clock seam: somebody sets CLOCK_REALTIME by ``step_ns`` after the first reading."""

    def __init__(self, step_ns: int) -> None:
        self._step_ns = step_ns
        self._readings = 0

    def __call__(self) -> kernel.ClockPair:
        pair = kernel.read_clocks()
        self._readings += 1
        if self._readings == 1:
            return pair
        return replace(pair, realtime_ns=pair.realtime_ns + self._step_ns)


@pytest.mark.parametrize("step_seconds", [-3600, -0.01, 0.01, 3600])
async def test_a_clock_step_falls_back_to_our_own_marks(
    serve: Callable[..., FaultServer], step_seconds: float
) -> None:
    """When the clocks moved apart no kernel stamp is used, which is told; figures stay sane."""
    server = serve(answer(delay_seconds=20 * MS))

    async with Prober(clocks=SteppingClocks(int(step_seconds * 1e9))) as prober:
        checked = await prober.check(server.url())

    measured, split = checked.measured, checked.measured.split
    assert checked.probe.failure is None
    assert measured.timing_source is TimingSource.USER
    assert measured.fallback_reason is FallbackReason.CLOCK_STEP
    assert checked.attributes[semconv.TIMING_FALLBACK_REASON] == "clock_step"
    assert split.request is not None
    assert split.own_delay is not None
    # Our own mark of the sending may be late, by what is then own delay.
    assert 19 * MS <= split.request + split.own_delay
    assert parts(split) + split.own_delay <= checked.elapsed
    span = checked.client_span
    assert span.start_time is not None
    assert all(abs(event.timestamp - span.start_time) < 60e9 for event in span.events)


async def test_a_step_that_is_undone_in_time_is_seen_in_the_stamps(
    serve: Callable[..., FaultServer],
) -> None:
    """Stamps that lie on the wrong side of our own marks are not believed either."""
    server = serve(answer(delay_seconds=20 * MS))

    def clocks() -> kernel.ClockPair:
        pair = kernel.read_clocks()  # both readings are off by a second: the stamps are not
        return replace(pair, realtime_ns=pair.realtime_ns + 1_000_000_000)

    async with Prober(clocks=clocks) as prober:
        checked = await prober.check(server.url())

    assert checked.measured.timing_source is TimingSource.USER
    assert checked.measured.fallback_reason is FallbackReason.IMPLAUSIBLE


async def test_a_pending_error_queue_neither_spins_nor_ends_a_wait(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Send stamps wake the reader of a socket with nothing to read: it waits on, and rests."""
    server = serve(answer(delay_seconds=300 * MS))
    cpu = time.thread_time()

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.timing_source is TimingSource.KERNEL
    # A loop that spins on EPOLLERR burns the whole wait.
    assert time.thread_time() - cpu < 150 * MS


async def test_a_socket_without_stamps_falls_back(
    serve: Callable[..., FaultServer], prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that refuses SO_TIMESTAMPING leaves our own marks, and says so."""
    monkeypatch.setattr(kernel, "SO_TIMESTAMPING", 9999)
    server = serve(answer(delay_seconds=20 * MS))

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.timing_source is TimingSource.USER
    assert checked.measured.fallback_reason is FallbackReason.NO_TIMESTAMPS
    assert checked.measured.split.request is not None
    assert checked.measured.split.request >= 19 * MS


async def test_a_failed_exchange_does_not_call_its_wait_our_own(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """The time in which the rest of an answer was waited for in vain is not own delay."""
    server = serve(stalls)

    checked = await prober.check_in_peace(server.url(), timeout_seconds=1.0)

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == "response_timeout"
    assert (checked.measured.split.own_delay or 0.0) < 0.5


def stalls(connection: Any) -> None:
    connection.read_request()
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    connection.hold()


async def test_our_own_slowness_is_own_timeout(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """When our loop stood still for most of the time, the far end is not to blame."""
    server = serve(stalls)

    checked, _ = await asyncio.gather(
        prober.check(server.url(), timeout_seconds=0.4),
        block_event_loop_during(0.6, after_seconds=0.0),
    )

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == "own_timeout"


async def test_an_answer_that_waited_for_us_is_taken_after_the_deadline(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """An answer that lay in our kernel in time is an answer, however late we come to read it."""
    server = serve(answer(delay_seconds=20 * MS))

    checked, _ = await asyncio.gather(
        prober.check(server.url(), timeout_seconds=0.3),
        block_event_loop_during(0.5, after_seconds=5 * MS),
    )

    assert checked.probe.failure is None
    assert checked.measured.split.far_end is not None
    assert checked.measured.split.far_end < 0.2


async def test_tcp_info_is_told(serve: Callable[..., FaultServer], prober: Prober) -> None:
    """Round trips and path MTU of the connection stand on the span; nothing was sent again."""
    server = serve(answer())

    checked = await prober.check(server.url())

    measured = checked.measured
    assert measured.rtt is not None
    assert measured.min_rtt is not None
    assert 0 < measured.min_rtt <= measured.rtt + 1e-9 < 1
    assert measured.pmtu == 65535
    assert (measured.retransmits, measured.dsacks, measured.lost) == (0, 0, 0)
    assert checked.attributes[semconv.TCP_RETRANSMITS] == 0


async def test_a_big_body_does_not_disturb_the_stamps(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """The first byte's stamp is the first's, also when a megabyte follows at once."""
    server = serve(big_body(1024 * 1024))

    checks = [await prober.check(server.url()) for _ in range(5)]

    assert all(checked.probe.failure is None for checked in checks)
    # A busy machine may read so late that one check's stamps are not believed.
    assert TimingSource.KERNEL in {checked.measured.timing_source for checked in checks}


async def test_without_tcp_info_our_marks_stand(
    serve: Callable[..., FaultServer], prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that has no TCP_INFO (gVisor) leaves our own marks, and says so."""
    monkeypatch.setattr(kernel, "TCP_INFO", socket.TCP_MAXSEG)
    server = serve(answer())

    checked = await prober.check(server.url())

    assert checked.measured.timing_source is TimingSource.USER
    assert checked.measured.fallback_reason is FallbackReason.NO_TCP_INFO
