"""Exports to a collector that has a name, run in a namespace; prints JSON.

The last domain of the search path is broken (SERVFAIL). What the DNS says first is an address at
which the collector is no more, as a cache does for some seconds; then it is the right one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from urllib.parse import urlsplit

from servers.dns import Asked, NameServer, answer

from kubenurse_otel.config import OtlpProtocol, take_environment
from kubenurse_otel.telemetry.answers import Result
from kubenurse_otel.telemetry.signals import traces

NAME = "collector.example"
OLD, NEW = "127.0.0.9", "127.0.0.1"
NXDOMAIN, SERVFAIL = 3, 2
SECONDS = 45.0
TIMEOUT_SECONDS = 1.0


class Dns:
    address = OLD

    def answers(self, asked: Asked) -> Iterable[bytes]:
        if asked.name == f"{NAME}.":
            return [answer(asked, self.address)]
        return [answer(asked, rcode=SERVFAIL if asked.name.endswith(".corp.test.") else NXDOMAIN)]


def main(protocol: OtlpProtocol) -> dict[str, object]:
    take_environment()  # before grpc is imported, as the agent does
    import otlp_receiver
    from otlp_telemetry import otlp

    from kubenurse_otel.telemetry.otlp_grpc import GrpcWire
    from kubenurse_otel.telemetry.otlp_http import HttpWire

    is_http = protocol is OtlpProtocol.HTTP_PROTOBUF
    receiving = otlp_receiver.http_receiver if is_http else otlp_receiver.grpc_receiver
    dns = Dns()
    with NameServer(dns.answers, "127.0.0.53", 53), receiving() as received:
        endpoint = f"http://{NAME}:{urlsplit(received.endpoint).port}"
        config = otlp(endpoint, protocol, "traces", timeout_seconds=TIMEOUT_SECONDS)
        wire = HttpWire(config, traces()) if is_http else GrpcWire(config, traces())
        with closing(wire):

            def is_taken() -> bool:
                deadline = time.monotonic() + TIMEOUT_SECONDS
                return wire.send(b"", items=0, deadline=deadline).result is Result.SUCCESS

            first = is_taken()
            dns.address = NEW
            began = time.monotonic()
            while not (taken := is_taken()) and time.monotonic() - began < SECONDS:
                time.sleep(0.1)  # what is refused is refused at once
            return {"first": first, "taken": taken, "seconds": time.monotonic() - began}


if __name__ == "__main__":
    json.dump(main(OtlpProtocol(sys.stdin.read())), sys.stdout)
