"""The transport against servers that misbehave: what went wrong, where, in which words."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry.trace import StatusCode
from probing import open_files
from servers import BEHAVIOURS, answer_bytes, full_backlog, speaks_first
from waiting import until

from kubenurse_otel import semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase

if TYPE_CHECKING:
    from collections.abc import Callable

    from probing import Checked, Prober
    from servers import Certificates, FaultServer

SOON = 1.0
"""Seconds: the whole time of a check whose far end never ends it."""

ROUND_TRIP_ERROR = semconv.EVENT_ROUND_TRIP_ERROR

PLAIN = [
    # behaviour, error type, phase, timeout
    ("reset_before_reading", ErrorType.CONNECTION_RESET, Phase.REQUEST, 10),
    ("reset_after_request", ErrorType.CONNECTION_RESET, Phase.REQUEST, 10),
    ("reset_mid_body", ErrorType.CONNECTION_RESET, Phase.RECEIVE, 10),
    ("cut", ErrorType.CONNECTION_CLOSED_EARLY, Phase.REQUEST, 10),
    ("cut_mid_body", ErrorType.CONNECTION_CLOSED_EARLY, Phase.RECEIVE, 10),
    ("half_head", ErrorType.CONNECTION_CLOSED_EARLY, Phase.RECEIVE, 10),
    ("silent", ErrorType.RESPONSE_TIMEOUT, Phase.REQUEST, SOON),
    ("dribble_head", ErrorType.RESPONSE_TIMEOUT, Phase.RECEIVE, SOON),
    ("dribble_body", ErrorType.RESPONSE_TIMEOUT, Phase.RECEIVE, SOON),
    ("endless_head", ErrorType.RESPONSE_HEAD_TOO_LARGE, Phase.RECEIVE, 10),
    ("endless_interim", ErrorType.MALFORMED_RESPONSE, Phase.RECEIVE, 10),
    *(
        (name, ErrorType.MALFORMED_RESPONSE, Phase.RECEIVE, 10)
        for name in BEHAVIOURS
        if name.startswith("garbage_")
    ),
]


def assert_failed(
    checked: Checked, error_type: ErrorType, phase: Phase, event: str = ROUND_TRIP_ERROR
) -> None:
    """The failure is the same in what is returned and on the span; no duration."""
    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase, failure.event) == (error_type, phase, event)
    assert checked.probe.reply is None
    assert issubclass(getattr(httpx, checked.raised), httpx.TransportError)
    assert checked.client_span.status.status_code is StatusCode.ERROR
    found = checked.attributes
    assert found[semconv.FAILURE_ERROR_TYPE] == error_type
    assert found[semconv.FAILURE_PHASE] == phase
    assert found[semconv.FAILURE_EVENT] == event
    assert found[semconv.FAILURE_MESSAGE] == failure.message
    assert semconv.DURATION not in found


@pytest.mark.parametrize("case", PLAIN, ids=[case[0] for case in PLAIN])
async def test_a_fault_has_its_error_type_and_phase(
    serve: Callable[..., FaultServer],
    prober: Prober,
    case: tuple[str, ErrorType, Phase, float],
) -> None:
    """Each way in which a plain server fails has its word, its phase and kubenurse's event."""
    name, error_type, phase, timeout_seconds = case
    server = serve(BEHAVIOURS[name])

    checked = await prober.check_in_peace(server.url(), timeout_seconds=timeout_seconds)

    assert_failed(checked, error_type, phase)


