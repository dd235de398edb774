"""The demo's agents: their addresses, a free port, and their configuration."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Final

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AGENTS: Final = 5
FIRST_ADDRESS: Final = "127.0.1.1"
CHECK_SECONDS: Final = 1
"""Seconds between two checks of a target. Full-size checks are made less often."""
_PASSED_ON: Final = (
    "KUBENURSE_EXTRA_CHECKS",
    "KUBENURSE_TRACE_RATIO",
    "KUBENURSE_TRACE_MAX_PER_MINUTE",
    "KUBENURSE_LOG_LEVEL",
    "KUBENURSE_LOG_FORMAT",
    "KUBENURSE_TRACE_URL",
    "KUBENURSE_QUERY_URL",
    "KUBENURSE_GRAFANA_URL",
)
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class DemoError(Exception):
    """The demo cannot go on. The text is a sentence for people that says why."""


@record(frozen=True, slots=True)
class Agent:
    number: int
    port: int

    @property
    def node(self) -> str:
        return f"node-{self.number}"

    @property
    def address(self) -> str:
        return f"127.0.1.{self.number}"

    @property
    def zone(self) -> str:
        return f"zone-{'ab'[self.number % 2]}"

    @property
    def url(self) -> str:
        return f"http://{self.address}:{self.port}"


def choose_port(wanted: int) -> int:
    """Return ``wanted`` if it is free on all agents' addresses, else another port that is. Raises
    DemoError.
    """
    for port in (wanted, *([0] * 20)):
        with contextlib.ExitStack() as stack:
            try:
                taken = port
                for number in range(1, AGENTS + 1):
                    bound = stack.enter_context(socket.create_server((f"127.0.1.{number}", taken)))
                    taken = bound.getsockname()[1]
            except OSError as error:
                problem = error
            else:
                return taken
    raise DemoError(
        f"cannot listen on 127.0.1.1 to 127.0.1.{AGENTS}: {problem.strerror or problem}. "
        "The demo needs Linux's loopback network 127.0.0.0/8"
    )


def agent_environment(
    agent: Agent, folder: Path, ports: Mapping[str, int], environ: Mapping[str, str]
) -> dict[str, str]:
    """Return an agent's environment: the user's OTEL_*, and the variables that a pod would have."""
    passed_on = {
        name: value
        for name, value in environ.items()
        if not name.startswith(("KUBENURSE_", "KUBERNETES_", "KUBECONFIG")) or name in _PASSED_ON
    }
    if any(environ.get(name) for name in _ENDPOINTS) and "OTEL_TRACES_SAMPLER" not in environ:
        passed_on.setdefault("KUBENURSE_TRACE_RATIO", "1")  # whoever sets it wants to see traces
    return passed_on | {
        "KUBENURSE_DISCOVERY": "static",
        "KUBENURSE_NEIGHBOURS_FILE": str(folder / "neighbours.json"),
        "KUBENURSE_SERVICE_ACCOUNT_DIR": str(folder / "serviceaccount"),
        "KUBENURSE_NODE_NAME": agent.node,
        "KUBENURSE_POD_NAME": f"kubenurse-{agent.number}",
        "KUBENURSE_POD_IP": agent.address,
        "KUBENURSE_CLUSTER_NAME": "demo",
        "KUBENURSE_LISTEN_ADDRESS": agent.address,
        "KUBENURSE_PORT": str(agent.port),
        "KUBENURSE_INGRESS_URL": f"https://localhost:{ports['ingress']}",
        "KUBENURSE_SERVICE_URL": f"http://127.0.1.1:{agent.port}",
        "KUBENURSE_CHECK_INTERVAL": f"{CHECK_SECONDS}s",
        "KUBENURSE_CHECK_TIMEOUT": "2s",
        "KUBENURSE_SLOW_THRESHOLD": "200ms",
        "KUBENURSE_ALIVE_STATUS": "200",
        "KUBENURSE_SHUTDOWN_DURATION": "0s",
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(ports["api_server"]),
        "KUBERNETES_SERVICE_DNS": "localhost",
    }
