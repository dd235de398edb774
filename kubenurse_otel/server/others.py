"""What other agents say, asked only while somebody looks at our page.

Owns whom to ask, how often, and what is kept of it; one GET and its bounds are collect.py's. Nobody
waits for an answer: what is not there yet is shown as such, and who is silent with the reason.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from kubenurse_otel import collect, unhandled
from kubenurse_otel.model import Trust, Url
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.record import record
from kubenurse_otel.report import checked, seen
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Coroutine

    from kubenurse_otel.config import Config
    from kubenurse_otel.model import Neighbour, Neighbourhood
    from kubenurse_otel.report.checked import Checked
    from kubenurse_otel.report.seen import Seen, Sight

REPORT: Final = "/api/v1/report"
TARGET: Final = "/api/v1/target?of="
WATCHED_SECONDS: Final = 30.0
"""Seconds after the last look during which others are asked again. Then all answers are forgotten.
"""
FRESH_SECONDS: Final = 5.0
"""Age in seconds at which an agent's answer is asked for again."""
AT_ONCE: Final = 8
PACE_SECONDS: Final = 0.05
"""Seconds for which one of the parallel places is held at least, so that at most 160 agents per
second are asked.
"""
EACH_SECONDS: Final = 2.0
ALL_SECONDS: Final = 120.0
MOST_AGENTS: Final = 5_000
MOST_BYTES: Final = 64 * 1024
"""Of a report, and of a target: while all is well they are some hundred bytes, and 6 KiB."""
MOST_TARGETS: Final = 32
TARGET_SECONDS: Final = 4.0
"""Age in seconds up to which another agent's target is shown without asking again."""
_LIST_SECONDS: Final = 1.0


@record(frozen=True, slots=True)
class _Answer:
    """One agent's answer. ``said`` is None if there is a ``problem``."""

    at: float
    said: Seen | None
    problem: str = ""


@dataclass(slots=True)
class _Asked:
    """One target of another agent. ``at`` is when it was asked last, ``is_asking``: just now."""

    at: float
    is_asking: bool = True
    checked: Checked | None = None
    problem: str = ""


