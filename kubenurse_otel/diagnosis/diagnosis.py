"""What this agent knows and hears, kept in bounds, and what it concludes when it is asked.

No clock of its own: each method is told the time (Unix seconds).
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil, inf
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis import surroundings
from kubenurse_otel.diagnosis.case import CLUSTER, path_type
from kubenurse_otel.diagnosis.detours import Detours
from kubenurse_otel.diagnosis.dns import LookUps
from kubenurse_otel.diagnosis.doubt import Doubt
from kubenurse_otel.diagnosis.endpoints import Endpoints
from kubenurse_otel.diagnosis.explored import Explored, Wanted
from kubenurse_otel.diagnosis.heard import Heard
from kubenurse_otel.diagnosis.ledger import Ledger
from kubenurse_otel.diagnosis.loss import Losses
from kubenurse_otel.diagnosis.order import diagnose
from kubenurse_otel.diagnosis.runs import Runs
from kubenurse_otel.diagnosis.sizes import Sizes
from kubenurse_otel.diagnosis.slow import RoundTrips
from kubenurse_otel.diagnosis.symptoms import DEAD, DNS, HARD, STALLS, Symptom, symptom
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Kind
from kubenurse_otel.diagnosis.view import MOST_RUN, SHARED, Accused, Said, Shared, View
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Neighbourhood, TargetKind
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kubenurse_otel.diagnosis.case import Facts, Finding
    from kubenurse_otel.diagnosis.dns import Ports
    from kubenurse_otel.diagnosis.endpoints import OneAnswer
    from kubenurse_otel.diagnosis.runs import Run
    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.model import CheckResult, Target

VIRTUAL: Final = frozenset(
    {TargetKind.API_SERVER_DIRECT, TargetKind.API_SERVER_DNS, TargetKind.ME_SERVICE}
)
"""Checks that go by a virtual IP, or look up their name by one."""
FRESH_INTERVALS: Final = 2.4
"""A view is renewed each interval: one that was missed twice is stale."""
CUT_OFF_INTERVALS: Final = 2.0
"""So long after our node was cut off, what DNS and lost segments say is still of that."""
_OF_DIRECTIONS: Final = {
    (False, False): Accused.NOTHING,
    (True, False): Accused.LOSS_OUT,
    (False, True): Accused.LOSS_IN,
    (True, True): Accused.LOSS_BOTH,
}
"""By whether what we send is lost, and what is sent to us."""


@record(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What is concluded now. ``raised`` and ``cleared``: since the judgement before.

    ``view`` is what it was concluded from, as others are to hear it.
    """

    view: View | None = None
    verdicts: tuple[Verdict, ...] = ()
    raised: tuple[Verdict, ...] = ()
    cleared: tuple[Verdict, ...] = ()
    doubt: int = 0
    fresh_views: int = 0
    stale_views: int = 0


