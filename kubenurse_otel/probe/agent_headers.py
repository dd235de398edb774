"""Read what an answering agent says about itself in its headers, within bounds. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Sequence

_NODE_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
"""A DNS subdomain (RFC 1123), which every node name is."""
_NODE: Final = semconv.HEADER_NODE.lower().encode()
_VIEW: Final = semconv.HEADER_VIEW.lower().encode()
_SERVER_TIMING: Final = semconv.HEADER_SERVER_TIMING.lower().encode()
_PAD: Final = semconv.HEADER_PAD.lower().encode()
_PROXY_HEADERS: Final = (b"via", b"x-envoy-", b"x-forwarded-", b"x-proxy-", b"x-cache", b"l5d-")
_PROXY_SERVERS: Final = (b"envoy", b"istio-envoy")
_MILLISECONDS: Final = 1000.0
_MAX_COUNT: Final = 100
_MAX_PORT: Final = 65_535


@record(frozen=True, slots=True)
class ServerTiming:
    """Seconds; None where the answer does not say."""

    wait: float | None = None
    app: float | None = None
    synack_retransmits: int | None = None
    asker_port: int | None = None
    """Our own port, as the far end sees it."""


def node_name(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The answering agent's node, "" where there is no valid one. Names are lower case."""
    for name, value in headers:
        if name == _NODE:
            text = value.decode("latin-1")
            return text if _NODE_NAME.fullmatch(text) else ""
    return ""


def view(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """Return what the agent sees, unchanged. "" if it does not say, or if the text is too long."""
    said = [value for name, value in headers if name == _VIEW]
    return b", ".join(said)[: semconv.VIEW_MAX_BYTES + 1].decode("latin-1")


def padding(headers: Sequence[tuple[bytes, bytes]]) -> int:
    """Return the bytes of padding in the answer."""
    return sum([len(value) for name, value in headers if name == _PAD])


def is_proxied(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a proxy left its mark on the answer."""
    for name, value in headers:
        if name.startswith(_PROXY_HEADERS):
            return True
        if name == b"server" and value.strip().lower() in _PROXY_SERVERS:
            return True
    return False


def server_timing(headers: Sequence[tuple[bytes, bytes]], *, far_end: float | None) -> ServerTiming:
    """Parse our entries of Server-Timing (W3C, section 2), at most 256 bytes of it.

    ``wait`` and ``app`` are cut to what the far end can have taken, so that wait + app is at most
    ``far_end`` seconds; without a ``far_end`` they mean nothing and are left out.
    """
    found = _entries([value for name, value in headers if name == _SERVER_TIMING])
    synack = found.get(semconv.SERVER_TIMING_SYNACK)
    app = wait = None
    if far_end is not None:
        app = _cut(found.get(semconv.SERVER_TIMING_APP), far_end)
        wait = _cut(found.get(semconv.SERVER_TIMING_WAIT), far_end - (app or 0.0))
    return ServerTiming(
        wait,
        app,
        None if synack is None else min(int(synack), _MAX_COUNT),
        _port(found.get(semconv.SERVER_TIMING_PORT)),
    )


def _entries(lines: list[bytes]) -> dict[str, float]:
    usual = _USUAL(lines[0]) if len(lines) == 1 else None
    if usual is not None:
        return {name: float(told) for name, told in usual.groupdict().items() if told is not None}
    found: dict[str, float] = {}
    left = semconv.SERVER_TIMING_MAX_BYTES
    for value in lines:
        for entry in value[: max(0, left)].decode("latin-1").split(","):
            _parse_entry(entry, found)
        left -= len(value)
    return found


def _parse_entry(entry: str, found: dict[str, float]) -> None:
    name, _, parameters = entry.partition(";")
    name = name.strip()
    if name not in _OURS or name in found:
        return
    for parameter in parameters.split(";"):
        key, _, value = parameter.partition("=")
        if key.strip() == "dur":
            number = _number(value.strip())
            if number is not None:
                found[name] = number


_OURS: Final = frozenset(
    {
        semconv.SERVER_TIMING_WAIT,
        semconv.SERVER_TIMING_APP,
        semconv.SERVER_TIMING_SYNACK,
        semconv.SERVER_TIMING_PORT,
    }
)
_NUMBER: Final = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_USUAL: Final = re.compile(
    (
        "(?:{0};dur=(?P<{0}>{4}), )?{1};dur=(?P<{1}>{4}), "
        "{2};dur=(?P<{2}>{4})(?:, {3};dur=(?P<{3}>{4}))?"
    )
    .format(
        semconv.SERVER_TIMING_WAIT,
        semconv.SERVER_TIMING_APP,
        semconv.SERVER_TIMING_PORT,
        semconv.SERVER_TIMING_SYNACK,
        r"[0-9]{1,9}(?:\.[0-9]{1,9})?",
    )
    .encode("ascii")
).fullmatch
"""The exact form that an agent writes, which most answers have."""


def _number(text: str) -> float | None:
    return float(text) if _NUMBER.fullmatch(text) else None


def _port(number: float | None) -> int | None:
    """None for what is no port: it says nothing, rather than that ours is another."""
    if number is None or not number.is_integer() or not 0 < number <= _MAX_PORT:
        return None
    return int(number)


def _cut(milliseconds: float | None, most: float) -> float | None:
    return None if milliseconds is None else min(milliseconds / _MILLISECONDS, max(0.0, most))
