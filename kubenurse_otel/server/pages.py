"""The page's views over HTTP: when they are made, and of what.

Owns the kept documents and the headers; who is shown any is browsers.py's, how one looks page/'s.
What is watched is made in quiet moments, anything else when it is asked for, and not too often.
Imported when somebody looks for the first time (first_look.py).
"""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from kubenurse_otel import __version__
from kubenurse_otel.page import agent, busy, front, links, pair, target
from kubenurse_otel.page.frame import Frame
from kubenurse_otel.page.pair import Direction
from kubenurse_otel.page.style import POLICY
from kubenurse_otel.rate import Rate
from kubenurse_otel.record import record
from kubenurse_otel.report import checked, document, seen
from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server import routes
from kubenurse_otel.server.about import About
from kubenurse_otel.server.browsers import accepts_html, is_still
from kubenurse_otel.server.message import Response
from kubenurse_otel.server.others import Others
from kubenurse_otel.server.target import OF

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Sequence

    from kubenurse_otel.config import Config, Setting
    from kubenurse_otel.model import Neighbourhood
    from kubenurse_otel.report.checked import Checked
    from kubenurse_otel.semconv import Metric
    from kubenurse_otel.server.message import Request
    from kubenurse_otel.server.target import OneTarget
    from kubenurse_otel.server.verdicts import Documents
    from kubenurse_otel.state.results import Results, Standing

FRONT: Final = "./"
REFRESH_SECONDS: Final = 5
SOON_SECONDS: Final = 2
"""Seconds until the next refresh while answers of other agents are missing."""
YOUNG_SECONDS: Final = 1.0
"""Seconds for which a view that misses answers of other agents is shown again."""
KEPT_SECONDS: Final = 4.0
"""Seconds for which a whole view is shown again. Quiet moments rebuild it earlier."""
AGAIN_SECONDS: Final = 2.0
"""Age in seconds from which a quiet moment rebuilds it."""
WATCHED_SECONDS: Final = 12.0
"""Seconds after a request during which a view counts as watched: a bit more than two refreshes."""
MOST_KEPT: Final = 16
ONE_PER_SECOND: Final = 4.0
ONE_BURST: Final = 12.0
"""How many views of targets and pairs are built at once on demand for one client."""
ALL_PER_SECOND: Final = 12.0
ALL_BURST: Final = 36.0
"""The same for all clients together. One client leaves most of it to the others."""
MOST_CHECKS: Final = 25
"""The most targets in the first view's table; bad ones come first."""
MOST_TEXT: Final = 300
"""Characters of a query's field: a target's key, a node's name."""
_FOR_ALL: Final = (FRONT, "agent")
"""Documents that all clients share. They are few, and made anew by their age alone: nobody who asks
for other things keeps them from anybody."""
_HEADERS: Final = (
    (b"Content-Type", b"text/html; charset=utf-8"),
    (b"Content-Security-Policy", POLICY.encode("ascii")),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Vary", b"Accept"),
)


class View(NamedTuple):
    """What a client asks for: the document's address, its query's fields, and whether it refreshes
    itself.
    """

    name: str
    fields: tuple[str, ...] = ()
    is_still: bool = False


@dataclass(slots=True)
class _Made:
    at: float
    asked_at: float
    status: int
    body: bytes
    is_whole: bool
    """True if no other agent's answer is missing."""


@record(frozen=True, slots=True, kw_only=True)
class Facts:
    """Where the views take what they show; ``documents`` is None without diagnosis."""

    results: Results
    target: OneTarget
    documents: Documents | None
    neighbourhood: Callable[[], Neighbourhood]
    node_name: Callable[[], str]
    settings: Sequence[Setting]
    figures: Callable[[Metric], Iterable[tuple[float, tuple[str, ...]]]]


