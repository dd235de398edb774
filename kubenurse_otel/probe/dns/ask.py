"""Ask one server one question until it answers: by UDP, and by TCP if the answer was truncated."""

from __future__ import annotations

import asyncio
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from kubenurse_otel.errors import without_frames
from kubenurse_otel.probe.dns import tcp
from kubenurse_otel.probe.dns.message import MalformedMessageError
from kubenurse_otel.probe.dns.reply import NOTHING_IGNORED, Ending, Reply, Transport
from kubenurse_otel.probe.dns.udp import Conversation

if TYPE_CHECKING:
    from kubenurse_otel.probe.dns.message import Question
    from kubenurse_otel.probe.dns.reply import Ignored, Server
    from kubenurse_otel.probe.dns.udp import Answered

TRY_SECONDS: Final = 1.0
MOST_TRIES: Final = 16


async def ask(
    server: Server,
    question: Question,
    *,
    deadline: float,
    try_seconds: float = TRY_SECONDS,
    most_tries: int = MOST_TRIES,
    transport: Transport = Transport.UDP,
) -> Reply:
    """Ask until ``deadline`` (loop time), by UDP again each ``try_seconds`` from the same port.

    By TCP the server is asked once, also after a truncated answer by UDP. Raises BadNameError if
    the name cannot be in a query, and nothing for what the network or the server does.
    """
    started_ns = time.monotonic_ns()
    tries, ignored, is_truncated, is_late = 0, NOTHING_IGNORED, False, False
    ending: Ending = Ending.SILENT
    error: OSError | None = None
    answered: Answered | None = None
    loop = asyncio.get_running_loop()
    try:
        if transport is Transport.UDP:
            with closing(Conversation(server)) as conversation:
                try:
                    while answered is None and tries < most_tries and loop.time() < deadline:
                        conversation.send(question)
                        tries += 1
                        last = tries == most_tries
                        until = deadline if last else min(deadline, loop.time() + try_seconds)
                        answered = await conversation.answer(until)
                finally:
                    ignored = conversation.ignored
            is_late = answered is not None and answered.sent.key + 1 < tries
            if answered is not None and answered.head.is_truncated:
                transport, is_truncated, answered = Transport.TCP, True, None
        if transport is Transport.TCP:
            (answered,) = await tcp.converse(server, (question,), deadline=deadline) or (None,)
    except OSError as raised:
        ending, error = Ending.UNREACHABLE, without_frames(raised)
    except MalformedMessageError:
        ending = Ending.MALFORMED
    return reply(
        answered,
        server=server,
        question=question,
        ending=ending,
        started_ns=started_ns,
        transport=transport,
        tries=max(1, tries),
        is_late=is_late,
        ignored=ignored,
        is_truncated=is_truncated,
        error=error,
    )


def reply(
    answered: Answered | None,
    *,
    server: Server,
    question: Question,
    ending: Ending,
    started_ns: int,
    transport: Transport,
    tries: int = 1,
    is_late: bool = False,
    ignored: Ignored = NOTHING_IGNORED,
    is_truncated: bool = False,
    error: OSError | None = None,
    place: int = 0,
) -> Reply:
    """Make a Reply of an answer. Without an answer it ends now, and ``ending`` says how.

    ``is_truncated`` says that an earlier answer was truncated. Whether this one is, its head tells.
    """
    if answered is None or answered.addresses is None:
        return Reply(
            server=server,
            question=question,
            ending=ending if answered is None else Ending.MALFORMED,
            started_ns=started_ns,
            ended_ns=time.monotonic_ns() if answered is None else answered.ended_ns,
            transport=transport,
            tries=tries,
            received_bytes=0 if answered is None else answered.size,
            ignored=ignored,
            is_truncated=is_truncated,
            error=error,
            place=place,
        )
    return Reply(
        server=server,
        question=question,
        ending=Ending.ANSWERED,
        started_ns=answered.started_ns,
        ended_ns=answered.ended_ns,
        transport=transport,
        tries=tries,
        is_late=is_late,
        rcode=answered.head.rcode,
        answers=answered.head.answers,
        addresses=answered.addresses,
        received_bytes=answered.size,
        is_kernel_timed=answered.is_kernel_timed,
        is_truncated=is_truncated or answered.head.is_truncated,
        ignored=ignored,
        place=place,
    )
