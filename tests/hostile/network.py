"""The place of a run: network, mounts and processes of its own, gone with it whatever happens.

A bridge joins everybody's addresses (ours: clients, far ends) with the two agents' namespaces.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

AGENT: Final = "10.77.0.2"
"""The agent that is attacked."""
NEIGHBOUR: Final = "10.77.0.3"
PROBER: Final = "10.77.0.10"
SCRAPER: Final = "10.77.0.11"
FAR_END: Final = "10.77.0.20"
FAR_END_NAME: Final = "agent.test"
COLLECTOR: Final = "10.77.0.21"
API_SERVER: Final = "10.77.0.22"
NEEDED: Final = ("ip", "nsenter", "unshare")
NAMESPACES: Final = {AGENT: "agent", NEIGHBOUR: "neighbour"}
_ATTACKERS: Final = 64
_INSIDE: Final = "KUBENURSE_HOSTILE_INSIDE"
_TESTS: Final = Path(__file__).parents[1]


def attacker(number: int) -> str:
    """The address of the nth attacker's pod."""
    return f"10.77.1.{1 + number % _ATTACKERS}"


def missing() -> list[str]:
    """Return the commands that a run needs and that are not here (Debian: iproute2, util-linux)."""
    return [name for name in NEEDED if shutil.which(name) is None]


def enter(words: Sequence[str]) -> None:
    """Become `python -m hostile` with ``words`` in the place; returns where we are in it.

    Root of the machine, or of a user namespace of our own; then there is no cgroup to limit memory.
    """
    if os.environ.get(_INSIDE):
        _make()
        return
    flags = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        flags.append("--map-root-user")
    environment = {**os.environ, _INSIDE: "1", "PYTHONPATH": str(_TESTS)}
    command = ["unshare", *flags, sys.executable, "-m", "hostile", *words]
    os.execvpe("unshare", command, environment)


def inside(address: str) -> list[str]:
    """Return what goes before a command that is to run in an agent's namespace."""
    return ["nsenter", f"--net=/run/netns/{NAMESPACES[address]}"]


def _make() -> None:
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    _ip("link set lo up", "link add fabric type bridge", "link set fabric up")
    for address in (PROBER, SCRAPER, FAR_END, COLLECTOR, API_SERVER):
        _ip(f"address add {address}/16 dev fabric")
    for number in range(_ATTACKERS):
        _ip(f"address add {attacker(number)}/16 dev fabric")
    for address, name in NAMESPACES.items():
        _ip(
            f"netns add {name}",
            f"link add {name} type veth peer eth0 netns {name}",
            f"link set {name} master fabric up",
            f"-n {name} address add {address}/16 dev eth0",
            f"-n {name} link set eth0 up",
            f"-n {name} link set lo up",
        )
    # What certificates of the tests are made for.
    Path("/run/hosts").write_text(f"127.0.0.1 localhost\n{FAR_END} {FAR_END_NAME}\n")
    _run("mount", "--bind", "/run/hosts", "/etc/hosts")
    # Clients come again and again from few addresses: their ports must not run out.
    for name, value in (("ip_local_port_range", "1024 65000"), ("tcp_tw_reuse", "1")):
        Path(f"/proc/sys/net/ipv4/{name}").write_text(value)


def _ip(*commands: str) -> None:
    for command in commands:
        _run("ip", *command.split())


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=20)
