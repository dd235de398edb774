#!/usr/bin/env bash
# Guess: the policy `latency: {threshold_ms: 1000}` of the collector's tail sampling keeps the traces of requests that
#   took a second.
# Seen: tailsamplingprocessor 0.161.0 of collector-contrib. A trace's latency is its latest end less its earliest start,
#   of all spans, each by the clock of its own host: a request of 2 ms between two hosts whose clocks are 1.5 s apart
#   is kept, whichever of them is ahead, though none of its spans is longer than 2 ms.
# Why it matters: where one node lost its time server all traces with it are slow, and are kept, at the price of those
#   that were looked for. A condition on one span's own two times (`ottl_condition`) does not have it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/sampling"
cd "$work/sampling"
cat >go.mod <<'GO'
module sampling

go 1.26
GO
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/tailsamplingprocessor"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
)

// Requests from one host to another: how long the client waited, and how far the server's clock is ahead.
var requests = []struct{ took, ahead time.Duration }{
	{2 * time.Millisecond, 0},
	{2 * time.Millisecond, 1500 * time.Millisecond},
	{2 * time.Millisecond, -1500 * time.Millisecond},
	{1200 * time.Millisecond, 0},
	{2 * time.Millisecond, 500 * time.Millisecond},
}

var expected = []bool{false, true, true, true, false}

func main() {
	ctx := context.Background()
	factory := tailsamplingprocessor.NewFactory()
	config := factory.CreateDefaultConfig()
	slow := map[string]any{"name": "slow", "type": "latency", "latency": map[string]any{"threshold_ms": 1000}}
	check(confmap.NewFromStringMap(map[string]any{"decision_wait": "1s", "policies": []any{slow}}).Unmarshal(config))
	kept := new(consumertest.TracesSink)
	processor, err := factory.CreateTraces(ctx, processortest.NewNopSettings(factory.Type()), config, kept)
	check(err)
	check(processor.Start(ctx, componenttest.NewNopHost()))
	begin := time.Now()
	for number, request := range requests {
		client, server := begin, begin.Add(request.ahead+request.took/4)
		send := func(name string, id byte, start time.Time, lasts time.Duration) {
			traces := ptrace.NewTraces()
			resource := traces.ResourceSpans().AppendEmpty()
			resource.Resource().Attributes().PutStr("host.name", name)
			span := resource.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
			span.SetName(name)
			span.SetTraceID(pcommon.TraceID{byte(number + 1)})
			span.SetSpanID(pcommon.SpanID{id})
			if id > 1 {
				span.SetParentSpanID(pcommon.SpanID{1})
			}
			span.SetStartTimestamp(pcommon.NewTimestampFromTime(start))
			span.SetEndTimestamp(pcommon.NewTimestampFromTime(start.Add(lasts)))
			check(processor.ConsumeTraces(ctx, traces))
		}
		send("client", 1, client, request.took)
		send("server", 2, server, request.took/2)
	}
	time.Sleep(5 * time.Second) // decisions come a second after a trace's first span
	check(processor.Shutdown(ctx))
	seen := map[byte]bool{}
	for _, traces := range kept.AllTraces() {
		for _, resource := range traces.ResourceSpans().All() {
			seen[resource.ScopeSpans().At(0).Spans().At(0).TraceID()[0]] = true
		}
	}
	failed := false
	for number, request := range requests {
		is := seen[byte(number+1)]
		fmt.Printf("took %v, the server's clock %v ahead: kept %v\n", request.took, request.ahead, is)
		failed = failed || is != expected[number]
	}
	if failed {
		os.Exit(1)
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
GO
{
  go get github.com/open-telemetry/opentelemetry-collector-contrib/processor/tailsamplingprocessor@v0.161.0
  go mod tidy
  nice go build -o run .
} 2>build.log || { cat build.log; exit 1; }
./run
