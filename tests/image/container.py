"""Runs an image's root file system by runc as a restricted pod's container would be run.

Read-only, an arbitrary uid with group 0, no capability, no new privileges, CPU and memory limits by
cgroup v1. The network is this machine's: everything is on loopback.
"""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UID: Final = 1_000_650_000
CGROUPS: Final = Path("/sys/fs/cgroup")
PERIOD_MICROSECONDS: Final = 100_000


@dataclass(frozen=True)
class Container:
    name: str
    folder: Path
    started: float
    """time.monotonic() at its start."""

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def state(self) -> str:
        done = _runc("state", self.name, check=False)
        return str(json.loads(done.stdout)["status"]) if done.returncode == 0 else "gone"

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with what it was given itself (as kubectl exec does)."""
        return _runc("exec", f"--user={UID}:0", self.name, *command, check=False)

    def memory(self, file: str) -> str:
        return (CGROUPS / "memory" / "kubenurse-otel-test" / self.name / file).read_text()

    def cpu(self, file: str) -> str:
        return (CGROUPS / "cpu" / "kubenurse-otel-test" / self.name / file).read_text()


def _runc(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["runc", *arguments], capture_output=True, text=True, timeout=30, check=check
    )


@contextmanager
def running(
    root: Path,
    folder: Path,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    *,
    binds: Mapping[str, Path] | None = None,
    cpus: float | None = None,
    memory_bytes: int | None = None,
) -> Iterator[Container]:
    """Start ``arguments`` in ``root``; killed and removed at the end."""
    name = f"kubenurse-otel-{uuid4().hex[:12]}"
    bundle = folder / name
    bundle.mkdir()
    specification = _specification(name, root, arguments, environ, binds or {})
    limits: dict[str, Any] = {}
    if cpus:
        limits["cpu"] = {"quota": int(cpus * PERIOD_MICROSECONDS), "period": PERIOD_MICROSECONDS}
    if memory_bytes:
        limits["memory"] = {"limit": memory_bytes, "swap": memory_bytes}
    specification["linux"]["resources"] |= limits
    (bundle / "config.json").write_text(json.dumps(specification))
    with (bundle / "log").open("wb") as log:
        create = ["runc", "create", f"--bundle={bundle}", name]
        subprocess.run(create, check=True, stdout=log, stderr=log, timeout=30)
    try:
        started = time.monotonic()
        _runc("start", name)
        yield Container(name, bundle, started)
    finally:
        _runc("delete", "--force", name)
        for group in CGROUPS.glob("*/kubenurse-otel-test"):
            with suppress(OSError):  # another container's is in it
                group.rmdir()


def _specification(
    name: str,
    root: Path,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    binds: Mapping[str, Path],
) -> dict[str, Any]:
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {
            "destination": "/dev",
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
        },
        {
            "destination": "/sys/fs/cgroup",
            "type": "cgroup",
            "source": "cgroup",
            "options": ["nosuid", "noexec", "nodev", "ro"],
        },
        *(
            {
                "destination": target,
                "type": "bind",
                "source": str(source),
                "options": ["bind", "ro"],
            }
            for target, source in binds.items()
        ),
    ]
    none: dict[str, list[str]] = {
        kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")
    }
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": UID, "gid": 0},
            "args": list(arguments),
            "env": [f"{key}={value}" for key, value in environ.items()],
            "cwd": "/",
            "capabilities": none,
            "noNewPrivileges": True,
        },
        "root": {"path": str(root), "readonly": True},
        "hostname": name,
        "mounts": mounts,
        "linux": {
            "cgroupsPath": f"/kubenurse-otel-test/{name}",
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/sched_debug"],
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger"],
        },
    }
