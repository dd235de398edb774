"""A second network namespace with a cable to the first, for what happens between two kernels."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR, FAR = "10.88.0.1", "10.88.0.2"
_CLONE_NEWNET = 0x40000000
"""linux/sched.h"""
_LIBC = ctypes.CDLL(None, use_errno=True)
_CABLE = """
ip link set lo up
ip link add near type veth peer name far netns {far}
ip addr add 10.88.0.1/24 dev near
ip link set near up
"""
_FAR_END = """
ip link set lo up
ip addr add 10.88.0.2/24 dev far
ip link set far up
"""


_TO_ROUTER = """
ip link set lo up
ip link add near type veth peer name to_near netns {router}
ip addr add 10.88.0.1/24 dev near
ip link set near up
ip route add default via 10.88.0.254
"""
_ROUTER = """
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
ip link add to_far type veth peer name far netns {far}
ip addr add 10.88.0.254/24 dev to_near
ip addr add 10.88.1.254/24 dev to_far
ip link set to_near up
ip link set to_far up
"""
_BEHIND_ROUTER = """
ip link set lo up
ip addr add 10.88.1.2/24 dev far
ip link set far up
ip route add default via 10.88.1.254
"""
BEHIND = "10.88.1.2"


class Namespace:
    """An empty network. Sockets that are made ``with it.entered():`` are in it."""

    def __init__(self) -> None:
        self._here = _namespace()
        _done(_LIBC.unshare(_CLONE_NEWNET))
        self._there = _namespace()
        _done(_LIBC.setns(self._here, _CLONE_NEWNET))

    @property
    def file(self) -> int:
        return self._there

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is there."""
        _done(_LIBC.setns(self._there, _CLONE_NEWNET))
        try:
            yield
        finally:
            _done(_LIBC.setns(self._here, _CLONE_NEWNET))


class FarEnd(Namespace):
    """At the other end of a cable, at ``FAR``; we are ``NEAR``."""

    def __init__(self) -> None:
        super().__init__()
        _shell(_CABLE.format(far=f"/proc/self/fd/{self.file}"), self.file)
        with self.entered():
            _shell(_FAR_END)
        _each_by_itself(self)


class FarEndBehindRouter(Namespace):
    """At ``BEHIND``, with a ``router`` between; we are ``NEAR``."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Namespace()
        _shell(_TO_ROUTER.format(router=f"/proc/self/fd/{self.router.file}"), self.router.file)
        with self.router.entered():
            _shell(_ROUTER.format(far=f"/proc/self/fd/{self.file}"), self.file)
        with self.entered():
            _shell(_BEHIND_ROUTER)
        _each_by_itself(self)

    def narrow(self, mtu: int, *, way: str) -> None:
        """The router carries less: ``way`` "out" is to the far end, "in" is to us."""
        to = "10.88.1.0/24 dev to_far" if way == "out" else "10.88.0.0/24 dev to_near"
        with self.router.entered():
            _shell(f"ip route change {to} proto kernel scope link mtu {mtu}")


def _each_by_itself(end: Namespace) -> None:
    for entered in (contextlib.nullcontext(), end.entered()):
        with entered:  # what one connection saw must not set the timers of the next
            sysctl("ipv4/tcp_no_metrics_save", "1")


def sysctl(name: str, value: str) -> None:
    """Set it in the namespace where this thread is."""
    Path("/proc/sys/net", name).write_text(value)


def nft(rules: str) -> None:
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)


def _namespace() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY)


def _shell(script: str, *files: int) -> None:
    """Run it; it inherits the open ``files``."""
    subprocess.run(["sh", "-ec", script], check=True, pass_fds=files)


def _done(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
