"""VictoriaMetrics and vmalert: they read every expression, and its OTLP receiver's series join.

Four agents on paper push to it; it knows no job and no instance. Ranges of rules are seconds here,
and nobody waits longer than VictoriaMetrics takes to show one rule what another one made.
"""

from __future__ import annotations

import json
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from agents import wait_for
from expressions import RULES, filled_in, of_panels
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from ports import free_port
from prometheus_tools import binary
from stores import shortened_rules

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


@dataclass(frozen=True)
class Pair:
    """VictoriaMetrics and the vmalert that evaluates the rules on it."""

    url: str
    rules_url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression."""
        found: list[dict[str, Any]] = _get(
            f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        )["result"]
        return found

    def firing(self) -> set[tuple[str, str]]:
        """Name and node of each alert that fires."""
        alerts = _get(f"{self.rules_url}/api/v1/alerts")["alerts"]
        labels = [alert["labels"] for alert in alerts if alert["state"] == "firing"]
        return {(one["alertname"], one.get("node", "")) for one in labels}

    def errors(self) -> dict[str, str]:
        """What the evaluation of a rule failed with."""
        groups = _get(f"{self.rules_url}/api/v1/rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        return {rule["name"]: rule["lastError"] for rule in rules if rule["lastError"]}

    def push(self, *, cut_off: str) -> None:
        """What four agents send over OTLP; all checks that ``cut_off`` makes fail."""
        request = urllib.request.Request(
            f"{self.url}/opentelemetry/v1/metrics",
            _export(cut_off).SerializeToString(),
            {"Content-Type": "application/x-protobuf"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass


def _get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


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


@contextmanager
def _running(command: list[str], log_file: Path, health: str) -> Iterator[None]:
    """Run it until the end, from when it answers."""

    def answers() -> bool:
        try:
            with urllib.request.urlopen(health, timeout=2):
                return True
        except OSError:
            return False

    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for(answers, seconds=30, what=f"{command[0]}: {log_file}")
            yield
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Both, as they are by default but for what would take minutes: delays, caches, look-back."""
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(shortened_rules(RULES.read_text())))
    port, rules_port = free_port(), free_port()
    one = Pair(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{rules_port}")
    store = [
        str(binary("victoria-metrics")),
        f"-httpListenAddr=127.0.0.1:{port}",
        f"-storageDataPath={tmp_path / 'data'}",
        "-search.latencyOffset=1s",
        "-search.maxLookback=10s",
        "-search.disableCache",
        "-storage.cacheSizeIndexDBTagFilters=1",
        "-memory.allowedBytes=64MiB",
    ]
    vmalert = [
        str(binary("vmalert")),
        f"-httpListenAddr=127.0.0.1:{rules_port}",
        f"-rule={rules}",
        f"-datasource.url={one.url}",
        f"-remoteRead.url={one.url}",
        f"-remoteWrite.url={one.url}",
        "-remoteWrite.flushInterval=500ms",
        "-rule.evalDelay=1s",
        "-evaluationInterval=1s",
        "-group.maxStartDelay=1s",
        "-notifier.blackhole",
    ]
    with ExitStack() as stack:
        stack.enter_context(_running(store, tmp_path / "store.log", f"{one.url}/health"))
        stack.enter_context(_running(vmalert, tmp_path / "rules.log", f"{one.rules_url}/health"))
        yield one


def test_agents_are_told_apart_without_job_and_instance(pair: Pair) -> None:
    """The pairs of a node that is cut off read 1 and all others 0, and its alert fires, alone.

    Each rule finds what another one made some seconds later; this chain has seven.
    """

    def fires() -> bool:
        pair.push(cut_off=CUT_OFF)
        time.sleep(1)  # the agents' interval
        return ("KubenurseNodeCannotReachOthers", CUT_OFF) in pair.firing()

    wait_for(fires, seconds=100, what="KubenurseNodeCannotReachOthers")
    ratios = {
        (one["metric"]["source_node"], one["metric"]["target_node"]): one["value"][1]
        for one in pair.query("kubenurse:pair:failure_ratio")
    }
    assert ratios == {
        (node, target): "1" if node == CUT_OFF else "0"
        for node in NODES
        for target in NODES
        if node != target
    }
    assert {alert for alert, node in pair.firing() if node} == {"KubenurseNodeCannotReachOthers"}
    assert pair.errors() == {}
