"""probe/dns/health.py: four ports and two tries, against servers that are dead in part."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from servers.dns import Asked, NameServer, answer

from kubenurse_otel import semconv
from kubenurse_otel.model import DnsEndpoint
from kubenurse_otel.probe.dns.health import PORTS, Health, Port, health, port, watch
from kubenurse_otel.probe.dns.message import Question, RecordType
from kubenurse_otel.probe.dns.reply import Server, Transport
from kubenurse_otel.tracing import dns_check

QUESTION = Question("kubernetes.default.svc.cluster.local.", RecordType.A)
Behave = Callable[[Asked, list[Asked]], bool]
"""Whether what is asked is answered; all that was asked before."""


def sound(asked: Asked, before: list[Asked]) -> bool:
    return True


def dead(asked: Asked, before: list[Asked]) -> bool:
    return False


def one_port_dead(asked: Asked, before: list[Asked]) -> bool:
    """As behind a Service one replica of several: whoever asked first, by port."""
    return bool(before) and asked.port != before[0].port


def first_try_lost(asked: Asked, before: list[Asked]) -> bool:
    return asked.port in {one.port for one in before}


@pytest.mark.parametrize(
    ("behave", "seconds", "expected"),
    [
        (sound, (20.0, 1.0), {Port.SOUND: PORTS}),
        (dead, (0.1, 0.1), {Port.SILENT: PORTS}),
        (one_port_dead, (4.0, 0.1), {Port.SILENT: 1, Port.SOUND: PORTS - 1}),
        (first_try_lost, (0.3, 20.0), {Port.HALF: PORTS}),
    ],
)
async def test_what_ports_tell(
    behave: Behave, seconds: tuple[float, float], expected: dict[Port, int]
) -> None:
    """A dead server, a dead replica and lost packets each look like themselves.

    ``seconds`` are a try's and the last try's: a busy machine is no finding.
    """
    before: list[Asked] = []

    def answers(asked: Asked) -> Iterable[bytes]:
        is_answered = behave(asked, before)
        before.append(asked)
        return [answer(asked, "10.96.0.1")] if is_answered else []

    with NameServer(answers) as server:
        checked = await health(
            [Server(server.address, server.port)],
            QUESTION,
            timeout_seconds=60.0,
            try_seconds=seconds[0],
            last_seconds=seconds[1],
        )
    found = [port(one) for one in checked.ports]
    assert {state: found.count(state) for state in set(found)} == expected
    assert len({one.port for one in before}) == PORTS


async def test_a_late_answer_to_the_first_try_is_no_lost_packet() -> None:
    """The server is slow: it answers what was asked at first when we have asked again."""
    first: dict[int, Asked] = {}

    def answers(asked: Asked) -> Iterable[bytes]:
        if first.setdefault(asked.port, asked) is asked:
            return []
        return [answer(first[asked.port], "10.96.0.1"), answer(asked, "10.96.0.1")]

    with NameServer(answers) as server:
        checked = await health(
            [Server(server.address, server.port)],
            QUESTION,
            timeout_seconds=60.0,
            try_seconds=0.3,
            last_seconds=20.0,
        )
    assert [2] * PORTS == [one.tries for one in checked.ports]
    assert [Port.SOUND] * PORTS == [port(one) for one in checked.ports]


async def test_each_server_has_its_replies() -> None:
    """In the order of resolv.conf; a port where nobody listens is silent, and at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        gone = Server("127.0.0.1", taken.getsockname()[1])
    with NameServer(lambda asked: [answer(asked, rcode=2)]) as server:
        here = Server(server.address, server.port)
        checked = await health([gone, here], QUESTION, timeout_seconds=60.0, try_seconds=20.0)
    replies = checked.ports
    assert [one.server for one in replies] == [gone] * PORTS + [here] * PORTS
    assert [port(one) for one in replies] == [Port.SILENT] * PORTS + [Port.SOUND] * PORTS


def endpoint(server: NameServer, *, tcp: bool = True) -> DnsEndpoint:
    return DnsEndpoint(
        address=server.address, udp_port=server.port, tcp_port=server.port if tcp else None
    )