async def test_a_reset_on_accept_is_a_reset(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """An RST that races with our request is one error, whether the write or the read met it."""
    server = serve(BEHAVIOURS["reset_on_accept"])

    checked = await prober.check(server.url())

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.CONNECTION_RESET
    assert failure.phase in {Phase.CONNECT, Phase.REQUEST}
    assert failure.event in {"connect_done", "wrote_request", ROUND_TRIP_ERROR}


async def test_a_refused_connection(closed_port: int, prober: Prober) -> None:
    """A closed port is connection_refused at connect_done; only connect_start was reached."""
    checked = await prober.check(f"http://127.0.0.1:{closed_port}/")

    assert_failed(checked, ErrorType.CONNECTION_REFUSED, Phase.CONNECT, "connect_done")
    assert checked.raised == "ConnectError"
    assert checked.events == ["connect_start"]


async def test_a_full_backlog_is_a_connect_timeout(prober: Prober) -> None:
    """A listener that drops our SYN costs the whole time and no more."""
    with full_backlog() as (host, port):
        checked = await prober.check_in_peace(f"http://{host}:{port}/", timeout_seconds=SOON)

    assert_failed(checked, ErrorType.CONNECT_TIMEOUT, Phase.CONNECT, "connect_done")
    assert checked.raised == "ConnectTimeout"


async def test_a_request_that_nobody_reads_times_out_while_it_is_written(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """When the far end's buffers are full the failing step is the write of the request."""

    def read_nothing(connection: object) -> None:
        server.stopping.wait()

    server = serve(read_nothing)
    headers = tuple((f"X-Filler-{number}", "x" * 60_000) for number in range(150))

    # Not so soon that making nine megabytes of headers would be most of it.
    checked = await prober.check_in_peace(server.url(), timeout_seconds=2 * SOON, headers=headers)

    assert_failed(checked, ErrorType.RESPONSE_TIMEOUT, Phase.REQUEST, "wrote_request")
    assert "sending the request" in checked.probe.failure.message  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["silent", "dribble_head", "dribble_body"])
async def test_the_timeout_is_total(
    serve: Callable[..., FaultServer], prober: Prober, name: str
) -> None:
    """Bytes that keep coming do not buy a far end more time."""
    server = serve(BEHAVIOURS[name])

    checked = await prober.check_in_peace(server.url(), timeout_seconds=SOON)

    assert SOON <= checked.elapsed < 10 * SOON
    assert checked.raised == "ReadTimeout"


async def test_a_status_is_no_failure_of_the_transport(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A 503 is a whole answer, with all its figures: who asked decides whether it is good."""
    server = serve(BEHAVIOURS["unavailable"])

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.status_code == 503
    assert checked.attributes[semconv.DURATION] > 0


@pytest.mark.parametrize(
    ("data", "phase"),
    [(b"", Phase.REQUEST), (b"HTTP/1.1 200 OK\r\n", Phase.RECEIVE)],
    ids=["nothing", "half a head"],
)
async def test_a_close_tells_what_was_reached(
    serve: Callable[..., FaultServer], prober: Prober, data: bytes, phase: Phase
) -> None:
    """got_first_resp_byte is there exactly if a byte of the answer came."""
    server = serve(answer_bytes(data))

    checked = await prober.check(server.url())

    assert_failed(checked, ErrorType.CONNECTION_CLOSED_EARLY, phase)
    reached = ["connect_start", "connect_done", "got_conn", "wrote_request"]
    assert checked.events == reached + (["got_first_resp_byte"] if data else [])


async def test_garbage_on_a_connection_that_stays_open_is_seen_at_once(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """An SSH banner is malformed, and not a timeout, though the blank line never comes."""
    server = serve(speaks_first(b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"))

    checked = await prober.check(server.url(), timeout_seconds=5)

    assert_failed(checked, ErrorType.MALFORMED_RESPONSE, Phase.RECEIVE)


async def test_nothing_is_left_behind_by_any_fault(
    serve: Callable[..., FaultServer], prober: Prober, certificates: Certificates
) -> None:
    """After every fault, plain and in TLS, no file and no task is left on our side."""
    servers = [serve(behaviour) for behaviour in BEHAVIOURS.values()]
    servers += [serve(BEHAVIOURS[n], tls=certificates.context()) for n in ("ok", "silent", "cut")]
    urls = [server.url() for server in servers]
    urls += [server.url(scheme="https") for server in servers[:20]]
    await prober.check(urls[0])
    await until(lambda: servers[0].open_connections == 0)
    files, tasks = open_files(), len(asyncio.all_tasks())

    await asyncio.gather(*(prober.check(url, timeout_seconds=0.5) for url in urls))

    await until(lambda: sum(server.open_connections for server in servers) == 0)
    assert (open_files(), len(asyncio.all_tasks())) == (files, tasks)


async def test_a_cancelled_check_leaves_nothing(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Shutdown cancels a check at once, in whatever phase; the far end sees the connection go."""
    server = serve(BEHAVIOURS["silent"])
    files = open_files()
    task = asyncio.create_task(prober.check(server.url()))
    await until(lambda: server.open_connections == 1)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await until(lambda: server.open_connections == 0)
    assert open_files() == files


async def test_checks_do_not_wait_for_each_other(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """With twenty dead peers in flight a sound one is answered as if they were not there."""
    dead, sound = serve(BEHAVIOURS["silent"]), serve(BEHAVIOURS["ok"])
    waiting = [asyncio.create_task(prober.check(dead.url())) for _ in range(20)]
    await until(lambda: dead.open_connections == 20)

    checked = await prober.check(sound.url())

    assert checked.probe.failure is None
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_the_prober_survives_running_out_of_files(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """EMFILE is our own trouble: a failure without a word of its own, and no crash."""
    import resource

    server = serve(BEHAVIOURS["ok"])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hoard: list[socket.socket] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() + 5, hard))
    try:
        while True:
            hoard.append(socket.socket())
    except OSError:
        checked = await prober.check(server.url())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in hoard:
            sock.close()

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.OTHER
    assert "EMFILE" in failure.message
    assert (await prober.check(server.url())).probe.failure is None
