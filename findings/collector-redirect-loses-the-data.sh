#!/usr/bin/env bash
# Guess: a collector whose otlp_http exporter is redirected sends its data where the redirect leads, or
#   says that it could not: it retries, and counts and logs what it drops.
# Seen: collector 0.162.0 (go1.26.8). With 307 and 308 the data is posted again at the new place. With 301,
#   302 and 303 Go's client makes a GET of the POST and leaves the body behind, as browsers do; the page
#   that comes back with 200 is taken for success: nothing is logged, retried or counted as failed.
# Why it matters: 301 and 302 are what proxies and ingress controllers answer to http:// (and for a missing
#   or trailing slash). An agent that sends to such a collector is told 200, and every span and point
#   behind it is gone in silence; only at the backend nothing ever arrives.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/builder.yaml" <<YAML
dist: {name: otelcol, version: 0.162.0, output_path: $work/otelcol}
receivers:
  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v0.162.0
processors:
  - gomod: go.opentelemetry.io/collector/processor/batchprocessor v0.162.0
exporters:
  - gomod: go.opentelemetry.io/collector/exporter/otlphttpexporter v0.162.0
YAML
(cd "$work" && nice go run go.opentelemetry.io/collector/cmd/builder@v0.162.0 \
  --config builder.yaml --ldflags="-s -w" >build.log 2>&1) || { cat "$work/build.log"; exit 1; }

cat >"$work/ask.py" <<'PYTHON'
import http.server
import json
import pathlib
import socket
import subprocess
import sys
import threading
import time
import urllib.request

work = pathlib.Path(sys.argv[1])
SPAN = {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "check"}
TRACES = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}).encode()
arrived = threading.Event()
asked = []


class Backend(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked.append((self.command, self.path.split("/")[1], len(body) > 0))
        page = b"<html>Welcome</html>" if self.command == "GET" else b""
        moved = self.path.split("/")[1]
        if moved != "new":
            self.send_response(int(moved))
            self.send_header("Location", "/new/v1/traces")
        else:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)
        if moved == "new":
            arrived.set()

    do_GET = do_POST

    def log_message(self, *_arguments):
        pass


def through_the_collector(status):
    """What the backend was asked, and the collector's log, for one batch of spans."""
    asked.clear()
    arrived.clear()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {
            "otlp_http": {
                "endpoint": f"http://127.0.0.1:{backend.server_port}/{status}",
                "compression": "none",
            }
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["otlp_http"]}},
        },
    }
    (work / "config.json").write_text(json.dumps(config))
    log = work / "collector.log"
    with log.open("wb") as output:
        collector = subprocess.Popen(
            [work / "otelcol" / "otelcol", f"--config={work / 'config.json'}"],
            stdout=output,
            stderr=output,
        )
    try:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/traces", TRACES, {"Content-Type": "application/json"}
        )
        for _ in range(200):
            try:
                assert urllib.request.urlopen(request, timeout=5).status == 200
                break
            except ConnectionError:
                time.sleep(0.05)
            except OSError as error:
                if not isinstance(getattr(error, "reason", None), ConnectionError):
                    raise
                time.sleep(0.05)
        assert arrived.wait(20), log.read_text()
    finally:
        collector.terminate()  # which flushes, and waits for what is being sent
        collector.wait(20)
    return list(asked), log.read_text()


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
for status in (301, 302, 303, 307, 308):
    seen, log = through_the_collector(status)
    last = ("GET", "new", False) if status < 307 else ("POST", "new", True)
    print(status, "then", last[0], "with" if last[2] else "without", "the data; log:", log or "nothing")
    assert seen == [("POST", str(status), True), last], seen
    assert not log, log
backend.shutdown()
PYTHON
env -u HTTP_PROXY -u http_proxy NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 python3 "$work/ask.py" "$work"
