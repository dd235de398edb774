"""What needs the contrib distribution, on a collector that has those components.

Building it takes minutes: `PYTHONPATH=tests python -m collector.binaries` does, and then these run.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from agents import running, wait_for
from otlp_receiver import attributes, grpc_receiver
from ports import free_port

from collector import binaries, servers
from collector.conftest import (
    EXAMPLES,
    GATEWAY,
    NEED_CONTRIB,
    agent_environment,
    prometheus_config,
    write_neighbours,
)
from kubenurse_otel import semconv

pytestmark = pytest.mark.skipif(
    not binaries.contrib_target().exists(),
    reason=f"no {binaries.contrib_target().name}, which takes minutes to build: "
    "PYTHONPATH=tests .venv/bin/python -m collector.binaries",
)


@pytest.mark.parametrize("name", NEED_CONTRIB)
def test_the_contrib_collector_accepts_it(name: str) -> None:
    """Each example is valid, over gateway.yaml or by itself."""
    file = EXAMPLES / f"{name}.yaml"
    files = (file,) if name == "load-balancing" else (GATEWAY, file)
    environ = {
        "TRACES_ENDPOINT": "jaeger:4317",
        "METRICS_ENDPOINT": "http://prometheus:9090/api/v1/otlp/v1/metrics",
        "REMOTE_WRITE_ENDPOINT": "http://prometheus:9090/api/v1/write",
    }
    found = servers.validate(*files, environ=environ, binary=binaries.contrib())
    assert found.returncode == 0, found.stderr


def test_failed_checks_pass_tail_sampling_and_names_pass_remote_write(tmp_path: Path) -> None:
    """A gateway with both: failed traces arrive whole, and the five names are unchanged."""
    neighbours = write_neighbours(tmp_path)
    port = free_port()
    five = {
        "kubenurse_httpclient_request_duration_seconds_bucket",
        "kubenurse_httpclient_trace_request_duration_seconds_bucket",
        "kubenurse_httpclient_requests_total",
        "kubenurse_errors_total",
        "kubenurse_neighbourhood_incoming_checks",
    }
    with (
        grpc_receiver() as behind,
        servers.prometheus("prometheus", tmp_path, prometheus_config([])) as prometheus,
        servers.collector(
            "gateway",
            tmp_path,
            GATEWAY,
            EXAMPLES / "tail-sampling.yaml",
            EXAMPLES / "remote-write.yaml",
            {"processors": {"tail_sampling": {"decision_wait": "1s"}}},
            environ={
                "TRACES_ENDPOINT": behind.endpoint.removeprefix("http://"),
                "TRACES_INSECURE": "true",
                "METRICS_ENDPOINT": "http://unused",
                "REMOTE_WRITE_ENDPOINT": f"{prometheus.url}/api/v1/write",
            },
            binary=binaries.contrib(),
        ) as gateway,
    ):
        environs = [
            agent_environment(node, port, neighbours, OTEL_EXPORTER_OTLP_ENDPOINT=gateway.http)
            for node in ("node-a", "node-b")
        ]
        with running(environs, tmp_path):

            def failed() -> bool:
                roots = [span for span in behind.spans() if span.name == "check path"]
                return any(attributes(one)[semconv.OUTCOME] == "failed" for one in roots)

            wait_for(failed, seconds=30, what="a failed check's trace")
            wait_for(
                lambda: (
                    five
                    <= {one["__name__"] for one in prometheus.series('{__name__=~"kubenurse.+"}')}
                ),
                seconds=30,
                what="the five names by remote write",
            )
            (labels,) = [
                one
                for one in prometheus.series('kubenurse_check_success{type="path_node-b"}')
                if one["k8s_node_name"] == "node-a"
            ]
            assert labels["cluster"] == "test"
            assert labels["job"] == "kubenurse-otel"
