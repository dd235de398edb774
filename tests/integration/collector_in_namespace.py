"""Exports whose connection is gone without a word, run in a namespace; prints JSON.

What a collector's pod leaves whose node died: its Service leads new connections to another pod, and
no packet of the old ones comes through any more.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import otlp_receiver
from otlp_telemetry import otlp

from kubenurse_otel.config import OtlpProtocol
from kubenurse_otel.telemetry.answers import Result
from kubenurse_otel.telemetry.otlp_grpc import GrpcWire
from kubenurse_otel.telemetry.otlp_http import HttpWire
from kubenurse_otel.telemetry.signals import traces

RULES = """
table inet lost {{
  chain in {{
    type filter hook input priority 0
    tcp sport {server} tcp dport {client} drop
    tcp dport {server} tcp sport {client} drop
  }}
}}
"""
SECONDS = 40.0
TIMEOUT_SECONDS = 1.0


def client_of(port: int) -> int:
    """Return the local port that is connected to ``port``, by /proc/net/tcp and tcp6 (hexadecimal).
    grpcio connects to IPv4 from a socket of IPv6.
    """
    established = "01"
    rows = [
        [column.rpartition(":")[2] for column in line.split()[1:4]]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    (client,) = (
        int(local, 16)
        for local, far, state in rows
        if state == established and int(far, 16) == port
    )
    return client


def main(protocol: OtlpProtocol) -> dict[str, object]:
    is_http = protocol is OtlpProtocol.HTTP_PROTOBUF
    receiving = otlp_receiver.http_receiver if is_http else otlp_receiver.grpc_receiver
    with receiving() as received:
        config = otlp(received.endpoint, protocol, "traces", timeout_seconds=TIMEOUT_SECONDS)
        wire = HttpWire(config, traces()) if is_http else GrpcWire(config, traces())
        with closing(wire):

            def is_taken() -> bool:
                deadline = time.monotonic() + TIMEOUT_SECONDS
                return wire.send(b"", items=0, deadline=deadline).result is Result.SUCCESS

            assert is_taken()
            server = int(received.endpoint.rpartition(":")[2])
            rules = RULES.format(server=server, client=client_of(server))
            subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
            began, tries = time.monotonic(), 1
            while not is_taken() and time.monotonic() - began < SECONDS:
                tries += 1
                time.sleep(0.1)  # a connection that is being made refuses at once
            return {"tries": tries, "seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    json.dump(main(OtlpProtocol(sys.stdin.read())), sys.stdout)
