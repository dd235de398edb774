"""Asks many agents the same thing at once, within bounds, and names those that do not answer.

Owns how many are asked at a time, how long, and one GET over a socket. What is asked for, and what
the answers mean, is the caller's.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel import __version__
from kubenurse_otel.record import record
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from kubenurse_otel.model import Url

AT_ONCE: Final = 64
EACH_SECONDS: Final = 2.0
ALL_SECONDS: Final = 20.0
MOST_BYTES: Final = 2 * 1024 * 1024
"""Of an answer, if it is not said: a list of 5,000 agents is half of it."""
MOST_BYTES_IN_ALL: Final = 128 * 1024 * 1024
"""Of all answers together; 5,000 agents that name eight culprits each say a sixth of it."""
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]").match
_HEAD_END: Final = b"\r\n\r\n"
_LENGTH: Final = re.compile(rb"\r\ncontent-length: *([0-9]{1,9}) *\r\n", re.IGNORECASE).search
_OLD: Final = "it has no diagnosis: an older agent, or KUBENURSE_DIAGNOSIS is false"
_REFUSED: Final = {404: _OLD, 429: "it was asked too often"}


class NoAnswerError(Exception):
    """Why there is none; the text is for people."""


@record(frozen=True, slots=True)
class Source:
    """An agent, as it is called to people, and how it is asked.

    ``ask`` returns the answer's body; it raises NoAnswerError, OSError (ssl's among them).
    ``read`` makes of the parsed answer, at once, what is kept of it: 2 MiB may be 60 as objects.
    """

    name: str
    ask: Callable[[], Awaitable[bytes]]
    read: Callable[[Any], Any] = lambda document: document


@record(frozen=True, slots=True)
class Collected:
    """``document`` is what was read of the answer, None where there is a ``problem``."""

    name: str
    document: Any = None
    problem: str = ""


async def collect(
    sources: Sequence[Source],
    *,
    each_seconds: float = EACH_SECONDS,
    all_seconds: float = ALL_SECONDS,
    at_once: int = AT_ONCE,
    all_bytes: int = MOST_BYTES_IN_ALL,
) -> list[Collected]:
    """Ask all of them, ``at_once`` together; answers in the order given. Raises no network error.

    Once ``all_bytes`` have come, nobody is asked any more and no answer is read.
    """
    left = all_bytes
    places = asyncio.Semaphore(at_once)
    loop = asyncio.get_running_loop()
    end = loop.time() + all_seconds

    async def body(source: Source) -> bytes:
        nonlocal left
        if left >= 0:
            content = await source.ask()
            left -= len(content)
        if left < 0:
            raise NoAnswerError(f"not read: all answers together have more than {all_bytes} bytes")
        return content

    async def one(source: Source) -> Collected:
        late = f"no answer within {each_seconds:g} s"
        try:
            async with asyncio.timeout_at(end):
                await places.acquire()
        except TimeoutError:
            return Collected(source.name, problem=f"not asked within {all_seconds:g} s")
        try:
            async with asyncio.timeout_at(
                min(end, asyncio.get_running_loop().time() + each_seconds)
            ):
                content = await body(source)
            return Collected(source.name, source.read(json.loads(content)))
        except TimeoutError:
            return Collected(source.name, problem=late)
        except (ValueError, RecursionError):
            return Collected(source.name, problem="its answer is no JSON")
        except (OSError, NoAnswerError) as error:
            return Collected(source.name, problem=_why(error))
        finally:
            places.release()

    return list(await asyncio.gather(*(one(source) for source in sources)))


async def get(
    url: Url,
    *,
    context: ssl.SSLContext | None,
    server_name: str | None = None,
    max_bytes: int = MOST_BYTES,
) -> bytes:
    """GET ``url`` and return the body of a 200. Raises NoAnswerError, OSError.

    In HTTP/1.0, so that no answer comes in chunks (RFC 9112 section 6.1).
    """
    is_https = url.scheme == "https"
    reader, writer = await asyncio.open_connection(
        url.host,
        url.port,
        ssl=context if is_https else None,
        server_hostname=(server_name or url.host) if is_https else None,
    )
    try:
        writer.write(
            f"GET {url.request_target} HTTP/1.0\r\nHost: {url.authority}\r\n"
            f"User-Agent: kubenurse-otel/{__version__}\r\nAccept: application/json\r\n\r\n".encode(
                "ascii"
            )
        )
        answer = bytearray()
        while not _is_whole(answer) and (data := await reader.read(65_536)):
            answer += data
            if len(answer) > max_bytes:
                raise NoAnswerError(f"its answer has more than {max_bytes} bytes")
    finally:
        writer.transport.abort()
    status = _STATUS(answer)
    _, ends, body = bytes(answer).partition(_HEAD_END)
    if status is None or not ends:
        raise NoAnswerError("its answer is no HTTP")
    if int(status[1]) != 200:
        raise NoAnswerError(_REFUSED.get(int(status[1]), f"it answered {int(status[1])}"))
    return body


def _is_whole(answer: bytearray) -> bool:
    """Whether it is as long as it says. One that does not say ends with its connection."""
    head_end = answer.find(_HEAD_END)
    length = _LENGTH(answer, 0, head_end + 2) if head_end >= 0 else None
    return length is not None and len(answer) >= head_end + len(_HEAD_END) + int(length[1])


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return printable(f"its certificate is not accepted: {error.verify_message}", 200)
    if isinstance(error, socket.gaierror):
        return "its name cannot be looked up"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return printable(str(error) or type(error).__name__, 200)
