"""Which traces are worth keeping: the samplers (at a span's start), the keep policy (at its end).

Owns the rules and what they remember of each target, and touches no metric and no exporter.
A trace that is not sampled is still recorded, since the metrics are made from its spans.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.trace.sampling import (
    Decision,
    Sampler,
    SamplingResult,
    TraceIdRatioBased,
)
from opentelemetry.trace import get_current_span

from kubenurse_otel import semconv
from kubenurse_otel.model import Outcome
from kubenurse_otel.record import record
from kubenurse_otel.semconv import Kept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from opentelemetry.context import Context
    from opentelemetry.trace import Link, SpanKind, TraceState
    from opentelemetry.util.types import AnyValue, Attributes

FOLLOW_UPS: Final = 3
"""How many checks after a target went bad carry the sampled flag."""
BAD_PERIOD_SECONDS: Final = 60.0
"""While a target stays bad, one trace of it is kept per this many seconds."""
OWN_DELAY_KEPT_SECONDS: Final = 0.1
"""Own delay in seconds from which a trace is kept: a whole period of the kernel's CPU limit
(cpu.cfs_period_us).
"""
MAX_STANDINGS: Final = 10_000
"""The most targets that are remembered before the app has said which ones exist."""


class _RecordingSampler(Sampler):
    """Copies the parent's decision, else asks ``_root``. What is not sampled is still recorded."""

    def should_sample(  # noqa: PLR0917 - the SDK's signature
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,  # noqa: ARG002 - the SDK's signature
        kind: SpanKind | None = None,  # noqa: ARG002 - the SDK's signature
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,  # noqa: ARG002 - the SDK's signature
        trace_state: TraceState | None = None,  # noqa: ARG002 - the SDK's signature
    ) -> SamplingResult:
        parent = get_current_span(parent_context).get_span_context()
        if not parent.is_valid:
            decision = self._root(trace_id, attributes)
        elif parent.trace_flags.sampled:
            decision = Decision.RECORD_AND_SAMPLE
        else:
            decision = Decision.RECORD_ONLY
        # The span gets the attributes of the result: without them it would have none.
        return SamplingResult(decision, attributes, parent.trace_state)

    def get_description(self) -> str:
        return type(self).__name__

    @abstractmethod
    def _root(self, trace_id: int, attributes: Attributes) -> Decision: ...


class CheckSampler(_RecordingSampler):
    """Decides at a check's root by the trace id (or by force); its other spans copy that.

    Never DROP: a span that is not recorded makes no metric. ``ratio`` is 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = TraceIdRatioBased(ratio)

    def takes(self, trace_id: int, attributes: Attributes) -> bool:
        """Whether a check's trace is sampled, by its root."""
        return by_ratio(trace_id, self._ratio) or semconv.FORCE_SAMPLE in (attributes or ())

    def _root(self, trace_id: int, attributes: Attributes) -> Decision:
        taken = self.takes(trace_id, attributes)
        return Decision.RECORD_AND_SAMPLE if taken else Decision.RECORD_ONLY


class ServerSampler(_RecordingSampler):
    """Follows the caller's decision. Without a caller's context there is nothing to continue, so
    there is no span.
    """

    def _root(self, trace_id: int, attributes: Attributes) -> Decision:  # noqa: ARG002 - see above
        return Decision.DROP


def by_ratio(trace_id: int, ratio: TraceIdRatioBased) -> bool:
    """Whether the ratio takes this trace, by OpenTelemetry's TraceIdRatioBased rule."""
    return trace_id & TraceIdRatioBased.TRACE_ID_LIMIT < ratio.bound


class TokenBucket:
    """At most ``per_minute`` at once, refilled steadily at that rate. ``clock``: seconds."""

    def __init__(self, per_minute: int, clock: Callable[[], float]) -> None:
        self._capacity = float(per_minute)
        self._tokens = self._capacity
        self._clock = clock
        self._filled_at = clock()

    def take(self) -> bool:
        now = self._clock()
        grown = (now - self._filled_at) * self._capacity / 60
        self._tokens = min(self._capacity, self._tokens + grown)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@record(frozen=True, slots=True)
