"""A cgroup for one agent: its limit, what it holds in sockets, whether it was killed for memory.

Version 1 counts sockets apart, version 2 in the one limit. Where neither can be had, ``make`` says
so by None, and what an agent holds is judged by its resident memory alone.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path("/sys/fs/cgroup")
_PREFIX: Final = "kubenurse-hostile-"
_NO_LIMIT: Final = 2**40
_STALE_SECONDS: Final = 600.0
"""A younger one may be that of a run beside this one, whose agent is about to enter it."""


@dataclass(frozen=True, slots=True)
class Cgroup:
    path: Path
    version: int

    def enter_command(self) -> str:
        """Return shell text that moves the shell itself into the group."""
        return f"echo $$ > {self.path}/cgroup.procs"

    def socket_bytes(self) -> int:
        """What the kernel holds for its sockets now, sent and received."""
        if self.version == 1:
            return int(self._read("memory.kmem.tcp.usage_in_bytes"))
        return self._number("memory.stat", "sock")

    def out_of_memory_kills(self) -> int:
        return self._number(
            "memory.oom_control" if self.version == 1 else "memory.events", "oom_kill"
        )

    def remove(self) -> None:
        with contextlib.suppress(OSError):  # somebody is still in it: the next run sweeps
            self.path.rmdir()

    def _number(self, name: str, key: str) -> int:
        found = re.search(rf"^{key} (\d+)$", self._read(name), re.MULTILINE)
        return int(found[1]) if found else 0

    def _read(self, name: str) -> str:
        return (self.path / name).read_text()


def make(name: str, limit_bytes: int) -> Cgroup | None:
    """Return a new, empty group with that limit, or None where we may make none."""
    own = dict(_own_groups())
    for group in (
        Cgroup(_ROOT / "memory" / own.get("memory", "").strip("/"), 1),
        Cgroup(_ROOT, 2),
    ):
        with contextlib.suppress(OSError):
            _sweep(group.path)
            made = Cgroup(group.path / f"{_PREFIX}{name}-{secrets.token_hex(3)}", group.version)
            made.path.mkdir()
            _limit(made, limit_bytes)
            return made
    return None


def _limit(group: Cgroup, limit_bytes: int) -> None:
    if group.version == 2:
        (group.path / "memory.max").write_text(str(limit_bytes))
        with contextlib.suppress(OSError):
            (group.path / "memory.swap.max").write_text("0")
        return
    (group.path / "memory.limit_in_bytes").write_text(str(limit_bytes))
    # Without a limit of its own version 1 does not count sockets.
    (group.path / "memory.kmem.tcp.limit_in_bytes").write_text(str(_NO_LIMIT))


def _own_groups() -> list[tuple[str, str]]:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return [(line.split(":")[1], line.split(":", 2)[2]) for line in lines]


def _sweep(parent: Path) -> None:
    """Remove what a run that was killed left behind; one with processes in it stays."""
    for left in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _STALE_SECONDS:
                left.rmdir()
