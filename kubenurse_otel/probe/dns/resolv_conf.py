"""Read resolv.conf(5), RES_OPTIONS and LOCALDOMAIN as glibc does. No I/O but interface numbers."""

from __future__ import annotations

import re
import socket
from dataclasses import fields
from typing import Final

from kubenurse_otel.probe.addresses import with_zone, zone_number
from kubenurse_otel.probe.dns.reply import Server
from kubenurse_otel.record import record

MOST_SERVERS: Final = 3
_MOST_NDOTS, _MOST_TIMEOUT, _MOST_ATTEMPTS = 15, 30, 5
_DEFAULT: Final = Server("127.0.0.1", is_default=True)
_BLANK: Final = " \t"
_NUMBER: Final = re.compile(r"\s*([+-]?\d{1,9})")


@record(frozen=True, slots=True, kw_only=True)
class Options:
    ndots: int = 1
    timeout_seconds: int = 5
    attempts: int = 2
    rotate: bool = False
    edns0: bool = False
    single_request_reopen: bool = False
    single_request: bool = False
    no_tld_query: bool = False
    use_vc: bool = False
    trust_ad: bool = False
    no_aaaa: bool = False


@record(frozen=True, slots=True, kw_only=True)
class ResolvConf:
    """What the file says. ``search`` are domains without a dot at their end; "" is the root."""

    servers: tuple[Server, ...]
    search: tuple[str, ...] = ()
    options: Options = Options()


_SWITCHES: Final = tuple(
    (name, field.name)
    for field in fields(Options)
    if isinstance(field.default, bool)
    for name in {field.name, field.name.replace("_", "-")}
)
"""(the beginning of the word, the field), in the order of the table above: as glibc compares."""
_NUMBERS: Final = {
    "ndots:": ("ndots", _MOST_NDOTS),
    "timeout:": ("timeout_seconds", _MOST_TIMEOUT),
    "attempts:": ("attempts", _MOST_ATTEMPTS),
}


def parse(
    text: str, *, host_name: str, local_domain: str | None = None, res_options: str = ""
) -> ResolvConf:
    """Read the file's text. ``local_domain`` (LOCALDOMAIN) wins over its search path. Without
    either, the domain of ``host_name`` is searched.
    """
    servers: list[Server] = []
    search: list[str] | None = None
    options: dict[str, int | bool] = {}
    for line in text.split("\n"):
        keyword = re.split(f"[{_BLANK}]", line, maxsplit=1)[0]
        words = line[len(keyword) :].split()
        if keyword == "nameserver" and words:
            server = _server(words[0])
            servers += [server] if server is not None else []
        elif keyword == "domain" and words:
            search = words[:1]
        elif keyword == "search" and words:
            search = words
        elif keyword == "options":
            options |= _options(words)
    if local_domain is not None:
        search = local_domain.split("\n")[0].split()
    if search is None:
        domain = host_name.partition(".")[2]
        search = [domain] if domain else []
    return ResolvConf(
        servers=tuple(servers[:MOST_SERVERS]) or (_DEFAULT,),
        search=tuple(one.removeprefix(".").removesuffix(".") for one in search),
        options=Options(**(options | _options(res_options.split()))),  # type: ignore[arg-type]
    )


def _server(text: str) -> Server | None:
    try:
        return Server(socket.inet_ntoa(socket.inet_aton(text)))
    except (OSError, ValueError):  # ValueError: a NUL byte
        pass
    address, _, zone = text.partition("%")
    try:
        packed = socket.inet_pton(socket.AF_INET6, address)
    except (OSError, ValueError):
        return None
    return Server(with_zone(socket.inet_ntop(socket.AF_INET6, packed), _scope(zone)))


def _scope(zone: str) -> int:
    """Return the interface's number. 0 if there is no such interface, as in glibc."""
    try:
        return zone_number(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    except (OSError, ValueError):
        return 0


def _options(words: list[str]) -> dict[str, int | bool]:
    found: dict[str, int | bool] = {}
    for word in words:
        number = next((of for prefix, of in _NUMBERS.items() if word.startswith(prefix)), None)
        if number is not None:
            name, most = number
            match = _NUMBER.match(word.partition(":")[2])
            found[name] = min(most, max(0, int(match[1]) if match else 0))
            continue
        switch = next((field for prefix, field in _SWITCHES if word.startswith(prefix)), None)
        if switch is not None:
            found[switch] = True
    return found
