"""probe/dns/health.py: four ports and two tries, against servers that are dead in part."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Iterable

import pytest
from servers.dns import Asked, NameServer, answer

from kubenurse_otel.probe.dns.health import PORTS, Port, health, port, watch
from kubenurse_otel.probe.dns.message import Question, RecordType
from kubenurse_otel.probe.dns.reply import Reply, Server

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
        replies = await health(
            [Server(server.address, server.port)],
            QUESTION,
            timeout_seconds=60.0,
            try_seconds=seconds[0],
            last_seconds=seconds[1],
        )
    found = [port(one) for one in replies]
    assert {state: found.count(state) for state in set(found)} == expected
    assert len({one.port for one in before}) == PORTS


async def test_each_server_has_its_replies() -> None:
    """In the order of resolv.conf; a port where nobody listens is silent, and at once."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        gone = Server("127.0.0.1", taken.getsockname()[1])
    with NameServer(lambda asked: [answer(asked, rcode=2)]) as server:
        here = Server(server.address, server.port)
        replies = await health([gone, here], QUESTION, timeout_seconds=60.0, try_seconds=20.0)
    assert [one.server for one in replies] == [gone] * PORTS + [here] * PORTS
    assert [port(one) for one in replies] == [Port.SILENT] * PORTS + [Port.SOUND] * PORTS


async def test_they_are_checked_once_an_interval_until_nobody_wants_it() -> None:
    """Also after a resolv.conf that could not be read."""
    found: asyncio.Queue[tuple[Reply, ...]] = asyncio.Queue()
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
                interval_seconds=0.05,
                timeout_seconds=5.0,
                on_checked=found.put_nowait,
            )
        )
        async with asyncio.timeout(20):
            replies = [await found.get() for _ in range(2)]
        task.cancel()
        await asyncio.wait([task])
    assert task.cancelled()
    assert [len(one) for one in replies] == [PORTS, PORTS]
