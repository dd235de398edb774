"""VictoriaMetrics and vmalert: they read every expression, and its OTLP receiver's series join.

Four agents on paper push to it; it knows no job and no instance. Ranges of rules are seconds here,
and nobody waits longer than VictoriaMetrics takes to show one rule what another one made.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from agents import wait_for
from expressions import RULES, filled_in, of_panels
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from ports import free_port
from prometheus_tools import binary
from stores import Store, rules, victoria_metrics

NODES = ("node-1", "node-2", "node-3", "node-4")
CUT_OFF = "node-1"


def accepts(rules: Path) -> str:
    """What vmalert has against a file of rules; nothing if it takes them."""
    done = subprocess.run(
        [binary("vmalert"), "-dryRun", f"-rule={rules}", "-loggerLevel=ERROR"],
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def as_rules(file: Path, expressions: list[str]) -> Path:
    """Write recording rules of them."""
    rules = [{"record": f"of:{at}", "expr": expr} for at, expr in enumerate(expressions)]
    file.write_text(json.dumps({"groups": [{"name": "expressions", "rules": rules}]}))
    return file


def test_it_takes_the_rules() -> None:
    """Syntax, functions and templates."""
    assert accepts(RULES) == ""


def test_it_takes_the_panels(tmp_path: Path) -> None:
    """Every expression of every dashboard is MetricsQL, too."""
    expressions = [filled_in(expr) for expr in of_panels().values()]
    assert accepts(as_rules(tmp_path / "panels.yaml", expressions)) == ""


def test_what_it_does_not_know_is_said(tmp_path: Path) -> None:
    """The two tests above are not blind: a function of Prometheus' alone is refused."""
    said = accepts(as_rules(tmp_path / "rules.yaml", ["a or histogram_count(b)"]))
    assert 'unsupported function "histogram_count"' in said


def push(store: Store, *, cut_off: str) -> None:
    """What four agents send over OTLP; all checks that ``cut_off`` makes fail."""
    content = {"Content-Type": "application/x-protobuf"}
    body = _export(cut_off).SerializeToString()
    with urllib.request.urlopen(urllib.request.Request(store.otlp, body, content), timeout=10):
        pass


def _export(cut_off: str) -> ExportMetricsServiceRequest:
    """Gauges with the attributes that the agents' resource has."""
    request = ExportMetricsServiceRequest()
    for node in NODES:
        sent = request.resource_metrics.add()
        sent.resource.attributes.extend(
            _attributes({"service.name": "kubenurse-otel", "service.instance.id": f"uid-{node}"})
        )
        scope = sent.scope_metrics.add()

        def gauge(name: str, value: float, **labels: str) -> None:
            metric = scope.metrics.add(name=name)  # noqa: B023 - called at once
            metric.gauge.data_points.add(
                time_unix_nano=time.time_ns(), as_double=value, attributes=_attributes(labels)
            )

        gauge("kubenurse_build_info", 1)
        gauge("kubenurse_ready", 1)
        for target in NODES:
            if target != node:
                kind = f"path_{target}"
                gauge("kubenurse_check_success", float(node != cut_off), type=kind)
                gauge("kubenurse_check_info", 1, type=kind, source_node=node, target_node=target)
    return request


def _attributes(labels: dict[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in labels.items()]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """VictoriaMetrics and its vmalert, with nothing in it."""
    ports = free_port(), free_port()
    with victoria_metrics("pushed", tmp_path / "pushed", rules(tmp_path), ports) as one:
        yield one


def test_agents_are_told_apart_without_job_and_instance(store: Store) -> None:
    """The pairs of a node that is cut off read 1 and all others 0, and its alert fires, alone.

    Each rule finds what another one made some seconds later; this chain has seven.
    """
    alert = f"KubenurseNodeCannotReachOthers {CUT_OFF}"

    def fires() -> bool:
        push(store, cut_off=CUT_OFF)
        time.sleep(1)  # the agents' interval
        return alert in store.firing()

    wait_for(fires, seconds=100, what=alert)
    ratios = {
        (one["metric"]["source_node"], one["metric"]["target_node"]): one["value"][1]
        for one in store.query("kubenurse:pair:failure_ratio")["result"]
    }
    assert ratios == {
        (node, target): "1" if node == CUT_OFF else "0"
        for node in NODES
        for target in NODES
        if node != target
    }
    assert {one for one in store.firing() if " " in one} == {alert}
    assert store.problems() == {}
