"""Record what happened during one exchange: our own marks, and the kernel's stamps as they came.

Written by sockets.py and exchange.py, read by phases.py. Times are CLOCK_MONOTONIC ns. A name with
``realtime`` in it is CLOCK_REALTIME ns. For Stamp and TcpInfo see kernel.py.
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
    """Which part of an exchange bytes belong to."""

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
    """True if another address connected before this one did."""

    @property
    def connected(self) -> bool:
        return self.ended_ns > 0 and self.error is None and not self.abandoned


@record(frozen=True, slots=True)
class Sent:
    """One send: when we called send(2), when it returned, the key of its last byte (Stamp.key), and
    its size in bytes.
    """

    stage: Stage
    started_ns: int
    ended_ns: int
    key: int
    size: int = 0


@record(frozen=True, slots=True)
class Received:
    """One read: when our process had its bytes, and when the kernel had them (None: no stamp)."""

    stage: Stage
    user_ns: int
    kernel_realtime_ns: int | None


@record(frozen=True, slots=True, kw_only=True)
class Queried:
    """A DNS query that was answered.

    ``asked_ns`` is when the query was first to be sent. ``left_ns`` is when the try that was
    answered left, ``answered_ns`` when its answer came. All are CLOCK_MONOTONIC ns.
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
    """All marks of one exchange. What was not reached is None or empty."""

    started: ClockPair
    ended: ClockPair | None = None
    dns_started_ns: int | None = None
    dns_ended_ns: int | None = None
    dns_queries: tuple[Reply, ...] = ()
    """What our own resolver asked of name servers. Empty with the C library's."""
    attempts: list[Attempt] = field(default_factory=list)
    used: Attempt | None = None
    """The attempt whose connection carries the request; None on a reused connection."""
    info_at_connect: TcpInfo | None = None
    info_at_connect_ns: int = 0
    info_at_greeting: TcpInfo | None = None
    """TCP_INFO when the TLS handshake was over, before we sent our last part of it."""
    info_at_greeting_ns: int = 0
    info_at_end: TcpInfo | None = None
    timestamps_enabled: bool = False
    tls_started_ns: int | None = None
    tls_ended_ns: int | None = None
    got_connection_ns: int | None = None
    steps: list[Sent | Received] = field(default_factory=list)
    stamps: list[Stamp] = field(default_factory=list)
    interim: list[Received] = field(default_factory=list)
    """For each interim answer (1xx), the read that brought its first bytes."""
    first_byte: Received | None = None
    """The read that brought the final answer's first bytes (over TLS: the first decrypted ones)."""
    last_byte: Received | None = None
    padding: int | None = None
    """Bytes that were added to the request so that it fills a segment. None: no full-size check."""
    queried: Queried | None = None
    """For a check of a DNS server: the query that was answered."""
    reused: bool = False
    """Whether the connection was kept from an earlier exchange."""
    encrypted: bool = False
    retransmits_before: int = 0
    """On a reused connection: tcpi_total_retrans when this exchange began."""
    window_closed_before_us: int = 0
    """Likewise tcpi_rwnd_limited, in µs."""
    dsacks_before: int = 0
    """Likewise tcpi_dsack_dups."""
    peer: tuple[str, int] = ("", 0)
    local_port: int = 0
    """The connection's port at our end. 0 if the kernel does not tell."""
    tls_version: str = ""
    """As ssl names it: "TLSv1.3"."""
    tls_cipher: str = ""
    certificate_expiry: float | None = None
    failed: bool = False
    """True if the exchange ended with an error. The wait in which it ended is in no figure."""

    @property
    def connected(self) -> bool:
        return self.reused or self.used is not None

    @property
    def answered(self) -> bool:
        """Whether any byte of an answer came, including interim answers."""
        return self.first_byte is not None or bool(self.interim)

    @property
    def retransmits(self) -> int | None:
        """Segments of this exchange that our kernel sent again. None if it does not tell."""
        if self.info_at_end is None:
            return None
        return max(0, self.info_at_end.retransmits - self.retransmits_before)

    @property
    def dsacks(self) -> int:
        """Segments of this exchange that the peer reports to have got twice (D-SACK, RFC 2883)."""
        if self.info_at_end is None:
            return 0
        return max(0, self.info_at_end.dsacks - self.dsacks_before)
