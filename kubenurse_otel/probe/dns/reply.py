"""The result of one query: the record from which the resolver, a check and a span are made."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.probe.dns.message import Rcode
from kubenurse_otel.record import record
from kubenurse_otel.text import host_port

if TYPE_CHECKING:
    from kubenurse_otel.probe.dns.message import Question

PORT: Final = 53


_WORDS: Final[dict[int, str]] = {
    Rcode.NXDOMAIN: "nxdomain",
    Rcode.SERVFAIL: "servfail",
    Rcode.REFUSED: "refused",
}


@record(frozen=True, slots=True)
class Server:
    """A name server. ``address`` is IPv4 or IPv6, its zone a number (``fe80::1%2``)."""

    address: str
    port: int = PORT
    is_default: bool = field(default=False, compare=False)
    """resolv.conf names no server, and the C library asks this one then."""

    @property
    def text(self) -> str:
        """As people write it: without the port where it is DNS's own."""
        return self.address if self.port == PORT else host_port(self.address, self.port)


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"


class Ending(StrEnum):
    """How a query ended."""

    ANSWERED = "answered"
    """By a sound answer to the question, whatever its code."""
    SILENT = "silent"
    """Nothing came in its time."""
    UNREACHABLE = "unreachable"
    """The kernel says so: an ICMP error, no route, a connection refused; see ``error``."""
    MALFORMED = "malformed"
    """What came cannot be read, or there was no end of what is no answer to us."""


@record(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Counts of datagrams that came and are no answer to the question."""

    malformed: int = 0
    other_id: int = 0
    other_question: int = 0
    other_address: int = 0
    """From somewhere else: as where a Service's NAT does not turn the answer back."""
    repeated: int = 0
    """An answer that we have already."""

    @property
    def total(self) -> int:
        return (
            self.malformed
            + self.other_id
            + self.other_question
            + self.other_address
            + self.repeated
        )


NOTHING_IGNORED: Final = Ignored()


@record(frozen=True, slots=True, kw_only=True)
class Reply:
    """One question, asked of one server. Times are CLOCK_MONOTONIC ns.

    It runs from when the query left (of the try that was answered) until its answer came, by the
    kernel's stamps where ``is_kernel_timed``; without an answer, from the first try to the end.
    """

    server: Server
    question: Question
    ending: Ending
    started_ns: int
    ended_ns: int
    transport: Transport = Transport.UDP
    tries: int = 1
    """How often the query was sent. If it was answered, all but one of these are lost, or late."""
    is_late: bool = False
    """The answer is to a query that was sent again meanwhile: it is slow, and not lost."""
    rcode: int | None = None
    """None without an answer."""
    answers: int = 0
    """Records, by the answer's head."""
    addresses: tuple[str, ...] = ()
    """The question's own, in the answer's order."""
    is_truncated: bool = False
    """By UDP it was answered, and cut short: the whole is to be had by TCP alone."""
    received_bytes: int = 0
    is_kernel_timed: bool = False
    ignored: Ignored = NOTHING_IGNORED
    error: OSError | None = None
    """Of UNREACHABLE."""
    place: int = 0
    """Of a look-up's names, in the order in which the search path has them asked for, from 0."""

    @property
    def outcome(self) -> str:
        """Return one word of a closed vocabulary, which a metric counts."""
        if self.ending is not Ending.ANSWERED:
            return self.ending.value
        if self.is_truncated and self.transport is Transport.UDP:
            return "truncated"
        if self.rcode == Rcode.NOERROR:
            return "noerror" if self.addresses else "nodata"
        return _WORDS.get(self.rcode or 0, "other")

    @property
    def seconds(self) -> float:
        return (self.ended_ns - self.started_ns) / 1e9
