"""Exports whose connection is gone without a word, run in a namespace; prints JSON.

That is what a collector's pod leaves whose node died, if its Service has another.
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import closing

import otlp_receiver
from otlp_telemetry import otlp
from servers.lost_connections import lose_connections

from kubenurse_otel.config import OtlpProtocol
from kubenurse_otel.telemetry.answers import Result
from kubenurse_otel.telemetry.otlp_grpc import GrpcWire
from kubenurse_otel.telemetry.otlp_http import HttpWire
from kubenurse_otel.telemetry.signals import traces

SECONDS = 40.0
TIMEOUT_SECONDS = 1.0


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
            lose_connections(int(received.endpoint.rpartition(":")[2]))
            began, tries = time.monotonic(), 1
            while not is_taken() and time.monotonic() - began < SECONDS:
                tries += 1
                time.sleep(0.1)  # a connection that is being made refuses at once
            return {"tries": tries, "seconds": round(time.monotonic() - began, 1)}


if __name__ == "__main__":
    json.dump(main(OtlpProtocol(sys.stdin.read())), sys.stdout)
