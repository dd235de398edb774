"""The checks of test_egress.py, run in a namespace; prints JSON.

Loopback gets a narrow queue, rules of this node drop what leaves, and a host takes connections with
a closed window. When something left is told by a packet socket: the kernel serves it behind the
queue.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.trace import SpanKind
from probing import Prober
from servers import FaultServer, answer, closed_window
from servers.certificates import Certificates
from servers.closed_window import ClosedWindowHost

from kubenurse_otel import semconv
from kubenurse_otel.config import TrustConfig
from kubenurse_otel.probe import kernel
from kubenurse_otel.probe.trust import TrustStore

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

    from probing import Checked

    from kubenurse_otel.model import Trust

NARROW = "tbf rate 4mbit burst 20000 limit 1000000"
STUCK = "tbf rate 8kbit burst 3000 limit 1000000"
RULES = """
table ip held {
  chain output {
    type filter hook output priority 0
    tcp dport 9001 tcp flags & psh == psh numgen inc mod 1000000 0 drop
    tcp dport 9002 tcp flags & psh == psh drop
  }
}
"""
_SO_TIMESTAMPNS = 35
_SO_ATTACH_FILTER = 26
_ETH_P_ALL = 3
_ONLY_TCP = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in ((0x30, 0, 0, 9), (0x15, 0, 1, 6), (0x06, 0, 0, 65_535), (0x06, 0, 0, 0))
)
"""Classic BPF (linux/filter.h): load the protocol's byte; keep TCP, drop what fills the queue."""


def fill(datagrams: int) -> None:
    """Put so many datagrams of 1,400 bytes into loopback's queue: nobody reads them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as source:
            for _ in range(datagrams):
                source.sendto(bytes(1_400), sink.getsockname())


@contextlib.contextmanager
def queue(discipline: str) -> Iterator[None]:
    subprocess.run(["tc", "qdisc", "add", "dev", "lo", "root", *discipline.split()], check=True)
    try:
        yield
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)


def drop() -> None:
    subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)


class FillingTrust(TrustStore):
    """Fills the queue when the ClientHello is about to be made."""

    def __init__(self, config: TrustConfig, datagrams: int) -> None:
        super().__init__(config)
        self._datagrams = datagrams

    def context(self, trust: Trust, *, speaks_http: bool = True) -> ssl.SSLContext:
        context = super().context(trust, speaks_http=speaks_http)
        fill(self._datagrams)
        return context


def filling_clocks(datagrams: int) -> Callable[[], kernel.ClockPair]:
    """Read the clocks; the second time, when the connection stands, with the queue filled."""
    readings = 0

    def read() -> kernel.ClockPair:
        nonlocal readings
        readings += 1
        if readings == 2:
            fill(datagrams)
        return kernel.read_clocks()

    return read


class Wire:
    """What loopback's device was given, behind its queue: (CLOCK_REALTIME ns, payload) of TCP."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        program = ctypes.create_string_buffer(_ONLY_TCP)
        self._socket.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HxxxxxxP", len(_ONLY_TCP) // 8, ctypes.addressof(program)),
        )
        self._socket.bind(("lo", _ETH_P_ALL))
        self._socket.setblocking(False)

    def sent_to(self, port: int) -> list[int]:
        """When each segment with bytes for ``port`` left (each copy of it)."""
        left = []
        with self._socket:
            while True:
                try:
                    packet, ancillary, _, address = self._socket.recvmsg(4_096, 256)
                except BlockingIOError:
                    return left
                at = 4 * (packet[0] & 15)
                if packet[9] != socket.IPPROTO_TCP or address[2] != socket.PACKET_OUTGOING:
                    continue
                (to,) = struct.unpack_from("!H", packet, at + 2)
                if to == port and len(packet) > at + 4 * (packet[at + 12] >> 4):
                    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
                    left.append(seconds * 1_000_000_000 + nanoseconds)


def told(checked: Checked, left: list[int]) -> dict[str, Any]:
    measured, failure = checked.measured, checked.probe.failure
    split = measured.split
    (span,) = (span for span in checked.spans if span.kind is SpanKind.CLIENT)
    given = [e.timestamp for e in span.events if e.name == semconv.EVENT_WROTE_REQUEST]
    return {
        "source": measured.timing_source.value,
        "error_type": failure.error_type if failure is not None else None,
        "message": failure.message if failure is not None else "",
        "retransmits": measured.retransmits,
        "elapsed": checked.elapsed,
        "duration": split.duration,
        "given_at": given[0] / 1e9 if given else None,
        "left_at": [at_ns / 1e9 for at_ns in left],
        **{name: getattr(split, name) for name in split.__dataclass_fields__},
    }


async def check(
    *, port: int = 0, delay_seconds: float = 0.0, timeout_seconds: float = 10.0, **prober: Any
) -> dict[str, Any]:
    with FaultServer(answer(delay_seconds=delay_seconds), port=port) as server:
        wire = Wire()
        async with Prober(**prober) as asks:
            checked = await asks.check(server.url(), timeout_seconds=timeout_seconds)
        return told(checked, wire.sent_to(server.port))


async def check_hello() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        certificates = Certificates(Path(directory))
        trust = FillingTrust(TrustConfig(ca_file=certificates.ca_file), 60)
        with FaultServer(answer(), tls=certificates.context()) as server:
            wire = Wire()
            async with Prober(trust=trust) as asks:
                checked = await asks.check(server.url())
            return told(checked, wire.sent_to(server.port))


async def check_window(
    *, open_after_seconds: float | None, timeout_seconds: float
) -> dict[str, Any] | None:
    """None: there is no TUN device here."""
    try:
        host = ClosedWindowHost(open_after_seconds=open_after_seconds)
    except OSError:
        return None
    with host:
        async with Prober() as asks:
            checked = await asks.check(
                f"http://{closed_window.ADDRESS}:{closed_window.PORT}/",
                timeout_seconds=timeout_seconds,
            )
    return told(checked, []) | {"opened_at": host.opened_at, "asked_at": host.asked_at}


async def main() -> dict[str, Any]:
    found: dict[str, Any] = {}
    found["open"] = await check()
    with queue(NARROW):
        found["queued"] = await check(clocks=filling_clocks(60), delay_seconds=0.05)
        found["queued_hello"] = await check_hello()
    with queue(STUCK):
        found["stuck"] = await check(clocks=filling_clocks(4), timeout_seconds=1.5)
    drop()
    found["dropped_once"] = await check(port=9001)
    found["dropped"] = await check(port=9002, timeout_seconds=1.5)
    found["window_late"] = await check_window(open_after_seconds=0.5, timeout_seconds=10)
    found["window_closed"] = await check_window(open_after_seconds=None, timeout_seconds=1.5)
    return found


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout)
