"""Real collectors, Prometheus and Jaeger as processes on free loopback ports; `with` ends them.

Each starts at its own address and is ready when its context manager returns.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from agents import wait_for
from ports import free_port, free_ports

from collector import binaries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

START_SECONDS = 40.0


def get(url: str, **parameters: str) -> Any:
    """The JSON at ``url``; None where nothing answers, or not with 200."""
    query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
    try:
        with urllib.request.urlopen(url + query, timeout=5) as response:
            return json.load(response)
    except (OSError, ValueError):
        return None


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(
    command: Sequence[str], log_file: Path, environ: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``command``; at the end it is terminated, and killed if that is not enough."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(log_file.parent)} | dict(environ or {})
    with log_file.open("wb") as log:
        running = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        yield running
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait(10)


@dataclass(frozen=True)
class Collector:
    """One running collector and where it takes OTLP."""

    grpc_port: int
    http_port: int
    telemetry_port: int
    log_file: Path
    process: subprocess.Popen[bytes]

    @property
    def grpc(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def metrics(self) -> dict[str, float]:
        """Its own metrics by series, where its configuration has a reader."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.telemetry_port}/metrics") as response:
            lines = response.read().decode().splitlines()
        samples = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {series: float(value) for series, _, value in samples}


@contextmanager
def collector(
    name: str,
    folder: Path,
    *configs: Path | dict[str, Any],
    environ: Mapping[str, str] | None = None,
    ports: tuple[int, int] | None = None,
    binary: Path | None = None,
) -> Iterator[Collector]:
    """Run ``configs``, merged in order as the collector does it, with OTLP at free ports."""
    grpc_port, http_port = ports or free_ports(2)
    telemetry_port = free_port()
    at_free_ports = {
        "receivers": {
            "otlp": {
                "protocols": {
                    "grpc": {"endpoint": f"127.0.0.1:{grpc_port}"},
                    "http": {"endpoint": f"127.0.0.1:{http_port}"},
                }
            }
        }
    }
    command = [str(binary or binaries.collector())]
    for number, config in enumerate((*configs, at_free_ports)):
        if isinstance(config, dict):
            file = folder / f"{name}-{number}.yaml"
            file.write_text(yaml.safe_dump(config))
            config = file  # noqa: PLW2901 - the same, as a file
        command.append(f"--config={config}")
    for config in configs:
        loaded = config if isinstance(config, dict) else yaml.safe_load(config.read_text())
        readers = loaded.get("service", {}).get("telemetry", {}).get("metrics", {}).get("readers")
        if readers:
            readers[0]["pull"]["exporter"]["prometheus"] |= {
                "host": "127.0.0.1",
                "port": telemetry_port,
            }
            file = folder / f"{name}-readers.yaml"
            metrics = {"readers": readers}
            file.write_text(yaml.safe_dump({"service": {"telemetry": {"metrics": metrics}}}))
            command.append(f"--config={file}")
    log_file = folder / f"{name}.log"
    with process(command, log_file, environ) as running:
        found = Collector(grpc_port, http_port, telemetry_port, log_file, running)

        def started() -> bool:
            assert running.poll() is None, log_file.read_text()
            return _listens(grpc_port) and _listens(http_port)

        wait_for(started, seconds=START_SECONDS, what=f"start of the collector {name}")
        yield found


def validate(
    *configs: Path, environ: Mapping[str, str], binary: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Let the collector judge ``configs``."""
    command = [
        str(binary or binaries.collector()),
        "validate",
        *(f"--config={file}" for file in configs),
    ]
    return subprocess.run(
        command, env=dict(environ), capture_output=True, text=True, timeout=30, check=False
    )


@dataclass(frozen=True)
class Prometheus:
    """One running Prometheus."""

    url: str

    @property
    def otlp(self) -> str:
        return f"{self.url}/api/v1/otlp/v1/metrics"

    def series(self, selector: str) -> list[dict[str, str]]:
        found = get(f"{self.url}/api/v1/series", **{"match[]": selector})
        return found["data"] if found else []

    def query(self, expression: str) -> list[dict[str, Any]]:
        found = get(f"{self.url}/api/v1/query", query=expression)
        return found["data"]["result"] if found else []

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        found = get(
            f"{self.url}/api/v1/query_exemplars", query=expression, start="0", end="9999999999"
        )
        return found["data"] if found else []


@contextmanager
def prometheus(name: str, folder: Path, config: dict[str, Any]) -> Iterator[Prometheus]:
    """Prometheus with its OTLP receiver and exemplars, as docs/examples/collector says."""
    port = free_port()
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config))
    command = [
        str(binaries.prometheus()),
        f"--config.file={file}",
        f"--storage.tsdb.path={folder / name}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--web.enable-otlp-receiver",
        "--web.enable-remote-write-receiver",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
    ]
    log_file = folder / f"{name}.log"
    with process(command, log_file) as running:
        found = Prometheus(f"http://127.0.0.1:{port}")

        def ready() -> bool:
            assert running.poll() is None, log_file.read_text()
            return answers(f"{found.url}/-/ready")

        wait_for(ready, seconds=START_SECONDS, what=f"start of {name}")
        yield found


@dataclass(frozen=True)
class Jaeger:
    """One running Jaeger all-in-one, traces in memory."""

    url: str
    grpc: str

    def traces(self, **parameters: str) -> list[dict[str, Any]]:
        """Traces by Jaeger's query API: service, operation, tags, limit."""
        found = get(f"{self.url}/api/traces", **parameters)
        return (found or {}).get("data") or []

    def trace(self, trace_id: str) -> dict[str, Any] | None:
        found = get(f"{self.url}/api/traces/{trace_id}")
        traces: list[dict[str, Any]] = (found or {}).get("data") or []
        return traces[0] if traces else None


@contextmanager
def jaeger(folder: Path) -> Iterator[Jaeger]:
    """Jaeger that takes OTLP by gRPC and answers queries, everything else at free ports, too."""
    names = (
        "collector.otlp.grpc.host-port",
        "query.http-server.host-port",
        "collector.otlp.http.host-port",
        "collector.grpc-server.host-port",
        "collector.http-server.host-port",
        "query.grpc-server.host-port",
        "admin.http.host-port",
        "http-server.host-port",
    )
    ports = dict(zip(names, free_ports(len(names)), strict=True))
    command = [str(binaries.jaeger()), "--memory.max-traces=20000", "--log-level=warn"]
    command += [f"--{name}=127.0.0.1:{port}" for name, port in ports.items()]
    udp = ("jaeger-binary", "jaeger-compact", "zipkin-compact")
    ports_udp = free_ports(len(udp))
    command += [
        f"--processor.{name}.server-host-port=127.0.0.1:{port}"
        for name, port in zip(udp, ports_udp, strict=True)
    ]
    log_file = folder / "jaeger.log"
    with process(command, log_file, {"OTEL_TRACES_SAMPLER": "always_off"}) as running:
        found = Jaeger(
            f"http://127.0.0.1:{ports['query.http-server.host-port']}",
            f"127.0.0.1:{ports['collector.otlp.grpc.host-port']}",
        )

        def ready() -> bool:
            assert running.poll() is None, log_file.read_text()
            return answers(f"http://127.0.0.1:{ports['admin.http.host-port']}/")

        wait_for(ready, seconds=START_SECONDS, what="start of Jaeger")
        yield found
