"""Two network namespaces joined by a veth pair, a capture of it, packets dropped, cores kept busy.

Owns whatever it makes on this machine and takes it away again: at the end, at Ctrl-C or SIGTERM,
and, where a run before was killed, at the next start. Needs root.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from bench import pcap

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT: Final = Path(__file__).parent.parent
NEEDED: Final = ("ip", "nsenter", "nft", "tcpdump")
_NAME: Final = re.compile(r"kbench-(\d+)-\d+-[ab]")
_numbers = itertools.count()
"""A process may have several networks at a time."""
_SNAPLEN: Final = 192
_STOP_SECONDS: Final = 3.0
_RETIRE_SECONDS: Final = 1.5
"""tcpdump gets the last packets after a second. (--immediate-mode would wake it for each one,
between the capture's stamp and the driver's: 50 us of error that nobody else has.)
"""


class BenchError(Exception):
    """The bench cannot run here; the text says what is missing."""


def require(*commands: str) -> None:
    """Raise BenchError where we are not root or a command is not there."""
    missing = [command for command in commands if shutil.which(command) is None]
    if missing:
        raise BenchError(
            f"needs {', '.join(missing)} (Debian: iproute2 util-linux nftables tcpdump)"
        )
    if os.geteuid() != 0:
        raise BenchError("needs root: it makes network namespaces")


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, timeout=20)


def sweep() -> None:
    """Remove the namespaces of runs whose process is gone, and what still runs in them."""
    names = subprocess.run(["ip", "netns"], check=True, capture_output=True, text=True, timeout=20)
    for match in _NAME.finditer(names.stdout):
        if not Path(f"/proc/{match.group(1)}").exists():
            with contextlib.suppress(subprocess.CalledProcessError):
                _end_all(match.group(0))
                _ip("netns", "delete", match.group(0))


def _end_all(namespace: str) -> None:
    listed = subprocess.run(
        ["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True, timeout=20
    )
    for process in listed.stdout.split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


class Network:
    """Namespace a (the prober's, 10.200.0.1) and b (the servers', 10.200.0.2 and on)."""

    client_address = "10.200.0.1"
    server_address = "10.200.0.2"

    def __init__(self, *, servers: int = 1) -> None:
        name = f"kbench-{os.getpid()}-{next(_numbers)}"
        self.a, self.b = f"{name}-a", f"{name}-b"
        self._servers = servers
        self._running: list[subprocess.Popen[str]] = []

    @property
    def server_addresses(self) -> list[str]:
        return [f"10.200.0.{2 + i}" for i in range(self._servers)]

    def __enter__(self) -> Self:
        sweep()
        try:
            self._make()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _make(self) -> None:
        _ip("netns", "add", self.a)
        _ip("netns", "add", self.b)
        _ip(
            "-n", self.a, "link", "add", "veth-a", "type", "veth", "peer", "veth-b", "netns", self.b
        )
        _ip("-n", self.a, "address", "add", f"{self.client_address}/24", "dev", "veth-a")
        for address in self.server_addresses:
            _ip("-n", self.b, "address", "add", f"{address}/24", "dev", "veth-b")
        for namespace, device in ((self.a, "veth-a"), (self.b, "veth-b")):
            _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", namespace, "link", "set", device, "up")

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            stop(process)
        self._running.clear()
        for namespace in (self.a, self.b):
            with contextlib.suppress(subprocess.SubprocessError):
                _ip("netns", "delete", namespace)

    def start(
        self, namespace: str, command: Sequence[str], *, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command in a namespace, its output a pipe; it ends with the network."""
        process = subprocess.Popen(
            ["nsenter", f"--net=/var/run/netns/{namespace}", *command],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment,
        )
        self._running.append(process)
        return process

    def run(self, namespace: str, command: Sequence[str], *, timeout_seconds: float) -> str:
        """What a command prints. Raises BenchError where it fails or takes too long."""
        process = self.start(namespace, command)
        try:
            output, _ = process.communicate(timeout=timeout_seconds)
        except subprocess.TimeoutExpired:
            stop(process)
            raise BenchError(f"{command[:4]} took over {timeout_seconds} s") from None
        self._running.remove(process)
        if process.returncode != 0:
            raise BenchError(f"{command[:4]} ended with {process.returncode}")
        return output

    @contextlib.contextmanager
    def rules(self, text: str) -> Iterator[None]:
        """nft rules in namespace b, for as long as the block runs."""
        base = ["nsenter", f"--net=/var/run/netns/{self.b}", "nft"]
        if text:
            subprocess.run([*base, "-f", "-"], input=text, text=True, check=True, timeout=20)
        try:
            yield
        finally:
            subprocess.run([*base, "flush", "ruleset"], check=True, timeout=20)

    @contextlib.contextmanager
    def single_segments(self) -> Iterator[None]:
        """Let TCP hand the prober's device one segment at a time, as without offloads."""
        try:
            _ip("-n", self.a, "link", "set", "veth-a", "gso_max_segs", "1")
            yield
        finally:
            _ip("-n", self.a, "link", "set", "veth-a", "gso_max_segs", "65535")

    @contextlib.contextmanager
    def capture(self) -> Iterator[list[pcap.Segment]]:
        """Every TCP segment at the prober's device; the list is filled when the block is over."""
        segments: list[pcap.Segment] = []
        with tempfile.TemporaryDirectory(prefix="kbench-") as directory:
            path = Path(directory) / "capture.pcap"
            process = subprocess.Popen(
                [
                    *("nsenter", f"--net=/var/run/netns/{self.a}"),
                    *("tcpdump", "-i", "veth-a", "--time-stamp-precision=nano", "-n"),
                    *("-s", str(_SNAPLEN), "-B", "16384", "-Z", "root"),
                    *("-w", str(path), "tcp"),
                ],
                stderr=subprocess.PIPE,
                text=True,
            )
            try:
                assert process.stderr is not None
                for line in process.stderr:
                    if "listening on" in line:
                        break
                yield segments
                time.sleep(_RETIRE_SECONDS)
            finally:
                process.terminate()
                _, said = process.communicate(timeout=_STOP_SECONDS)
            dropped = re.search(r"(\d+) packets dropped by kernel", said)
            if dropped and dropped.group(1) != "0":
                raise BenchError(f"the capture lost {dropped.group(1)} packets")
            segments.extend(pcap.parse(path.read_bytes()))


_CLONE_NEWNET: Final = 0x40000000


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Sockets that this thread opens in the block are the namespace's (setns(2))."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")

    with (
        Path("/proc/thread-self/ns/net").open("rb") as home,
        Path(f"/var/run/netns/{namespace}").open("rb") as away,
    ):
        enter(away.fileno())
        try:
            yield
        finally:
            enter(home.fileno())


def stop(process: subprocess.Popen[str]) -> None:
    """SIGTERM, then SIGKILL; closes its pipe."""
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


_SPIN: Final = """
import sys, time
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end: pass
"""


@contextlib.contextmanager
def busy(processes: int, *, at_most_seconds: float) -> Iterator[None]:
    """Keep cores busy with so many processes, at the longest for so long."""
    running = [
        subprocess.Popen([sys.executable, "-c", _SPIN, str(at_most_seconds)], text=True)
        for _ in range(processes)
    ]
    try:
        yield
    finally:
        if any(process.poll() is not None for process in running):
            raise BenchError("the cores were not kept busy to the end")
        for process in running:
            stop(process)
