"""The collector beside an agent: a dead endpoint, headers, and what its configuration promises."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from agents import running, wait_for
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from otlp_receiver import attributes, grpc_receiver, http_receiver
from otlp_telemetry import otlp
from otlp_telemetry import running as telemetry_of
from ports import free_port, free_ports

from collector import binaries, servers
from collector.conftest import (
    EXAMPLES,
    GATEWAY,
    NEED_CONTRIB,
    ROOT,
    SIDECAR,
    agent_environment,
    write_neighbours,
)
from kubenurse_otel.config import OtlpProtocol
from kubenurse_otel.diagnosis.diagnosis import Judgement
from kubenurse_otel.diagnosis.verdict import Cause, Kind, Verdict

CORE = {"otlp", "memory_limiter", "otlp_grpc", "otlp_http", "debug"}
CONTRIB = {"k8sattributes", "tail_sampling", "loadbalancing", "prometheusremotewrite"}
ENVIRONMENT = {
    "OTLP_ENDPOINT": "collector.example.com:4317",
    "TRACES_ENDPOINT": "jaeger:4317",
    "METRICS_ENDPOINT": "http://prometheus:9090/api/v1/otlp/v1/metrics",
    "VENDOR_ENDPOINT": "https://otlp.example.com",
    "VENDOR_AUTHORIZATION": "Bearer secret",
}
OVER_SIDECAR = ("jaeger", "tempo", "prometheus-otlp", "vendor")
OVER_GATEWAY = ("prometheus-otlp", "vendor")


@pytest.mark.parametrize(
    "files",
    [
        (SIDECAR,),
        (GATEWAY,),
        *((SIDECAR, EXAMPLES / f"{name}.yaml") for name in OVER_SIDECAR),
        *((GATEWAY, EXAMPLES / f"{name}.yaml") for name in OVER_GATEWAY),
        (SIDECAR, EXAMPLES / "jaeger.yaml", EXAMPLES / "prometheus-otlp.yaml"),
    ],
    ids=lambda files: "+".join(file.stem for file in files),
)
def test_the_collector_accepts_what_needs_core_alone(files: tuple[Path, ...]) -> None:
    """Each is valid for a collector that has core components only."""
    found = servers.validate(*files, environ=ENVIRONMENT)
    assert found.returncode == 0, found.stderr


@pytest.mark.parametrize("name", NEED_CONTRIB)
def test_what_needs_contrib_is_whole_and_says_so(name: str) -> None:
    """Over gateway.yaml each pipeline's components are configured; test_contrib.py has the rest."""
    file = EXAMPLES / f"{name}.yaml"
    assert file.read_text().startswith("# Needs the contrib distribution")
    config = yaml.safe_load(file.read_text())
    used = kinds(config)
    assert used <= CORE | CONTRIB
    assert used & CONTRIB
    base = {} if "receivers" in config else yaml.safe_load(GATEWAY.read_text())
    merged = merge(base, config)
    for pipeline in merged["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            assert set(pipeline.get(kind, ())) <= merged.get(kind, {}).keys()


def test_every_example_is_looked_at() -> None:
    """No file lies in the examples that no test reads."""
    tested = {*OVER_SIDECAR, *OVER_GATEWAY, *NEED_CONTRIB, "prometheus"}
    assert tested == {file.stem for file in EXAMPLES.glob("*.yaml")}


def test_the_chart_has_the_same_configuration() -> None:
    """The chart's copy and otel-collector/sidecar.yaml are one text."""
    copy = ROOT / "helm" / "kubenurse-otel" / "files" / "sidecar.yaml"
    assert SIDECAR.read_text() == copy.read_text()


def test_the_sidecar_takes_nothing_from_outside() -> None:
    """It listens on localhost only: anyone could send through it otherwise."""
    receivers = yaml.safe_load(SIDECAR.read_text())["receivers"]
    endpoints = [one["endpoint"] for one in receivers["otlp"]["protocols"].values()]
    assert endpoints == ["127.0.0.1:4317", "127.0.0.1:4318"]
    (reader,) = yaml.safe_load(SIDECAR.read_text())["service"]["telemetry"]["metrics"]["readers"]
    assert reader["pull"]["exporter"]["prometheus"]["host"] == "127.0.0.1"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, for a network of its own")
@pytest.mark.parametrize(
    ("given", "address"), [({}, "*"), ({"LISTEN_ADDRESS": "[::1]"}, "[::1]")], ids=["all", "one"]
)
def test_the_gateway_listens_on_both_families(
    tmp_path: Path, given: dict[str, str], address: str
) -> None:
    """Unless it is told where: on an IPv6 node nobody would reach it at 0.0.0.0."""
    start = 'ip link set lo up && exec "$0" "$@"'
    command = ["unshare", "--net", "sh", "-c", start, str(binaries.collector())]
    environ = ENVIRONMENT | given
    with servers.process(
        [*command, f"--config={GATEWAY}"], tmp_path / "gateway.log", environ
    ) as running:

        def listening() -> set[str]:
            shown = subprocess.run(
                ["nsenter", f"--net=/proc/{running.pid}/ns/net", "ss", "-Hltn"],
                capture_output=True,
                text=True,
                check=False,
            )
            return {line.split()[3] for line in shown.stdout.splitlines()}

        ports = {f"{address}:{port}" for port in (4317, 4318, 8888)}
        wait_for(lambda: listening() == ports, seconds=servers.START_SECONDS, what=str(ports))


def test_verdicts_pass_through_the_sidecar(tmp_path: Path) -> None:
    """As log records with their name, for a backend that takes logs."""
    raised = Verdict(
        kind=Kind.NODE,
        culprit="node-b",
        cause=Cause.SILENT,
        confidence=0.9,
        since=1.0,
        last_seen=2.0,
    )
    with grpc_receiver() as behind:
        environ = {"OTLP_ENDPOINT": behind.endpoint.removeprefix("http://")}
        environ["OTLP_INSECURE"] = "true"
        with servers.collector("sidecar", tmp_path, SIDECAR, environ=environ) as sidecar:
            where = otlp(sidecar.http, OtlpProtocol.HTTP_PROTOBUF, "logs")
            with telemetry_of(otlp_logs=where) as telemetry:
                telemetry.tell(Judgement(raised=(raised,)))
            assert behind.wait_for(lambda: len(behind.log_records()) == 1, 20)
        (record,) = behind.log_records()
        assert "kubenurse.verdict" == record.event_name
        assert "node-b" == attributes(record)["kubenurse.verdict.culprit"]


def test_what_came_while_the_endpoint_was_dead_arrives_later(tmp_path: Path) -> None:
    """The sidecar holds the agent's traces and metrics until the gateway is there."""
    neighbours = write_neighbours(tmp_path)
    port = free_port()
    gateway_ports = tuple(free_ports(2))
    assert len(gateway_ports) == 2
    with (
        http_receiver() as behind,
        servers.collector(
            "sidecar",
            tmp_path,
            SIDECAR,
            environ={
                "OTLP_ENDPOINT": f"127.0.0.1:{gateway_ports[0]}",
                "OTLP_INSECURE": "true",
            },
        ) as sidecar,
    ):
        environ = agent_environment(
            "node-a", port, neighbours, OTEL_EXPORTER_OTLP_ENDPOINT=sidecar.http
        )
        with running([environ], tmp_path) as (agent,):
            exported = 'kubenurse_telemetry_exports_total{signal="traces",result="success"}'
            wait_for(
                lambda: agent.metrics().get(exported, 0) >= 2,
                seconds=20,
                what="traces that the sidecar took",
            )
            before = time.time_ns()
            failures = [name for name in agent.metrics() if 'result="failure"' in name]
            assert not failures
            to_the_receiver = {
                "exporters": {"otlp_http": {"endpoint": behind.endpoint}},
                "service": {
                    "telemetry": {"metrics": {"level": "none"}},
                    "pipelines": {
                        signal: {"receivers": ["otlp"], "exporters": ["otlp_http"]}
                        for signal in ("traces", "metrics")
                    },
                },
            }
            with servers.collector("gateway", tmp_path, to_the_receiver, ports=gateway_ports):

                def early() -> bool:
                    spans = [one for one in behind.spans() if one.name == "check path"]
                    return any(one.end_time_unix_nano < before for one in spans)

                wait_for(early, seconds=30, what="a span from before")
                wait_for(
                    lambda: behind.points("kubenurse_httpclient_requests_total"),
                    seconds=30,
                    what="metrics",
                )


def test_a_vendor_gets_the_header_and_both_signals(tmp_path: Path) -> None:
    """docs/examples/collector/vendor.yaml over sidecar.yaml: the header is there, in no log."""
    neighbours = write_neighbours(tmp_path)
    port = free_port()
    with (
        http_receiver() as vendor,
        servers.collector(
            "sidecar",
            tmp_path,
            SIDECAR,
            EXAMPLES / "vendor.yaml",
            environ={
                "OTLP_ENDPOINT": "unused",
                "VENDOR_ENDPOINT": vendor.endpoint,
                "VENDOR_AUTHORIZATION": "Bearer not-to-be-seen",
            },
        ) as sidecar,
        running(
            [
                agent_environment(
                    "node-a",
                    port,
                    neighbours,
                    OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
                    OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{sidecar.grpc}",
                )
            ],
            tmp_path,
        ),
    ):
        assert vendor.wait_for(lambda: bool(vendor.traces and vendor.metrics), 30)
        assert {"/v1/traces", "/v1/metrics"} <= set(vendor.paths)
        assert {one["authorization"] for one in vendor.headers} == {"Bearer not-to-be-seen"}
        resource = attributes(vendor.traces[0].resource_spans[0].resource)
        assert resource["k8s.node.name"] == "node-a"
    assert "not-to-be-seen" not in sidecar.log_file.read_text()


def kinds(config: dict[str, Any]) -> set[str]:
    """The components' types: `otlp_grpc` of `otlp_grpc/traces`."""
    return {
        name.partition("/")[0]
        for part in ("receivers", "processors", "exporters")
        for name in config.get(part, {})
    }


def merge(base: Any, over: Any) -> Any:
    """As the collector merges configurations: maps by key, all else replaced."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: merge(base.get(key), value) for key, value in over.items()}


def test_a_dead_endpoint_costs_bounded_memory(tmp_path: Path) -> None:
    """Far more than the queue holds, and nowhere to go: it refuses, and stays below its limit."""
    mebibyte = 2**20
    limit = 128 * mebibyte  # collector.resources.limits.memory of the chart
    as_in_that_container = {
        "processors": {
            "memory_limiter": {
                "limit_mib": limit * 75 // 100 // mebibyte,
                "spike_limit_mib": limit * 15 // 100 // mebibyte,
            }
        }
    }
    closed = free_port()
    body = many_spans(500)
    with servers.collector(
        "sidecar",
        tmp_path,
        SIDECAR,
        as_in_that_container,
        environ={"OTLP_ENDPOINT": f"127.0.0.1:{closed}", "GOMEMLIMIT": "102MiB"},
    ) as sidecar:
        sent = taken = 0
        while sent < 300 * mebibyte:
            with suppress(urllib.error.HTTPError):
                send(sidecar, body)
                taken += len(body)
            sent += len(body)
        status = Path(f"/proc/{sidecar.process.pid}/status").read_text()
        assert sidecar.process.poll() is None
    peak = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) * 1024 < limit, peak
    # Its queue of 8 MB, and a batch in the hands of each consumer: the rest it refused.
    assert 7_000_000 < taken < 12_000_000


def test_the_collector_itself_tells_what_it_cannot_send(tmp_path: Path) -> None:
    """Agents have success from it meanwhile. A failure is counted after max_elapsed_time alone."""
    retry = {"max_interval": "1s", "max_elapsed_time": "2s"}
    soon = {"exporters": {"otlp_grpc": {"retry_on_failure": retry}}}
    ports = tuple(free_ports(2))
    assert len(ports) == 2
    environ = {
        "OTLP_ENDPOINT": f"127.0.0.1:{ports[0]}",
        "OTLP_INSECURE": "true",
        "KUBENURSE_NODE_NAME": "node-a",
    }
    with servers.collector("sidecar", tmp_path, SIDECAR, soon, environ=environ) as sidecar:
        send(sidecar, many_spans(10))
        early = counted(sidecar)
        assert early["otelcol_receiver_accepted_spans"] == 10
        assert "otelcol_exporter_send_failed_spans" not in early
        failed, sent = "otelcol_exporter_send_failed_spans", "otelcol_exporter_sent_spans"
        wait_for(lambda: counted(sidecar).get(failed) == 10, seconds=30, what=failed)
        assert counted(sidecar).get(sent, 0) == 0
        whose = 'k8s_node_name="node-a"', 'service_name="kubenurse-collector"'
        ours = [series for series in sidecar.metrics() if series.startswith("otelcol_")]
        assert [series for series in ours if all(label in series for label in whose)] == ours
        behind = {
            "exporters": {"debug": {}},
            "service": {
                "telemetry": {"metrics": {"level": "none"}},
                "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["debug"]}},
            },
        }
        with servers.collector("gateway", tmp_path, behind, ports=ports):

            def arrives() -> bool:
                send(sidecar, many_spans(10))
                return counted(sidecar).get(sent, 0) >= 10

            wait_for(arrives, seconds=30, what=sent)


def test_a_full_queue_is_what_the_collector_refused(tmp_path: Path) -> None:
    """Counted at once, as refused by the receiver and as not taken by the exporter's queue."""
    small = {"exporters": {"otlp_grpc": {"sending_queue": {"queue_size": 1}}}}
    environ = {"OTLP_ENDPOINT": f"127.0.0.1:{free_port()}", "OTLP_INSECURE": "true"}
    with servers.collector("sidecar", tmp_path, SIDECAR, small, environ=environ) as sidecar:
        with pytest.raises(urllib.error.HTTPError, match="503"):
            send(sidecar, many_spans(10))
        found = counted(sidecar)
    assert found["otelcol_receiver_refused_spans"] == 10
    assert found["otelcol_exporter_enqueue_failed_spans"] == 10


def counted(collector: servers.Collector) -> dict[str, float]:
    """The collector's own metrics of spans, by name."""
    return {
        series.partition("{")[0]: value
        for series, value in collector.metrics().items()
        if "_spans{" in series
    }


def send(collector: servers.Collector, body: bytes) -> None:
    """Send an OTLP request of spans. Raises HTTPError where it is refused."""
    headers = {"Content-Type": "application/x-protobuf"}
    request = urllib.request.Request(f"{collector.http}/v1/traces", body, headers)
    with urllib.request.urlopen(request, timeout=10):
        pass


def many_spans(count: int) -> bytes:
    """An OTLP request of spans as large as ours: attributes and nine events."""
    request = trace_service_pb2.ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for _ in range(count):
        span = scope.spans.add(name="GET", trace_id=os.urandom(16), span_id=os.urandom(8))
        for number in range(30):
            span.attributes.add(
                key=f"kubenurse.attribute.{number}"
            ).value.string_value = os.urandom(8).hex()
        for number in range(9):
            event = span.events.add(name=f"event_{number}")
            event.attributes.add(key="kubenurse.offset").value.double_value = number
    return request.SerializeToString()
