"""/alive: kubenurse's JSON about the last checks, with our own ``details`` added.

Owns the shape of that document (postfinance/kubenurse internal/kubenurse/handler.go and
internal/servicecheck); the facts are results.py's and discovery's.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kubenurse_otel import semconv
from kubenurse_otel.model import Outcome
from kubenurse_otel.report import document
from kubenurse_otel.ring import node_hash
from kubenurse_otel.server.kept import Kept
from kubenurse_otel.server.message import indented, json
from kubenurse_otel.text import host_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.model import CheckResult, Neighbour, Neighbourhood
    from kubenurse_otel.server.message import Request, Response
    from kubenurse_otel.state.results import Results

MAX_NEIGHBOURS: Final = 1_000
MAX_RECENT_FAILURES: Final = 20
MAX_ECHOED_HEADERS: Final = 64
MAX_ECHOED_VALUE: Final = 1_024
_ECHOED: Final = frozenset(
    (
        *(b"accept", b"accept-encoding", b"accept-language", b"cache-control", b"connection"),
        *(b"content-length", b"content-type", b"date", b"user-agent", b"via", b"forwarded"),
        *(b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"),
        *(b"x-forwarded-scheme", b"x-forwarded-server", b"x-original-forwarded-for"),
        *(
            b"x-real-ip",
            b"x-scheme",
            b"x-request-id",
            b"x-correlation-id",
            b"x-envoy-external-address",
        ),
        *(b"traceparent", b"tracestate", b"x-b3-traceid", b"x-b3-spanid", b"x-b3-sampled", b"b3"),
        semconv.HEADER_ORIGIN.lower().encode("ascii"),
    )
)
"""Headers that show which way a request took. Any other header may hold credentials, or what a
proxy knows of a person. Host is left out because Go does not count it among a request's headers.
"""
_NEIGHBOURHOOD: Final = "neighbourhood"
_OPENS: Final = b"{\n"
_CLOSES: Final = b"\n}"
_OK: Final = "ok"
_SKIPPED: Final = "skipped"


class Alive:
    """The handler: 200 when the last check of every target was good, else ``bad_status``."""

    def __init__(
        self,
        *,
        results: Results,
        neighbourhood: Callable[[], Neighbourhood],
        node_name: Callable[[], str],
        bad_status: int = 500,
    ) -> None:
        self._results = results
        self._neighbourhood = neighbourhood
        self._node_name = node_name
        self._bad_status = bad_status
        self._listed: tuple[Neighbourhood | None, msgspec.Raw] = (None, msgspec.Raw(b"[]"))
        self._seen: Neighbourhood | None = None
        self._changes = 0
        self._kept = Kept(self._facts, version=self._version)

    def __call__(self, request: Request) -> Response:
        asked = {
            "hostname": socket.gethostname(),
            "headers": _echo(request),
            "user_agent": (request.header(b"user-agent") or "")[:MAX_ECHOED_VALUE],
            "request_uri": request.target.decode("latin-1"),
            "remote_addr": host_port(request.peer.address, request.peer.port),
        }
        status, facts = self._kept.get()
        return json(indented(asked)[: -len(_CLOSES)] + b",\n", tail=facts, status=status)

    def _facts(self) -> tuple[int, bytes]:
        """Return the status, and the end of the document, which is the same for every client."""
        facts = {"last_check_result": self._last_check_result(), "details": self._details()}
        status = 200 if self._results.all_good() else self._bad_status
        return status, indented(facts)[len(_OPENS) :] + b"\n"

    def _version(self) -> object:
        neighbourhood = self._neighbourhood()
        if neighbourhood is not self._seen:
            self._seen = neighbourhood
            self._changes += 1
        return self._changes, self._results.changes, self._node_name()

    def _last_check_result(self) -> dict[str, Any]:
        """Return kubenurse's map: a word or a sentence by type, sorted as Go sorts it."""
        words: dict[str, Any] = {
            name: _SKIPPED for name in self._results.skipped if name != _NEIGHBOURHOOD
        }
        for standing in self._results.latest.values():
            name = standing.result.target.type
            if words.get(name, _OK) == _OK:  # of two addresses of a node the bad one is told
                words[name] = _word(standing.result)
        if _NEIGHBOURHOOD in self._results.skipped:
            words["neighbourhood_state"] = _SKIPPED
        else:
            neighbourhood = self._neighbourhood()
            words["neighbourhood_state"] = neighbourhood.state
            words[_NEIGHBOURHOOD] = self._neighbours(neighbourhood)
        return dict(sorted(words.items()))

    def _neighbours(self, neighbourhood: Neighbourhood) -> msgspec.Raw:
        """Return the encoded list, kept until discovery says something else."""
        if self._listed[0] is not neighbourhood:
            shown = [_neighbour(neighbour) for neighbour in neighbourhood.known[:MAX_NEIGHBOURS]]
            self._listed = (neighbourhood, msgspec.Raw(msgspec.json.encode(shown)))
        return self._listed[1]

    def _details(self) -> dict[str, Any]:
        neighbourhood = self._neighbourhood()
        latest = self._results.latest
        return {
            "node_name": self._node_name(),
            "zone": neighbourhood.own_zone,
            "node_leaving": neighbourhood.own_node_leaving,
            "neighbours": {
                "known": len(neighbourhood.known),
                "shown": min(len(neighbourhood.known), MAX_NEIGHBOURS),
                "chosen": [neighbour.node_name for neighbour in neighbourhood.chosen],
            },
            "targets": {
                key: document.target(target, latest.get(key))
                for key, target in sorted(self._results.targets.items())
            },
            "recent_failures": [
                {"target": past.result.target.key, **document.failure(past.result)}
                | {
                    "recovered_at": None
                    if past.recovered_at is None
                    else document.moment(past.recovered_at)
                }
                for past in self._results.recent_failures[-MAX_RECENT_FAILURES:]
            ],
        }


def _echo(request: Request) -> dict[str, list[str]]:
    """Return the request's headers that show its way, written as Go writes them."""
    echoed: dict[str, list[str]] = {}
    for name, value in request.headers[:MAX_ECHOED_HEADERS]:
        if name in _ECHOED:
            canonical = "-".join(part.capitalize() for part in name.decode("latin-1").split("-"))
            shown = value.decode("latin-1")[:MAX_ECHOED_VALUE]
            echoed.setdefault(canonical, []).append(shown)
    return echoed


def _neighbour(neighbour: Neighbour) -> dict[str, Any]:
    return {
        "PodName": neighbour.pod_name,
        "PodIP": neighbour.pod_ip,
        "HostIP": neighbour.host_ip,
        "NodeName": neighbour.node_name,
        "NodeHash": node_hash(neighbour.node_name),
    }


def _word(result: CheckResult) -> str:
    if result.outcome is Outcome.OK:
        return _OK
    return result.failure.message if result.failure is not None else "failed"
