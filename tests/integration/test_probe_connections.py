"""Addresses, families and reuse: which connection carries a check, and what is told."""

from __future__ import annotations

import asyncio
import socket
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from opentelemetry.trace import StatusCode
from ports import free_port
from probing import Prober, failures_as_the_ca_changes, open_files
from servers import BEHAVIOURS, answer, full_backlog
from waiting import until

from kubenurse_otel import semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase, TimingSource, Url
from kubenurse_otel.probe.resolve import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Certificates, FaultServer


@pytest.fixture
def both_families(serve: Callable[..., FaultServer]) -> tuple[FaultServer, FaultServer]:
    """A server on ::1 and one on 127.0.0.1, on the same port."""
    port = free_port()
    return serve(answer(), host="::1", port=port), serve(answer(), port=port)


async def test_the_peer_is_the_real_address(
    serve: Callable[..., FaultServer],
) -> None:
    """A name's check tells the address that answered, not the name, on span and measurement."""
    server = serve(answer())

    async with Prober(names={"agent.test": ["127.0.0.1"]}) as prober:
        checked = await prober.check(server.url(host="agent.test"))

    assert checked.attributes[semconv.NETWORK_PEER_ADDRESS] == "127.0.0.1"
    assert checked.attributes[semconv.NETWORK_PEER_PORT] == server.port
    assert checked.attributes[semconv.SERVER_ADDRESS] == "agent.test"
    assert (checked.measured.peer_address, checked.measured.peer_port) == ("127.0.0.1", server.port)
    assert checked.events[:3] == ["dns_start", "dns_done", "connect_start"]
    (lookup,) = checked.named(semconv.SPAN_DNS_LOOKUP)
    assert lookup.attributes is not None
    assert lookup.attributes[semconv.DNS_QUESTION_NAME] == "agent.test"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_address_is_not_looked_up(serve: Callable[..., FaultServer], host: str) -> None:
    """There is no DNS phase, span or event for an address, in brackets or not."""
    server = serve(answer(), host=host)

    async with Prober(names={}) as prober:
        checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.peer_address == host
    assert checked.measured.split.dns is None
    assert "dns_start" not in checked.events
    assert not checked.named(semconv.SPAN_DNS_LOOKUP)
    expected = f"[{host}]:{server.port}" if ":" in host else f"{host}:{server.port}"
    assert server.requests[0].headers["host"] == expected


async def test_a_refused_family_is_not_hidden_by_the_other(
    serve: Callable[..., FaultServer],
) -> None:
    """When IPv6 is refused and IPv4 answers, the check is good and the failure is counted."""
    server = serve(answer())

    async with Prober(names={"agent.test": ["::1", "127.0.0.1"]}) as prober:
        checked = await prober.check(server.url(host="agent.test"))

    assert checked.probe.failure is None
    assert checked.measured.peer_address == "127.0.0.1"
    assert checked.measured.address_failures == ("ipv6",)
    assert checked.attributes[semconv.ADDRESS_FAILURES] == ("ipv6",)
    refused, used = checked.named(semconv.SPAN_SOCKET_CONNECT)
    assert refused.status.status_code is StatusCode.ERROR
    assert refused.attributes is not None
    assert refused.attributes[semconv.ERROR_TYPE] == ErrorType.CONNECTION_REFUSED
    assert used.status.status_code is StatusCode.UNSET
    assert checked.elapsed < 5
    assert checked.events.count("connect_done") == 1


async def test_a_silent_address_costs_an_attempt_delay(
    serve: Callable[..., FaultServer],
) -> None:
    """A dead first address is overtaken after 250 ms, abandoned and counted; not an error."""
    with full_backlog("127.0.0.2") as (_, port):
        server = serve(answer(), port=port)

        async with Prober(names={"agent.test": ["127.0.0.2", "127.0.0.1"]}) as prober:
            checked = await prober.check(server.url(host="agent.test"))

    assert checked.probe.failure is None
    assert checked.measured.peer_address == "127.0.0.1"
    assert checked.measured.address_failures == ("ipv4",)
    dead = next(
        span
        for span in checked.named(semconv.SPAN_SOCKET_CONNECT)
        if (span.attributes or {})[semconv.NETWORK_PEER_ADDRESS] == "127.0.0.2"
    )
    assert dead.status.status_code is StatusCode.UNSET
    assert (dead.attributes or {})[semconv.ABANDONED] is True
    assert checked.measured.split.connect is not None
    assert 0.249 <= checked.measured.split.connect <= checked.elapsed


async def test_a_sound_first_address_is_the_only_one(
    both_families: tuple[FaultServer, FaultServer],
) -> None:
    """The other family is not bothered when the first answers within the attempt delay."""
    six, four = both_families

    async with Prober(names={"agent.test": ["::1", "127.0.0.1"]}) as prober:
        checked = await prober.check(f"http://agent.test:{six.port}/")

    assert checked.measured.peer_address == "::1"
    assert checked.measured.address_failures == ()
    assert checked.measured.timing_source is TimingSource.KERNEL
    assert (six.accepted, four.accepted) == (1, 0)


