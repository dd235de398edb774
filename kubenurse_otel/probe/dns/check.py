"""Ask one DNS server for a check: return what it answered, or raise the error of the check."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kubenurse_otel.errors import NotDnsError
from kubenurse_otel.probe.dns.ask import ask
from kubenurse_otel.probe.dns.message import Question, Rcode, RecordType
from kubenurse_otel.probe.dns.reply import Ending, Reply, Server
from kubenurse_otel.probe.marks import Queried
from kubenurse_otel.probe.resolve import DeadlineExceededError

if TYPE_CHECKING:
    from kubenurse_otel.model import DnsQuery

_NAMED: Final = frozenset(Rcode)


async def ask_server(address: str, port: int, query: DnsQuery, *, deadline: float) -> Queried:
    """Ask until ``deadline`` (loop time), and return the query that was answered.

    Raises DeadlineExceededError if nothing came, NotDnsError if what came is no DNS, and the
    kernel's OSError if the server cannot be reached.
    """
    asked_ns = time.monotonic_ns()
    question = Question(query.name, RecordType[query.record_type])
    reply = await ask(Server(address, port), question, deadline=deadline)
    if reply.ending is Ending.SILENT:
        raise DeadlineExceededError(asked_ns, (reply,))
    if reply.ending is Ending.MALFORMED:
        raise NotDnsError
    if reply.error is not None:
        raise reply.error
    return Queried(
        asked_ns=asked_ns,
        left_ns=reply.started_ns,
        answered_ns=reply.ended_ns,
        is_kernel_timed=reply.is_kernel_timed,
        tries=reply.tries,
        transport=reply.transport.value,
        code=_code(reply),
        addresses=reply.addresses,
    )


def _code(reply: Reply) -> str:
    """Return the answer's code as DNS writes it. A code that Rcode has not is RCODE<number>."""
    number = reply.rcode or 0
    return Rcode(number).name if number in _NAMED else f"RCODE{number}"