class Others:
    """All methods belong on the event loop. ``clock`` gives monotonic seconds."""

    def __init__(
        self,
        config: Config,
        neighbourhood: Callable[[], Neighbourhood],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._neighbourhood = neighbourhood
        self._clock = clock
        self._answers: dict[str, _Answer] = {}
        self._targets: OrderedDict[tuple[str, str], _Asked] = OrderedDict()
        self._looked_at = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._context: ssl.SSLContext | None = None

    def look(self, own: Seen) -> Sight:
        """Return what is known now; others are asked from now on, for a while."""
        now = self._looked_at = self._clock()
        here = self._neighbourhood()
        agents = self._agents(here)
        if agents and self._asking is None:
            self._asking = self._start(self._keep_asking())
        answers = {node: self._answers.get(node) for node in agents}
        heard = [one for one in answers.values() if one is not None and one.said is not None]
        return seen.Sight(
            seen=(own, *(one.said for one in heard if one.said is not None)),
            silent=tuple(
                (node, one.problem)
                for node, one in answers.items()
                if one is not None and one.said is None
            ),
            unasked=sum(one is None for one in answers.values()),
            oldest_seconds=max((now - one.at for one in heard), default=0.0),
            zones=_zones(here),
        )

    def target(self, node: str, key: str) -> tuple[Checked | None, str]:
        """Return another agent's target, or the reason why there is none. Both are empty while it
        is being asked.
        """
        agent = self._agents(self._neighbourhood()).get(node)
        if agent is None:
            return None, "no agent is known there"
        now = self._clock()
        asked = self._targets.get((node, key))
        if asked is None or (not asked.is_asking and now - asked.at >= TARGET_SECONDS):
            if sum(one.is_asking for one in self._targets.values()) >= AT_ONCE:
                return None, "too many are asked already"
            if asked is None:
                asked = self._targets[node, key] = _Asked(now)
            asked.at, asked.is_asking = now, True
            self._start(self._ask_target(asked, agent, key))
        self._targets.move_to_end((node, key))
        while len(self._targets) > MOST_TARGETS:
            self._targets.popitem(last=False)
        return asked.checked, asked.problem

    def close(self) -> None:
        """Ask no more."""
        for task in self._tasks:
            task.cancel()

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _keep_asking(self) -> None:
        try:
            while self._clock() - self._looked_at < WATCHED_SECONDS:
                await self._ask_all()
                await asyncio.sleep(_LIST_SECONDS)
        except Exception as error:  # noqa: BLE001 - the edge of what others say: the page goes on without
            unhandled.caught(Part.ANSWER, error, about="what other agents say")
        finally:
            self._asking = None
            self._answers.clear()
            self._targets.clear()

    async def _ask_all(self) -> None:
        """Ask the agents whose answers are old. Each answer is available as soon as it arrives."""
        here = self._neighbourhood()
        agents, now = self._agents(here), self._clock()
        self._answers = {node: one for node, one in self._answers.items() if node in agents}
        old = [
            node
            for node in agents
            if node not in self._answers or now - self._answers[node].at >= FRESH_SECONDS
        ]
        known = _zones(here).keys()
        sources = [
            collect.Source(
                node,
                self._get(agents[node], REPORT),
                partial(self._note, node, known),
            )
            for node in old
        ]
        answers = await collect.collect(
            sources, each_seconds=EACH_SECONDS, all_seconds=ALL_SECONDS, at_once=AT_ONCE
        )
        for one in answers:
            if one.problem:
                self._answers[one.name] = _Answer(self._clock(), None, one.problem)

    def _note(self, node: str, known: Any, document: Any) -> None:
        said = seen.read(document, node=node, known=known)
        problem = "" if said is not None else "its answer is no agent's"
        self._answers[node] = _Answer(self._clock(), said, problem)

    async def _ask_target(self, asked: _Asked, agent: Neighbour, key: str) -> None:
        source = collect.Source(
            agent.node_name, self._get(agent, TARGET + quote(key, safe="")), checked.read
        )
        try:
            (answer,) = await collect.collect([source], each_seconds=EACH_SECONDS)
            asked.checked, asked.problem = answer.document, answer.problem
            if answer.document is None and not answer.problem:
                asked.problem = "its answer is no agent's"
        except Exception as error:  # noqa: BLE001 - the edge of one answer
            unhandled.caught(Part.ANSWER, error, about="what another agent says")
        finally:
            asked.at, asked.is_asking = self._clock(), False

    def _agents(self, here: Neighbourhood) -> dict[str, Neighbour]:
        """Return them by node, each once; our own is not among them."""
        agents = {one.node_name: one for one in here.agents[:MOST_AGENTS] if one.node_name}
        agents.pop(here.own_node_name, None)
        return agents

    def _get(self, agent: Neighbour, path: str) -> Callable[[], Awaitable[bytes]]:
        """Ask where ``path`` is served: by plain HTTP, but where a neighbour's own port is TLS'."""
        server = self._config.server
        own_port = agent.port if server.admin_port is None else None
        is_tls = own_port is not None and server.use_tls
        port = own_port or server.admin_port or server.port
        url = Url.of("https" if is_tls else "http", agent.pod_ip, port, path)

        async def ask() -> bytes:
            held = asyncio.get_running_loop().time() + PACE_SECONDS
            body = await collect.get(
                url,
                context=self._tls() if is_tls else None,
                server_name=self._config.checks.tls_server_name or None,
                max_bytes=MOST_BYTES,
            )
            await asyncio.sleep(held - asyncio.get_running_loop().time())
            return body

        return ask

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = TrustStore(self._config.trust).context(Trust.WORKLOAD)
        return self._context


def _zones(here: Neighbourhood) -> dict[str, str]:
    zones = {one.node_name: one.zone for one in (*here.agents, *here.known) if one.node_name}
    if here.own_node_name:
        zones[here.own_node_name] = here.own_zone
    return zones
