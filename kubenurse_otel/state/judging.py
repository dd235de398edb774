"""When the diagnosis is made, and what came of it: for the gauges, the endpoints and the spans.

Owns the moment (a quiet one, at most once a second) and the view in its encoded form. Concludes
nothing: that is the diagnosis'.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv
from kubenurse_otel.diagnosis import wire
from kubenurse_otel.diagnosis.case import DNS_TYPE, path_type
from kubenurse_otel.diagnosis.diagnosis import Diagnosis, Judgement
from kubenurse_otel.diagnosis.verdict import Cause, State
from kubenurse_otel.model import Outcome, Phase, TargetKind
from kubenurse_otel.state.hearing import Hearing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from kubenurse_otel.config import Config
    from kubenurse_otel.diagnosis.dns import Ports
    from kubenurse_otel.diagnosis.endpoints import OneAnswer
    from kubenurse_otel.diagnosis.explored import Wanted
    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.diagnosis.view import View
    from kubenurse_otel.model import CheckResult, Neighbourhood, Target

    LookForHalfOpen = Callable[[float, Callable[[Mapping[str, float]], None]], None]

SOON_SECONDS: Final = 1.0
"""Between two judgements while something is amiss."""
MOST_SHOWN: Final = 8
"""Series of kubenurse_verdict: those that stand first, then those that ended last."""
Labels = tuple[str, str, str, str]
"""kind, culprit, direction, cause"""


class Judging:
    """Feeds the diagnosis and keeps its latest judgement. All methods belong on the event loop.

    ``diagnosis`` makes the diagnosis of our node, once its name is known (maybe by discovery).
    ``half_open`` looks whose connections are half open here. It is told the time, and whom to tell
    (now or later): names of nodes, each with a time after which the newest of them came. ``clock``
    gives Unix seconds that are never set back.
    """

    def __init__(
        self,
        diagnosis: Callable[[str], Diagnosis],
        neighbourhood: Callable[[], Neighbourhood],
        *,
        interval_seconds: float,
        tell: Callable[[Judgement], None] = lambda _: None,
        half_open: LookForHalfOpen = lambda *_: None,
        clock: Callable[[], float] | None = None,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._make = diagnosis
        self._node = neighbourhood().own_node_name
        self._diagnosis = diagnosis(self._node)
        self._targets: tuple[Target, ...] = ()
        self._neighbourhood = neighbourhood
        self._hearing = Hearing(neighbourhood)
        self._tell = tell
        self._half_open = half_open
        self._looked_at = 0.0
        self._clock = clock or _steady_clock()
        self._wall_clock = wall_clock
        self._interval_seconds = interval_seconds
        self.judged_at = 0.0
        self._amiss = True
        self._said: tuple[View | None, bytes] = (None, b"")
        self.judgement = Judgement()
        self.changes = 0
        """How often it was judged: a document made of it is right until then."""

    # --- what is fed ----------------------------------------------------------------------------

    def retain(self, targets: Iterable[Target]) -> None:
        """Forget all that is known of others."""
        self._targets = tuple(targets)
        self._hearing.retain({one.neighbour.node_name for one in self._targets if one.neighbour})
        self._diagnosis.retain(self._targets)
        self._amiss = True

    def note(self, result: CheckResult) -> None:
        now = self._clock()
        self._diagnosis.note(result, now)
        self._hear(result, now)
        if result.outcome is Outcome.FAILED:
            self._amiss = True

    def _hear(self, result: CheckResult, now: float) -> None:
        view = self._hearing.view(result)
        if view is not None:
            self._diagnosis.hear(view, now)

    def note_hasty(self, result: CheckResult) -> None:
        """Take in a check that was made beside the schedule.

        It tells of lost segments, and what its answer says of others' is the newest there is.
        """
        now = self._clock()
        self._diagnosis.note(result, now, is_hasty=True)
        self._hear(result, now)
        self._amiss = True

    def probed_name_servers(
        self, ports: Ports, endpoints: tuple[OneAnswer, ...] = (), *, are_all: bool = True
    ) -> None:
        now = self._clock()
        self._diagnosis.probed_name_servers(ports, endpoints, now, are_all=are_all)
        if ports.silent or ports.half or not all(one.is_answered for one in endpoints):
            self._amiss = True

    def wants_haste(self) -> bool:
        """Whether such checks would tell sooner; to be asked about once a second."""
        return self._diagnosis.wants_haste(self._clock())

    def sizes_wanted(self) -> tuple[Target, ...]:
        """Return full-size targets to check at once; to be asked about once a second."""
        return self._diagnosis.sizes_wanted(self._clock())

    def explore_first(self) -> Wanted:
        """Return whom to explore before all others; to be asked about once an interval."""
        return self._diagnosis.explore_first(self._clock())

    def missed(self, seconds: float) -> None:
        self._diagnosis.missed(seconds, self._clock())
        self._amiss = True

    def lagged(self, seconds: float) -> None:
        self._diagnosis.lagged(seconds, self._clock())

    # --- what comes of it -----------------------------------------------------------------------

    def judge(self, *, late_seconds: float = 0.0) -> None:
        """Judge if it is time: soon while something is wrong, otherwise once per interval.

        An agent that says of itself that it lacks CPU has none for more than that. Where
        ``late_seconds`` are given, only where it has been time for so long.
        """
        now = self._clock()
        waited = now - self.judged_at - late_seconds
        if waited < SOON_SECONDS:
            return
        amiss = self._amiss or self._diagnosis.is_asked_about_sizes
        amiss = amiss or bool(self.verdicts or self.suspicions)
        if (self._is_starved or not amiss) and waited < self._interval_seconds:
            return
        self.judged_at, self._amiss = now, False
        here = self._neighbourhood()
        if here.own_node_name != self._node:
            # Nobody had told us before discovery did: what was seen was seen from nowhere.
            self._node = here.own_node_name
            self._diagnosis = self._make(self._node)
            self._diagnosis.retain(self._targets)
        self._look_for_half_open(now)
        self.judgement = self._diagnosis.judge(here, now)
        self.changes += 1
        view = self.judgement.view
        if view is not None and view != self._said[0]:
            self._said = (view, wire.encode(view).encode("ascii"))
        self._tell(self.judgement)

    def _look_for_half_open(self, now: float) -> None:
        """Only while a neighbour is silent, once per interval."""
        if not self._diagnosis.has_silent_neighbour(now):
            self._found_half_open({})
        elif now - self._looked_at >= self._interval_seconds:
            self._looked_at = now
            self._half_open(now, self._found_half_open)

    def _found_half_open(self, nodes: Mapping[str, float]) -> None:
        self._diagnosis.found_half_open(nodes)

    @property
    def _is_starved(self) -> bool:
        mine = (one for one in self.verdicts if one.culprit == self._node)
        return any(one.cause is Cause.STARVED for one in mine)

    @property
    def set_forward_seconds(self) -> float:
        """How far the wall clock was set since the start: to be added to what is told to people."""
        return self._wall_clock() - self._clock()

    def view(self) -> View | None:
        """Our own view, None before the first judgement."""
        return self._said[0]

    def encoded_view(self) -> bytes:
        """The same as a header's value, empty before."""
        return self._said[1]

    @property
    def invalid_views(self) -> int:
        """How many neighbours' headers were no view."""
        return self._hearing.invalid

    def explanation(self, result: CheckResult) -> Mapping[str, str]:
        """Attributes that name the verdict which explains this failure, if one stands."""
        target = result.target
        types = {target.type}
        if target.neighbour is not None:
            types.add(path_type(target.neighbour.node_name))
        if result.failure is not None and result.failure.phase is Phase.DNS:
            types.add(DNS_TYPE)
        for one in self.verdicts:
            if not types.isdisjoint(one.explains):
                return {
                    semconv.VERDICT_KIND: one.kind.value,
                    semconv.VERDICT_CULPRIT: one.culprit,
                    semconv.VERDICT_DIRECTION: one.direction.value,
                }
        return {}

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts that stand, without suspicions."""
        return self._in_state(State.RAISED, State.FLAPPING)

    @property
    def suspicions(self) -> tuple[Verdict, ...]:
        return self._in_state(State.SUSPECTED)

    def shown(self) -> list[tuple[float, Labels]]:
        """1 for each verdict that stands, 0 for one that was cleared lately; at most 8."""
        values = {labels(one): 1.0 for one in self.verdicts}
        for one in sorted(self._in_state(State.CLEARED), key=lambda one: -one.last_seen):
            values.setdefault(labels(one), 0.0)
        return [(value, key) for key, value in values.items()][:MOST_SHOWN]

    def _in_state(self, *states: State) -> tuple[Verdict, ...]:
        return tuple(one for one in self.judgement.verdicts if one.state in states)


def make_judging(
    config: Config,
    neighbourhood: Callable[[], Neighbourhood],
    *,
    tell: Callable[[Judgement], None],
    half_open: LookForHalfOpen,
) -> Judging | None:
    """None where there is no diagnosis."""
    checks = config.checks
    if not checks.diagnosis:
        return None
    interval = checks.interval_seconds_by_kind.get(TargetKind.PATH, checks.interval_seconds)

    def diagnosis(node: str) -> Diagnosis:
        return Diagnosis(
            node=node,
            interval_seconds=interval,
            timeout_seconds=checks.timeout_seconds,
            slow_seconds=config.telemetry.slow_threshold_seconds,
        )

    return Judging(
        diagnosis, neighbourhood, interval_seconds=interval, tell=tell, half_open=half_open
    )


def labels(verdict: Verdict) -> Labels:
    """What identifies it."""
    return verdict.kind.value, verdict.culprit, verdict.direction.value, verdict.cause.value


def _steady_clock() -> Callable[[], float]:
    """Unix seconds as they were at the start, going on as monotonic time does."""
    started = time.time() - time.monotonic()
    return lambda: started + time.monotonic()
