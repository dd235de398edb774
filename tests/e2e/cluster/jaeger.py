"""Jaeger all-in-one as a daemon of the control machine, traces in memory.

Its client is jaeger_api.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2e.cluster import json_api, programs

if TYPE_CHECKING:
    from e2e.cluster.machine import Machine

NAME: Final = "jaeger"
PORT: Final = 16686
# 4317 and 4318 are the gateway's.
OTLP_GRPC_PORT: Final = 14317
OTLP_HTTP_PORT: Final = 14318
MAX_TRACES: Final = 5_000
"""The oldest go first. Full, with traces as ours are, it takes 0.3 GB (10,000: 0.6 GB)."""
_ADMIN_PORT: Final = 14269


def url(control: Machine) -> str:
    return f"http://{control.address}:{PORT}"


def otlp_grpc(control: Machine) -> str:
    """host:port that takes traces."""
    return f"{control.address}:{OTLP_GRPC_PORT}"


def start(control: Machine, *, max_traces: int = MAX_TRACES) -> None:
    """Start it, unless it runs. Its other ports are Jaeger's defaults, on all addresses."""
    if control.runs(NAME):
        return
    control.daemon(
        NAME,
        str(programs.jaeger()),
        f"--query.http-server.host-port={control.address}:{PORT}",
        f"--collector.otlp.grpc.host-port={otlp_grpc(control)}",
        f"--collector.otlp.http.host-port={control.address}:{OTLP_HTTP_PORT}",
        f"--admin.http.host-port={control.address}:{_ADMIN_PORT}",
        f"--memory.max-traces={max_traces}",
        # What a span says is what its node's clock said.
        "--query.max-clock-skew-adjustment=0s",
        "--log-level=warn",
        env={"OTEL_TRACES_SAMPLER": "always_off"},  # No traces of its own.
    )


def is_ready(control: Machine) -> bool:
    """Asks from where this thread is: in the cluster's network."""
    return json_api.answers(f"http://{control.address}:{_ADMIN_PORT}/")