class Pages:
    """The views' handler. ``clock`` gives monotonic seconds, ``wall_clock`` Unix seconds."""

    def __init__(
        self,
        config: Config,
        facts: Facts,
        *,
        refusals: Counter[Refusal],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._facts = facts
        self._others = Others(config, facts.neighbourhood) if facts.documents is not None else None
        self._clock = clock
        self._wall_clock = wall_clock
        self._made: OrderedDict[View, _Made] = OrderedDict()
        self._refusals = refusals
        self._of_one = Rate(per_second=ONE_PER_SECOND, burst=ONE_BURST, clock=clock)
        self._of_all = Rate(per_second=ALL_PER_SECOND, burst=ALL_BURST, clock=clock)

    def __call__(self, request: Request) -> Response:
        """The view at the request's path; that of / is asked for as HTML."""
        still = is_still(request)
        match request.path:
            case routes.PAGE_OF_TARGET:
                view = View("target", _fields(request, OF), still)
            case routes.PAGE_OF_PAIR:
                view = View("pair", _fields(request, "from", "to"), still)
            case routes.PAGE_OF_AGENT:
                view = View("agent", is_still=still)
            case _:
                view = View(FRONT, is_still=still)
        return self._show(request, view)

    def too_often(self, request: Request) -> Response:
        """429, as a page for a browser, which comes again by itself."""
        if not accepts_html(request.header(b"accept") or ""):
            return routes.too_often(request)
        body = busy.view(is_still=is_still(request))
        return Response(status=429, headers=(*_HEADERS, routes.RETRY_AFTER), tail=body)

    def close(self) -> None:
        """Stop asking other agents."""
        if self._others is not None:
            self._others.close()

    def quiet(self) -> bool:
        """Rebuild one watched view, if one is old. True if there is another."""
        now = self._clock()
        for view, made in list(self._made.items()):
            if now - made.asked_at > WATCHED_SECONDS:
                del self._made[view]
        old = [view for view, made in self._made.items() if now - made.at >= AGAIN_SECONDS]
        if old:
            self._make(old[0], asked_at=self._made[old[0]].asked_at)
        return len(old) > 1

    def _show(self, request: Request, view: View) -> Response:
        now = self._clock()
        made = self._made.get(view)
        if made is None or now - made.at >= (KEPT_SECONDS if made.is_whole else YOUNG_SECONDS):
            if self._may_make(view, request.peer.address):
                made = self._make(view, asked_at=now)
            elif made is None:
                self._refusals[Refusal.RATE] += 1
                return self.too_often(request)
        made.asked_at = now
        return Response(status=made.status, headers=_HEADERS, tail=made.body)

    def _may_make(self, view: View, client: str) -> bool:
        if view.name in _FOR_ALL:
            return True
        return self._of_one.allows(client) and self._of_all.allows("")

    # --- making ---------------------------------------------------------------------------------

    def _make(self, view: View, *, asked_at: float) -> _Made:
        match view.name:
            case "target":
                status, body, is_whole = self._make_target(view)
            case "pair":
                status, body, is_whole = self._make_pair(view)
            case "agent":
                status, body, is_whole = self._make_agent(view)
            case _:
                status, body, is_whole = self._make_front(view)
        made = _Made(self._clock(), asked_at, status, body, is_whole)
        self._made[view] = made
        self._made.move_to_end(view)
        if len(self._made) > MOST_KEPT:
            del self._made[next(one for one in self._made if one.name not in _FOR_ALL)]
        return made

    def _make_front(self, view: View) -> tuple[int, bytes, bool]:
        facts, sight = self._facts, None
        if facts.documents is not None and self._others is not None:
            own = seen.read(
                facts.documents.report_document(),
                node=facts.node_name(),
                known={one.node_name for one in facts.neighbourhood().known},
            )
            assert own is not None, "our own report is one"
            sight = self._others.look(own)
        is_whole = sight is None or not sight.unasked
        now = front.Now(
            sight=sight,
            checks=self._checks(),
            known=len(facts.results.targets),
            interval_seconds=self._config.checks.interval_seconds,
        )
        return 200, front.view(self._frame(view, FRONT, is_whole=is_whole), now), is_whole

    def _checks(self) -> list[Checked]:
        latest, targets = self._facts.results.latest, self._facts.results.targets
        ranked = sorted(targets, key=lambda key: (_rank(latest.get(key)), key))[:MOST_CHECKS]
        told = (
            {"key": key} | document.target(targets[key], latest.get(key))
            for key in sorted(ranked, key=lambda key: _rank(latest.get(key)))
        )
        return [found for one in told if (found := checked.read(one)) is not None]

    def _make_target(self, view: View) -> tuple[int, bytes, bool]:
        (key,) = view.fields
        frame = self._frame(view, links.target(key))
        found = checked.read(self._facts.target.document(key))
        if found is None:
            return 404, target.missing(frame, key), True
        return 200, target.view(frame, found), True

    def _make_pair(self, view: View) -> tuple[int, bytes, bool]:
        source, other = view.fields
        there, back = self._direction(source, other), self._direction(other, source)
        is_whole = all(one.checked is not None or one.problem for one in (there, back))
        frame = self._frame(view, links.pair(source, other), is_whole=is_whole)
        return 200, pair.view(frame, there, back), is_whole

    def _direction(self, source: str, other: str) -> Direction:
        facts, key = self._facts, f"{seen.PATH}{other}"
        nodes = {one.node_name: one.pod_name for one in facts.neighbourhood().agents}
        own = facts.node_name()
        if source != own and source not in nodes:
            return Direction(source, other, problem="no such node is known")
        if source == own:
            found = checked.read(facts.target.document(key))
            return Direction(source, other, checked=found, problem="" if found else _NOT_CHECKED)
        if self._others is None:
            return Direction(source, other, problem="KUBENURSE_DIAGNOSIS is false")
        found, problem = self._others.target(source, key)
        return Direction(source, other, nodes[source], found, problem)

    def _make_agent(self, view: View) -> tuple[int, bytes, bool]:
        facts = self._facts
        about = About(
            self._config,
            results=facts.results,
            neighbourhood=facts.neighbourhood,
            figures=facts.figures,
        )
        frame = self._frame(view, "agent")
        return 200, agent.view(frame, about.groups(), facts.settings), True

    def _frame(self, view: View, here: str, *, is_whole: bool = True) -> Frame:
        config = self._config
        refresh = REFRESH_SECONDS if is_whole else SOON_SECONDS
        return Frame(
            node=self._facts.node_name(),
            zone=self._facts.neighbourhood().own_zone,
            cluster=config.identity.cluster_name,
            pod=config.identity.pod_name,
            namespace=config.identity.namespace,
            port=config.server.admin_port or config.server.port,
            version=__version__,
            now=self._wall_clock(),
            config=config.page,
            refresh_seconds=None if view.is_still else refresh,
            here=here,
        )


_NOT_CHECKED: Final = "it does not check that one"


def _fields(request: Request, *names: str) -> tuple[str, ...]:
    asked = request.query
    return tuple(asked.get(name, "")[:MOST_TEXT] for name in names)


def _rank(standing: Standing | None) -> int:
    """Sort key: bad targets first, then those that were not checked yet."""
    if standing is None:
        return 1
    return 0 if standing.result.failure is not None else 2
