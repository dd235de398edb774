"""An agent that gets no CPU for a moment: the way to it loses nothing."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

from probing import Prober
from servers import Behaviour, Certificates, Connection, FaultServer

from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.diagnosis.loss import lost_segments
from kubenurse_otel.diagnosis.verdict import Direction
from kubenurse_otel.model import CheckResult, Outcome, Target, TargetKind

if TYPE_CHECKING:
    from pathlib import Path

STOPPED_SECONDS = 0.3
TARGET: dict[str, Any] = {
    "key": "path_node-b",
    "type": "path_node-b",
    "kind": TargetKind.PATH,
    "interval_seconds": 5.0,
    "timeout_seconds": 5.0,
}


def stopped_in_handshake(context: ssl.SSLContext) -> Behaviour:
    """Its process stands still when it has sent its part of the handshake, while ours waits."""

    def behaviour(connection: Connection) -> None:
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(came, goes, server_side=True)

        def read() -> bytes:
            try:
                return tls.read(65536)  # makes the handshake, too
            except ssl.SSLWantReadError:
                return b""

        came.write(connection.socket.recv(65536))
        read()
        connection.send(goes.read())
        connection.sleep(STOPPED_SECONDS)
        while not read():
            came.write(connection.socket.recv(65536))
        tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        connection.send(goes.read())

    return behaviour


def test_what_a_stopped_agent_acknowledges_late_is_no_loss(tmp_path: Path) -> None:
    """Its kernel holds the acknowledgement back for 40 ms, ours sends again sooner (RFC 8985)."""
    certificates = Certificates(tmp_path)

    async def check() -> CheckResult:
        async with Prober(ca_file=certificates.ca_file) as prober:
            checked = await prober.check(url)
        measurement = checked.measured
        assert (checked.probe.failure, measurement.split.loss) == (None, 0.0)
        assert measurement.retransmits == measurement.dsacks
        return CheckResult(
            target=Target(url=url, **TARGET),
            outcome=Outcome.OK,
            started_at=0.0,
            measurement=measurement,
        )

    with FaultServer(stopped_in_handshake(certificates.context())) as server:
        url = parse_url(server.url(scheme="https"))
        results = [asyncio.run(check()) for _ in range(3)]
    assert [lost_segments(one) for one in results] == [{Direction.OUT: 0, Direction.IN: 0}] * 3
