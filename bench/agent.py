"""A live agent in a namespace, with everything it checks: 10 path targets, the API server direct
and by name, the ingress (these three over TLS), the service. Owns their processes and files.

What it cost is read from /proc, what it did from its own /metrics.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trustme

from bench import image
from bench.network import BenchError, Network, inside, stop
from bench.server import node_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PORT: Final = 8080
FAR_PORT: Final = 8081
TLS_PORT: Final = 8443
SINK_PORT: Final = 4318
PEERS: Final = tuple(f"127.0.2.{n}" for n in range(1, 11))
API_SERVER: Final = "127.0.0.1"  # so that the name is localhost
INGRESS: Final = "127.0.2.20"
SERVICE: Final = "127.0.2.21"
TARGETS: Final = 14
_START_SECONDS: Final = 20.0
_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where an agent runs, and the environment that tells it of its targets."""

    network: Network
    namespace: str
    address: str
    """Where the bench reaches it from its own namespace."""
    directory: Path
    environment: Mapping[str, str]


def neighbours(addresses: Sequence[str]) -> str:
    """A neighbours' file, whose far ends are bench.server's."""
    return json.dumps(
        [
            {
                "podName": f"pod-{n}",
                "nodeName": node_name(address),
                "podIP": address,
                "port": FAR_PORT,
            }
            for n, address in enumerate(addresses)
        ]
    )


def base_environment(directory: Path) -> dict[str, str]:
    """What every agent of the bench is told; its files are in ``directory``."""
    return {
        "PATH": os.environ["PATH"],  # noqa: TID251 - the agent's, not ours
        "KUBENURSE_DISCOVERY": "static",
        "KUBENURSE_NEIGHBOURS_FILE": str(directory / "neighbours.json"),
        "KUBENURSE_NODE_NAME": "bench-node",
        "KUBENURSE_POD_NAME": "bench-pod",
        "KUBENURSE_NAMESPACE": "bench",
        "KUBENURSE_EXTRA_CA": str(directory / "ca.pem"),
        "KUBENURSE_SHUTDOWN_DURATION": "0s",
        "KUBENURSE_LOG_LEVEL": "WARNING",
        "MALLOC_ARENA_MAX": "1",  # as in the image
    }


@contextlib.contextmanager
def place(network: Network, *, peers: Sequence[str] = PEERS) -> Iterator[Place]:
    """The far ends, running on namespace b's own loopback; the agent belongs beside them."""
    with tempfile.TemporaryDirectory(prefix="kbench-") as name:
        directory = Path(name)
        ca = trustme.CA()
        ca.cert_pem.write_to_path(directory / "ca.pem")
        # An RSA key, as most clusters have: verifying costs what it costs there.
        issued = ca.issue_cert(API_SERVER, INGRESS, "localhost", key_type=trustme.KeyType.RSA)
        issued.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
        (directory / "neighbours.json").write_text(neighbours(peers))
        far = network.start(
            network.b,
            [
                *(sys.executable, "-m", "bench.server"),
                *("--bind", *PEERS, SERVICE, "--port", str(FAR_PORT)),
                *("--bind-tls", API_SERVER, INGRESS, "--tls-port", str(TLS_PORT)),
                *("--certificate", str(directory / "server.pem")),
                *("--sink", f"127.0.0.1:{SINK_PORT}"),
            ],
        )
        assert far.stdout is not None
        if not far.stdout.readline():
            raise BenchError("the far ends did not start")
        yield Place(
            network,
            network.b,
            network.server_address,
            directory,
            base_environment(directory)
            | {
                "KUBENURSE_INGRESS_URL": f"https://{INGRESS}:{TLS_PORT}",
                "KUBENURSE_SERVICE_URL": f"http://{SERVICE}:{FAR_PORT}",
                "KUBERNETES_SERVICE_HOST": API_SERVER,
                "KUBERNETES_SERVICE_PORT": str(TLS_PORT),
                "KUBERNETES_SERVICE_DNS": "localhost",
            },
        )
        stop(far)


OTLP: Final = {
    "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{SINK_PORT}",
    "OTEL_METRICS_EXPORTER": "prometheus,otlp",
}


class Agent:
    """One running agent. ``command`` may be another binary that listens on 8080, too."""

    def __init__(self, where: Place, command: Sequence[str], extra: Mapping[str, str]) -> None:
        self._where = where
        self.process = where.network.start(
            where.namespace, command, environment={**where.environment, **extra}
        )

    def get(self, path: str, *, accept: str = "") -> bytes:
        """The body of a GET. Raises OSError or BenchError."""
        with inside(self._where.network.a):
            connection = http.client.HTTPConnection(self._where.address, PORT, timeout=10)
            try:
                connection.request("GET", path, headers={"Accept": accept} if accept else {})
                answer = connection.getresponse()
                body = answer.read()
            finally:
                connection.close()
        if answer.status not in {200, 500}:
            raise BenchError(f"{path} answered {answer.status}")
        return body

    def samples(self) -> list[tuple[str, str, float]]:
        """(name, labels as written, value) of /metrics."""
        text = self.get("/metrics").decode()
        return [(m[1], m[2] or "", float(m[3])) for m in _SAMPLE.finditer(text)]

    def total(self, name: str, *, where: str = "") -> float:
        """The sum of a metric's samples whose labels contain ``where``."""
        return sum(v for n, labels, v in self.samples() if n == name and where in labels)

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, to the nanosecond; threads that have ended included."""
        # clock_getcpuclockid(3) has no name in Python: linux/posix-timers.h, CPUCLOCK_SCHED.
        return time.clock_gettime_ns((~self.process.pid << 3) | 2) / 1e9

    def memory_mib(self) -> dict[str, float]:
        """Rss and Anonymous of /proc/PID/smaps_rollup."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return {
            name: int(found[1]) / 1024
            for name in ("Rss", "Anonymous")
            if (found := re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE))
        }

    def wait_until_up(self) -> None:
        ends = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.get("/alwayshappy")
            except OSError:
                if self.process.poll() is not None or time.monotonic() > ends:
                    raise BenchError("the agent did not come up") from None
                time.sleep(0.1)
            else:
                return


@contextlib.contextmanager
def agent(
    where: Place, command: Sequence[str] = (), extra: Mapping[str, str] | None = None
) -> Iterator[Agent]:
    """A live agent that answers; stopped at the end. Without a command it is this tree's."""
    one = Agent(where, command or image.command(), extra or {})
    try:
        one.wait_until_up()
        yield one
    finally:
        one.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            one.process.wait(8)
        stop(one.process)
