"""The machine around the agent: what reads its log, what /proc says, how many files it may open."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from servers.behaviours import answer

from hostile import network
from hostile.attack import Attack, Group
from hostile.attacks import clients, far_end
from hostile.crowd import crowd
from hostile.serving import serving

if TYPE_CHECKING:
    from servers.fault_server import Connection

    from hostile.attack import Target


def flapping(connection: Connection) -> None:
    """Good or bad: each change is a line of the agent's log."""
    answer(random.choice((200, 503)), requests=1)(connection)


def nothing(target: Target) -> None:
    time.sleep(max(0.0, target.seconds_left()))


ATTACKS: Final = (
    Attack(
        "stderr-unread",
        Group.MACHINE,
        "stderr is a pipe that nobody reads",
        "a pipe of 4 KiB, 25 lines per second",
        serving(flapping, network.FAR_END, far_end.PORT),
        environment={
            **far_end.environment("http", targets=10, interval="200ms"),
            "KUBENURSE_LOG_LEVEL": "debug",
        },
        unread_stderr=True,
    ),
    Attack(
        "garbled-proc",
        Group.MACHINE,
        "files of /proc and the cgroup contain garbage",
        "from before the start",
        nothing,
        wrapper="for name in stat loadavg meminfo $$/stat $$/statm $$/cgroup $$/limits; "
        "do mount --bind {folder}/garbage /proc/$name; done; "
        "mount --bind {folder} /sys/fs/cgroup",
    ),
    Attack(
        "few-files",
        Group.MACHINE,
        "the agent may open 256 files, and clients connect and send nothing",
        "nothing",
        crowd(clients.idle),
        connections=1_000,
        wrapper="ulimit -n 256",
    ),
)
