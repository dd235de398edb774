#!/usr/bin/env bash
# Guess: an OTLP exporter that is answered by a redirect either follows it or reports a failure, and one
#   that gets a web page for an answer does not call that success: the OTLP specification has 200 with an
#   Export*ServiceResponse as the only full success, and go's exporter takes 2xx alone.
# Seen: opentelemetry-exporter-otlp-proto-http 1.45.2 (CPython 3.11.7) calls 301, 302, 307 and 308 a
#   SUCCESS, follows none of them, and logs nothing. 200 with an HTML page is a SUCCESS, and so is 200 with
#   partial_success.rejected_spans = 1. 400 is a FAILURE.
# Why it matters: with a collector behind a redirect (http to https, a trailing slash, a sign-in proxy, a
#   vendor that moved) nothing arrives, while every count of exports says that all did: no metric, no log
#   line and no alert of a network checker tells that its telemetry is lost.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2 \
  requests==2.34.2 urllib3==2.8.0

cat >"$work/export.py" <<'PYTHON'
import http.server
import logging
import threading

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter

PARTIAL = ExportTraceServiceResponse()
PARTIAL.partial_success.rejected_spans = 1
PROTOBUF = "application/x-protobuf"
CASES = {
    "301": (301, PROTOBUF, b""),
    "302": (302, PROTOBUF, b""),
    "307": (307, PROTOBUF, b""),
    "308": (308, PROTOBUF, b""),
    "web page": (200, "text/html", b"<html>Sign in</html>"),
    "rejected": (200, PROTOBUF, PARTIAL.SerializeToString()),
    "400": (400, PROTOBUF, b""),
}
asked, said = [], []


class Collector(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        asked.append(self.path)
        status, kind, body = CASES[self.path.rpartition("/")[2].replace("_", " ")]
        self.send_response(status)
        self.send_header("Location", "/taken")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, *_arguments):
        pass


class Keep(SpanExporter):
    def export(self, spans):
        self.spans = spans


keep = Keep()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(keep))
provider.get_tracer("test").start_span("check").end()
handler = logging.Handler()
handler.emit = lambda record: said.append(record.getMessage())
logging.getLogger("opentelemetry").addHandler(handler)

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
threading.Thread(target=server.serve_forever, daemon=True).start()
for name in CASES:
    said.clear()
    endpoint = f"http://127.0.0.1:{server.server_port}/{name.replace(' ', '_')}"
    result = OTLPSpanExporter(endpoint=endpoint, timeout=5).export(keep.spans)
    print(f"{name:9} {result.name}, log lines: {len(said)}")
    expected = ("FAILURE", 1) if name == "400" else ("SUCCESS", 0)
    assert (result.name, len(said)) == expected, f"{name} is {result.name} now"
server.shutdown()
assert "/taken" not in asked, "redirects are followed now"
PYTHON
env -u HTTP_PROXY -u http_proxy NO_PROXY=127.0.0.1 "$work/venv/bin/python" "$work/export.py"
