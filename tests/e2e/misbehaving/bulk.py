"""A bulk transfer between two machines that keeps a queue filled, as a backup does.

Owns both ends. What is in flight is bounded by the receiver's buffer, so that nothing is lost.
"""

from __future__ import annotations

import argparse
import contextlib
import socket
from typing import TYPE_CHECKING, Final

from e2e.misbehaving import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.machine import Machine

PORT: Final = 9900
_NAME: Final = "bulk"
_CHUNK_BYTES: Final = 16 * 1024


@contextlib.contextmanager
def transfer(source: Machine, target: Machine, *, in_flight_bytes: int) -> Iterator[None]:
    """Send from ``source`` to ``target`` as fast as the way allows."""
    address = f"--address={target.address}"
    try:
        program.start(target, _NAME, "bulk", "receive", address, f"--buffer={in_flight_bytes}")
        program.start(source, _NAME, "bulk", "send", address)
        yield
    finally:
        source.end(_NAME)
        target.end(_NAME)


def receive(address: str, buffer_bytes: int) -> None:
    with socket.create_server((address, PORT)) as server:
        # The kernel doubles it for its own use, and of that half is the window.
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        program.say(program.READY)
        while True:
            connection, _ = server.accept()
            with connection:
                while connection.recv(_CHUNK_BYTES):
                    pass


def send(address: str) -> None:
    with socket.create_connection((address, PORT)) as connection:
        program.say(program.READY)
        while True:
            connection.sendall(bytes(_CHUNK_BYTES))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("send", "receive"))
    parser.add_argument("--address", required=True)
    parser.add_argument("--buffer", type=int, default=64 * 1024)
    asked = parser.parse_args()
    program.end_at_signal()
    if asked.what == "send":
        send(asked.address)
    else:
        receive(asked.address, asked.buffer)


if __name__ == "__main__":
    main()