class Diagnosis:
    """One agent's. ``node`` is ours; ``slow_seconds`` is KUBENURSE_SLOW_THRESHOLD."""

    def __init__(
        self, *, node: str, interval_seconds: float, timeout_seconds: float, slow_seconds: float
    ) -> None:
        self._node = node
        self._interval = interval_seconds
        self._timeout = timeout_seconds
        self._fresh = max(FRESH_INTERVALS * interval_seconds, interval_seconds + timeout_seconds)
        self._slow_seconds = slow_seconds
        self._targets: dict[str, Target] = {}
        self._peers: frozenset[str] = frozenset()
        self._runs = Runs()
        self._look_ups = LookUps(interval_seconds=interval_seconds)
        self._endpoints = Endpoints(interval_seconds=interval_seconds)
        self._detours = Detours(interval_seconds=interval_seconds)
        self._losses = Losses()
        self._round_trips = RoundTrips(interval_seconds=interval_seconds)
        self._sizes = Sizes(interval_seconds=interval_seconds)
        self._explored = Explored(interval_seconds=interval_seconds)
        self._doubt = Doubt(interval_seconds=interval_seconds, timeout_seconds=timeout_seconds)
        self._ledger = Ledger(interval_seconds=interval_seconds)
        self._heard = Heard(interval_seconds=interval_seconds, fresh_seconds=self._fresh)
        self._neighbourhood = Neighbourhood()
        self._surroundings = surroundings.facts(self._neighbourhood, node)
        self._of_own_zone: frozenset[str] = frozenset()
        self._cut_off_at: float | None = None
        self._accused = Accused.NOTHING
        self._said_to_vanish: dict[str, float] = {}
        self._half_open: Mapping[str, float] = {}

    # --- what comes in --------------------------------------------------------------------------

    def retain(self, targets: Iterable[Target]) -> None:
        """Forget what is no target any more."""
        self._targets = {target.key: target for target in targets}
        self._runs.retain(self._targets)
        self._look_ups.retain(self._targets)
        self._sizes.retain(self._targets)
        peers = self._peers = frozenset(
            target.neighbour.node_name
            for target in self._targets.values()
            if target.neighbour is not None and target.kind is TargetKind.PATH
        )
        self._losses.retain(peers)
        said = self._said_to_vanish.items()
        self._said_to_vanish = {node: at for node, at in said if node in peers}
        self._round_trips.retain(peers)
        self._heard.retain(peers)

    def note(self, result: CheckResult, now: float, *, is_hasty: bool = False) -> None:
        """Take in a check of ours; ignored when its target is gone meanwhile.

        ``is_hasty``: it was made beside the schedule, and tells of lost segments alone.
        """
        target = result.target
        if target.key not in self._targets:
            return
        if target.kind in (TargetKind.FULL_SIZE, TargetKind.EXPLORE):
            self._note_ourselves(result, now)
            note = self._note_size if target.full_size else self._note_explored
            note(result, now)
            return
        is_after_cut = self._is_after_cut(now)
        if target.neighbour is None:
            self._losses.note_elsewhere(result, now)
        elif not is_after_cut:
            self._losses.note(target.neighbour.node_name, result, now)
        if is_hasty:
            return
        self._note_ourselves(result, now)
        seen = symptom(result, slow_seconds=self._slow_seconds)
        if seen is None:
            return
        self._runs.note(
            target.key,
            seen,
            now,
            interval_seconds=target.interval_seconds,
            trace_id=result.trace_id if result.failure is not None else "",
        )
        self._note_look_up(result, seen, now)
        measurement = result.measurement
        if (
            target.neighbour is not None
            and result.failure is None
            and measurement is not None
            and measurement.split.network_round_trip is not None
            and not measurement.intercepted
        ):
            round_trip = measurement.split.network_round_trip
            self._round_trips.note(target.neighbour.node_name, round_trip, now)

    def _note_look_up(self, result: CheckResult, seen: Symptom, now: float) -> None:
        measurement, is_after_cut = result.measurement, self._is_after_cut(now)
        key, began = result.target.key, now - _seconds(result, seen)
        if seen in DNS:
            if not is_after_cut:
                self._look_ups.note(key, seen, began=began, now=now)
        elif measurement is not None and measurement.split.dns is not None:
            self._look_ups.note(key, Symptom.OK, began=began, now=now)
            if not is_after_cut:
                self._detours.note(measurement, now)

    def _note_size(self, result: CheckResult, now: float) -> None:
        """A full-size check tells of sizes alone: all else the small ones tell, and more often."""
        seen = symptom(result, slow_seconds=inf)
        self._sizes.note(result, seen, now)
        if seen in (Symptom.OK, Symptom.FULL_SIZE):
            target, failed = result.target, result.failure is not None
            self._runs.note(
                target.key,
                seen,
                now,
                interval_seconds=target.interval_seconds,
                trace_id=result.trace_id if failed else "",
            )

    def _note_explored(self, result: CheckResult, now: float) -> None:
        """TLS that stalls says nothing: it may be its size, and strangers are checked in none."""
        seen, neighbour = symptom(result, slow_seconds=self._slow_seconds), result.target.neighbour
        is_unsized = seen in STALLS and result.target.url.scheme == "https"
        if seen is not None and neighbour is not None and not is_unsized:
            trace_id = result.trace_id if result.failure is not None else ""
            self._explored.note(neighbour.node_name, seen, now, trace_id=trace_id)

    def _note_ourselves(self, result: CheckResult, now: float) -> None:
        if result.failure is not None and result.failure.error_type == ErrorType.OWN_TIMEOUT:
            self._doubt.own_timeout(now)
        if result.measurement is not None and result.measurement.split.own_delay is not None:
            self._doubt.checked(result.measurement.split.own_delay, now)

    def probed_name_servers(
        self, ports: Ports, endpoints: Iterable[OneAnswer], now: float, *, are_all: bool = True
    ) -> None:
        """Take in a check of the name servers, but for what a cut left behind.

        ``are_all``: each endpoint of the Service is among ``endpoints``. Of a share of them others
        do not see the same, and it is evidence alone.
        """
        if not self._is_after_cut(now):
            self._endpoints.asked(endpoints, now)
            is_silent = any(one.silent for one in self._endpoints.figures(now))
            self._look_ups.probed(ports, now, has_silent_endpoint=is_silent and are_all)

    def missed(self, seconds: float, now: float) -> None:
        """Take in for how long a target was not checked because of this process."""
        self._doubt.missed(seconds, now)

    def lagged(self, seconds: float, now: float) -> None:
        """Take in how late the event loop ran a timer."""
        self._doubt.lagged(seconds, now)

    def hear(self, view: View, now: float) -> None:
        """Take in a neighbour's view; the caller has made sure whose it is."""
        self._heard.take(view, now)

    def found_half_open(self, nodes: Mapping[str, float]) -> None:
        """Take in whose connections are half open here, and a time after which the newest came.

        One tells of a way only if its SYN came while we found the node silent: one that is older
        may be left from the moment of the cut, or from the outage before.
        """
        self._half_open = nodes

    def has_silent_neighbour(self, now: float) -> bool:
        """Whether half-open connections would tell more."""
        return any(
            run.symptom is Symptom.SILENT and self._targets[run.key].neighbour is not None
            for run in self._runs.current(now)
        )

    def wants_haste(self, now: float) -> bool:
        """Whether more checks of neighbours (note's ``is_hasty``) would tell sooner."""
        if self._is_after_cut(now):
            return False
        is_told = self._heard.tells_of_loss({*self._peers, self._node}, now)
        return self._losses.wants_haste(now, is_told=is_told)

    def sizes_wanted(self, now: float) -> tuple[Target, ...]:
        """Return full-size targets that are to be checked at once; to be asked once a second."""
        if self._is_after_cut(now):
            return ()
        since = self._said_to_vanish
        self._said_to_vanish = {
            node: since.get(node, now) for node in self._heard.vanishing(now) & self._peers
        }
        runs = list(self._runs.current(now))
        return self._sizes.wanted(
            self._targets.values(), runs, accused=self._said_to_vanish, now=now
        )

    @property
    def is_asked_about_sizes(self) -> bool:
        """Whether others wait for what we find: they say that large segments vanish."""
        return bool(self._said_to_vanish)

    def explore_first(self, now: float) -> Wanted:
        """Return whom to explore before all others; to be asked about once an interval."""
        failing = {
            node: said.symptom
            for node, said in self.own_view(now).targets.items()
            if said.symptom in HARD and node in self._peers
        }
        return self._explored.wanted(
            failing | dict.fromkeys(sorted(self._losses.lossy())),
            self._neighbourhood,
            peers=self._peers,
            vanishing=[node for node, seen in failing.items() if seen is Symptom.FULL_SIZE],
            now=now,
        )

    # --- what goes out --------------------------------------------------------------------------

    def own_view(self, now: float) -> View:
        """What we tell others."""
        return self._view(now, list(self._runs.current(now)))

    def judge(self, neighbourhood: Neighbourhood, now: float) -> Judgement:
        """Conclude from what is known now. To be called once a second at most."""
        if neighbourhood is not self._neighbourhood:
            self._neighbourhood = neighbourhood
            self._surroundings = surroundings.facts(neighbourhood, self._node)
            self._of_own_zone = self._others_of_own_zone()
        runs = list(self._runs.current(now))
        mine = self._view(now, runs)
        self._heard.forget_strangers(self._peers, now)
        fresh = self._heard.fresh(now)
        findings = diagnose(mine, fresh, self._facts(now, runs))
        self._accused = _accused(findings, self._node)
        if self._accused.loses:
            self._heard.accused(self._node, now)
        if any(one.kind is Kind.NODE_SLOW and one.culprit == CLUSTER for one in findings):
            self._round_trips.are_everybodys()
        if any(one.cause is Cause.CUT_OFF for one in findings):
            self._cut_off_at = now
            self._losses.reset()
            self._look_ups.reset()
            self._endpoints.reset()
            self._detours.reset()
        bad = [run for run in runs if run.symptom is not Symptom.OK]
        latest_first = sorted(bad, key=lambda run: -run.since)
        began = {_type(self._targets[run.key]): run.since for run in latest_first}
        raised, cleared = self._ledger.take(
            findings, now, since=lambda one: _since(one, began, now)
        )
        return Judgement(
            view=replace(mine, accused=self._accused_now(now)),
            verdicts=self._ledger.verdicts(),
            raised=raised,
            cleared=cleared,
            doubt=mine.doubt,
            fresh_views=len(fresh),
            stale_views=len(self._heard) - len(fresh),
        )

    def _others_of_own_zone(self) -> frozenset[str]:
        zones = self._surroundings.zones
        own = zones.get(self._node, "")
        others = self._surroundings.known - {self._node}
        return frozenset(node for node in others if zones.get(node, "") == own)

    def _is_after_cut(self, now: float) -> bool:
        at = self._cut_off_at
        return at is not None and 0 <= now - at <= CUT_OFF_INTERVALS * self._interval

    def _view(self, now: float, runs: Iterable[Run]) -> View:
        targets: dict[str, Said] = {}
        shared: dict[Shared, Said] = {}
        since: dict[str, float] = {}
        lossy = self._losses.lossy()
        proven = self._sizes.proven(self._targets.values(), self._said_to_vanish, now)
        for run in runs:
            target = self._targets[run.key]
            if target.neighbour is not None:
                node = target.neighbour.node_name
                if target.kind is TargetKind.FULL_SIZE and run.symptom is Symptom.OK:
                    continue  # it speaks of what is bad: the small checks say whether all is well
                said = Said(run.symptom, run.length, node in lossy, node in proven)
                other = targets.get(node)
                targets[node] = said if other is None else max(other, said, key=_badness)
                if run.symptom is Symptom.SILENT:
                    since[node] = run.since
            elif target.kind in SHARED:
                shared[SHARED[target.kind]] = run.said
        for run in self._explored.failing(now):
            targets.setdefault(run.key, run.said)
            since.setdefault(run.key, run.since)
        dns = self._look_ups.said(now)
        if dns is not None:
            shared[Shared.DNS] = dns
        half_open = (
            node
            for node, came_after in self._half_open.items()
            if node in targets and targets[node].symptom is Symptom.SILENT
            if came_after >= since[node]
        )
        return View(
            node=self._node,
            zone=self._surroundings.zones.get(self._node, ""),
            doubt=self._doubt.level(now),
            accused=self._accused_now(now),
            compares=self._round_trips.are_known(now, of=self._of_own_zone),
            targets=MappingProxyType(targets),
            shared=MappingProxyType(shared),
            half_open=tuple(sorted(half_open)),
        )

    def _accused_now(self, now: float) -> Accused:
        at = self._cut_off_at
        is_cut_off = at is not None and 0 <= now - at <= self._interval
        return Accused.CUT_OFF if is_cut_off else self._accused

    def _facts(self, now: float, runs: Iterable[Run]) -> Facts:
        extras = {
            run.key: run.said for run in runs if self._targets[run.key].kind is TargetKind.EXTRA
        }
        failing = self._explored.failing(now)
        traces = {path_type(run.key): run.trace_id for run in failing if run.trace_id}
        traces |= {_type(self._targets[run.key]): run.trace_id for run in runs if run.trace_id}
        return replace(
            self._surroundings,
            is_sick=self._doubt.is_sick(now),
            run_alone=min(MOST_RUN, ceil(self._fresh / self._interval) + 2),
            explored=frozenset(run.key for run in failing) - self._peers,
            vanishing=self._sizes.vanishing(self._targets, runs, now),
            run_of_everybody=self._sizes.everybodys_run(self._targets.values(), self._timeout),
            unsized=self._sizes.unsized(self._targets, runs),
            sizes_are_settled=self._sizes.are_settled(self._targets, runs),
            loss=self._losses.alarming(before=now - self._fresh),
            losses=self._losses.of_all(now),
            fresh_seconds=self._fresh,
            is_settled=self._is_settled(runs),
            accused_at=MappingProxyType(dict(self._heard.accused_at)),
            accused_lately=self._heard.accused_lately(now),
            lost_lately=self._heard.lost_lately(now),
            bad_lately=MappingProxyType(self._heard.bad_lately(now)),
            doubting=self._heard.doubting(now),
            doubted_lately=self._heard.doubted_lately(now),
            longer=self._round_trips.longer(now),
            detour_seconds=self._detours.seconds(now),
            dns_endpoints=self._endpoints.figures(now),
            extras=MappingProxyType(extras),
            traces=MappingProxyType(traces),
        )

    def _is_settled(self, runs: Iterable[Run]) -> bool:
        virtual = [run for run in runs if self._targets[run.key].kind in VIRTUAL]
        silent = [run.since for run in virtual if run.symptom in DEAD]
        return not silent or all(run.symptom in DEAD or run.at >= min(silent) for run in virtual)