class LateResolver:
    """Two addresses at once, and a loop that stands still while the first one connects."""

    async def __call__(self, host: str, *, deadline: float) -> Answer:  # noqa: ARG002 - the seam's
        asyncio.get_running_loop().call_later(0.001, time.sleep, 0.3)
        now = time.monotonic_ns()
        return Answer(("127.0.0.1", "127.0.0.2"), now, now)


async def test_our_own_slowness_fails_no_address(serve: Callable[..., FaultServer]) -> None:
    """If we were too late to see the first address answer, it is neither dead nor counted."""
    port = free_port()
    first, second = serve(answer(), port=port), serve(answer(), host="127.0.0.2", port=port)

    async with Prober(resolve=LateResolver()) as prober:
        for _ in range(6):
            checked = await prober.check(f"http://agent.test:{first.port}/")

            assert checked.probe.failure is None
            assert checked.measured.address_failures == ()
            (used,) = [
                span
                for span in checked.named(semconv.SPAN_SOCKET_CONNECT)
                if not (span.attributes or {}).get(semconv.ABANDONED)
            ]
            peer = (used.attributes or {})[semconv.NETWORK_PEER_ADDRESS]
            assert checked.measured.peer_address == peer
    await until(lambda: first.open_connections + second.open_connections == 0)


async def test_all_addresses_dead_is_one_failure(closed_port: int) -> None:
    """Each address is tried once, and the check fails once, in the phase connect."""
    names = {"agent.test": ["127.0.0.1", "::1", "127.0.0.2", "127.0.0.3"]}

    async with Prober(names=names) as prober:
        files = open_files()
        checked = await prober.check(f"http://agent.test:{closed_port}/")
        assert open_files() == files

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.CONNECTION_REFUSED, Phase.CONNECT)
    assert sorted(checked.measured.address_failures) == ["ipv4", "ipv4", "ipv4", "ipv6"]
    assert len(checked.named(semconv.SPAN_SOCKET_CONNECT)) == 4


async def test_dead_addresses_do_not_outlast_the_timeout() -> None:
    """Many silent addresses together get the check's time, not each its own."""
    with full_backlog("127.0.0.2") as (_, port):
        async with Prober(names={"agent.test": ["127.0.0.2"] * 2}) as prober:
            files, tasks = open_files(), len(asyncio.all_tasks())
            url = f"http://agent.test:{port}/"
            checked = await prober.check_in_peace(url, timeout_seconds=0.6)
            assert (open_files(), len(asyncio.all_tasks())) == (files, tasks)

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == ErrorType.CONNECT_TIMEOUT
    assert 0.6 <= checked.elapsed < 3


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), ErrorType.HOST_NOT_FOUND),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure"), ErrorType.DNS_SERVER_FAILURE),
    ],
)
async def test_a_failed_look_up(error: OSError, error_type: ErrorType) -> None:
    """A name without addresses fails at dns_done, before any connect."""
    async with Prober(names={"agent.test": error}) as prober:
        checked = await prober.check("http://agent.test:8080/")

    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (error_type, Phase.DNS)
    assert failure.event == "dns_done"
    assert checked.events == ["dns_start"]
    (lookup,) = checked.named(semconv.SPAN_DNS_LOOKUP)
    assert lookup.status.status_code is StatusCode.ERROR


# --- reuse ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
async def test_a_connection_is_reused(
    *,
    serve: Callable[..., FaultServer],
    prober: Prober,
    certificates: Certificates,
    encrypted: bool,
) -> None:
    """With reuse the second check has no setup, its own figures, and says that it was reused."""
    server = serve(answer(delay_seconds=0.01), tls=certificates.context() if encrypted else None)

    first = await prober.check(server.url(), reuse_connection=True)
    second = await prober.check(server.url(), reuse_connection=True)

    assert (first.measured.connection_reused, second.measured.connection_reused) == (False, True)
    assert server.accepted == 1
    assert [request.headers.get("connection") for request in server.requests] != ["close"] * 2
    split = second.measured.split
    assert (split.dns, split.connect, split.tls) == (None, None, None)
    assert second.measured.timing_source is TimingSource.KERNEL
    assert second.measured.round_trip_source == "min_rtt"
    assert split.far_end is not None
    assert split.far_end >= 0.009
    assert second.events == ["got_conn", "wrote_request", "got_first_resp_byte"]
    assert not second.named(semconv.SPAN_CONNECTION_SETUP)


