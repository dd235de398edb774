"""The agent: every part built once, joined in the direction of the data, stopped in order.

config -> discovery -> plan -> check -> probe -> ended spans -> bridge ->
telemetry. Only this module knows more than one of them.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from opentelemetry.propagate import set_global_textmap
from opentelemetry.trace import NoOpTracerProvider, TracerProvider
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kubenurse_otel import __version__, semconv, unhandled
from kubenurse_otel.config import Config, DiscoverySource, ResolverKind
from kubenurse_otel.diagnosis.dns import Ports
from kubenurse_otel.diagnosis.endpoints import OneAnswer
from kubenurse_otel.diagnosis.explored import Wanted
from kubenurse_otel.discovery import make_discovery, make_events
from kubenurse_otel.log import OutcomeLog, tell_verdicts
from kubenurse_otel.model import CheckResult, Neighbourhood, Outcome, Target, TargetKind
from kubenurse_otel.plan.at_once import AtOnce
from kubenurse_otel.plan.explore import Explore
from kubenurse_otel.plan.first_checks import FirstChecks
from kubenurse_otel.plan.haste import Haste
from kubenurse_otel.plan.schedule import Schedule
from kubenurse_otel.plan.targets import (
    Plan,
    dns_endpoints,
    explored,
    explored_key,
    keys_told,
    name_servers_question,
    plan,
)
from kubenurse_otel.probe import verdict
from kubenurse_otel.probe.dns import health
from kubenurse_otel.probe.dns.resolver import own_resolver
from kubenurse_otel.probe.full_size import SizeComparer
from kubenurse_otel.probe.half_open import HalfOpen
from kubenurse_otel.probe.prober import Prober
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.process import ending
from kubenurse_otel.process.garbage import Garbage
from kubenurse_otel.process.loop_lag import LoopLag
from kubenurse_otel.server import Server
from kubenurse_otel.state.history import History
from kubenurse_otel.state.incoming import Incoming
from kubenurse_otel.state.judging import Judging, make_judging
from kubenurse_otel.state.known_agents import KnownAgents
from kubenurse_otel.state.results import Results
from kubenurse_otel.telemetry.gauges import state_gauges
from kubenurse_otel.telemetry.providers import Telemetry
from kubenurse_otel.tracing import dns_check
from kubenurse_otel.tracing.bridge import Bridge
from kubenurse_otel.tracing.check import Checker, no_explanation
from kubenurse_otel.tracing.check_spans import CheckTracerProvider
from kubenurse_otel.tracing.httpx_adapter import InstrumentedProber
from kubenurse_otel.tracing.sampling import CheckSampler, KeepPolicy, ServerSampler
from kubenurse_otel.tracing.server_spans import ServerSpanProcessor
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubenurse_otel.config import Setting
    from kubenurse_otel.diagnosis.diagnosis import Judgement
    from kubenurse_otel.probe.dns.health import Health
    from kubenurse_otel.probe.dns.message import Question

_log = logging.getLogger(__name__)

Answer = TypeVar("Answer")

FLUSH_SECONDS: Final = 2.5
"""What the last export may take at shutdown, whatever is dead."""
OWN_SERVICE: Final = (TargetKind.ME_SERVICE, TargetKind.ME_INGRESS)
"""Checks that end at one of our own pods."""
SWITCH_SECONDS: Final = 0.0005
"""A thread that encodes or decodes holds the interpreter no longer: not for 5 ms of a check."""
DISCOVER_AGAIN_SECONDS: Final = 5.0
"""After a bug has ended discovery."""
NOT_QUIET_SECONDS: Final = 2.0
"""A judgement waits so long for a quiet moment; an agent with many neighbours may have none."""
GONE_SECONDS: Final = 3.8
"""After answering has ended, the process is gone after this, whatever hangs."""


class App:
    """One agent. ``run()`` returns when it was told to stop."""

    def __init__(self, config: Config, settings: Sequence[Setting] = ()) -> None:
        """``settings`` are the configuration for people, for the page."""
        self._config = config
        self._neighbourhood = Neighbourhood(own_node_name=config.identity.node_name)
        self._plan = Plan((), ())
        self._stopping = asyncio.Event()
        set_global_textmap(TraceContextTextMapPropagator())  # never baggage

        # What is known, for /alive and the gauges.
        self._results = Results()
        self._history = History()
        agents = KnownAgents(lambda: self._neighbourhood)
        self._incoming = Incoming(agents)
        self._refusals = Counter[semconv.Refusal]()
        self._outcomes = OutcomeLog()
        self._garbage = Garbage()

        half_open = HalfOpen(lambda: self._server.ports.checked)
        self._judging = make_judging(
            config,
            lambda: self._neighbourhood,
            tell=self._tell,
            half_open=lambda now, tell: half_open.begin(
                agents.addresses, now, lambda found: tell(agents.latest_by_node(found))
            ),
        )
        self._events = make_events(config, lambda: self._neighbourhood)

        # Telemetry, at the end of the flow; everything before it hands its spans down.
        gauges = state_gauges(
            results=self._results,
            incoming=self._incoming,
            refusals=self._refusals,
            neighbourhood=lambda: self._neighbourhood,
            targets=lambda: self._plan.targets,
            not_ready=self._not_ready,
            judging=self._judging,
            event_counts=None if self._events is None else self._events.counts,
        )
        telemetry = self._telemetry = Telemetry.start(config, gauges=gauges)
        traced = telemetry.exports_traces
        # Where no trace goes anywhere, nobody is asked to sample one.
        ratio = config.telemetry.trace_ratio if traced else 0.0
        slow_seconds = config.telemetry.slow_threshold_seconds
        self._bridge = Bridge(
            telemetry.instruments,
            keep=KeepPolicy(
                ratio=ratio,
                max_per_minute=config.telemetry.trace_max_per_minute,
                slow_threshold_seconds=slow_seconds,
            ),
            export=telemetry.offer if traced else None,
            limits=config.telemetry.span_limits,
        )
        tracing = CheckTracerProvider(
            sampler=CheckSampler(ratio), processor=self._bridge, resource=telemetry.resource
        )

        # A check: one Target -> one exchange -> one CheckResult.
        self._trust = TrustStore(config.trust)
        self._names = own_resolver(config.checks)
        by_us = config.checks.resolver is ResolverKind.OWN
        self._prober = Prober(trust=self._trust, resolve=self._names if by_us else None)
        self._tracer = tracing.get_tracer(
            "kubenurse_otel.check", __version__, schema_url=semconv.SCHEMA_URL
        )
        self._traced = traced
        self._checker = Checker(
            InstrumentedProber(SizeComparer(self._prober), tracing, sub_spans=traced),
            self._tracer,
            explanation=no_explanation if self._judging is None else self._judging.explanation,
        )

        # When, and what: each target's own clock, fed by discovery.
        self._schedule = Schedule(
            self._check,
            on_missed=self._missed,
            node=config.identity.node_name or config.identity.pod_name,
            on_quiet=self._in_a_quiet_moment,
        )
        self._haste = Haste(
            self._check_hastily,
            wanted=lambda: self._ask(Judging.wants_haste, otherwise=False),
            per_second=config.checks.haste_per_second,
        )
        self._explore = Explore(f"{config.identity.node_name}/{config.identity.pod_name}")
        self._at_once = AtOnce(
            self._check, wanted=lambda: self._ask(Judging.sizes_wanted, otherwise=())
        )
        self._discovery = make_discovery(config, on_change=self.neighbourhood_changed)
        self._first_checks = FirstChecks(self._set_schedule)
        self._lag = LoopLag(telemetry.instruments, on_lag=self._lagged)

        # What others ask of us.
        serving: TracerProvider = NoOpTracerProvider()
        if traced:
            serving = telemetry.tracer_provider(
                sampler=ServerSampler(),
                processor=ServerSpanProcessor(
                    telemetry.instruments,
                    telemetry.offer,
                    slow_threshold_seconds=slow_seconds,
                    limits=config.telemetry.span_limits,
                ),
            )
        self._server = Server(
            config,
            results=self._results,
            incoming=self._incoming,
            refusals=self._refusals,
            neighbourhood=lambda: self._neighbourhood,
            render=telemetry.render,
            tracer=serving.get_tracer(
                "kubenurse_otel.server", __version__, schema_url=semconv.SCHEMA_URL
            ),
            ready=self._asked_whether_ready,
            agents=agents,
            judging=self._judging,
            history=self._history,
            settings=settings,
            figures=lambda metric: (
                gauges[metric]() if metric in gauges else telemetry.figures(metric)
            ),
            on_crowd=self._garbage.trim_soon,
        )

    async def run(self) -> None:
        """Raises ServerError where a listener cannot be had.

        A bug in one check, answer, round of discovery or export ends that one (unhandled.py); one
        in what holds them together ends the agent.
        """
        ending.stop_on_signals(self._stopping)
        sys.setswitchinterval(SWITCH_SECONDS)
        await self._server.start()
        if self._config.discovery.source is DiscoverySource.KUBERNETES:
            self._first_checks.start(asyncio.get_running_loop())
        else:
            self._first_checks.begin()
        self._replan()
        self._garbage.start()
        if self._events is not None:
            self._events.start()
        asyncio.get_running_loop().set_exception_handler(ending.bug_in_a_callback)
        self._lag.start()
        async with asyncio.TaskGroup() as group:
            discovering = group.create_task(self._discover())
            beside = []
            if self._judging is not None:
                beside.append(group.create_task(self._at_once.run()))
                if self._config.checks.haste_per_second:
                    beside.append(group.create_task(self._haste.run()))
            if (question := name_servers_question(self._config.checks)) is not None:
                beside.append(group.create_task(self._watch_name_servers(question)))
            checking = group.create_task(self._schedule.run())
            group.create_task(self._stop_when_told(discovering, checking, beside))
        _log.info("gone")

    def _in_a_quiet_moment(self) -> bool:
        """Do a little of what waits; whether there is more."""
        self._diagnose(Judging.judge)
        try:
            if self._telemetry.refresh():
                return True
        except Exception as error:  # noqa: BLE001 - the edge of one collection of the metrics
            unhandled.caught(Part.EXPORT, error, about="the metrics' collection")
        try:
            if self._server.quiet():
                return True
        except Exception as error:  # noqa: BLE001 - the edge of one page: the last one stays
            unhandled.caught(Part.ANSWER, error, about="the page")
        self._garbage.quiet()
        return False

    async def _discover(self) -> None:
        while True:
            try:
                await self._discovery.run()
            except Exception as error:  # noqa: BLE001 - the edge of one round: the last neighbours stay
                unhandled.caught(Part.DISCOVERY, error, about="the neighbours")
            await asyncio.sleep(DISCOVER_AGAIN_SECONDS)

    async def _stop_when_told(
        self,
        discovering: asyncio.Task[None],
        checking: asyncio.Task[None],
        beside: list[asyncio.Task[None]],
    ) -> None:
        await self._stopping.wait()
        answering = self._config.server.shutdown_seconds
        ending.exit_after(answering + GONE_SECONDS)
        _log.info("told to stop: no more checks, answering for %.0f s", answering)
        self._schedule.stop()
        for task in beside:
            task.cancel()
        if self._events is not None:
            self._events.stop()
        await checking
        await asyncio.sleep(answering)
        self._lag.stop()
        discovering.cancel()
        self._prober.close()
        await asyncio.to_thread(self._telemetry.shutdown, FLUSH_SECONDS)
        await self._server.stop()

    def neighbourhood_changed(self, neighbourhood: Neighbourhood) -> None:
        """Take what discovery found."""
        before, self._neighbourhood = self._neighbourhood, neighbourhood
        if neighbourhood != replace(before, listed_at=neighbourhood.listed_at):
            # A list held megabytes while it was read; one that was refused holds them in its error.
            self._garbage.trim_soon()
        try:
            self._replan()
        except Exception as error:  # noqa: BLE001 - the edge of one round: the last targets stay
            unhandled.caught(Part.DISCOVERY, error, about="the targets")

    def _replan(self) -> None:
        wanted = plan(self._config, self._neighbourhood)
        self._outcomes.retain(keys_told(wanted, self._neighbourhood))
        if wanted == self._plan:
            return
        self._plan = wanted
        keys = frozenset(target.key for target in wanted.targets)
        self._trust.load(wanted.targets)
        self._results.set_targets(wanted.targets, wanted.skipped)
        self._history.retain(keys)
        self._bridge.retain(keys)
        self._prober.retain(wanted.targets)
        self._diagnose(lambda judging: judging.retain(wanted.targets))
        self._telemetry.retain(frozenset(target.type for target in wanted.targets))
        self._set_schedule()

    def _set_schedule(self) -> None:
        begun = self._first_checks.have_begun
        self._schedule.set_targets(
            target for target in self._plan.targets if begun or target.kind not in OWN_SERVICE
        )
        self._haste.set_targets(self._plan.targets)

    async def _check(self, target: Target) -> float | None:
        """Return for how long our own process held it up."""
        if target.kind is TargetKind.EXPLORE:
            target = self._next_explored(target)
        started_at = time.time()
        try:
            result = await self._checker.check(
                target, sample_reason=self._bridge.sample_reason(target.key)
            )
        except Exception as error:  # noqa: BLE001 - the edge of one check: its spans and metrics, here
            unhandled.caught(Part.CHECK, error, about=target.key)
            result = verdict.bug(error, target, started_at)
        self._results.record(result)
        if self._config.page.enabled:
            self._history.record(result)
        self._outcomes.tell(_by_node(result) if target.kind is TargetKind.EXPLORE else result)
        self._diagnose(lambda judging: judging.note(result))
        self._diagnose(lambda judging: judging.judge(late_seconds=NOT_QUIET_SECONDS))
        if (
            result.outcome is Outcome.FAILED
            and target.neighbour is not None
            and target.kind is not TargetKind.EXPLORE  # of others discovery reads nothing
        ):
            self._discovery.target_failed(target.neighbour.node_name)
        return None if result.measurement is None else result.measurement.split.own_delay

    def _next_explored(self, target: Target) -> Target:
        """Whom to ask in the place of ``target``, which stands for all that are no neighbours."""
        first = self._ask(Judging.explore_first, otherwise=Wanted())
        neighbour = self._explore.next(
            self._neighbourhood, again=first.again, witnesses=first.witnesses
        )
        return target if neighbour is None else explored(self._config, neighbour)

    async def _check_hastily(self, target: Target) -> None:
        """Check beside the schedule: for the diagnosis alone, over a connection of its own."""
        started_at = time.time()
        apart = replace(target, key=f"{target.key} in haste", reuse_connection=False)
        try:
            result = verdict.result(await self._prober.probe(apart), started_at)
        except Exception as error:  # noqa: BLE001 - the edge of one check
            unhandled.caught(Part.CHECK, error, about=target.key)
            return
        self._diagnose(lambda judging: judging.note_hasty(replace(result, target=target)))

    async def _watch_name_servers(self, question: Question) -> None:
        checks = self._config.checks
        await health.watch(
            self._names.servers,
            question,
            endpoints=lambda: dns_endpoints(self._neighbourhood),
            interval_seconds=checks.interval_seconds,
            timeout_seconds=checks.timeout_seconds,
            on_checked=self._name_servers_checked,
        )

    def _name_servers_checked(self, checked: Health) -> None:
        dns_check.tell(self._tracer, checked, sub_spans=self._traced)
        states = Counter(health.port(one) for one in checked.ports)
        ports = Ports(len(checked.ports), states[health.Port.SILENT], states[health.Port.HALF])
        answers = tuple(
            OneAnswer(one.endpoint, one.transport.value, one.is_answered)
            for one in checked.endpoints
        )
        are_all = len({one.endpoint for one in answers}) == len(self._neighbourhood.dns_endpoints)
        self._diagnose(lambda judging: judging.probed_name_servers(ports, answers, are_all=are_all))

    def _missed(self, target: Target, count: int, ours: int) -> None:
        self._telemetry.instruments.add(semconv.MISSED_CHECKS, count, {"type": target.type})
        if ours:  # the others are a silent target's
            stood_seconds = ours * target.interval_seconds
            self._diagnose(lambda judging: judging.missed(stood_seconds))

    def _lagged(self, seconds: float) -> None:
        self._diagnose(lambda judging: judging.lagged(seconds))
        # Where nothing is checked any more, there is no quiet moment either.
        self._diagnose(lambda judging: judging.judge(late_seconds=NOT_QUIET_SECONDS))
        self._haste.look()
        self._at_once.look()

    def _diagnose(self, step: Callable[[Judging], None]) -> None:
        self._ask(step, otherwise=None)

    def _ask(self, question: Callable[[Judging], Answer], *, otherwise: Answer) -> Answer:
        """What the diagnosis answers; ``otherwise`` where there is none, or a bug in it."""
        if self._judging is None:
            return otherwise
        try:
            return question(self._judging)
        except Exception as error:  # noqa: BLE001 - the edge of one step: the last judgement stays
            unhandled.caught(Part.DIAGNOSIS, error, about="the verdicts")
            return otherwise

    def _tell(self, judgement: Judgement) -> None:
        tell_verdicts(judgement)
        self._telemetry.tell(judgement)
        if self._events is not None and self._judging is not None:
            forward = self._judging.set_forward_seconds
            self._events.tell(judgement.verdicts, set_forward_seconds=forward)

    def _not_ready(self) -> str | None:
        """Why /ready answers 503; None: it does not."""
        if self._stopping.is_set():
            return "shutting_down"
        if self._config.discovery.unready_when_cordoned and self._neighbourhood.own_node_leaving:
            return "node_leaving"
        return None

    def _asked_whether_ready(self) -> str | None:
        reason = self._not_ready()
        if reason is None:
            self._first_checks.said_ready()
        return reason


def _by_node(result: CheckResult) -> CheckResult:
    """For people: the target of all that are explored, with the name of the one that was."""
    neighbour = result.target.neighbour
    key = explored_key("" if neighbour is None else neighbour.node_name)
    return replace(result, target=replace(result.target, key=key))
