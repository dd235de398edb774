#!/usr/bin/env bash
# Guess: a gRPC client whose calls run into their deadline, one after the other, takes the connection for dead and makes another,
#   as an HTTP/1.1 client does after its first time-out; a new exporter does so in any case.
# Seen: opentelemetry-exporter-otlp-proto-grpc 1.45.2 (grpcio 1.85.1), a connection whose packets are lost from some moment on, and
#   a collector that takes new ones: no export of 60 s is taken, each is DEADLINE_EXCEEDED after its 2 s. Nor does a new exporter
#   of the same process help: channels to one address share their connection. The HTTP exporter is through at its second try. With
#   grpc.keepalive_time_ms=600000 and grpc.keepalive_timeout_ms=5000 as channel_options gRPC is through within 15 s: only with the
#   first is TCP_USER_TIMEOUT set. No ping is sent for that, and servers refuse those that come before 5 minutes.
# Why it matters: a collector's node dies, its Service leads elsewhere at once, and what was sent by gRPC is lost until TCP gives up
#   after some 15 minutes (net.ipv4.tcp_retries2), from each node that had a connection to it. Every check of the
#   network is green meanwhile, as checks make new connections. Go is the same: the collector's own otlp exporter has no keepalive
#   unless it is configured.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-grpc==1.45.2 \
  opentelemetry-exporter-otlp-proto-http==1.45.2 grpcio==1.85.1 requests==2.34.2

cat >"$work/export.py" <<'PYTHON'
import http.server
import logging
import pathlib
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as Grpc
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as Http
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

TIMEOUT = 2
RULES = """
table inet {table} {{
  chain lost {{
    type filter hook input priority 0
    tcp sport {server} tcp dport {{ {clients} }} drop
    tcp dport {server} tcp sport {{ {clients} }} drop
  }}
}}
"""
logging.getLogger("opentelemetry").addHandler(logging.NullHandler())


class Taker(trace_service_pb2_grpc.TraceServiceServicer):
    def Export(self, request, context):
        return trace_service_pb2.ExportTraceServiceResponse()


class HttpTaker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


class Keep(SpanExporter):
    def export(self, spans):
        self.spans = spans


def collector():
    server = grpc.server(ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Taker(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    return server, port


def clients(server):
    """The local ports that are connected to the server's, by /proc/net (hexadecimal)."""
    for name in ("tcp", "tcp6"):
        for line in pathlib.Path(f"/proc/net/{name}").read_text().splitlines()[1:]:
            local, far, state = (one.rpartition(":")[2] for one in line.split()[1:4])
            if state == "01" and int(far, 16) == server:
                yield str(int(local, 16))


def lose(server):
    rules = RULES.format(table=f"to{server}", server=server, clients=", ".join(clients(server)))
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def is_taken(exporter):
    return exporter.export(keep.spans) is SpanExportResult.SUCCESS


def tries(exporter, seconds):
    """How many exports it takes until one is taken, and after how many seconds."""
    begin, count = time.monotonic(), 1
    while not is_taken(exporter):
        if time.monotonic() - begin > seconds:
            return None, seconds
        count += 1
        time.sleep(1)
    return count, time.monotonic() - begin


keep = Keep()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(keep))
provider.get_tracer("test").start_span("check").end()

web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), HttpTaker)
threading.Thread(target=web.serve_forever, daemon=True).start()
by_http = Http(endpoint=f"http://127.0.0.1:{web.server_port}/v1/traces", timeout=TIMEOUT)
assert is_taken(by_http)
lose(web.server_port)
count, after = tries(by_http, 60)
print(f"HTTP: taken at try {count}, after {after:.0f} s")
assert count == 2, count

OPTIONS = (("grpc.keepalive_time_ms", 600_000), ("grpc.keepalive_timeout_ms", 5_000))
for name, options in (("gRPC", None), ("gRPC with keepalive", OPTIONS)):
    _server, port = collector()

    def exporter():
        endpoint = f"http://127.0.0.1:{port}"
        return Grpc(endpoint=endpoint, insecure=True, timeout=TIMEOUT, channel_options=options)

    first = exporter()
    assert is_taken(first)
    lose(port)
    count, after = tries(first, 60)
    if options is None:
        by_new = is_taken(exporter())
        print(f"{name}: not taken within {after} s; by a new exporter: {by_new}")
        assert count is None, count
        assert not by_new, "a new exporter makes a new connection now"
    else:
        print(f"{name}: taken at try {count}, after {after:.0f} s")
        assert after < 15, after
PYTHON
unshare --user --map-root-user --net bash -euc "
  ip link set lo up
  env -u HTTP_PROXY -u http_proxy '$work/venv/bin/python' '$work/export.py'
"
