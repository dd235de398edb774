"""Real agents as processes on loopback, each on an address of its own, as in the demo."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_SECONDS = 60.0


def wait_for(condition: Callable[[], Any], *, seconds: float, what: str) -> Any:
    """Poll until ``condition`` is true; fail with ``what`` when it is not in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)


def write_neighbours(file: Path, nodes: Mapping[str, str]) -> None:
    """KUBENURSE_NEIGHBOURS_FILE of agents by node and address; YAML, of which JSON is a part."""
    agents = [
        {"podName": f"kubenurse-{node}", "nodeName": node, "podIP": address}
        for node, address in nodes.items()
    ]
    file.write_text(json.dumps(agents))


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Agent:
    """One running agent; everything is seen from outside."""

    process: subprocess.Popen[bytes]
    address: str
    port: int
    log_file: Path
    environ: Mapping[str, str] = field(default_factory=dict)

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        url = f"http://{self.address}:{self.port}{path}"
        request = urllib.request.Request(url, headers=dict(headers or {}))
        opener = urllib.request.build_opener(_NoRedirect())
        try:
            with opener.open(request, timeout=5) as response:
                return Answer(response.status, dict(response.headers), response.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def document(self, path: str) -> Answer:
        """/alive or /metrics; one that asks faster than it may waits (RFC 6585, 4)."""
        while (answer := self.get(path)).status == 429:
            time.sleep(float(answer.headers["Retry-After"]) / 4)
        return answer

    def alive(self) -> dict[str, Any]:
        found: dict[str, Any] = self.document("/alive").json()
        return found

    def metrics(self) -> dict[str, float]:
        """Samples of the text format, by series as it is written."""
        lines = self.document("/metrics").body.decode().splitlines()
        return {
            series: float(value)
            for series, _, value in (line.rpartition(" ") for line in lines if line[:1] != "#")
        }

    def log(self) -> str:
        return self.log_file.read_text()

    def stop(self, *, number: signal.Signals = signal.SIGTERM, seconds: float = 15) -> int:
        self.process.send_signal(number)
        return self.process.wait(seconds)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


def environment(address: str, node: str, port: int, **more: str) -> dict[str, str]:
    """The least that an agent on loopback needs; ``more`` goes over it."""
    return {
        "KUBENURSE_DISCOVERY": "static",
        "KUBENURSE_LISTEN_ADDRESS": address,
        "KUBENURSE_PORT": str(port),
        "KUBENURSE_NODE_NAME": node,
        "KUBENURSE_POD_NAME": f"kubenurse-{node}",
        "KUBENURSE_CHECK_API_SERVER_DIRECT": "false",
        "KUBENURSE_CHECK_API_SERVER_DNS": "false",
        # Made every 30 s, and so in some runs of a test and not in others.
        "KUBENURSE_CHECK_FULL_SIZE": "false",
        "KUBENURSE_CHECK_INTERVAL": "500ms",
        "KUBENURSE_SHUTDOWN_DURATION": "500ms",
    } | more


def inherited() -> dict[str, str]:
    """What a process of the tests takes over: nothing that configures an agent."""
    names = ("PATH", "HOME", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG")
    return {name: os.environ[name] for name in names if name in os.environ}


def launch(environ: Mapping[str, str], log_file: Path) -> subprocess.Popen[bytes]:
    with log_file.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "kubenurse_otel"],
            env=inherited() | dict(environ),
            stdout=log,
            stderr=log,
            cwd=Path(__file__).parent.parent,
        )


@contextmanager
def running(environs: list[dict[str, str]], folder: Path) -> Iterator[list[Agent]]:
    """Start agents that are ready when this returns; whatever happens, they end."""
    agents: list[Agent] = []
    try:
        for environ in environs:
            log_file = folder / f"{environ['KUBENURSE_NODE_NAME']}.log"
            agents.append(
                Agent(
                    launch(environ, log_file),
                    environ["KUBENURSE_LISTEN_ADDRESS"],
                    int(environ["KUBENURSE_PORT"]),
                    log_file,
                    environ,
                )
            )
        for agent in agents:
            wait_for(lambda: _answers(agent), seconds=START_SECONDS, what=f"start of {agent}")  # noqa: B023 - called at once
        yield agents
    finally:
        for agent in agents:
            if agent.process.poll() is None:
                agent.process.terminate()
        for agent in agents:
            try:
                agent.process.wait(10)
            except subprocess.TimeoutExpired:
                agent.process.kill()
                agent.process.wait(10)
    for agent in agents:
        assert "kubenurse_unhandled_exceptions_total counts" not in agent.log(), agent.log()


def _answers(agent: Agent) -> bool:
    assert agent.process.poll() is None, agent.log()
    try:
        return agent.get("/ready").status == 200
    except OSError:
        return False
