"""Our own resolver (a ``Resolve``): files and DNS by glibc's rules, and every query is reported.

Owns the system's files, which are read again when they change, and the result of a look-up. If
this host's files ask for more than hosts and DNS, or cannot be read, the C library is asked
instead. This is logged once.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kubenurse_otel import files
from kubenurse_otel.config import ResolverKind
from kubenurse_otel.errors import NameServersError, NameServersSilentError
from kubenurse_otel.probe.dns import hosts, resolv_conf
from kubenurse_otel.probe.dns.destinations import ordered
from kubenurse_otel.probe.dns.interfaces import own_addresses
from kubenurse_otel.probe.dns.message import RecordType
from kubenurse_otel.probe.dns.reply import Ending
from kubenurse_otel.probe.dns.search import Outcome, search
from kubenurse_otel.probe.dns.servers import LookUp, OutOfTimeError, Turn
from kubenurse_otel.probe.dns.sources import other_sources
from kubenurse_otel.probe.dns.story import story
from kubenurse_otel.probe.resolve import (
    Answer,
    DeadlineExceededError,
    LookUpError,
    Resolve,
    ThreadResolver,
    interleave,
)
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from kubenurse_otel.config import ChecksConfig
    from kubenurse_otel.probe.dns.hosts import Hosts
    from kubenurse_otel.probe.dns.interfaces import OwnAddress
    from kubenurse_otel.probe.dns.reply import Reply, Server
    from kubenurse_otel.probe.dns.resolv_conf import ResolvConf

_log = logging.getLogger(__name__)

_ERRORS: Final = {
    Outcome.HOST_NOT_FOUND: (socket.EAI_NONAME, "Name or service not known"),
    Outcome.NO_RECOVERY: (socket.EAI_NONAME, "Name or service not known"),
    Outcome.NO_DATA: (socket.EAI_NODATA, "No address associated with hostname"),
    Outcome.TRY_AGAIN: (socket.EAI_AGAIN, "Temporary failure in name resolution"),
}
"""The errors of getaddrinfo, with the texts of gai_strerror."""
_FAILURES: Final = frozenset({"servfail", "refused", "other", "unreachable", "malformed"})
"""If any query had one of these outcomes, silence is not the reason why a look-up failed."""
MOST_SEARCHED: Final = 32
"""The most domains of a search path: as many as a pod can have. Every query is kept and reported.
"""
_MOST_BYTES: Final = 256 * 1024
_ADDRESSES_SECONDS: Final = 1.0
"""Seconds for which this host's own addresses are cached."""


@record(frozen=True, slots=True, kw_only=True)
class SystemFiles:
    resolv_conf: Path = Path("/etc/resolv.conf")
    hosts: Path = Path("/etc/hosts")
    nsswitch: Path = Path("/etc/nsswitch.conf")
    gai_conf: Path = Path("/etc/gai.conf")


@record(frozen=True, slots=True)
class _System:
    """What the files say. ``others`` is the reason to ask the C library instead ("": none)."""

    conf: ResolvConf
    hosts: Hosts
    others: str


def resolver_of(checks: ChecksConfig) -> Resolve:
    """Return the resolver that the configuration asks for."""
    return ThreadResolver() if checks.resolver is ResolverKind.SYSTEM else own_resolver(checks)


def own_resolver(checks: ChecksConfig) -> OwnResolver:
    return OwnResolver(
        host_name=socket.gethostname(),
        local_domain=checks.local_domain,
        res_options=checks.res_options,
    )


