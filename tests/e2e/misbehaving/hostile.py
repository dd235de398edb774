"""Clients that misbehave towards an agent's server. Each function returns what happened to it.

Owns the asking; whether the agent bore it is judged elsewhere. ``address`` is (host, port).
Plain sockets in one thread: a client that costs little, so that it is not what makes others slow.
"""

from __future__ import annotations

import argparse
import collections
import http.client
import json
import resource
import selectors
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final

Address = tuple[str, int]
Findings = dict[str, Any]

ORIGIN: Final = "KUBENURSE-NEIGHBOUR-ORIGIN"
"""As kubenurse's and our agents name the asking pod (semconv.HEADER_ORIGIN)."""
_ANSWER_SECONDS: Final = 10.0
_SPARE_FILES: Final = 100


def forged_origins(address: Address, *, count: int = 10_000) -> Findings:
    """Ask /alwayshappy ``count`` times on one connection, each time as another pod."""
    outcomes: collections.Counter[str] = collections.Counter()
    started = time.monotonic()
    connection = http.client.HTTPConnection(*address, timeout=_ANSWER_SECONDS)
    for number in range(count):
        headers = {ORIGIN: f"kubenurse-forged-{number}"}
        outcomes[_ask(connection, "/alwayshappy", headers)] += 1
    connection.close()
    return {"answers": dict(outcomes), "seconds": _since(started)}


def scrapes(address: Address, *, seconds: float = 60.0, interval_seconds: float = 1.0) -> Findings:
    """Ask for /metrics every ``interval_seconds``, each time on a connection of its own."""
    outcomes: collections.Counter[str] = collections.Counter()
    slowest = 0.0
    end = time.monotonic() + seconds
    while (started := time.monotonic()) < end:
        connection = http.client.HTTPConnection(*address, timeout=_ANSWER_SECONDS)
        outcomes[_ask(connection, "/metrics", {})] += 1
        connection.close()
        slowest = max(slowest, time.monotonic() - started)
        time.sleep(max(0.0, started + interval_seconds - time.monotonic()))
    return {"answers": dict(outcomes), "slowest_seconds": round(slowest, 4)}


def _ask(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> str:
    """The status, or what came instead of an answer (the next one gets a new connection)."""
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        connection.close()
        return type(error).__name__
    return str(response.status)


def big_head(address: Address, *, size: int = 1_000_000) -> Findings:
    """Send a request with ``size`` bytes of headers, as fast as they are taken."""
    line = b"X-Filler: " + b"y" * 988 + b"\r\n"
    started = time.monotonic()
    sent, ended, answer = 0, "", b""
    with socket.create_connection(address, timeout=_ANSWER_SECONDS) as sock:
        try:
            sock.sendall(b"GET /alwayshappy HTTP/1.1\r\nHost: agent\r\n")
            while sent < size:
                sock.sendall(line)
                sent += len(line)
            sock.sendall(b"\r\n")
            sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            ended = f"{type(error).__name__} while sending"
        try:
            while piece := sock.recv(65536):
                answer += piece
        except OSError as error:
            ended = ended or f"{type(error).__name__} while reading"
    status = answer[9:12].decode("latin-1")
    return {
        "answers": {status: 1} if status else {},
        "sent_bytes": sent,
        "ended": ended,
        "seconds": _since(started),
    }


# --- many connections -----------------------------------------------------------------------------


def idle_connections(address: Address, *, count: int = 1_000, seconds: float = 30.0) -> Findings:
    """Open ``count`` connections and say nothing for ``seconds``."""
    return _hold(address, b"", b"", count=count, seconds=seconds)


def slow_loris(address: Address, *, count: int = 200, seconds: float = 30.0) -> Findings:
    """Open ``count`` connections, each with a request whose head grows by a header a second."""
    head = b"GET /metrics HTTP/1.1\r\nHost: agent\r\n"
    return _hold(address, head, b"X-Slow: x\r\n", count=count, seconds=seconds)


def _hold(
    address: Address, first: bytes, each_second: bytes, *, count: int, seconds: float
) -> Findings:
    """Open ``count`` connections, then wait ``seconds``: how, and when, each ended."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = max(files, min(count + _SPARE_FILES, most))
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    held = _Held()
    for _ in range(count):
        held.open(address, first)
        held.listen(0)
    deadline = tick = time.monotonic()
    deadline += seconds
    while held.born and (now := time.monotonic()) < deadline:
        if now >= tick:
            tick = now + 1.0
            for sock in list(held.born):
                held.speak(sock, each_second)
        held.listen(min(tick, deadline) - now)
    ages = list(held.ages)
    for sock in list(held.born):
        held.end(sock, "held to the end")
    return {
        "connections": dict(held.outcomes),
        "ended_at_seconds_of_age": [round(min(ages), 2), round(max(ages), 2)] if ages else [],
    }


class _Held:
    """Open connections, and what became of those that ended."""

    def __init__(self) -> None:
        self.born: dict[socket.socket, float] = {}
        self.outcomes: collections.Counter[str] = collections.Counter()
        self.ages: list[float] = []
        """In seconds, when they ended."""
        self._selector = selectors.DefaultSelector()

    def open(self, address: Address, first: bytes) -> None:
        try:
            sock = socket.create_connection(address, timeout=_ANSWER_SECONDS)
        except OSError as error:
            self.outcomes[f"{type(error).__name__} in connect"] += 1
            return
        self.born[sock] = time.monotonic()
        self._selector.register(sock, selectors.EVENT_READ)
        self.speak(sock, first)

    def speak(self, sock: socket.socket, data: bytes) -> None:
        try:
            sock.send(data)
        except OSError as error:
            self.end(sock, type(error).__name__)

    def listen(self, timeout_seconds: float) -> None:
        for key, _ in self._selector.select(timeout_seconds):
            sock = key.fileobj
            assert isinstance(sock, socket.socket)
            try:
                said = sock.recv(65536)
            except OSError as error:
                self.end(sock, type(error).__name__)
            else:
                if not said:
                    self.end(sock, "ended by the far end")

    def end(self, sock: socket.socket, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self.ages.append(time.monotonic() - self.born.pop(sock))
        self._selector.unregister(sock)
        sock.close()


def _since(started: float) -> float:
    return round(time.monotonic() - started, 3)


# --- the command line -----------------------------------------------------------------------------

KINDS: Final[dict[str, Callable[..., Findings]]] = {
    "forged-origins": forged_origins,
    "idle-connections": idle_connections,
    "slow-loris": slow_loris,
    "big-head": big_head,
    "scrapes": scrapes,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address", help="host:port of an agent")
    kinds = parser.add_subparsers(dest="kind", required=True)
    kinds.add_parser("forged-origins").add_argument("--count", type=int, default=10_000)
    for name, default in (("idle-connections", 1_000), ("slow-loris", 200)):
        many = kinds.add_parser(name)
        many.add_argument("--count", type=int, default=default)
        many.add_argument("--seconds", type=float, default=30.0)
    kinds.add_parser("big-head").add_argument("--size", type=int, default=1_000_000)
    scraper = kinds.add_parser("scrapes")
    scraper.add_argument("--seconds", type=float, default=60.0)
    scraper.add_argument("--interval-seconds", type=float, default=1.0)
    asked = vars(parser.parse_args())
    host, _, port = asked.pop("address").rpartition(":")
    found = KINDS[asked.pop("kind")]((host, int(port)), **asked)
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
