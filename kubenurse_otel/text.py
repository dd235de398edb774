"""Small functions about text that many modules use: is it an address, how to show it.

Pure, with nothing of ours below it.
"""

from __future__ import annotations

import ipaddress


def is_address(text: str) -> bool:
    """Whether it is an IPv4 or IPv6 address, without brackets and without a zone.

    A zone (``fe80::1%eth0``) belongs to one machine, and a URL has no place for it.
    """
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def bracketed(host: str) -> str:
    """A host as URLs write it: IPv6 addresses in brackets (RFC 3986 section 3.2.2)."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def host_port(host: str, port: int) -> str:
    """``host:port``, as URLs and people write it (Go's net.JoinHostPort)."""
    return f"{bracketed(host)}:{port}"


def printable(text: str, limit: int) -> str:
    """Return ``text`` with every control character escaped (as Python writes it), cut at ``limit``.

    A text that was cut ends in "...". ``limit`` counts characters of the result.
    """
    if len(text) <= limit and text.isprintable():
        return text
    shown = text[: limit + 1]
    if not shown.isprintable():
        shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in shown)
    return shown if len(shown) <= limit else shown[: max(0, limit - 3)] + "..."[:limit]
