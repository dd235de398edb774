"""The vocabulary: an Attack, and the Target that its program is given."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing import Value
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from multiprocessing.sharedctypes import Synchronized
    from pathlib import Path

    from hostile.agent import Agent


class Group(StrEnum):
    """Who attacks; the order is the page's."""

    CLIENTS = "Clients of the agent's ports"
    COLLECTOR = "The collector"
    FAR_END = "Far ends of checks"
    API_SERVER = "The API server"
    TRUST = "Who is believed"
    MACHINE = "The machine"


@dataclass(frozen=True, slots=True)
class Target:
    """What an attack's program is told. It ends by itself when ``over``."""

    address: str
    folder: Path
    """The agent's files: ca.crt, token, neighbours.json."""
    ends_at: float
    """time.monotonic()."""
    connections: int
    addresses: int
    pause_seconds: float
    """How long a client waits before it comes again."""
    opened: Synchronized[int] = field(default_factory=lambda: Value("q", 0))
    """How many connections there were, across processes."""

    def over(self) -> bool:
        return self.seconds_left() <= 0

    def count(self) -> None:
        """Note that a connection to the agent, or from it, was made."""
        with self.opened.get_lock():
            self.opened.value += 1

    def seconds_left(self) -> float:
        return self.ends_at - time.monotonic()


def nothing_more(_: Agent) -> Callable[[], str]:
    """Every attack is judged by what all have in common; most by that alone."""
    return str


@dataclass(frozen=True, slots=True)
class Attack:
    """One attack: a program that runs beside a live agent for a while.

    ``connections`` are open at once, from so many ``addresses``; ``load`` says in words what each
    brings. ``environment`` is added to the agent's; {folder} in it is Target.folder. ``wrapper`` is
    shell text run before the agent, in a mount namespace of its own.
    """

    name: str
    group: Group
    what: str
    load: str
    run: Callable[[Target], None]
    connections: int = 1
    addresses: int = 1
    times: float = 1.0
    """How many times as long as others it takes."""
    environment: Mapping[str, str] = field(default_factory=dict)
    tls: bool = False
    """Both agents serve TLS and check each other over it."""
    wrapper: str = ""
    unread_stderr: bool = False
    learns_mib: float = 0.0
    """What an agent may hold afterwards beside what all may: what it was told and has to know."""
    judge: Callable[[Agent], Callable[[], str]] = nothing_more
    """Called before the attack; what it returns is called after it, and says in a few words what
    went wrong beside the figures that all attacks have, or nothing."""
