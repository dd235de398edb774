#!/usr/bin/env bash
# Guess: OTEL_EXPORTER_OTLP_TIMEOUT=2000 is two seconds for every SDK: the specification says milliseconds.
# Seen: for OpenTelemetry JavaScript (exporter-trace-otlp-http 0.223.1) it is 2 s. For OpenTelemetry Python (exporter-otlp-proto-http
#   1.45.2) it is 2000 s: with 2 it gives up after 2 s, and JavaScript at once.
# Why it matters: one variable for all pods of a cluster, as operators set it, is right for one language only. In Python a collector
#   that hangs holds an export for half an hour, and the spans behind it are dropped; in the other direction every export of
#   JavaScript fails at a collector that is well.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  opentelemetry-sdk==1.45.2 opentelemetry-exporter-otlp-proto-http==1.45.2
npm install --silent --no-audit --no-fund @opentelemetry/api@1.9.1 \
  @opentelemetry/exporter-trace-otlp-http@0.223.1 @opentelemetry/sdk-trace-base@2.12.1
node --version

cat >export.py <<'PYTHON'
import logging
import sys

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter


class Keep(SpanExporter):
    def export(self, spans):
        self.spans = spans


logging.disable(logging.CRITICAL)
keep = Keep()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(keep))
provider.get_tracer("test").start_span("check").end()
exporter = OTLPSpanExporter(endpoint=sys.argv[1])
print("ready", flush=True)
print(exporter.export(keep.spans).name, flush=True)
PYTHON
cat >export.mjs <<'JAVASCRIPT'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';

const keep = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(keep)] });
provider.getTracer('test').startSpan('check').end();
const exporter = new OTLPTraceExporter({ url: process.argv[2] });
console.log('ready');
exporter.export(keep.getFinishedSpans(), (result) => {
  console.log(result.code === 0 ? 'SUCCESS' : 'FAILURE');
  process.exit(0);
});
JAVASCRIPT
cat >ask.py <<'PYTHON'
import os
import socket
import subprocess
import time

COMMANDS = {"Python": ["venv/bin/python", "export.py"], "JavaScript": ["node", "export.mjs"]}
PATIENCE_SECONDS = 20


def gives_up(language, value):
    """After how many seconds, at a collector that accepts and says nothing; None: not while we waited."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1/traces"
        environment = {**os.environ, "OTEL_EXPORTER_OTLP_TIMEOUT": value}
        process = subprocess.Popen([*COMMANDS[language], url], stdout=subprocess.PIPE, text=True, env=environment)
        try:
            assert process.stdout.readline() == "ready\n"
            begin = time.monotonic()
            process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            return None
        finally:
            process.kill()
        assert process.stdout.read() == "FAILURE\n"
        return time.monotonic() - begin


for language, value, least, most in (
    ("JavaScript", "2000", 1.9, PATIENCE_SECONDS),
    ("JavaScript", "2", 0, 1.9),
    ("Python", "2", 1.9, PATIENCE_SECONDS),
    ("Python", "2000", None, None),
):
    took = gives_up(language, value)
    print(f"OTEL_EXPORTER_OTLP_TIMEOUT={value}, {language}: {f'{took:.2f} s' if took else f'more than {PATIENCE_SECONDS} s'}")
    assert took is None if least is None else took is not None and least <= took < most, took
PYTHON
env -u HTTP_PROXY -u http_proxy NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 python3 ask.py
