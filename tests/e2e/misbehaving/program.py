"""How the programs of this package run: as daemons of a Machine that say facts as JSON lines.

Owns the start (which returns when the program is ready), the facts and the end by a signal.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from types import FrameType

    from e2e.cluster.machine import Machine

READY: Final = "ready"
_TESTS: Final = Path(__file__).parents[2]
_START_SECONDS: Final = 20.0
_FACTS_SECONDS: Final = 5.0


# --- on the side of whoever starts one ------------------------------------------------------------


def start(
    machine: Machine, name: str, module: str, *arguments: str, pid: int | None = None
) -> None:
    """Run ``e2e.misbehaving.<module>`` as daemon ``name``; returns when it works.

    With ``pid`` (of a process in the machine, as seen from outside) it runs in that network.
    Raises ClusterError.
    """
    before = len(facts(machine, name, READY))
    command = [sys.executable, "-m", f"e2e.misbehaving.{module}", *arguments]
    prefix = [] if pid is None else in_network(pid)
    machine.daemon(name, *prefix, *command, env={"PYTHONPATH": str(_TESTS)})
    deadline = time.monotonic() + _START_SECONDS
    while len(facts(machine, name, READY)) == before:
        if time.monotonic() > deadline:
            raise ClusterError(f"{module} is not ready on {machine.name}: {machine.log(name)}")
        time.sleep(0.01)


def facts(machine: Machine, name: str, event: str) -> list[dict[str, Any]]:
    """What daemon ``name`` said so far of one event, all its runs together."""
    lines = (line for line in machine.log(name).splitlines() if line.startswith("{"))
    return [fact for fact in map(json.loads, lines) if fact["event"] == event]


def end(machine: Machine, name: str, *, event: str = "") -> dict[str, Any]:
    """End a daemon; return what it said of ``event`` while ending ({} where nothing is asked)."""
    before = len(facts(machine, name, event))
    machine.end(name)
    deadline = time.monotonic() + _FACTS_SECONDS
    while event:
        if len(found := facts(machine, name, event)) > before:
            return found[-1]
        if time.monotonic() > deadline:
            raise ClusterError(f"{name} ended without a word: {machine.log(name)}")
        time.sleep(0.01)
    return {}


def in_network(pid: int) -> list[str]:
    """A command's prefix that moves it, in the machine of ``pid``, to the network of ``pid``."""
    status = Path(f"/proc/{pid}/status").read_text()
    # One number for each PID namespace, ours first: the second is the machine's own.
    numbers = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()[1:]
    return ["nsenter", f"--net=/proc/{numbers[1]}/ns/net", "--"]


# --- on the side of the program -------------------------------------------------------------------


def say(event: str, **values: object) -> None:
    """One fact, as a line of JSON."""
    sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
    sys.stdout.flush()


def end_at_signal() -> None:
    """SIGTERM ends the program in order: ``finally`` and ``with`` do their work."""
    signal.signal(signal.SIGTERM, _exit)


def _exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
