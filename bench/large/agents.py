"""Real agents of the simulated cluster, and readings of what one costs and did.

Measured agents follow the API server; their neighbours are real agents too, which check them in
turn (static discovery), so that they are asked as often as in a whole cluster.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import re
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import image
from bench.large import borrowed, place, traffic
from bench.network import BenchError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping, Sequence

    from bench.large.traffic import Count

PORT: Final = 8080
SCRAPE_SECONDS: Final = 30.0
"""The chart's serviceMonitor.interval."""
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0"
_START_SECONDS: Final = 240.0
_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Variant:
    """A measured agent: what it is called, how many neighbours it checks, what else it is told."""

    name: str
    group: int
    limit: int
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What an agent cost and did so far. Times in seconds, memory in MiB."""

    at: float
    cpu: float
    rss: float
    peak: float
    threads: int
    descriptors: int
    samples: tuple[tuple[str, str, float], ...]
    traffic: Mapping[str, Count]

    def total(self, name: str, where: str = "") -> float:
        """The sum of a metric's samples whose labels contain ``where``."""
        return sum(v for n, labels, v in self.samples if n == name and where in labels)


class Agent:
    def __init__(
        self, process: subprocess.Popen[bytes], variant: Variant, number: int, directory: Path
    ) -> None:
        self.process = process
        self.variant = variant
        self.number = number
        self.address: str = borrowed.daemonset.address(number)
        self.directory = directory

    def get(self, path: str, accept: str = "", *, zipped: bool = False) -> bytes:
        """The body as it was sent. Raises OSError."""
        connection = http.client.HTTPConnection(self.address, PORT, timeout=60)
        headers = {"Accept": accept} if accept else {}
        try:
            connection.request(
                "GET", path, headers=headers | ({"Accept-Encoding": "gzip"} if zipped else {})
            )
            return connection.getresponse().read()
        finally:
            connection.close()

    def read(self) -> Reading:
        memory = self.memory()
        text = gzip.decompress(self.get("/metrics", zipped=True)).decode()
        return Reading(
            at=time.monotonic(),
            cpu=place.cpu_seconds(self.process.pid),
            rss=memory["VmRSS"],
            peak=memory["VmHWM"],
            threads=len(list(Path(f"/proc/{self.process.pid}/task").iterdir())),
            descriptors=len(list(Path(f"/proc/{self.process.pid}/fd").iterdir())),
            samples=tuple((m[1], m[2] or "", float(m[3])) for m in _SAMPLE.finditer(text)),
            traffic=traffic.counts(self.variant.group),
        )

    def memory(self) -> dict[str, float]:
        """VmRSS, VmHWM and the others of /proc/PID/status, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.findall(r"^(Vm\w+|Rss\w+):\s+(\d+) kB", status, re.MULTILINE)
        return {name: int(kib) / 1024 for name, kib in found}

    def log(self) -> str:
        return (self.directory / "agent.log").read_text()

    def tasks(self) -> int:
        """Its asyncio tasks (bench/large/observed.py)."""
        file = self.directory / "tasks"
        file.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR2)
        deadline = time.monotonic() + 5
        while not (file.exists() and (text := file.read_text())):
            if time.monotonic() > deadline:
                raise BenchError("the agent does not tell its tasks")
            time.sleep(0.02)
        return int(text)

    def wait_for_neighbours(self, known: int) -> None:
        """Return when discovery knows all and every neighbour was checked."""
        deadline = time.monotonic() + _START_SECONDS
        seen = "nothing"
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError, ValueError):
                neighbours = json.loads(self.get("/alive"))["details"]["neighbours"]
                seen = f"{neighbours['known']} known, {len(neighbours['chosen'])} chosen"
                if neighbours["known"] == known and len(neighbours["chosen"]) == self.variant.limit:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise BenchError(f"{self.variant.name}: {seen}; {self.log()[-1500:]}")


def _common(number: int, directory: Path) -> dict[str, str]:
    pod = borrowed.daemonset.pod_name(number, 1)
    return {
        "PATH": os.environ["PATH"],  # noqa: TID251 - the agent's, not ours
        "PYTHONDONTWRITEBYTECODE": "1",
        "KUBENURSE_LISTEN_ADDRESS": borrowed.daemonset.address(number),
        "KUBENURSE_POD_IP": borrowed.daemonset.address(number),
        "KUBENURSE_NODE_NAME": borrowed.daemonset.node_name(number),
        "KUBENURSE_POD_NAME": pod,
        "KUBENURSE_NAMESPACE": borrowed.NAMESPACE,
        "KUBENURSE_SHUTDOWN_DURATION": "0s",
        "KUBENURSE_SERVICE_ACCOUNT_DIR": str(directory / "serviceaccount"),
    }


@contextlib.contextmanager
def measured(variant: Variant, number: int, directory: Path) -> Iterator[Agent]:
    """An agent with the chart's environment, listening on its pod's address."""
    own = directory / f"agent-{variant.name}"
    own.mkdir(exist_ok=True)
    environment = _common(number, directory) | {
        "KUBENURSE_NEIGHBOUR_FILTER": "app.kubernetes.io/name=kubenurse",
        "KUBENURSE_NEIGHBOUR_LIMIT": str(variant.limit),
        "KUBENURSE_SERVICE_URL": f"http://kubenurse.{borrowed.NAMESPACE}.svc.cluster.local:{PORT}",
        "KUBENURSE_INGRESS_URL": f"https://{place.INGRESS_HOST}",
        "KUBENURSE_EXTRA_CA": str(directory / "ca.crt"),
        "KUBERNETES_SERVICE_HOST": place.API_SERVER,
        "KUBERNETES_SERVICE_PORT": str(place.API_PORT),
        **variant.environment,
    }
    # Where the bench was started with nice, the agent under measure is not: it has its own node.
    nice = ("nice", "-n", str(-os.nice(0)))
    command = (*nice, sys.executable, "-m", "bench.large.observed", str(own / "tasks"))
    with place.daemon(
        command, own / "agent.log", environment=environment, group=variant.group
    ) as one:
        yield Agent(one, variant, number, own)


@contextlib.contextmanager
def neighbour(number: int, asked: Sequence[int], directory: Path, sink: str) -> Iterator[None]:
    """A real agent that answers, and checks the measured agents ``asked``."""
    file = directory / f"neighbours-{number}.json"
    file.write_text(
        json.dumps(
            [
                {
                    "podName": borrowed.daemonset.pod_name(one, 1),
                    "nodeName": borrowed.daemonset.node_name(one),
                    "podIP": borrowed.daemonset.address(one),
                }
                for one in asked
            ]
        )
    )
    environment = _common(number, directory) | {
        "KUBENURSE_DISCOVERY": "static",
        "KUBENURSE_NEIGHBOURS_FILE": str(file),
        "KUBENURSE_CHECK_API_SERVER_DIRECT": "false",
        "KUBENURSE_CHECK_API_SERVER_DNS": "false",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{sink}/v1/traces",
        "KUBENURSE_TRACE_RATIO": "0",
        "KUBENURSE_TRACE_MAX_PER_MINUTE": "0",
    }
    command = image.command()
    log = directory / f"neighbour-{number}.log"
    with place.daemon(command, log, environment=environment):
        yield


class Scraper(threading.Thread):
    """Scrapes agents as Prometheus does, gzip-coded, each at a time of its own."""

    def __init__(self, scraped: Sequence[Agent]) -> None:
        super().__init__(daemon=True)
        self._scraped = scraped
        self._ended = threading.Event()
        self.failures = 0

    def run(self) -> None:
        turn = 0
        while not self._ended.wait(SCRAPE_SECONDS / len(self._scraped)):
            try:
                self._scraped[turn % len(self._scraped)].get("/metrics", OPENMETRICS, zipped=True)
            except OSError:
                self.failures += 1
            turn += 1

    def end(self) -> None:
        self._ended.set()
        self.join(15)