def by_udp_alone(asked: Asked) -> Iterable[bytes]:
    return [answer(asked)] if asked.transport == "udp" else []


def by_tcp_alone(asked: Asked) -> Iterable[bytes]:
    return [answer(asked)] if asked.transport == "tcp" else []


def cut_short(asked: Asked) -> Iterable[bytes]:
    return [answer(asked, truncated=True)] if asked.transport == "udp" else []


async def test_each_endpoint_is_asked_by_its_own_address_udp_and_tcp_apart() -> None:
    """Who answers what, whatever the others do; a port where nobody listens is silent at once."""
    with contextlib.ExitStack() as stack:
        behaviours = [lambda asked: [answer(asked)], by_udp_alone, by_tcp_alone, cut_short]
        servers = [stack.enter_context(NameServer(one)) for one in behaviours]
        with NameServer(lambda _: []) as gone:
            left = endpoint(gone)
        asked = [endpoint(one) for one in servers]
        checked = await health(
            [],
            QUESTION,
            endpoints=[*asked, endpoint(servers[0], tcp=False), left],
            timeout_seconds=60.0,
            try_seconds=2.0,
            last_seconds=2.0,
        )
    assert checked.ports == ()
    told = [(one.endpoint.udp_port, one.transport, one.is_answered) for one in checked.endpoints]
    udp, tcp = Transport.UDP, Transport.TCP
    one, two, three, four = (server.port for server in servers)
    assert told == [
        (one, udp, True),
        (one, tcp, True),
        (two, udp, True),
        (two, tcp, False),
        (three, udp, False),
        (three, tcp, True),
        (four, udp, True),  # it answers, if not all of it
        (four, tcp, False),
        (one, udp, True),
        (left.udp_port, udp, False),
        (left.udp_port, tcp, False),
    ]
    assert {asked.transport for asked in servers[0].asked} == {"udp", "tcp"}
    outcomes = [one.reply.outcome for one in checked.endpoints]
    assert outcomes[2:4] == ["nodata", "silent"]
    assert outcomes[-2:] == ["unreachable", "unreachable"]


@pytest.mark.parametrize(("answering", "outcome"), [(False, "ok"), (True, "failed")])
async def test_endpoints_that_nobody_may_reach_make_no_check_bad(
    *, answering: bool, outcome: str
) -> None:
    """A policy lets pass by the Service alone: no check failed, and no trace is kept of each."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with NameServer(lambda asked: [answer(asked)]) as server:
        with NameServer(lambda _: []) as gone:
            left = endpoint(gone)
        checked = await health(
            [Server(server.address, server.port)],
            QUESTION,
            endpoints=[left, *([endpoint(server)] if answering else [])],
            timeout_seconds=60.0,
            try_seconds=5.0,
            last_seconds=5.0,
        )
    dns_check.tell(provider.get_tracer(__name__), checked, sub_spans=False)
    (root,) = exporter.get_finished_spans()
    assert root.attributes is not None
    assert root.attributes[semconv.OUTCOME] == outcome
    assert "unreachable" in str(root.attributes[semconv.DNS_ENDPOINT_OUTCOMES])


async def test_they_are_checked_once_an_interval_until_nobody_wants_it() -> None:
    """Also after a resolv.conf that could not be read."""
    found: asyncio.Queue[Health] = asyncio.Queue()
    asked: list[int] = []

    def servers() -> list[Server]:
        asked.append(len(asked))
        if len(asked) == 1:
            raise PermissionError("resolv.conf")
        return [Server(server.address, server.port)]

    with NameServer(lambda asked: [answer(asked)]) as server:
        task = asyncio.create_task(
            watch(
                servers,
                QUESTION,
                endpoints=lambda: [endpoint(server)],
                interval_seconds=0.05,
                timeout_seconds=5.0,
                on_checked=found.put_nowait,
            )
        )
        async with asyncio.timeout(20):
            checked = [await found.get() for _ in range(2)]
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert [len(one.ports) for one in checked] == [PORTS, PORTS]
    assert [len(one.endpoints) for one in checked] == [2, 2]
