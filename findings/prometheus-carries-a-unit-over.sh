#!/usr/bin/env bash
# Guess: a metric family without a `# UNIT` line has no unit: OpenMetrics 1.0 (section 4.4) makes the unit
#   a part of each family, and every writer leaves the line out where there is none.
# Seen: Prometheus' parser of OpenMetrics (module v0.316.0, model/textparse) sets the unit at a UNIT line and
#   never forgets it: a family without the line has the unit of the family before. With
#   --enable-feature=type-and-unit-labels (here: the parser's own option) that becomes the label __unit__,
#   of each family that prometheus_client 0.26.0 writes after one with a unit: a gauge of pods is in
#   seconds. An empty line, `# UNIT name `, ends it; prometheus_client's parser takes that, too.
# Why it matters: series get a label that is wrong, and another one as soon as the order of the families
#   changes, or one of them appears later than the scrape before: then joins and rates break for a while.
set -euo pipefail

work=$(mktemp -d)
trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check prometheus-client==0.26.0

cat >"$work/write.py" <<'PYTHON'
import sys

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

registry = CollectorRegistry()
Gauge("age", "Age.", unit="seconds", registry=registry).set(3)
Gauge("pods", "Pods.", registry=registry).set(4)
text = generate_latest(registry).decode()
ended = text.replace("# HELP pods", "# UNIT pods \n# HELP pods")
assert ended != text
assert [family.unit for family in text_string_to_metric_families(ended)] == ["seconds", ""]
for name, content in (("left-out", text), ("empty", ended)):
    with open(f"{sys.argv[1]}/{name}.txt", "w") as file:
        file.write(content)
PYTHON
"$work/venv/bin/python" "$work/write.py" "$work"

mkdir "$work/read"
cd "$work/read"
cat >go.mod <<'GO'
module read

go 1.26
GO
cat >main.go <<'GO'
package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	parser := textparse.NewOpenMetricsParser(text, labels.NewSymbolTable(), textparse.WithOMParserTypeAndUnitLabels())
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			panic(err)
		}
		if entry == textparse.EntrySeries {
			var series labels.Labels
			parser.Labels(&series)
			fmt.Println(series.String())
		}
	}
}
GO
go get github.com/prometheus/prometheus/model/textparse@v0.316.0 >/dev/null 2>&1
go build -o read .

left_out=$(./read "$work/left-out.txt" | grep pods)
empty=$(./read "$work/empty.txt" | grep pods)
echo "no UNIT line:      $left_out"
echo "an empty UNIT line: $empty"
[[ $left_out == *'__unit__="seconds"'* ]] && [[ $empty != *__unit__* ]]
