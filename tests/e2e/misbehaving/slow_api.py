"""A slow API server: in front of the real one, TLS ends here, and each request waits.

Owns the redirect of the pods' connections and the proxy. Answers come from the real one.
"""

from __future__ import annotations

import argparse
import signal
import socket
import ssl
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from servers import Behaviour, Connection, FaultServer

from e2e.misbehaving import program

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.cluster.machine import Machine

PORT: Final = 6444
_NAME: Final = "slow-api"
_API_PORT: Final = 6443
_CONNECT_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.5
_ASKED: Final = "asked"
_ANSWERED: Final = "answered"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that the server has read. ``read_at`` (time.monotonic()) tells them apart."""

    client: str
    line: str
    host: str
    read_at: float


def insert(control: Machine, *, pods: str, pki: Path, seconds: float) -> None:
    """Each new connection of ``pods`` (a subnet) to the API server meets us; open ones go on."""
    remove(control)
    program.start(control, _NAME, "slow_api", f"--pki={pki}", f"--seconds={seconds}")
    rule = f"ip saddr {pods} tcp dport {_API_PORT} redirect to :{PORT}"
    chain = f"chain prerouting {{\ntype nat hook prerouting priority dstnat;\n{rule}\n}}"
    control.net("nft", "-f", "-", text=f"table ip {_NAME} {{\n{chain}\n}}\n")


def remove(control: Machine) -> None:
    """Take it out; what goes through it is cut."""
    control.net("nft", "delete", "table", "ip", _NAME, check=False)
    if control.runs(_NAME):
        control.end(_NAME)


def asked(control: Machine) -> list[Asked]:
    """The requests that it has read so far, answered or not; all its runs together."""
    facts = program.facts(control, _NAME, _ASKED)
    return [
        Asked(**{key: value for key, value in fact.items() if key != "event"}) for fact in facts
    ]


def answered_after(control: Machine, request: Asked) -> float | None:
    """Seconds from a request to its answer's first byte; None while no byte has been sent."""
    for fact in program.facts(control, _NAME, _ANSWERED):
        if fact["read_at"] == request.read_at:
            return float(fact["seconds"])
    return None


def late(upstream: ssl.SSLContext, seconds: float) -> Behaviour:
    """One request a connection: read, wait, hand on, and pass on whatever comes."""

    def behave(connection: Connection) -> None:
        request = connection.read_request()
        if request is None:
            return
        host = request.headers.get("host", "")
        about = {"client": request.peer[0], "line": request.line, "host": host}
        program.say(_ASKED, **about, read_at=request.read_at)
        if not connection.sleep(seconds):
            return
        with (
            socket.create_connection(("127.0.0.1", _API_PORT), timeout=_CONNECT_SECONDS) as plain,
            upstream.wrap_socket(plain, server_hostname="127.0.0.1") as onward,
        ):
            fields = [one for one in request.raw.split(b"\r\n") if not _is_connection(one)]
            onward.sendall(b"\r\n".join([*fields, b"Connection: close", b"", b""]))
            onward.settimeout(_LOOK_SECONDS)
            begun = False
            while not connection.server.stopping.is_set():
                try:
                    piece = onward.recv(65536)
                except TimeoutError:  # A watch that is silent.
                    continue
                if not piece:
                    break
                if not begun:  # Said before it is done: who reads nothing of it has no byte yet.
                    begun = True
                    waited = time.monotonic() - request.read_at
                    program.say(_ANSWERED, read_at=request.read_at, seconds=waited)
                connection.send(piece)

    return behave


def _is_connection(field: bytes) -> bool:
    return field.lower().startswith(b"connection:")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pki", required=True, help="ca.crt and kube-apiserver's crt and key")
    parser.add_argument("--seconds", type=float, required=True)
    asked = parser.parse_args()
    program.end_at_signal()
    here = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    here.load_cert_chain(f"{asked.pki}/kube-apiserver.crt", f"{asked.pki}/kube-apiserver.key")
    onward = ssl.create_default_context(cafile=f"{asked.pki}/ca.crt")
    behaviour = late(onward, asked.seconds)
    with FaultServer(behaviour, host="0.0.0.0", port=PORT, tls=here) as server:
        program.say(program.READY)
        try:
            signal.pause()
        finally:
            program.say("report", accepted=server.accepted, requests=len(server.requests))


if __name__ == "__main__":
    main()
