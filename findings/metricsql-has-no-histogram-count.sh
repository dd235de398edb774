#!/usr/bin/env bash
# Guess: MetricsQL, which "is backwards-compatible with PromQL", takes PromQL's functions of native
#   histograms all alike; without such histograms they return nothing, as in Prometheus.
# Seen: metricsql v0.87.3 parses histogram_quantile(), histogram_avg(), histogram_fraction() and
#   histogram_stddev(), and refuses histogram_count() and histogram_sum(): unsupported function. The
#   whole query is refused, also where it is only the second side of an `or`.
# Why it matters: a rule or panel that reads both forms of a histogram, as Prometheus 3 with
#   convert_classic_histograms_to_nhcb needs it, does not load in vmalert or Grafana on VictoriaMetrics,
#   if it counts observations; the mean by histogram_avg() does.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
cat >go.mod <<'GO'
module parse

go 1.24
GO
cat >main.go <<'GO'
package main

import (
	"fmt"
	"os"

	"github.com/VictoriaMetrics/metricsql"
)

func main() {
	taken := map[string]bool{"quantile": true, "avg": true, "fraction": true, "stddev": true, "count": false, "sum": false}
	parameters := map[string]string{"quantile": "0.9, ", "fraction": "0, 1, "}
	for name, expected := range taken {
		query := fmt.Sprintf("rate(a_count[5m]) or histogram_%s(%srate(a[5m]))", name, parameters[name])
		_, err := metricsql.Parse(query)
		fmt.Printf("%s: %v\n", query, err)
		if (err == nil) != expected {
			os.Exit(1)
		}
	}
}
GO
go get github.com/VictoriaMetrics/metricsql@v0.87.3 >/dev/null 2>&1
go run .