class OwnResolver:
    """For one event loop. ``res_options`` and ``local_domain`` are from the environment."""

    def __init__(
        self,
        *,
        host_name: str = "",
        local_domain: str | None = None,
        res_options: str = "",
        paths: SystemFiles | None = None,
        system: Resolve | None = None,
    ) -> None:
        self._host_name = host_name
        self._local_domain = local_domain
        self._res_options = res_options
        self._paths = paths or SystemFiles()
        self._ask_system = system or ThreadResolver()
        self._turn = Turn()
        self._said = ""
        self._own: tuple[OwnAddress, ...] = ()
        self._own_read_at = float("-inf")
        every = self._paths.resolv_conf, self._paths.hosts, self._paths.nsswitch
        self._files = files.Reread(
            (*every, self._paths.gai_conf), self._read, report=self._report, every_seconds=0.0
        )

    def servers(self) -> tuple[Server, ...]:
        """Return the name servers of resolv.conf as it is now. Raises OSError."""
        return self._files.get().conf.servers

    async def __call__(self, host: str, *, deadline: float) -> Answer:
        started_ns = time.monotonic_ns()
        try:
            system = self._files.get()
            others = system.others
        except OSError as error:  # none of them was ever read: glibc reads longer ones
            others = f"{error.filename} {error.strerror}"
        if others:
            self._say(others)
            return await self._ask_system(host, deadline=deadline)
        try:
            name = host.encode("idna").decode("ascii")
        except UnicodeError as error:
            raise LookUpError(error, started_ns, time.monotonic_ns()) from None
        v4, v6 = self._families()
        in_file = hosts.of_families(system.hosts.get(name.lower(), ()), v4=v4, v6=v6)
        if found := _literal(name) or in_file:
            return self._answer(found, started_ns, time.monotonic_ns(), ())
        types = (RecordType.A,) * v4 + (RecordType.AAAA,) * v6
        if system.conf.options.no_aaaa:
            types = (RecordType.A,)
        look_up = LookUp(system.conf, types, deadline, self._turn)
        try:
            outcome, answers = await search(look_up, name)
        except OutOfTimeError:
            # Our own time comes before that of the servers, so that the two can be told apart.
            since_ns = time.monotonic_ns() - look_up.waited_ns
            raise DeadlineExceededError(since_ns, tuple(look_up.replies)) from None
        ended_ns = started_ns + look_up.waited_ns
        queries = tuple(look_up.replies)
        addresses = [
            address
            for one in (answers.answers if answers is not None else ())
            for address in one.addresses or ()
        ]
        if outcome is Outcome.FOUND and addresses:
            return self._answer(addresses, started_ns, ended_ns, queries)
        if outcome is Outcome.FOUND:  # an alias of nothing
            outcome = Outcome.HOST_NOT_FOUND
        raise LookUpError(_error(outcome, queries), started_ns, ended_ns, queries)

    def _answer(
        self,
        found: list[str] | tuple[str, ...],
        started_ns: int,
        ended_ns: int,
        queries: tuple[Reply, ...],
    ) -> Answer:
        in_order = ordered(found, self._own_addresses() if len(found) > 1 else ())
        pairs = [(6 if ":" in address else 4, address) for address in in_order]
        return Answer(interleave(pairs), started_ns, ended_ns, queries)

    def _families(self) -> tuple[bool, bool]:
        """Return whether to look for (IPv4, IPv6): those of which this host has an address beside
        loopback's (AI_ADDRCONFIG). If it has none, both.
        """
        ours = [one.address for one in self._own_addresses() if not one.is_loopback]
        v4, v6 = any(":" not in one for one in ours), any(":" in one for one in ours)
        return (v4, v6) if v4 or v6 else (True, True)

    def _own_addresses(self) -> tuple[OwnAddress, ...]:
        now = asyncio.get_running_loop().time()
        if now - self._own_read_at >= _ADDRESSES_SECONDS:
            self._own, self._own_read_at = own_addresses(), now
        return self._own

    def _read(self) -> _System:
        text = {name: _text(getattr(self._paths, name)) for name in SystemFiles.__slots__}
        conf = resolv_conf.parse(
            text["resolv_conf"],
            host_name=self._host_name,
            local_domain=self._local_domain,
            res_options=self._res_options,
        )
        others = other_sources(text["nsswitch"], text["gai_conf"])
        if len(conf.search) > MOST_SEARCHED:
            others = f"{self._paths.resolv_conf} searches {len(conf.search)} domains"
        return _System(conf, hosts.parse(text["hosts"]), others)

    def _report(self, error: OSError | ValueError) -> None:
        _log.warning("the resolver's files cannot be read, what they said before holds: %s", error)

    def _say(self, why: str) -> None:
        if why != self._said:
            self._said = why
            _log.warning("names are looked up by the C library, and queries are not seen: %s", why)


def _text(path: Path) -> str:
    """Return the file's text. Empty if there is no file. Raises OSError."""
    try:
        return files.read(path, longest=_MOST_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return ""


def _literal(name: str) -> tuple[str, ...]:
    """Return the address if ``name`` is one in any form of getaddrinfo's (``127.1``)."""
    if not name[-1:].isalnum() or not (name[0].isdigit() or ":" in name):
        return ()
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        return ()
    return tuple(f"{at[0]}%{at[3]}" if len(at) > 3 and at[3] else str(at[0]) for *_, at in found)


def _error(outcome: Outcome, queries: tuple[Reply, ...]) -> OSError:
    number, text = _ERRORS[outcome]
    told = story(queries)
    came = {one.outcome for one in queries}
    if outcome is Outcome.TRY_AGAIN and Ending.SILENT in came and not came & _FAILURES:
        return NameServersSilentError(told)
    return NameServersError(number, f"{text}: {told}" if told else text)
