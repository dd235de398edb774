"""Say in a few words for people what the name servers did in one look-up. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.probe.dns.message import Rcode
from kubenurse_otel.probe.dns.reply import Ending, Transport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubenurse_otel.probe.dns.reply import Reply, Server

_WORDS: Final = {
    Ending.SILENT: ("did not answer", ""),
    Ending.UNREACHABLE: ("is unreachable", " for"),
    Ending.MALFORMED: ("answered nonsense", " to"),
}
"""Two parts of a sentence. Between them comes " by TCP", if it was TCP."""


def story(queries: Sequence[Reply]) -> str:
    """Return what each server did: ``10.96.0.10 did not answer 2 of 4 queries``."""
    servers = dict.fromkeys(one.server for one in queries)
    return "; ".join(
        f"{_who(server)} " + _of_server([one for one in queries if one.server == server])
        for server in servers
    )


def _who(server: Server) -> str:
    if server.is_default:
        return f"resolv.conf has no nameserver, so {server.text} is asked, which"
    return server.text


def _of_server(queries: Sequence[Reply]) -> str:
    counts: dict[str, int] = {}
    for one in queries:
        counts[_did(one)] = counts.get(_did(one), 0) + 1
    total = len(queries)
    parts = [f"{did} {count} of {total}" for did, count in counts.items()]
    elsewhere = sum(one.ignored.other_address for one in queries)
    if elsewhere:
        parts.append(f"{elsewhere} answers came from another address")
    return ", ".join(parts) + (" queries" if len(parts) == 1 else "")


def _did(one: Reply) -> str:
    if one.ending is not Ending.ANSWERED:
        by_tcp = " by TCP" if one.transport is Transport.TCP else ""
        return by_tcp.join(_WORDS[one.ending])
    if one.outcome == "truncated":
        return "gave a truncated answer by UDP to"
    if one.rcode == Rcode.NOERROR:
        return "answered" if one.addresses else "knew no address for"
    known = one.rcode in set(Rcode)
    return f"said {Rcode(one.rcode or 0).name if known else f'code {one.rcode}'} to"
