"""Faults that last until `heal`: each is held by a process that heals it when it ends."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster.cluster import Cluster
from e2e.cluster.errors import ClusterError
from e2e.cluster.waiting import wait_for
from e2e.faults import all_faults

if TYPE_CHECKING:
    from types import FrameType

_INJECT_SECONDS: Final = 60.0
_HEAL_SECONDS: Final = 180.0


def inject(cluster: Cluster, name: str, node: str = "") -> None:
    """Break it; returns when it is broken. Raises ClusterError."""
    if name not in all_faults.by_name():
        raise ClusterError(f"no fault {name!r}; `fault` without a name lists them")
    if name in names(cluster):
        raise ClusterError(f"{name} is there already")
    marker = _marker(cluster, name)
    marker.parent.mkdir(exist_ok=True)
    with marker.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", __name__, cluster.name, name, node],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def broken() -> bool | str:
        if process.poll() is not None:
            raise ClusterError(marker.with_suffix(".log").read_text())
        return marker.exists() or "not yet"

    wait_for(broken, seconds=_INJECT_SECONDS, what=f"fault {name}")


def heal(cluster: Cluster, name: str = "") -> None:
    """Heal one fault, or all; returns when they are healed."""
    for held in [name] if name else names(cluster):
        marker = _marker(cluster, held)
        if not marker.exists():
            raise ClusterError(f"{held} is not there; `status` says what is")
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(marker.read_text()), signal.SIGTERM)
        wait_for(
            lambda marker=marker: not marker.exists() or "still there",
            seconds=_HEAL_SECONDS,
            what=f"{held} healed ({marker.with_suffix('.log')})",
        )


def names(cluster: Cluster) -> list[str]:
    """The faults that are held now."""
    found = []
    for marker in sorted((cluster.folder / "faults").glob("*.pid")):
        if Path(f"/proc/{marker.read_text()}").exists():
            found.append(marker.stem)
        else:
            marker.unlink()  # Its process was killed.
    return found


def _marker(cluster: Cluster, name: str) -> Path:
    return cluster.folder / "faults" / f"{name}.pid"


def hold(cluster_name: str, name: str, node: str) -> None:
    """Break it, wait for SIGTERM, heal it."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit

    cluster, fault = Cluster(cluster_name), all_faults.by_name()[name]
    cluster.enter()
    marker = _marker(cluster, name)
    try:
        with fault.inject(cluster, node or fault.node):
            signal.signal(signal.SIGTERM, stop)
            fresh = marker.with_suffix(".new")
            fresh.write_text(str(os.getpid()))
            fresh.replace(marker)
            while True:
                time.sleep(3600)
    finally:
        marker.unlink(missing_ok=True)


if __name__ == "__main__":
    hold(*sys.argv[1:4])
