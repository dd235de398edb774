#!/usr/bin/env bash
# Guess: the collector's k8sattributes processor leaves a resource that names its node and pod as it is, or describes that pod;
#   of several `pod_association`s the next one is tried where one finds nothing.
# Seen: k8sattributesprocessor 0.160.0 of collector-contrib, associations left at their default. What came through another
#   collector keeps its own k8s.node.name and gets the node UID and the zone of the node that this collector is on. With the
#   associations `k8s.pod.uid`, then `connection`, a UID that is not known finds nothing: the first whose attribute is there
#   decides.
# Why it matters: a resource that says node `far` and zone `near` is wrong in each query by zone, and looks right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/attributes"
cd "$work/attributes"
cat >go.mod <<'GO'
module attributes

go 1.26
GO
cat >main.go <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/open-telemetry/opentelemetry-collector-contrib/processor/k8sattributesprocessor"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
)

const pod = `{"metadata": {"name": %q, "namespace": "n", "uid": %q}, "spec": {"nodeName": %q}, "status": {"podIP": %q, "phase": "Running"}}`
const node = `{"metadata": {"name": %[1]q, "uid": "uid-of-%[1]s", "labels": {"topology.kubernetes.io/zone": "zone-of-%[1]s"}}}`

// An API server with two pods on two nodes; nothing changes.
func api(answer http.ResponseWriter, request *http.Request) {
	query := request.URL.Query()
	if query.Get("sendInitialEvents") != "" {
		http.Error(answer, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Invalid", "code": 422}`, 422)
		return
	}
	answer.Header().Set("Content-Type", "application/json")
	if query.Get("watch") != "" {
		answer.(http.Flusher).Flush()
		<-request.Context().Done()
		return
	}
	kind, items := "NamespaceList", []string{}
	switch {
	case strings.HasSuffix(request.URL.Path, "/pods"):
		kind = "PodList"
		items = append(items, fmt.Sprintf(pod, "agent", "uid-of-agent", "far", "10.0.0.2"), fmt.Sprintf(pod, "collector", "uid-of-collector", "near", "10.0.0.9"))
	case strings.HasSuffix(request.URL.Path, "/nodes"):
		kind, items = "NodeList", append(items, fmt.Sprintf(node, "far"), fmt.Sprintf(node, "near"))
	}
	fmt.Fprintf(answer, `{"kind": %q, "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": [%s]}`, kind, strings.Join(items, ","))
}

// What the processor makes of a resource of the agent's node that comes from an address.
func through(from, uid string, associations ...any) string {
	ctx := context.Background()
	factory := k8sattributesprocessor.NewFactory()
	config := factory.CreateDefaultConfig()
	given := map[string]any{
		"auth_type": "kubeConfig", "wait_for_metadata": true,
		"extract": map[string]any{
			"metadata": []any{"k8s.node.uid"},
			"labels":   []any{map[string]any{"tag_name": "zone", "key": "topology.kubernetes.io/zone", "from": "node"}},
		},
	}
	if associations != nil {
		given["pod_association"] = associations
	}
	check(confmap.NewFromStringMap(given).Unmarshal(config))
	out := new(consumertest.TracesSink)
	processor, err := factory.CreateTraces(ctx, processortest.NewNopSettings(factory.Type()), config, out)
	check(err)
	check(processor.Start(ctx, componenttest.NewNopHost()))
	traces := ptrace.NewTraces()
	resource := traces.ResourceSpans().AppendEmpty()
	resource.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	if uid == "" {
		resource.Resource().Attributes().PutStr("k8s.node.name", "far")
	} else {
		resource.Resource().Attributes().PutStr("k8s.pod.uid", uid)
	}
	address := client.Info{Addr: &net.TCPAddr{IP: net.ParseIP(from)}}
	check(processor.ConsumeTraces(client.NewContext(ctx, address), traces))
	check(processor.Shutdown(ctx))
	said := []string{}
	for _, name := range []string{"k8s.node.name", "k8s.node.uid", "zone"} {
		value, there := out.AllTraces()[0].ResourceSpans().At(0).Resource().Attributes().Get(name)
		if !there {
			value = pcommon.NewValueStr("-")
		}
		said = append(said, value.AsString())
	}
	return strings.Join(said, " ")
}

func main() {
	server := httptest.NewServer(http.HandlerFunc(api))
	check(os.WriteFile("kubeconfig", []byte(fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "x",
  "clusters": [{"name": "x", "cluster": {"server": %q}}], "users": [{"name": "x", "user": {}}],
  "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]}`, server.URL)), 0o600))
	check(os.Setenv("KUBECONFIG", "kubeconfig"))
	source := func(words map[string]any) any { return map[string]any{"sources": []any{words}} }
	both := []any{source(map[string]any{"from": "resource_attribute", "name": "k8s.pod.uid"}), source(map[string]any{"from": "connection"})}
	failed := false
	for _, one := range []struct{ what, seen, expected string }{
		{"straight from the agent", through("10.0.0.2", ""), "far uid-of-far zone-of-far"},
		{"through the collector", through("10.0.0.9", ""), "far uid-of-near zone-of-near"},
		{"by its address, beside the agent", through("127.0.0.1", "unknown", both[1]), "- - -"},
		{"by its UID, through the collector", through("10.0.0.9", "uid-of-agent", both...), "- uid-of-far zone-of-far"},
		{"by an unknown UID, straight", through("10.0.0.2", "unknown", both...), "- - -"},
	} {
		fmt.Printf("%s: %q\n", one.what, one.seen)
		failed = failed || one.seen != one.expected
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
  go get github.com/open-telemetry/opentelemetry-collector-contrib/processor/k8sattributesprocessor@v0.160.0
  go mod tidy
  nice go build -trimpath "-ldflags=-s -w" -o run .
} 2>build.log || { cat build.log; exit 1; }
./run
