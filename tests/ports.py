"""Ports for processes that bind them by themselves, a moment after they were chosen."""

from __future__ import annotations

import random
import socket
from contextlib import ExitStack, suppress
from pathlib import Path

LOWEST = 10_000


def free_ports(count: int) -> list[int]:
    """Return ports that are free on every IPv4 address, and that nobody gets by chance.

    They lie below those that the kernel gives to connections and to who binds port 0 (ip(7),
    ``ip_local_port_range``): a port of that range may be another's before its process binds it.
    """
    given_away = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()
    ports = range(LOWEST, int(given_away[0]))
    with ExitStack() as stack:
        found: list[int] = []
        for port in random.sample(ports, len(ports)):
            if len(found) == count:
                break
            with suppress(OSError):
                stack.enter_context(socket.create_server(("0.0.0.0", port)))
                found.append(port)
    assert len(found) == count, "no free ports"
    return found


def free_port() -> int:
    (port,) = free_ports(1)
    return port
