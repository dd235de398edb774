"""Read hosts(5) as glibc's nss_files does. No I/O."""

from __future__ import annotations

import socket

from kubenurse_otel.probe.addresses import with_zone, zone_number

Hosts = dict[str, tuple[str, ...]]
"""Names in lower case -> addresses in the file's order."""


def parse(text: str) -> Hosts:
    found: dict[str, list[str]] = {}
    for line in text.split("\n"):
        words = line.partition("#")[0].split()
        address = _address(words[0]) if len(words) > 1 else None
        if address is not None:
            for name in dict.fromkeys(word.lower() for word in words[1:]):
                found.setdefault(name, []).append(address)
    return {name: tuple(dict.fromkeys(addresses)) for name, addresses in found.items()}


def of_families(addresses: tuple[str, ...], *, v4: bool, v6: bool) -> tuple[str, ...]:
    """Return the addresses of the wanted families. If only IPv4 is wanted, ``::1`` is 127.0.0.1."""
    if v4 and not v6:
        addresses = tuple(dict.fromkeys("127.0.0.1" if a == "::1" else a for a in addresses))
    return tuple(one for one in addresses if (v6 if ":" in one else v4))


def _address(text: str) -> str | None:
    address, _, zone = text.partition("%")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        written = socket.inet_ntop(family, socket.inet_pton(family, address))
        return with_zone(written, zone_number(zone))
    except (OSError, ValueError):
        return None
