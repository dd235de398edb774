"""A real agent as a process of a work tree, in its namespace and its cgroup; seen from outside."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hostile import cgroup, network

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LIMIT_BYTES: Final = 160 * 1024 * 1024
"""What the chart gives an agent."""
PORT: Final = 8080
TLS_PORT: Final = 8443
MIB: Final = 1024 * 1024
_POLL_SECONDS: Final = 0.1
_STOP_SECONDS: Final = 10.0
"""Answering goes on for a moment, the rest has 4 s (docs/architecture.md)."""
_PIPE_BYTES: Final = 4_096
"""So that it is full soon."""
_SAMPLE: Final = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Footprint:
    """What an agent holds at one moment, or at most since the last ``start_watching``."""

    rss_mib: float = 0.0
    sockets_mib: float = 0.0
    total_mib: float = 0.0
    """Of one moment: the peak may be less than the sum of both peaks."""
    open_files: int = 0
    threads: int = 0


class Agent:
    """One running agent; ``peak`` is followed by a thread of ours."""

    def __init__(
        self,
        address: str,
        process: subprocess.Popen[bytes],
        group: cgroup.Cgroup | None,
        folder: Path,
    ) -> None:
        self.address = address
        self.folder = folder
        self.process = process
        self.group = group
        self.peak = Footprint()
        self.hung = False
        self._ends = threading.Event()
        self._watcher = threading.Thread(target=self._watch)
        self._watcher.start()

    def get(self, path: str, *, timeout_seconds: float = 5.0) -> bytes:
        """The body of a GET, whatever its status. Raises OSError, HTTPException."""
        connection = http.client.HTTPConnection(self.address, PORT, timeout=timeout_seconds)
        with contextlib.closing(connection):
            connection.request("GET", path)
            return connection.getresponse().read()

    def total(self, metric: str, *labels: str, without: str = "\0") -> float:
        """The sum of the metric's series that have all of ``labels`` and not ``without``.

        Raises OSError, HTTPException.
        """
        return sum(
            value
            for labelled, value in self.series(metric).items()
            if all(label in labelled for label in labels) and without not in labelled
        )

    def series(self, metric: str) -> dict[str, float]:
        """Values by labels as they are written. Raises OSError, HTTPException."""
        text = self.get("/metrics").decode()
        return {
            found[2] or "": float(found[3])
            for found in _SAMPLE.finditer(text)
            if found[1] == metric
        }

    def footprint(self) -> Footprint:
        """What it holds now; nothing where it has ended."""
        proc = Path(f"/proc/{self.process.pid}")
        try:
            status = (proc / "status").read_text()
            files = len(list((proc / "fd").iterdir()))
            sockets = self.group.socket_bytes() / MIB if self.group else 0.0
        except OSError:
            return Footprint()
        rss = _kib(status, "VmRSS") / 1024
        return Footprint(rss, sockets, rss + sockets, files, _kib(status, "Threads"))

    def start_watching(self) -> None:
        self.peak = self.footprint()

    def stop(self) -> None:
        """End it by SIGTERM; ``hung`` where that does not do."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.hung = True
            self.process.kill()
            self.process.wait()
        self._ends.set()
        self._watcher.join()
        if self.group is not None:
            self.group.remove()

    def _watch(self) -> None:
        while not self._ends.wait(_POLL_SECONDS):
            now, peak = self.footprint(), self.peak
            self.peak = Footprint(
                *(max(getattr(now, name), getattr(peak, name)) for name in Footprint.__slots__)
            )


def _kib(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+)", status, re.MULTILINE)
    return int(found[1]) if found else 0


@contextlib.contextmanager
def running(
    address: str,
    environment: Mapping[str, str],
    *,
    tree: Path,
    folder: Path,
    unread_stderr: bool = False,
    wrapper: str = "",
    start_seconds: float = 60.0,
) -> Iterator[Agent]:
    """Start the agent of a work tree, which answers when this yields.

    Its log goes into ``folder``, or, with ``unread_stderr``, into a pipe that nobody reads.
    ``wrapper`` is shell text run before it. Raises RuntimeError where it does not start.
    """
    group = cgroup.make(network.NAMESPACES[address], LIMIT_BYTES)
    steps = (group.enter_command() if group else "", wrapper, 'exec "$@"')
    first = "; ".join(step for step in steps if step)
    python = tree / ".venv" / "bin" / "python"
    command = [
        *(*network.inside(address), "unshare", "--mount", "sh", "-ec", first, "sh"),
        *(str(python) if python.exists() else sys.executable, "-m", "kubenurse_otel", "run"),
    ]
    with (folder / f"{network.NAMESPACES[address]}.log").open("ab") as output:
        process = subprocess.Popen(
            command,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **environment},
            stdout=output,
            stderr=subprocess.PIPE if unread_stderr else output,
            cwd=tree,
        )
    if process.stderr is not None:
        fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    agent = Agent(address, process, group, folder)
    try:
        _wait_until_it_answers(agent, start_seconds)
        yield agent
    finally:
        agent.stop()
        if process.stderr is not None:
            process.stderr.close()


def _wait_until_it_answers(agent: Agent, seconds: float) -> None:
    ends = time.monotonic() + seconds
    while True:
        try:
            agent.get("/alwayshappy", timeout_seconds=2.0)
        except (OSError, http.client.HTTPException):
            ended = agent.process.poll()
            if ended is not None or time.monotonic() > ends:
                raise RuntimeError(f"the agent does not answer (exit code {ended})") from None
            time.sleep(0.1)
        else:
            return
