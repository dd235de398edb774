"""Prometheus, Jaeger and the gateway collector of a cluster, on its control machine.

``Prometheus()`` and ``Jaeger()`` ask them, from a process that is in the cluster's network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from e2e.cluster import gateway, jaeger, prometheus
from e2e.cluster.errors import ClusterError
from e2e.cluster.jaeger_api import Jaeger
from e2e.cluster.machine import network_of
from e2e.cluster.polling import until
from e2e.cluster.prometheus_api import Prometheus

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.cluster.machine import Machine

__all__ = ["NAMES", "Jaeger", "Prometheus", "start", "stop", "wait_until_ready"]
_SERVERS: Final = {
    prometheus.NAME: prometheus.is_ready,
    jaeger.NAME: jaeger.is_ready,
    gateway.NAME: gateway.is_ready,
}
NAMES: Final = tuple(_SERVERS)
"""Of the daemons: for Machine.end, .signal, .log."""
_READY_SECONDS: Final = 60.0
_LOG_SHOWN: Final = 5000


def start(
    control: Machine,
    *,
    api_url: str,
    ca_file: Path,
    token_file: Path,
    compress: float = 10.0,
    scrape: str = "1s",
) -> None:
    """Start what does not run; what runs stays as it was started. See prometheus.start."""
    jaeger.start(control)
    prometheus.start(
        control,
        api_url=api_url,
        ca_file=ca_file,
        token_file=token_file,
        compress=compress,
        scrape=scrape,
    )
    start_gateway(control)


def start_gateway(control: Machine) -> None:
    """Start the gateway alone, as after a fault that stopped it."""
    gateway.start(control, traces=jaeger.otlp_grpc(control), metrics=prometheus.otlp_url(control))


def stop(control: Machine) -> None:
    """End all three; the gateway first, that it can hand on what it has."""
    for name in reversed(_SERVERS):
        control.end(name)


def wait_until_ready(control: Machine, *, seconds: float = _READY_SECONDS) -> None:
    """Return when all answer. Raises ClusterError when one ended or is not ready in time."""

    def unready() -> list[str]:
        if ended := [name for name in _SERVERS if not control.runs(name)]:
            logs = "\n".join(f"{name}: {control.log(name)[-_LOG_SHOWN:]}" for name in ended)
            raise ClusterError(f"ended, or never started: {logs}")
        return [name for name, is_ready in _SERVERS.items() if not is_ready(control)]

    with network_of(control.pid):
        try:
            until(unready, lambda names: not names, seconds=seconds, what="servers that answer")
        except AssertionError as error:
            raise ClusterError(str(error)) from error