def _accused(findings: Iterable[Finding], node: str) -> Accused:
    """What our own node is found to lose, or that its ways are slow: others are to hear what we
    conclude.
    """
    ours = (one for one in findings if one.culprit == node and one.kind is Kind.NODE_LOSS)
    directions = {one.direction for one in ours}
    if not directions and any(one.kind is Kind.NODE_SLOW for one in findings):
        return Accused.SLOW
    return _OF_DIRECTIONS[Direction.OUT in directions, Direction.IN in directions]


def _since(finding: Finding, began: Mapping[str, float], now: float) -> float:
    """When it began by its own word, or the first of what ``finding`` explains did."""
    if finding.since is not None:
        return finding.since
    return min((began[type_] for type_ in finding.explains if type_ in began), default=now)


def _seconds(result: CheckResult, seen: Symptom) -> float:
    """How long ago the check began: by its figures, for the wall clock may be set meanwhile.

    A look-up that the check's time-out ended has no figure.
    """
    if seen is Symptom.DNS_SILENT:
        return result.target.timeout_seconds
    return 0.0 if result.measurement is None else result.measurement.split.duration


def _type(target: Target) -> str:
    """The type of the path that it goes, of whichever size it is."""
    return target.type if target.neighbour is None else path_type(target.neighbour.node_name)


def _badness(said: Said) -> tuple[int, bool, int]:
    """Of a node's address families and sizes the worst one speaks.

    Where large segments vanish, TLS stalls for it; where nothing passes, a full-size check is old.
    """
    hard = 0
    if said.symptom in HARD:
        hard = 1 if said.symptom in STALLS else 2 if said.symptom is Symptom.FULL_SIZE else 3
    return hard, said.symptom is not Symptom.OK, said.run
