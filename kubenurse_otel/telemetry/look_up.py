"""Looks up a collector's addresses within a deadline, for a thread that may wait.

getaddrinfo takes no deadline, and with a dead resolver needs ten seconds and more. So it runs in a
thread of its own, at most one per exporter.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

from kubenurse_otel.text import is_address

Address = tuple[socket.AddressFamily, Any]
"""The family and what `socket.connect` takes."""


class LookUp:
    """Looks up one host and port, anew each time."""

    def __init__(self, host: str, port: int) -> None:
        # As bytes: a str goes through Python's IDNA, which refuses names that DNS takes.
        self._host = host.encode("ascii")
        self._is_address = is_address(host.partition("%")[0])
        self._port = port
        self._running: _Run | None = None

    def addresses(self, deadline: float) -> list[Address]:
        """Return at least one address, in the order in which to try them.

        ``deadline`` is of time.monotonic. Raises OSError (TimeoutError past it).
        """
        if self._is_address:  # asks nobody, and so it never waits
            return _found(self._host, self._port)
        run = self._running
        if run is None or run.done.is_set():
            run = self._running = _Run(self._host, self._port)
        if not run.done.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError
        self._running = None
        if run.error:
            raise OSError(*run.error)
        return run.found


class _Run:
    def __init__(self, host: bytes, port: int) -> None:
        self.done = threading.Event()
        self.found: list[Address] = []
        self.error: tuple[Any, ...] = ()
        threading.Thread(
            target=self._look_up, args=(host, port), name="otlp-look-up", daemon=True
        ).start()

    def _look_up(self, host: bytes, port: int) -> None:
        try:
            self.found = _found(host, port)
        except OSError as error:
            self.error = error.args  # not the error: its frames would hold it in a ring
        finally:
            self.done.set()


def _found(host: bytes, port: int) -> list[Address]:
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _type, _proto, _name, address in infos]
