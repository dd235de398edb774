"""Make a request's head in bytes (RFC 9112 section 3). The part that never changes is cached."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from kubenurse_otel import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubenurse_otel.model import Target
    from kubenurse_otel.probe.fields import Headers

USER_AGENT: Final = f"kubenurse-otel/{__version__}"
_NO_WORD: Final = re.compile(rb"[^!-~\x80-\xff]").search
_NO_VALUE: Final = re.compile(rb"[^\t -~\x80-\xff]").search


class Beginnings:
    """How each target's requests begin: the request line, and the headers that never change."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Target, bytes]] = {}

    def of(self, target: Target) -> bytes:
        """Return how the target's requests begin. Raises as ``beginning`` and ``lines`` do."""
        made = self._made.get(target.key)
        if made is not None and made[0] is target:
            return made[1]
        found = _of_target(target)
        self._made[target.key] = target, found
        return found

    def retain(self, targets: Iterable[Target]) -> None:
        """Forget all other targets."""
        self._made = {one.key: self._made[one.key] for one in targets if one.key in self._made}


def beginning(method: bytes, target: bytes) -> bytes:
    """Return the request line. Raises ValueError if ``target`` would end it early."""
    if _NO_WORD(target):
        raise ValueError("not a request target")
    return b"%s %s HTTP/1.1\r\n" % (method, target)


def lines(headers: Headers) -> bytes:
    """Return the header lines. Raises ValueError if a header would end its line early."""
    made = []
    for name, value in headers:
        if _NO_WORD(name) or _NO_VALUE(value):
            raise ValueError(f"not a header: {name!r}")
        made.append(b"%s: %s\r\n" % (name, value))
    return b"".join(made)


def _of_target(target: Target) -> bytes:
    # No "Connection: close", though we do close: the far end's FIN would follow its answer at
    # once, and the kernel merges both into one read with the FIN's later time stamp.
    return beginning(target.method.encode("ascii"), _request_target(target)) + lines(
        [
            (b"Host", target.url.authority.encode("ascii")),
            (b"User-Agent", USER_AGENT.encode("ascii")),
            (b"Accept", b"*/*"),
            *((name.encode("ascii"), value.encode("ascii")) for name, value in target.headers),
        ]
    )


def _request_target(target: Target) -> bytes:
    """Return the origin form; for a forwarding proxy the absolute form (RFC 9112 section 3.2)."""
    url = target.url
    if target.proxy is not None and url.scheme == "http":
        return f"http://{url.host_port}{url.request_target}".encode("ascii")
    return url.request_target.encode("ascii")
