#!/usr/bin/env bash
# Guess: a collector whose exporter cannot get rid of its data refuses more once its sending_queue is full:
#   the queue's documentation says that the sender gets the error, so that it may try again.
# Seen: collector 0.162.0 (go1.26.8). With the batch processor in the pipeline, as in most examples, a dead
#   endpoint and a queue of one request, all 30 of 30 posts are answered 200, and the log (nobody else) says
#   "sending queue is full" and "Dropping data". With the batches made by the queue itself
#   (sending_queue.batch) the same posts are refused with 503 as soon as it is full.
# Why it matters: an agent that counts its exports sees success for as long as the backend is away; its
#   own retry and its alert never get a chance. The data of the very outage that one wants to see is lost.
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
import collections
import json
import pathlib
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

work = pathlib.Path(sys.argv[1])
SPAN = {"traceId": "0102030405060708090a0b0c0d0e0f10", "spanId": "0102030405060708", "name": "check"}
TRACES = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [SPAN]}]}]}).encode()
POSTS = 30


def through_the_collector(nobody, *, processor):
    """How often each status was answered, and the collector's log."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    queue = {"queue_size": 1, "num_consumers": 1}
    if not processor:
        queue["batch"] = {"flush_timeout": "10ms", "sizer": "items", "min_size": 1, "max_size": 1}
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "processors": {"batch": {"timeout": "10ms", "send_batch_size": 1, "send_batch_max_size": 1}},
        "exporters": {
            "otlp_http": {"endpoint": f"http://127.0.0.1:{nobody}", "sending_queue": queue}
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": {
                "traces": {
                    "receivers": ["otlp"],
                    "processors": ["batch"] if processor else [],
                    "exporters": ["otlp_http"],
                }
            },
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
    answers = collections.Counter()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/traces", TRACES, {"Content-Type": "application/json"}
    )
    end = time.monotonic() + 30
    try:
        while answers.total() < POSTS and time.monotonic() < end:
            try:
                answers[urllib.request.urlopen(request, timeout=5).status] += 1
            except urllib.error.HTTPError as error:
                answers[error.code] += 1
            except OSError:  # not there yet
                pass
            time.sleep(0.02)
    finally:
        collector.terminate()
        collector.wait(20)
    return answers, log.read_text()


with socket.socket() as reserved:
    reserved.bind(("127.0.0.1", 0))  # and never listening: a dead endpoint
    nobody = reserved.getsockname()[1]
    hidden, log = through_the_collector(nobody, processor=True)
    print("batch processor:     ", dict(hidden), "; dropped by the log:", log.count("Dropping data"))
    told, _log = through_the_collector(nobody, processor=False)
    print("sending_queue.batch: ", dict(told))
assert hidden == {200: POSTS}, "the batch processor hands the refusal on now"
assert "sending queue is full" in log
assert told[503] > POSTS // 2, told
PYTHON
env -u HTTP_PROXY -u http_proxy NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 python3 "$work/ask.py" "$work"
