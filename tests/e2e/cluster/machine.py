"""A machine of the cluster: network, mount, PID and host-name namespaces of its own, and a cgroup.

Its first process holds it together: when that ends, the kernel ends every other process of the
machine, containers included, and takes back its mounts and links (pid_namespaces(7)). So nothing
stays behind, whatever happened to us.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

CGROUPS: Final = Path("/sys/fs/cgroup")
_ALL_NAMESPACES: Final = ("--net", "--mount", "--uts", "--ipc", "--pid")
_CLONE_NEWNET: Final = 0x40000000
_START_SECONDS: Final = 10.0
_RUN_SECONDS: Final = 120.0
_END_SECONDS: Final = 20.0
# Reaps what the container runtime leaves to it, and ends at SIGTERM.
_INIT: Final = """
trap 'exit 0' TERM INT
set -e
hostname "$1"
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock /run/netns /run/disk /var/lib/cni
mount --bind "$2" /run/disk
mount -t tmpfs tmpfs /var/log
mount -t tmpfs tmpfs /var/lib/cni
ip link set lo up
touch "$3"
set +e
while :; do sleep 1000000 & wait $!; done
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine by name. ``folder`` holds its logs; ``folder/disk`` is its /run/disk.

    /run, /var/log and /var/lib/cni are its own, too; the rest of the file system is the host's.
    """

    cluster: str
    name: str
    address: str
    folder: Path

    # --- life -----------------------------------------------------------------------------------

    def start(self) -> None:
        """Make the namespaces and the cgroup. Raises ClusterError."""
        disk, ready = self.folder / "disk", self.folder / "ready"
        disk.mkdir(parents=True, exist_ok=True)
        ready.unlink(missing_ok=True)
        self._make_cgroups()
        flags = ("--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--mount-proc")
        init = ("bash", "-c", _INIT, "init", self.name, str(disk), str(ready))
        with (self.folder / "init.log").open("wb") as log:
            process = subprocess.Popen(
                ["unshare", *flags, "--propagation=private", *init],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._join_cgroups,  # noqa: PLW1509 - the CLI has one thread here
            )
        deadline = time.monotonic() + _START_SECONDS
        while not ready.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                said = (self.folder / "init.log").read_text()
                raise ClusterError(f"machine {self.name} does not start: {said}")
            time.sleep(0.01)
        # unshare itself waits outside of the namespace; its child is the machine's process 1.
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (self.folder / "pid").write_text(children[0])
        _let_go_on(process)

    @property
    def pid(self) -> int:
        """The machine's first process, as seen from outside. Raises ClusterError if it is down."""
        try:
            pid = int((self.folder / "pid").read_text())
        except (FileNotFoundError, ValueError):
            raise ClusterError(f"machine {self.name} is not there: `up` first") from None
        if not self._is_ours(pid):
            raise ClusterError(f"machine {self.name} is down")
        return pid

    @property
    def is_up(self) -> bool:
        with contextlib.suppress(ClusterError):
            return bool(self.pid)
        return False

    def stop(self) -> None:
        """End every process, and remove cgroups and disk. Does nothing to what is not there."""
        self.thaw()
        end_all(self.cgroup)
        remove_cgroups(self.cgroup)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ours(self, pid: int) -> bool:
        with contextlib.suppress(OSError):
            return f"/{self.cgroup}" in Path(f"/proc/{pid}/cgroup").read_text()
        return False

    # --- processes ------------------------------------------------------------------------------

    def inside(self, *command: str) -> list[str]:
        """``command`` as a command that runs in the machine's namespaces."""
        return ["nsenter", f"--target={self.pid}", *_ALL_NAMESPACES, "--", *command]

    def in_network(self, *command: str) -> list[str]:
        """``command`` as one that runs in the machine's network, and else where we are."""
        return ["nsenter", f"--target={self.pid}", "--net", "--", *command]

    def run(self, *command: str, check: bool = True, text: str | None = None) -> str:
        """Run a command in the machine and return its output. Raises ClusterError."""
        return self._run(self.inside(*command), check=check, text=text)

    def net(self, *command: str, check: bool = True, text: str | None = None) -> str:
        """Run a command in the machine's network (`ip`, `nft`) and return its output."""
        return self._run(self.in_network(*command), check=check, text=text)

    def _run(self, command: Sequence[str], *, check: bool, text: str | None) -> str:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, timeout=_RUN_SECONDS
        )
        if check and done.returncode:
            said = done.stderr or done.stdout
            raise ClusterError(f"{self.name}: {' '.join(command)}: {said}")
        return done.stdout

    def daemon(self, name: str, *command: str, env: Mapping[str, str] | None = None) -> None:
        """Start a process that goes on after us; its output is in ``<name>.log``."""
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                self.inside(*command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
                preexec_fn=self._join_cgroups,  # noqa: PLW1509 - no locks are held by other threads
            )
        (self.folder / f"{name}.pid").write_text(str(process.pid))
        # Until nsenter has made its child there is nobody to signal, and it would not count as run.
        deadline = time.monotonic() + _START_SECONDS
        while process.poll() is None and not self.daemon_pids(name):
            if time.monotonic() > deadline:
                raise ClusterError(f"{self.name}: {name} does not start: {self.log(name)}")
            time.sleep(0.002)
        _let_go_on(process)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a daemon (not to the nsenter that waits for it)."""
        for pid in self.daemon_pids(name):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self, name: str) -> None:
        """SIGTERM to a daemon, SIGKILL after a while; returns when it has gone."""
        pids = self.daemon_pids(name)
        self.signal(name, signal.SIGTERM)
        deadline = time.monotonic() + _END_SECONDS
        while any(Path(f"/proc/{pid}").exists() and not _is_zombie(pid) for pid in pids):
            if time.monotonic() > deadline:
                for pid in pids:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            time.sleep(0.02)

    def runs(self, name: str) -> bool:
        return bool(self.daemon_pids(name))

    def log(self, name: str) -> str:
        """What a daemon wrote."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / f"{name}.log").read_text(errors="replace")
        return ""

    def daemon_pids(self, name: str) -> list[int]:
        """A daemon's process as seen from outside: the child of its nsenter. [] if it ended."""
        try:
            waiting = int((self.folder / f"{name}.pid").read_text())
        except (FileNotFoundError, ValueError):
            return []
        if not self._is_ours(waiting):
            return []
        with contextlib.suppress(OSError):
            children = Path(f"/proc/{waiting}/task/{waiting}/children").read_text().split()
            return [int(child) for child in children if not _is_zombie(int(child))]
        return []

    # --- cgroups --------------------------------------------------------------------------------

    @property
    def cgroup(self) -> str:
        return f"{self.cluster}/{self.name}"

    def _make_cgroups(self) -> None:
        for hierarchy in hierarchies():
            for group in (self.cluster, self.cgroup, f"{self.cgroup}/system"):
                folder = hierarchy / group
                folder.mkdir(exist_ok=True)
                if hierarchy.name == "cpuset":
                    for name in ("cpuset.cpus", "cpuset.mems"):
                        (folder / name).write_text((folder.parent / name).read_text())
                    (folder / "cgroup.clone_children").write_text("1")

    def _join_cgroups(self) -> None:
        for hierarchy in hierarchies():
            (hierarchy / self.cgroup / "system/cgroup.procs").write_text("0")

    def freeze(self) -> None:
        """Stop every process, containers included; the kernel (ARP, TCP) goes on answering."""
        self._freezer("FROZEN")

    def thaw(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._freezer("THAWED")

    def _freezer(self, state: str) -> None:
        (CGROUPS / "freezer" / self.cgroup / "freezer.state").write_text(state)

    def memory_mib(self) -> float:
        """What its processes use, without the page cache (memory.stat's total_rss)."""
        stat = (CGROUPS / "memory" / self.cgroup / "memory.stat").read_text()
        fields = dict(line.split() for line in stat.splitlines())
        return int(fields["total_rss"]) / 1024**2

    def limit_cpu(self, cores: float | None) -> None:
        """Limit the whole machine (CFS quota); None for no limit."""
        folder = CGROUPS / "cpu" / self.cgroup
        (folder / "cpu.cfs_period_us").write_text("100000")
        (folder / "cpu.cfs_quota_us").write_text(str(-1 if cores is None else int(cores * 100_000)))


# --- namespaces of this process -----------------------------------------------------------------


@contextlib.contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Sockets and processes that this thread makes in the block are of that network (setns(2))."""
    with Path("/proc/thread-self/ns/net").open("rb") as home:
        enter_network(pid)
        try:
            yield
        finally:
            _setns(home.fileno())


def enter_network(pid: int) -> None:
    """Move this thread, and the threads that it starts from now on, into a process's network."""
    with Path(f"/proc/{pid}/ns/net").open("rb") as away:
        _setns(away.fileno())


def _setns(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


# --- cgroups of any machine -----------------------------------------------------------------------


def hierarchies() -> list[Path]:
    """The mounted controllers of cgroup v1."""
    return [one for one in _all_hierarchies() if (one / "tasks").exists()]


def _all_hierarchies() -> list[Path]:
    """With cgroup v2's, in which runc makes groups, too."""
    return [one for one in CGROUPS.iterdir() if one.is_dir() and not one.is_symlink()]


def end_all(group: str) -> None:
    """SIGKILL every process below a cgroup; returns when they have gone."""
    deadline = time.monotonic() + _END_SECONDS
    while pids := _processes(group):
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ClusterError(f"these processes of {group} do not end: {sorted(pids)}")
        time.sleep(0.02)


def _processes(group: str) -> set[int]:
    found: set[int] = set()
    for hierarchy in hierarchies():
        for file in (hierarchy / group).glob("**/cgroup.procs"):
            with contextlib.suppress(OSError):
                found.update(int(pid) for pid in file.read_text().split())
    return {pid for pid in found if not _is_zombie(pid)}


def remove_cgroups(group: str) -> None:
    """Remove a cgroup and all below it, in every hierarchy."""
    for hierarchy in _all_hierarchies():
        folders = sorted((hierarchy / group).glob("**/"), key=lambda path: -len(path.parts))
        for folder in folders:
            for _ in range(100):
                with contextlib.suppress(FileNotFoundError):
                    try:
                        folder.rmdir()
                    except OSError:  # A process on its way out is still counted.
                        time.sleep(0.02)
                        continue
                break


_going_on: Final[list[subprocess.Popen[bytes]]] = []


def _let_go_on(process: subprocess.Popen[bytes]) -> None:
    """Keep what outlives us, or subprocess warns of it; reap those of before that have ended."""
    _going_on[:] = [one for one in _going_on if one.poll() is None]
    _going_on.append(process)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] == "Z"
    except OSError:
        return True