class Verdict:
    """Why a trace is worth keeping (None: it is not), and whether the limits let it through."""

    reason: Kept | None
    kept: bool


@dataclass(slots=True)
class _Standing:
    """What is remembered of one target."""

    outcome: str | None = None
    bad_kept_at: float | None = None
    follow_ups: int = 0


class KeepPolicy:
    """Judges each ended check, and says which of the next ones to sample from the start.

    ``max_per_minute`` bounds all that the ratio did not take; a follow-up takes its token when
    it is handed out. Used by one thread (the event loop's).
    """

    def __init__(
        self,
        *,
        ratio: float,
        max_per_minute: int,
        slow_threshold_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ratio = TraceIdRatioBased(ratio)
        self._slow_seconds = slow_threshold_seconds
        self._clock = clock
        self._bucket = TokenBucket(max_per_minute, clock)
        self._standings: dict[str, _Standing] = {}
        self._current: frozenset[str] | None = None

    def sample_reason(self, target_key: str) -> str | None:
        """Why the next check of this target is to be sampled (FORCE_SAMPLE's value), or None."""
        standing = self._standings.get(target_key)
        if standing is None or standing.follow_ups == 0:
            return None
        standing.follow_ups -= 1
        return Kept.FOLLOW_UP.value if self._bucket.take() else None

    def retain(self, target_keys: Collection[str]) -> None:
        """Forget every target but these."""
        self._current = frozenset(target_keys)
        self._standings = {
            key: standing for key, standing in self._standings.items() if key in self._current
        }

    def judge(
        self,
        trace_id: int,
        *,
        sampled: bool,
        root: Mapping[str, AnyValue],
        client: Mapping[str, AnyValue],
    ) -> Verdict:
        """Judge one ended check by the attributes of its root and its CLIENT span."""
        outcome = str(root[semconv.OUTCOME])
        standing = self._standing(str(root[semconv.TARGET_KEY]), outcome)
        before, standing.outcome = standing.outcome, outcome
        failed = outcome == Outcome.FAILED
        if failed and before != outcome:
            standing.follow_ups = FOLLOW_UPS
            standing.bad_kept_at = None
        reason = self._reason(
            trace_id, sampled=sampled, client=client, failed=failed, changed=before != outcome
        )
        kept = reason is not None and (sampled or self._let_through(standing, failed=failed))
        if kept and failed:
            standing.bad_kept_at = self._clock()
        return Verdict(reason, kept)

    def _reason(
        self,
        trace_id: int,
        *,
        sampled: bool,
        client: Mapping[str, AnyValue],
        failed: bool,
        changed: bool,
    ) -> Kept | None:
        rules = (
            (sampled and by_ratio(trace_id, self._ratio), Kept.RATIO),
            (failed, Kept.FAILED),
            (_number(client, semconv.DURATION) >= self._slow_seconds, Kept.SLOW),
            (_number(client, semconv.LOSS) > 0, Kept.LOSS),
            (_number(client, semconv.OWN_DELAY) >= OWN_DELAY_KEPT_SECONDS, Kept.OWN_DELAY),
            (changed, Kept.CHANGED),
            (sampled, Kept.FOLLOW_UP),
        )
        return next((kept for fits, kept in rules if fits), None)

    def _let_through(self, standing: _Standing, *, failed: bool) -> bool:
        if failed and standing.bad_kept_at is not None:
            since_seconds = self._clock() - standing.bad_kept_at
            return since_seconds >= BAD_PERIOD_SECONDS and self._bucket.take()
        return self._bucket.take()

    def _standing(self, target_key: str, outcome: str) -> _Standing:
        standing = self._standings.get(target_key)
        if standing is not None:
            return standing
        if self._current is not None and target_key not in self._current:
            return _Standing(outcome)  # its last check ended after it was gone: nothing changed
        if len(self._standings) >= MAX_STANDINGS:
            del self._standings[next(iter(self._standings))]
        standing = self._standings[target_key] = _Standing()
        return standing


def _number(attributes: Mapping[str, AnyValue], name: str) -> float:
    """Read a number. A missing one is 0, because no rule treats 0 as a reason."""
    value = attributes.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
