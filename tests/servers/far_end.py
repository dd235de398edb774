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


class FarEnd:
    """Sockets that are made ``with far_end.entered():`` are in the other namespace."""

    def __init__(self) -> None:
        self._here = _namespace()
        _done(_LIBC.unshare(_CLONE_NEWNET))
        self._there = _namespace()
        _done(_LIBC.setns(self._here, _CLONE_NEWNET))
        _shell(_CABLE.format(far=f"/proc/self/fd/{self._there}"), self._there)
        with self.entered():
            _shell(_FAR_END)
        for entered in (contextlib.nullcontext(), self.entered()):
            with entered:  # what one connection saw must not set the timers of the next
                sysctl("ipv4/tcp_no_metrics_save", "1")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread is there."""
        _done(_LIBC.setns(self._there, _CLONE_NEWNET))
        try:
            yield
        finally:
            _done(_LIBC.setns(self._here, _CLONE_NEWNET))


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
