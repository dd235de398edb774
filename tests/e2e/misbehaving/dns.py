"""A name server in front of another: it forwards, or fails as it was told, for one name's suffix.

Owns no zone. UDP and TCP; what a mode makes of TCP's queries is said beside the mode.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from e2e.misbehaving import program

if TYPE_CHECKING:
    from e2e.cluster.machine import Machine

PORT: Final = 5300
_DAEMON: Final = "misbehaving-dns"
_TABLE: Final = "misbehaving-dns"
_FORWARD_SECONDS: Final = 5.0
_HEADER_BYTES: Final = 12


class Mode(StrEnum):
    FORWARD = "forward"
    SERVFAIL = "servfail"
    NXDOMAIN = "nxdomain"
    REFUSED = "refused"
    SLOW = "slow"
    """The upstream's answer, ``seconds`` late."""
    LOSSY = "lossy"
    """A share of queries gets no answer; over TCP the connection stays and says nothing."""


_RCODES: Final = {Mode.SERVFAIL: 2, Mode.NXDOMAIN: 3, Mode.REFUSED: 5}


# --- in the path of a node's pods -----------------------------------------------------------------


def insert(
    node: Machine,
    mode: Mode,
    *,
    service: str,
    suffix: str = "",
    seconds: float = 2.0,
    share: float = 0.2,
) -> None:
    """Turn what the node's pods ask ``service`` (kube-dns's address) over to us; we ask it.

    Queries of the node itself (and of pods on its network) go where they went.
    """
    remove(node)
    program.start(
        node,
        _DAEMON,
        "dns",
        *(f"--listen=0.0.0.0:{PORT}", f"--upstream={service}:53", f"--mode={mode}"),
        *(f"--suffix={suffix}", f"--seconds={seconds}", f"--share={share}"),
    )
    rules = "".join(
        f"ip daddr {service} {protocol} dport 53 redirect to :{PORT}\n"
        for protocol in ("udp", "tcp")
    )
    # Before kube-proxy's rules, which stand at the usual priority of dstnat.
    chain = f"type nat hook prerouting priority dstnat - 10;\n{rules}"
    node.run("nft", "-f", "-", text=f"table ip {_TABLE} {{\nchain prerouting {{\n{chain}}}\n}}\n")


def remove(node: Machine) -> None:
    node.run("nft", "delete", "table", "ip", _TABLE, check=False)
    if node.runs(_DAEMON):
        node.end(_DAEMON)


# --- the server -----------------------------------------------------------------------------------


@dataclass
class NameServer:
    """Answers one query after the other, each in its own time."""

    upstream: tuple[str, int]
    mode: Mode = Mode.FORWARD
    suffix: str = ""
    """Names that end so misbehave; all of them where it is empty."""
    seconds: float = 0.0
    share: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: {"asked": 0, "touched": 0, "lost": 0})

    async def answer(self, query: bytes, *, tcp: bool) -> bytes | None:
        """The answer as it goes out; None where there is none."""
        self.counts["asked"] += 1
        try:
            name, end = _question(query)
        except (IndexError, UnicodeDecodeError):
            return None
        if self.mode is Mode.FORWARD or not _ends_with(name, self.suffix):
            return await self._forward(query, tcp=tcp)
        self.counts["touched"] += 1
        if self.mode in _RCODES:
            return _refusal(query, end, _RCODES[self.mode])
        if self.mode is Mode.LOSSY and random.random() < self.share:
            self.counts["lost"] += 1
            return None
        if self.mode is Mode.SLOW:
            await asyncio.sleep(self.seconds)
        return await self._forward(query, tcp=tcp)

    async def _forward(self, query: bytes, *, tcp: bool) -> bytes | None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(_FORWARD_SECONDS):
                return await (self._ask_tcp(query) if tcp else self._ask_udp(query))
        return None  # As a network that lost it.

    async def _ask_udp(self, query: bytes) -> bytes:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Upstream(answer), remote_addr=self.upstream
        )
        try:
            transport.sendto(query)
            return await answer
        finally:
            transport.close()

    async def _ask_tcp(self, query: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self.upstream)
        try:
            writer.write(len(query).to_bytes(2, "big") + query)
            return await _message(reader)
        finally:
            writer.close()

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection (RFC 1035 section 4.2.2), its queries one after the other."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                answer = await self.answer(await _message(reader), tcp=True)
                if answer is not None:
                    writer.write(len(answer).to_bytes(2, "big") + answer)
                    await writer.drain()
        writer.close()


class _Upstream(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, _addr: tuple[str, int]) -> None:
        if not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


class _Front(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, query: bytes, asker: tuple[str, int]) -> None:
        answer = await self._server.answer(query, tcp=False)
        if answer is not None:
            self._transport.sendto(answer, asker)


async def _message(reader: asyncio.StreamReader) -> bytes:
    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))


def _question(query: bytes) -> tuple[str, int]:
    """(the name asked for, where the question ends). Raises IndexError for what is no query."""
    labels, at = [], _HEADER_BYTES
    while length := query[at]:
        labels.append(query[at + 1 : at + 1 + length].decode("ascii"))
        at += 1 + length
    return ".".join(labels), at + 5


def _ends_with(name: str, suffix: str) -> bool:
    wanted = suffix.strip(".").lower()
    return not wanted or f".{name.lower()}".endswith(f".{wanted}")


def _refusal(query: bytes, end: int, rcode: int) -> bytes:
    """RFC 1035 section 4.1: the header and the question again; QR, RD as asked, RA, the code."""
    flags = bytes([0x80 | query[2] & 0x01, 0x80 | rcode])
    return query[:2] + flags + b"\0\x01\0\0\0\0\0\0" + query[_HEADER_BYTES:end]


async def serve(server: NameServer, host: str, port: int) -> None:
    """Answer for ever."""
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Front(server), local_addr=(host, port))
    listener = await asyncio.start_server(server.converse, host, port)
    program.say(program.READY, mode=server.mode, suffix=server.suffix)
    async with listener:
        await listener.serve_forever()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host, int(port)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=_address, required=True)
    parser.add_argument("--upstream", type=_address, required=True)
    parser.add_argument("--mode", type=Mode, choices=list(Mode), default=Mode.FORWARD)
    parser.add_argument("--suffix", default="", help="only names that end so")
    parser.add_argument("--seconds", type=float, default=2.0, help="of mode slow")
    parser.add_argument("--share", type=float, default=0.2, help="of mode lossy")
    asked = parser.parse_args()
    program.end_at_signal()
    server = NameServer(asked.upstream, asked.mode, asked.suffix, asked.seconds, asked.share)
    try:
        asyncio.run(serve(server, *asked.listen))
    finally:
        program.say("report", **server.counts)


if __name__ == "__main__":
    main()
