"""Check the name servers themselves: the same question from several source ports, each tried twice.

A Service's NAT chooses the replica by the source port, and keeps to it. So if one of several
replicas is dead, a share of the ports gets no answer. If packets are lost, some ports get theirs at
the second try. If the server is dead, no port gets any. Ports cannot tell which replica it is. So
if the Service's endpoints are known, each is also asked at its own address, by UDP and by TCP.
"""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel import unhandled
from kubenurse_otel.probe.dns.ask import ask
from kubenurse_otel.probe.dns.reply import Ending, Server, Transport
from kubenurse_otel.record import record
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from kubenurse_otel.model import DnsEndpoint
    from kubenurse_otel.probe.dns.message import Question
    from kubenurse_otel.probe.dns.reply import Reply

_log = logging.getLogger(__name__)

PORTS: Final = 4
TRIES: Final = 2
TRY_SECONDS: Final = 0.5
LAST_SECONDS: Final = 1.5
"""Seconds for the second try, because a slow server is not dead."""


class Port(StrEnum):
    """The result of one source port."""

    SOUND = "sound"
    HALF = "half"
    """Only the second try was answered: the query or the answer of the first one was lost."""
    SILENT = "silent"
    """Neither try was answered, or ICMP says that nobody is there."""


def port(reply: Reply) -> Port:
    if reply.ending is not Ending.ANSWERED and not reply.is_truncated:
        return Port.SILENT
    return Port.HALF if reply.tries > 1 and not reply.is_late else Port.SOUND


@record(frozen=True, slots=True)
class OfEndpoint:
    """What came of asking ``endpoint`` by ``transport`` (``reply`` may have gone on by TCP)."""

    endpoint: DnsEndpoint
    transport: Transport
    reply: Reply

    @property
    def way(self) -> tuple[Transport, bool]:
        """The transport, and whether it is by IPv6."""
        return self.transport, self.endpoint.is_ipv6

    @property
    def is_answered(self) -> bool:
        return port(self.reply) is not Port.SILENT


@record(frozen=True, slots=True)
class Health:
    """``ports`` are one reply per source port, server by server."""

    ports: tuple[Reply, ...]
    endpoints: tuple[OfEndpoint, ...] = ()

    @property
    def is_bad(self) -> bool:
        """Whether a port is silent, or an endpoint is silent while another one answers in the same
        way (transport and IP version).

        If no endpoint answers, that is not bad: a network policy may allow the Service only.
        """
        ways = {one.way for one in self.endpoints if one.is_answered}
        return any(port(one) is Port.SILENT for one in self.ports) or any(
            one.way in ways and not one.is_answered for one in self.endpoints
        )


async def health(
    servers: Sequence[Server],
    question: Question,
    *,
    endpoints: Sequence[DnsEndpoint] = (),
    timeout_seconds: float,
    try_seconds: float = TRY_SECONDS,
    last_seconds: float = LAST_SECONDS,
) -> Health:
    """Ask all servers and all endpoints at the same time.

    This ends with the last try, and after ``timeout_seconds`` at the latest. Raises BadNameError
    only.
    """
    seconds = min(timeout_seconds, try_seconds + last_seconds)
    deadline = asyncio.get_running_loop().time() + seconds

    async def asked_by(transport: Transport, server: Server) -> Reply:
        return await ask(
            server,
            question,
            deadline=deadline,
            try_seconds=try_seconds,
            most_tries=TRIES,
            transport=transport,
        )

    asked = [server for server in servers for _ in range(PORTS)]
    apart = list(_each_transport(endpoints))
    replies = await asyncio.gather(
        *(asked_by(Transport.UDP, server) for server in asked),
        *(asked_by(transport, server) for _, transport, server in apart),
    )
    of_endpoints = zip(apart, replies[len(asked) :], strict=True)
    return Health(
        tuple(replies[: len(asked)]),
        tuple(
            OfEndpoint(endpoint, transport, reply)
            for (endpoint, transport, _), reply in of_endpoints
        ),
    )


def _each_transport(
    endpoints: Sequence[DnsEndpoint],
) -> Iterator[tuple[DnsEndpoint, Transport, Server]]:
    for one in endpoints:
        yield one, Transport.UDP, Server(one.address, one.udp_port)
        if one.tcp_port is not None:
            yield one, Transport.TCP, Server(one.address, one.tcp_port)


async def watch(
    servers: Callable[[], Sequence[Server]],
    question: Question,
    *,
    endpoints: Callable[[], Sequence[DnsEndpoint]],
    interval_seconds: float,
    timeout_seconds: float,
    on_checked: Callable[[Health], None],
) -> None:
    """Check the name servers once per interval, until cancelled. The first check is one interval
    from now.
    """
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + interval_seconds, loop.time())
        await asyncio.sleep(due - loop.time())
        try:
            checked = await health(
                servers(), question, endpoints=endpoints(), timeout_seconds=timeout_seconds
            )
            on_checked(checked)
        except OSError as error:
            _log.warning("resolv.conf cannot be read, no name server is checked: %s", error)
        except Exception as error:  # noqa: BLE001 - the edge of one check: a bug must not end others
            unhandled.caught(Part.CHECK, error, about="the name servers")
