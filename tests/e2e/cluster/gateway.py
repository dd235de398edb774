"""The gateway collector, otel-collector/gateway.yaml as it is: a daemon of the control machine."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster import programs

if TYPE_CHECKING:
    from e2e.cluster.machine import Machine

NAME: Final = "gateway"
GRPC_PORT: Final = 4317
HTTP_PORT: Final = 4318
_OWN_METRICS_PORT: Final = 8888
_CONFIG: Final = Path(__file__).parents[3] / "otel-collector/gateway.yaml"
_CONNECT_SECONDS: Final = 2.0


def grpc(control: Machine) -> str:
    """host:port, as a sidecar's OTLP_ENDPOINT."""
    return f"{control.address}:{GRPC_PORT}"


def http(control: Machine) -> str:
    """A URL, as an agent's OTEL_EXPORTER_OTLP_ENDPOINT."""
    return f"http://{control.address}:{HTTP_PORT}"


def own_metrics(control: Machine) -> str:
    """host:port where it tells of its own queues."""
    return f"{control.address}:{_OWN_METRICS_PORT}"


def start(control: Machine, *, traces: str, metrics: str) -> None:
    """Start it, unless it runs. Traces go to host:port by gRPC, metrics to a URL by HTTP."""
    if control.runs(NAME):
        return
    environ = {
        "LISTEN_ADDRESS": control.address,
        "TRACES_ENDPOINT": traces,
        "TRACES_INSECURE": "true",
        "METRICS_ENDPOINT": metrics,
        "NO_PROXY": "*",  # A proxy of our environment is not in the cluster's network.
    }
    control.daemon(NAME, str(programs.collector()), f"--config={_CONFIG}", env=environ)


def is_ready(control: Machine) -> bool:
    """Asks from where this thread is: in the cluster's network."""
    return all(_listens(control.address, port) for port in (GRPC_PORT, HTTP_PORT))


def _listens(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False