async def test_without_reuse_every_check_connects(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Each check has a connection of its own, closed when it is over."""
    server = serve(answer())

    for _ in range(3):
        await prober.check(server.url())

    assert server.accepted == 3
    await until(lambda: server.open_connections == 0)


async def test_an_idle_connection_that_was_closed_is_no_failure(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A far end that closes idle connections costs a new one, and nothing is counted."""
    server = serve(answer(requests=1))

    first = await prober.check(server.url(), reuse_connection=True)
    await until(lambda: server.open_connections == 0)
    second = await prober.check(server.url(), reuse_connection=True)

    assert (first.probe.failure, second.probe.failure) == (None, None)
    assert second.measured.connection_reused is False
    assert server.accepted == 2


async def test_a_reused_connection_that_dies_under_the_request_is_tried_anew(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A reset that raced with our write says nothing of the target (RFC 9112 section 9.3.1)."""

    def behave(connection: object) -> None:
        if server.accepted > 1:
            answer()(connection)  # type: ignore[arg-type]
        else:
            answer(requests=1)(connection)  # type: ignore[arg-type]
            BEHAVIOURS["reset_before_reading"](connection)  # type: ignore[arg-type]

    server = serve(behave)
    await prober.check(server.url(), reuse_connection=True)

    second = await prober.check(server.url(), reuse_connection=True)

    assert second.probe.failure is None
    assert second.measured.connection_reused is False
    assert second.measured.split.connect is not None


async def test_a_reused_connection_that_dies_in_the_answer_is_a_failure(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Half an answer came from a living far end: asking again would hide it."""

    def behave(connection: object) -> None:
        answer(requests=1)(connection)  # type: ignore[arg-type]
        BEHAVIOURS["cut_mid_body"](connection)  # type: ignore[arg-type]

    server = serve(behave)
    await prober.check(server.url(), reuse_connection=True)

    second = await prober.check(server.url(), reuse_connection=True)

    assert second.probe.failure is not None
    assert second.probe.failure.error_type == ErrorType.CONNECTION_CLOSED_EARLY
    assert server.accepted == 1


async def test_a_second_try_does_not_get_a_second_timeout(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """The total timeout holds over both connections."""

    def behave(connection: object) -> None:
        if server.accepted > 1:
            BEHAVIOURS["silent"](connection)  # type: ignore[arg-type]
        else:
            answer(requests=1)(connection)  # type: ignore[arg-type]
            connection.wait_readable()  # type: ignore[attr-defined]
            connection.sleep(2)  # type: ignore[attr-defined]
            connection.reset()  # type: ignore[attr-defined]

    server = serve(behave)
    await prober.check(server.url(), reuse_connection=True)

    second = await prober.check(server.url(), reuse_connection=True, timeout_seconds=2.5)

    assert second.probe.failure is not None
    assert second.elapsed < 4  # not 2 + 2.5


@pytest.mark.parametrize(
    "name", ["http_1_0", "big_body", "cut_mid_body", "garbage_ssh", "half_closed"]
)
async def test_only_a_whole_sound_exchange_leaves_a_connection(
    serve: Callable[..., FaultServer], prober: Prober, name: str
) -> None:
    """Whatever did not end cleanly is closed, not kept."""
    server = serve(BEHAVIOURS[name])
    files = open_files()

    await prober.check(server.url(), reuse_connection=True)

    await until(lambda: server.open_connections == 0)
    assert open_files() == files


async def test_the_transport_closes_what_it_kept(
    serve: Callable[..., FaultServer],
) -> None:
    """``retain`` drops the connections of targets that are gone or elsewhere, ``close`` all."""
    server = serve(answer())
    async with Prober() as prober:
        targets = []
        for key in ("path_a", "path_b", "path_c"):
            checked = await prober.check(server.url(), key=key, reuse_connection=True)
            targets.append(checked.probe.target)
        assert server.open_connections == 3

        elsewhere = Url.of("http", "127.0.0.2", 1, "/")
        prober.prober.retain([targets[0], replace(targets[1], url=elsewhere)])
        await until(lambda: server.open_connections == 1)


@pytest.mark.parametrize("server_name", [None, "localhost"])
async def test_a_target_that_moved_is_asked_where_it_is_now(
    serve: Callable[..., FaultServer], certificates: Certificates, server_name: str | None
) -> None:
    """Its old address's connection is closed, not asked: another pod may answer there."""
    context = certificates.context() if server_name else None
    old, new = serve(answer(), tls=context), serve(answer(), tls=context)
    async with Prober(ca_file=certificates.ca_file) as prober:
        for server in (old, new, new):
            checked = await prober.check_path(
                server.url(), reuse_connection=True, server_name=server_name
            )
            assert checked.probe.failure is None
            assert checked.measured.peer_port == server.port
        await until(lambda: old.open_connections == 0)

    assert (len(old.requests), len(new.requests)) == (1, 2)
    assert len({request.peer for request in new.requests}) == 1


async def test_a_connection_is_as_good_as_those_who_vouched_for_it(
    serve: Callable[..., FaultServer], certificates: Certificates, tmp_path: Path
) -> None:
    """A new CA file ends what the old one let in; with the same files the connection is kept."""
    server = serve(answer(), tls=certificates.context())

    found = await failures_as_the_ca_changes(
        certificates,
        tmp_path / "ca.crt",
        lambda prober: prober.check_api_server(server.url(), reuse_connection=True),
    )

    assert found == [None, None, ErrorType.TLS_CERTIFICATE_UNTRUSTED]
    assert len({request.peer for request in server.requests}) == 1

    await until(lambda: server.open_connections == 0)
