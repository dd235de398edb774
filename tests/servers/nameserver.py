"""dnsmasq, a real name server, with a zone of names that fail in every way.

Needs an address whose port 53 is free (glibc asks no other port): see namespace.py.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Final

from system_programs import find

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS: Final = "127.0.0.53"
RESOLV_CONF: Final = f"nameserver {ADDRESS}\noptions timeout:1 attempts:1\n"

BOTH: Final = "both.test"
"""::1 and 127.0.0.1"""
V4: Final = "v4.test"
NXDOMAIN: Final = "nxdomain.test"
SERVFAIL: Final = "servfail.test"
REFUSED: Final = "refused.test"
SILENT: Final = "silent.test"
SLOW: Final = "slow.test"
"""Answers 127.0.0.1 after SLOW_SECONDS."""
SLOW_SECONDS: Final = 0.15

_RCODE_SERVFAIL: Final = 2
_RCODE_REFUSED: Final = 5
_TYPE_A: Final = 1
_START_SECONDS: Final = 10.0


@contextlib.contextmanager
def name_server() -> Iterator[None]:
    """Run dnsmasq on 127.0.0.53:53, with upstreams of ours for the names that fail."""
    with contextlib.ExitStack() as stack:
        upstream = {
            SERVFAIL: stack.enter_context(_upstream(rcode=_RCODE_SERVFAIL)),
            REFUSED: stack.enter_context(_upstream(rcode=_RCODE_REFUSED)),
            SILENT: stack.enter_context(_upstream(answers=False)),
            SLOW: stack.enter_context(_upstream(delay_seconds=SLOW_SECONDS)),
        }
        command = [
            find("dnsmasq") or "dnsmasq",
            # Debug mode stays in front and does not try to change its user: a namespace has one.
            *("--no-daemon", "--conf-file=/dev/null", "--pid-file="),
            *("--port=53", f"--listen-address={ADDRESS}", "--bind-interfaces"),
            *("--no-resolv", "--no-hosts", "--cache-size=0"),
            *(f"--address=/{BOTH}/127.0.0.1", f"--address=/{BOTH}/::1"),
            *(f"--address=/{V4}/127.0.0.1", f"--local=/{NXDOMAIN}/"),
            *(f"--server=/{name}/127.0.0.1#{port}" for name, port in upstream.items()),
        ]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        _wait_until_it_answers(process)
        yield


def _wait_until_it_answers(process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"dnsmasq ended with status {process.returncode}")
        with contextlib.suppress(socket.gaierror):
            socket.getaddrinfo(V4, None)
            return
    raise RuntimeError("dnsmasq did not answer")


@contextlib.contextmanager
def _upstream(*, rcode: int = 0, answers: bool = True, delay_seconds: float = 0.0) -> Iterator[int]:
    """A name server whose every answer is alike: ``rcode``, or 127.0.0.1, or none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        stopping = threading.Event()

        def serve() -> None:
            while True:
                query, peer = sock.recvfrom(4096)
                if stopping.is_set():
                    return
                if answers:
                    timer = threading.Timer(
                        delay_seconds, sock.sendto, (_reply(query, rcode), peer)
                    )
                    timer.daemon = True
                    timer.start()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield sock.getsockname()[1]
        finally:
            stopping.set()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", sock.getsockname())
            thread.join()


def _reply(query: bytes, rcode: int) -> bytes:
    """RFC 1035 section 4: the header and the question again, and an A record where it asks one."""
    end_of_name = query.index(b"\0", 12)
    question = query[12 : end_of_name + 5]
    record = b""
    if rcode == 0 and int.from_bytes(query[end_of_name + 1 : end_of_name + 3], "big") == _TYPE_A:
        record = b"\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01"
    flags = bytes([0x85, 0x80 | rcode])
    counts = b"\0\x01" + (b"\0\x01" if record else b"\0\0") + b"\0\0\0\0"
    return query[:2] + flags + counts + question + record
