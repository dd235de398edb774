"""What happened during one exchange, as it happened: user-space marks and raw kernel stamps.

Written by sockets.py and exchange.py, read by phases.py. Times are CLOCK_MONOTONIC ns, or of
CLOCK_REALTIME with ``realtime`` in the name; Stamp and TcpInfo: see kernel.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.probe.dns.reply import Reply
    from kubenurse_otel.probe.kernel import ClockPair, Stamp, TcpInfo


class Stage(Enum):
    """What bytes on the connection belong to."""

    PROXY = "proxy"
    TLS = "tls"
    REQUEST = "request"


@dataclass(slots=True)
class Attempt:
    """One address that was tried."""

    address: str
    family: str
    """"ipv4" or "ipv6"."""
    started_ns: int
    ended_ns: int = 0
    error: OSError | None = None
    abandoned: bool = False
    """Another address won the race before this one answered."""

    @property
    def connected(self) -> bool:
        return self.ended_ns > 0 and self.error is None and not self.abandoned


@record(frozen=True, slots=True)
class Sent:
    """One send: when we called it, when it returned, the key of its last byte, and its bytes."""

    stage: Stage
    started_ns: int
    ended_ns: int
    key: int
    size: int = 0


@record(frozen=True, slots=True)
class Received:
    """One read: when we had it, and when the kernel did (realtime, None without a stamp)."""

    stage: Stage
    user_ns: int
    kernel_realtime_ns: int | None


@record(frozen=True, slots=True, kw_only=True)
class Queried:
    """A DNS query that was answered. Times are CLOCK_MONOTONIC ns: when it was first to be sent,
    and when (of the try that was answered) it left and its answer came.
    """

    asked_ns: int
    left_ns: int
    answered_ns: int
    is_kernel_timed: bool
    tries: int
    transport: str
    code: str
    """ "NOERROR", "NXDOMAIN" and so on."""
    addresses: tuple[str, ...]


@dataclass(slots=True)
class Marks:
    """All marks of one exchange; what was not reached is None or empty."""

    started: ClockPair
    ended: ClockPair | None = None
    dns_started_ns: int | None = None
    dns_ended_ns: int | None = None
    dns_queries: tuple[Reply, ...] = ()
    """What was asked of name servers, where our own resolver did."""
    attempts: list[Attempt] = field(default_factory=list)
    used: Attempt | None = None
    """The attempt whose connection carries the request; None on a reused connection."""
    info_at_connect: TcpInfo | None = None
    info_at_connect_ns: int = 0
    info_at_greeting: TcpInfo | None = None
    """When TLS' handshake was over, but for what we still had to send of it."""
    info_at_greeting_ns: int = 0
    info_at_end: TcpInfo | None = None
    timestamps_enabled: bool = False
    tls_started_ns: int | None = None
    tls_ended_ns: int | None = None
    got_connection_ns: int | None = None
    steps: list[Sent | Received] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    interim: list[Received] = field(default_factory=list)
    """The read that brought the first bytes of each interim answer."""
    first_byte: Received | None = None
    """The read that brought the first bytes of the final answer (of its plain text over TLS)."""
    last_byte: Received | None = None
    padding: int | None = None
    """Bytes that were added to the request so that it fills a segment; None: none were to be."""
    queried: Queried | None = None
    """The query that was answered, of a check of a DNS server."""
    reused: bool = False
    """On a connection kept from an exchange before."""
    encrypted: bool = False
    retransmits_before: int = 0
    """On a reused connection: tcpi_total_retrans when this exchange began."""
    window_closed_before_us: int = 0
    """Likewise tcpi_rwnd_limited."""
    dsacks_before: int = 0
    """Likewise tcpi_dsack_dups."""
    peer: tuple[str, int] = ("", 0)
    local_port: int = 0
    """The connection's port at our end; 0 where the kernel does not say."""
    tls_version: str = ""
    """As ssl names it: "TLSv1.3"."""
    tls_cipher: str = ""
    certificate_expiry: float | None = None
    failed: bool = False
    """The answer was not whole: what was waited for at its end is in no figure."""

    @property
    def connected(self) -> bool:
        return self.reused or self.used is not None

    @property
    def answered(self) -> bool:
        """A byte of an answer came, be it an interim one."""
        return self.first_byte is not None or bool(self.interim)

    @property
    def retransmits(self) -> int | None:
        """Segments of this exchange that our kernel sent again; None where it does not tell."""
        if self.info_at_end is None:
            return None
        return max(0, self.info_at_end.retransmits - self.retransmits_before)

    @property
    def dsacks(self) -> int:
        """Segments of this exchange that the peer got twice, by its word."""
        if self.info_at_end is None:
            return 0
        return max(0, self.info_at_end.dsacks - self.dsacks_before)
