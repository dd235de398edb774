#!/usr/bin/env bash
# Guess: `traceidratio` decides by the trace ID alone so that all services with the same ratio keep the same traces
#   (OpenTelemetry's trace SDK specification: a sampler with a lower ratio keeps a part of what one with a higher keeps).
# Seen: Python 1.45.2 and Go 1.47.0 keep the same tenth of 20,000 traces, both by the last eight bytes of the ID. JavaScript
#   (sdk-trace-base 2.12.1) combines all sixteen by XOR, and keeps another tenth: of what Python and Go keep it keeps a tenth.
#   Each one alone keeps what it should, and at 0.5 Python and JavaScript agree on every second trace.
# Why it matters: with OTEL_TRACES_SAMPLER=traceidratio and 0.1 in each service, nine in ten traces that go through Node.js
#   and something else have a hole. Only parentbased_traceidratio keeps traces whole, or sampling in a collector.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check opentelemetry-sdk==1.45.2
echo '{"private": true}' >package.json
npm install --silent --no-audit --no-fund @opentelemetry/api@1.9.0 @opentelemetry/sdk-trace-base@2.12.1
mkdir go
cat >go/main.go <<'GO'
package main

import (
	"bufio"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/sdk/trace"
	api "go.opentelemetry.io/otel/trace"
)

func main() {
	var ratio float64
	fmt.Sscan(os.Args[1], &ratio)
	sampler := trace.TraceIDRatioBased(ratio)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		id, err := api.TraceIDFromHex(lines.Text())
		if err != nil {
			panic(err)
		}
		if sampler.ShouldSample(trace.SamplingParameters{TraceID: id}).Decision == trace.RecordAndSample {
			fmt.Println(lines.Text())
		}
	}
}
GO
cat >go/go.mod <<'GO'
module ratio

go 1.25.0

require (
	go.opentelemetry.io/otel/sdk v1.47.0
	go.opentelemetry.io/otel/trace v1.47.0
)
GO
(cd go && GOFLAGS=-mod=mod go mod tidy 2>/dev/null && go build -o ../ratio-go .)
cat >ratio.js <<'JS'
const { SamplingDecision, TraceIdRatioBasedSampler } = require('@opentelemetry/sdk-trace-base');
const sampler = new TraceIdRatioBasedSampler(Number(process.argv[2]));
for (const id of require('fs').readFileSync(0, 'utf8').split('\n').filter(Boolean))
  if (sampler.shouldSample({}, id).decision === SamplingDecision.RECORD_AND_SAMPLED) console.log(id);
JS
cat >ratio.py <<'PYTHON'
import random
import subprocess

from opentelemetry.sdk.trace.sampling import TraceIdRatioBased

TRACES = 20_000
ids = random.Random(1)
traces = [f"{ids.getrandbits(128):032x}" for _ in range(TRACES)]


def kept(*command):
    done = subprocess.run(command, input="\n".join(traces), capture_output=True, text=True, check=True)
    return set(done.stdout.split())


for ratio in (0.1, 0.5):
    sampler = TraceIdRatioBased(ratio)
    python = {
        one for one in traces if sampler.should_sample(None, int(one, 16), "").decision.is_sampled()
    }
    go, javascript = kept("./ratio-go", str(ratio)), kept("node", "ratio.js", str(ratio))
    both = len(python & javascript)
    print(
        f"at {ratio} of {TRACES} traces Python keeps {len(python)}, Go {len(go)}, JavaScript {len(javascript)}; "
        f"Python and Go {len(python & go)} of them, Python and JavaScript {both}"
    )
    assert python == go
    for one in (python, javascript):
        assert abs(len(one) - ratio * TRACES) < 500, len(one)
    assert abs(both - ratio * ratio * TRACES) < 300, both
PYTHON
venv/bin/python ratio.py
