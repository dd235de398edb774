"""Two agents, a collector beside the first, a gateway, Prometheus and Jaeger: started once.

node-a pushes everything through its sidecar and the gateway. node-b sends traces to the gateway and
metrics straight to Prometheus. Prometheus also scrapes both. node-c is dead.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from agents import Agent, environment, running
from ports import free_port

from collector import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
SIDECAR = ROOT / "otel-collector" / "sidecar.yaml"
GATEWAY = ROOT / "otel-collector" / "gateway.yaml"
EXAMPLES = ROOT / "docs" / "examples" / "collector"
NEED_CONTRIB = ("k8sattributes", "tail-sampling", "load-balancing", "remote-write")
ADDRESSES = {"node-a": "127.0.4.1", "node-b": "127.0.4.2", "node-c": "127.0.4.3"}
FAST = {
    "KUBENURSE_TRACE_RATIO": "1",
    "KUBENURSE_CLUSTER_NAME": "test",
    "OTEL_BSP_SCHEDULE_DELAY": "200",
    "OTEL_METRIC_EXPORT_INTERVAL": "1000",
    "OTEL_METRICS_EXPORTER": "prometheus,otlp",
    "OTEL_RESOURCE_ATTRIBUTES": "cluster=test",
}
"""Every trace, soon; the rest as the chart sets it."""


@dataclass(frozen=True)
class Stack:
    agents: dict[str, Agent]
    prometheus: servers.Prometheus
    jaeger: servers.Jaeger


def write_neighbours(folder: Path) -> Path:
    file = folder / "neighbours.yaml"
    neighbours = [
        {"podName": f"kubenurse-{node}", "nodeName": node, "podIP": address}
        for node, address in ADDRESSES.items()
    ]
    file.write_text(yaml.safe_dump(neighbours))
    return file


def agent_environment(node: str, port: int, neighbours: Path, **more: str) -> dict[str, str]:
    address = ADDRESSES[node]
    more = {"KUBENURSE_NEIGHBOURS_FILE": str(neighbours)} | FAST | more
    return environment(address, node, port, **more)


def prometheus_config(scraped: list[str], **otlp: Any) -> dict[str, Any]:
    """docs/examples/collector/prometheus.yaml with a scrape beside it."""
    config: dict[str, Any] = yaml.safe_load((EXAMPLES / "prometheus.yaml").read_text())
    config["otlp"] |= otlp
    config["scrape_configs"] = [
        {
            "job_name": "scraped",
            "scrape_interval": "1s",
            "static_configs": [{"targets": scraped}],
        }
    ]
    return config


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("collector")
    neighbours = write_neighbours(folder)
    port = free_port()
    with ExitStack() as running_now:
        jaeger = running_now.enter_context(servers.jaeger(folder))
        prometheus = running_now.enter_context(
            servers.prometheus(
                "prometheus",
                folder,
                prometheus_config([f"{ADDRESSES[node]}:{port}" for node in ("node-a", "node-b")]),
            )
        )
        gateway = running_now.enter_context(
            servers.collector(
                "gateway",
                folder,
                GATEWAY,
                environ={
                    "TRACES_ENDPOINT": jaeger.grpc,
                    "TRACES_INSECURE": "true",
                    "METRICS_ENDPOINT": prometheus.otlp,
                },
            )
        )
        sidecar = running_now.enter_context(
            servers.collector(
                "sidecar",
                folder,
                SIDECAR,
                environ={"OTLP_ENDPOINT": gateway.grpc, "OTLP_INSECURE": "true"},
            )
        )
        environs = [
            agent_environment("node-a", port, neighbours, OTEL_EXPORTER_OTLP_ENDPOINT=sidecar.http),
            agent_environment(
                "node-b",
                port,
                neighbours,
                OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
                OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"http://{gateway.grpc}",
                OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=prometheus.otlp,
            ),
        ]
        agents = running_now.enter_context(running(environs, folder))
        yield Stack(dict(zip(("node-a", "node-b"), agents, strict=True)), prometheus, jaeger)
