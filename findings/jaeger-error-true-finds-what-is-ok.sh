#!/usr/bin/env bash
# Guess: `error=true` in Jaeger's search finds the traces that failed, in Jaeger 2 as in Jaeger 1.
# Seen: Jaeger 2.13.0 (its module's v1.76.0), traces in memory: `error=true` finds spans whose status is OK, and none whose
#   status is an error, though it shows those with a tag `error: true`. `error=false` finds the same. The query's "true" is
#   a string, and is read as a bool: false. `otel.status_code=ERROR` finds nothing, either.
# Why it matters: whoever looks for failures sees none, and has no hint that the search is at fault. An attribute of one's
#   own finds them (ours: `kubenurse.outcome=failed`).
set -euo pipefail

work=$(mktemp -d)
jaeger=
trap '[ -z "$jaeger" ] || kill "$jaeger"; rm -rf "$work"' EXIT
cd "$work"
printf 'module jaeger\n\ngo 1.26\n\ntool github.com/jaegertracing/jaeger/cmd/jaeger\n' >go.mod
{
  go get github.com/jaegertracing/jaeger/cmd/jaeger@v1.76.0
  nice go build -trimpath "-ldflags=-s -w" -o jaeger github.com/jaegertracing/jaeger/cmd/jaeger
} 2>build.log || { cat build.log; exit 1; }
cat >jaeger.yaml <<'YAML'
service:
  extensions: [jaeger_storage, jaeger_query]
  pipelines: {traces: {receivers: [otlp], exporters: [jaeger_storage_exporter]}}
  telemetry: {metrics: {level: none}, logs: {level: warn}}
extensions:
  jaeger_query:
    storage: {traces: memory}
    http: {endpoint: "127.0.0.1:31686"}
    grpc: {endpoint: "127.0.0.1:31685"}
  jaeger_storage: {backends: {memory: {memory: {max_traces: 100}}}}
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:31318"}}}}
exporters: {jaeger_storage_exporter: {trace_storage: memory}}
YAML
OTEL_TRACES_SAMPLER=always_off ./jaeger --config=jaeger.yaml >jaeger.log 2>&1 &
jaeger=$!
cat >ask.py <<'PYTHON'
import json
import time
import urllib.parse
import urllib.request

NOW = time.time_ns()
QUERY = "http://127.0.0.1:31686/api/traces?"


def span(number, name, status):
    return {
        "traceId": f"{number:032x}", "spanId": f"{number:016x}", "name": name, "kind": 1, "status": {"code": status},
        "startTimeUnixNano": str(NOW), "endTimeUnixNano": str(NOW + 1_000_000),
        "attributes": [{"key": "outcome", "value": {"stringValue": name}}],
    }


def found(**tags):
    query = {"service": "s", "limit": "20", **({"tags": json.dumps(tags)} if tags else {})}
    with urllib.request.urlopen(QUERY + urllib.parse.urlencode(query)) as answer:
        traces = json.load(answer)["data"] or []
    return sorted(one["operationName"] for trace in traces for one in trace["spans"])


spans = [span(1, "failed", 2), span(2, "ok", 1), span(3, "unset", 0)]
resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "s"}}]}
body = json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": spans}]}]}).encode()
request = urllib.request.Request("http://127.0.0.1:31318/v1/traces", body, {"Content-Type": "application/json"})
for _ in range(300):
    try:
        urllib.request.urlopen(request).close()
        break
    except OSError:
        time.sleep(0.2)
while len(found()) < 3:
    time.sleep(0.2)
expected = {
    "error=true": (found(error="true"), ["ok"]),
    "error=false": (found(error="false"), ["ok"]),
    "otel.status_code=ERROR": (found(**{"otel.status_code": "ERROR"}), []),
    "outcome=failed": (found(outcome="failed"), ["failed"]),
}
for what, (seen, _) in expected.items():
    print(f"{what}: {seen}")
raise SystemExit(any(seen != wanted for seen, wanted in expected.values()))
PYTHON
python3 ask.py
