"""A server that misbehaves, on an address and port of one's choice: a behaviour by its name.

Owns the names; what they do is tests/servers'. ``BEHAVIOURS`` below is beside theirs.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import ssl
from typing import TYPE_CHECKING, Final

from servers import BEHAVIOURS as KNOWN
from servers import Behaviour, Connection, FaultServer, answer, cut, cut_mid_body, silent

from e2e.misbehaving import program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.machine import Machine

FULL_BACKLOG: Final = "full_backlog"
SLOW: Final = "slow"
_FILLERS: Final = 8
_FILLER_SECONDS: Final = 0.2


def half_closed_at_once(connection: Connection) -> None:
    """FIN right after accept; what comes is read and never answered."""
    connection.socket.shutdown(socket.SHUT_WR)
    connection.hold()


def half_closed_without_answer(connection: Connection) -> None:
    """FIN when the request was read; what comes is read on, and nothing is answered."""
    connection.read_request()
    connection.socket.shutdown(socket.SHUT_WR)
    connection.hold()


BEHAVIOURS: Final[dict[str, Behaviour]] = {
    **KNOWN,
    "handshake_cut": cut,
    "handshake_stalled": silent,
    "half_closed_at_once": half_closed_at_once,
    "half_closed_without_answer": half_closed_without_answer,
    "truncated_body": cut_mid_body,
}
"""Those of a handshake are for a server without TLS of its own, whose client speaks TLS."""


# --- on a machine ---------------------------------------------------------------------------------


def start(
    machine: Machine,
    behaviour: str,
    *,
    port: int,
    host: str = "0.0.0.0",
    certificate: str = "",
    key: str = "",
    delay_seconds: float = 2.0,
) -> None:
    """Serve on a free port (stop nginx first); ``certificate`` and ``key`` are PEM files."""
    stop(machine, port)
    tls = (f"--certificate={certificate}", f"--key={key}") if certificate else ()
    program.start(
        machine,
        _daemon(port),
        "server",
        *(behaviour, f"--host={host}", f"--port={port}", f"--delay-seconds={delay_seconds}"),
        *tls,
    )


def stop(machine: Machine, port: int) -> None:
    if machine.runs(_daemon(port)):
        machine.end(_daemon(port))


def _daemon(port: int) -> str:
    return f"misbehaving-server-{port}"


# --- the program ----------------------------------------------------------------------------------


@contextlib.contextmanager
def full_backlog(host: str, port: int) -> Iterator[None]:
    """Listen without ever accepting, with the queue full: the kernel drops every further SYN."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(0)
        for _ in range(_FILLERS):
            filler = stack.enter_context(socket.socket())
            filler.settimeout(_FILLER_SECONDS)
            try:
                filler.connect(("127.0.0.1" if host == "0.0.0.0" else host, port))
            except TimeoutError:
                break
        else:
            raise RuntimeError(f"a backlog of 0 took {_FILLERS} connections")
        yield


def _context(certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("behaviour", choices=sorted({*BEHAVIOURS, FULL_BACKLOG}))
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--certificate", default="", help="PEM, chain included; without it no TLS")
    parser.add_argument("--key", default="")
    parser.add_argument("--delay-seconds", type=float, default=2.0, help=f"of {SLOW}")
    asked = parser.parse_args()
    program.end_at_signal()
    if asked.behaviour == FULL_BACKLOG:
        with full_backlog(asked.host, asked.port):
            _serve(None)
        return
    behaviour = BEHAVIOURS[asked.behaviour]
    if asked.behaviour == SLOW:
        behaviour = answer(delay_seconds=asked.delay_seconds)
    tls = _context(asked.certificate, asked.key) if asked.certificate else None
    with FaultServer(behaviour, host=asked.host, port=asked.port, tls=tls) as server:
        _serve(server)


def _serve(server: FaultServer | None) -> None:
    program.say(program.READY)
    try:
        signal.pause()
    finally:
        if server is not None:
            program.say("report", accepted=server.accepted, requests=len(server.requests))


if __name__ == "__main__":
    main()
