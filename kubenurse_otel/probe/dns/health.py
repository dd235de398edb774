"""The name servers themselves: the same question from several source ports, each tried twice.

A Service's NAT picks the replica by the source port, and stays with it: so one dead replica of
several is a share of ports that never answer, packet loss is ports that answer at the second try,
and a dead server is silence on all of them.
"""

from __future__ import annotations

import asyncio
import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel import unhandled
from kubenurse_otel.probe.dns.ask import ask
from kubenurse_otel.probe.dns.reply import Ending
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubenurse_otel.probe.dns.message import Question
    from kubenurse_otel.probe.dns.reply import Reply, Server

_log = logging.getLogger(__name__)

PORTS: Final = 4
TRIES: Final = 2
TRY_SECONDS: Final = 0.5
LAST_SECONDS: Final = 1.5
"""For the second try: a server that is slow is not dead."""


class Port(StrEnum):
    """What came of one source port."""

    SOUND = "sound"
    HALF = "half"
    """Only the second try was answered."""
    SILENT = "silent"
    """Neither was; or ICMP says that nobody is there."""


def port(reply: Reply) -> Port:
    if reply.ending is not Ending.ANSWERED:
        return Port.SILENT
    return Port.HALF if reply.tries > 1 else Port.SOUND


async def health(
    servers: Sequence[Server],
    question: Question,
    *,
    timeout_seconds: float,
    try_seconds: float = TRY_SECONDS,
    last_seconds: float = LAST_SECONDS,
) -> tuple[Reply, ...]:
    """Ask all of them; a reply a port. Over in ``timeout_seconds``, and when the last try is.

    Raises BadNameError alone.
    """
    seconds = min(timeout_seconds, try_seconds + last_seconds)
    deadline = asyncio.get_running_loop().time() + seconds
    replies = await asyncio.gather(
        *(
            ask(server, question, deadline=deadline, try_seconds=try_seconds, most_tries=TRIES)
            for server in servers
            for _ in range(PORTS)
        )
    )
    return tuple(replies)


async def watch(
    servers: Callable[[], Sequence[Server]],
    question: Question,
    *,
    interval_seconds: float,
    timeout_seconds: float,
    on_checked: Callable[[tuple[Reply, ...]], None],
) -> None:
    """Check them once an interval, until cancelled. The first time is an interval from now."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + interval_seconds, loop.time())
        await asyncio.sleep(due - loop.time())
        try:
            on_checked(await health(servers(), question, timeout_seconds=timeout_seconds))
        except OSError as error:
            _log.warning("resolv.conf cannot be read, no name server is checked: %s", error)
        except Exception as error:  # noqa: BLE001 - the edge of one check: a bug must not end others
            unhandled.caught(Part.CHECK, error, about="the name servers")
