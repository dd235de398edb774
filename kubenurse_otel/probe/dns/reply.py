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
    """True if resolv.conf names no server, so that the C library asks this one."""

    @property
    def text(self) -> str:
        """The address and port for people. The port is left out if it is 53."""
        return self.address if self.port == PORT else host_port(self.address, self.port)


class Transport(StrEnum):
    UDP = "udp"
    TCP = "tcp"


class Ending(StrEnum):
    """How a query ended."""

    ANSWERED = "answered"
    """A valid answer to the question came, whatever its code."""
    SILENT = "silent"
    """Nothing came in time."""
    UNREACHABLE = "unreachable"
    """The kernel reported an error (ICMP, no route, connection refused). It is in ``error``."""
    MALFORMED = "malformed"
    """What came cannot be read, or too much came that is no answer to the question."""


@record(frozen=True, slots=True, kw_only=True)
class Ignored:
    """Counts of datagrams that came and are no answer to the question."""

    malformed: int = 0
    other_id: int = 0
    other_question: int = 0
    other_address: int = 0
    """Answers from another address, as if a Service's NAT did not translate the answer back."""
    repeated: int = 0
    """Answers that had come already."""

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

    With an answer: from the time when the query left (that of the try that was answered) to the
    time when its answer came. With ``is_kernel_timed`` both are the kernel's stamps. Without an
    answer: from the first try to the end.
    """

    server: Server
    question: Question
    ending: Ending
    started_ns: int
    ended_ns: int
    transport: Transport = Transport.UDP
    tries: int = 1
    """How often the query was sent. If it was answered, all others of these were lost or late."""
    is_late: bool = False
    """The answer is to a query that was sent again meanwhile: it is slow, and not lost."""
    rcode: int | None = None
    """None without an answer."""
    answers: int = 0
    """The number of records, as the answer's header says."""
    addresses: tuple[str, ...] = ()
    """The addresses of the question's name and type, in the answer's order."""
    is_truncated: bool = False
    """The answer by UDP was truncated. The complete one comes by TCP only."""
    received_bytes: int = 0
    is_kernel_timed: bool = False
    ignored: Ignored = NOTHING_IGNORED
    error: OSError | None = None
    """The kernel's error, if ``ending`` is UNREACHABLE."""
    place: int = 0
    """Which name of the look-up was asked for, in the order of the search path, from 0."""

    @property
    def outcome(self) -> str:
        """The outcome as a metric's label: one word of a fixed set."""
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
