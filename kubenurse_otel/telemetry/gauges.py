"""The agent's state as gauges: read when metrics are collected, from what the stages left.

Owns which state becomes which series. Counts no error and no duration: those come from spans.
"""

from __future__ import annotations

import platform
import time
from typing import TYPE_CHECKING

from kubenurse_otel import __version__, log_writer, semconv, unhandled
from kubenurse_otel.model import TargetKind

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Mapping

    from kubenurse_otel.model import Neighbourhood, Target
    from kubenurse_otel.process.figures import GaugeSources, Readings
    from kubenurse_otel.state.incoming import Incoming
    from kubenurse_otel.state.judging import Judging
    from kubenurse_otel.state.results import Results


def state_gauges(
    *,
    results: Results,
    incoming: Incoming,
    refusals: Counter[semconv.Refusal],
    neighbourhood: Callable[[], Neighbourhood],
    targets: Callable[[], Iterable[Target]],
    not_ready: Callable[[], str | None],
    judging: Judging | None,
    event_counts: Mapping[str, int] | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> GaugeSources:
    """Return one source per gauge, which gives (value, label values in the metric's order)."""

    def check_success() -> Readings:
        return [(float(good), (type_,)) for type_, good in results.success_by_type().items()]

    def check_info() -> Readings:
        here = neighbourhood()
        rows: dict[str, tuple[str, ...]] = {}
        for target in targets():
            # Of one node is a path's type alone; of all neighbours there is one full_size.
            there = target.neighbour if target.kind is TargetKind.PATH else None
            rows[target.type] = (
                target.type,
                here.own_node_name,
                here.own_zone,
                there.node_name if there else "",
                there.zone if there else "",
                there.node_state.value if there else "",
            )
        return [(1.0, row) for row in rows.values()]

    def certificate_expiry() -> Readings:
        expiries = results.certificate_expiry_by_type()
        return [(expiry, (type_,)) for type_, expiry in expiries.items()]

    def discovery_age() -> Readings:
        listed_at = neighbourhood().listed_at
        return [] if listed_at is None else [(max(0.0, clock() - listed_at), ())]

    def neighbours() -> Readings:
        here = neighbourhood()
        return [(len(here.known), ("known",)), (len(here.chosen), ("chosen",))]

    def ready() -> Readings:
        reason = not_ready()
        return [(1.0, ("",))] if reason is None else [(0.0, (reason,))]

    def events() -> Readings:
        return [(count, (outcome,)) for outcome, count in (event_counts or {}).items()]

    return {
        **({} if judging is None else _verdicts(judging)),
        **({} if event_counts is None else {semconv.KUBERNETES_EVENTS: events}),
        semconv.CHECK_SUCCESS: check_success,
        semconv.CHECK_INFO: check_info,
        semconv.CERTIFICATE_EXPIRY_TIME: certificate_expiry,
        semconv.INCOMING_CHECKS: lambda: [(incoming.count(), ())],
        semconv.INVALID_ORIGINS: lambda: [(incoming.invalid, ())],
        semconv.LOG_LINES_DROPPED: lambda: [(log_writer.dropped(), ())],
        semconv.HTTP_REFUSED: lambda: [
            (refusals[reason], (reason.value,)) for reason in semconv.Refusal
        ],
        semconv.UNHANDLED_EXCEPTIONS: lambda: [
            (count, (part.value,)) for part, count in unhandled.counts().items()
        ],
        semconv.DISCOVERY_AGE: discovery_age,
        semconv.NEIGHBOURS: neighbours,
        semconv.READY: ready,
        semconv.BUILD_INFO: lambda: [(1.0, (__version__, platform.python_version()))],
    }


def _verdicts(judging: Judging) -> GaugeSources:
    return {
        semconv.VERDICT: judging.shown,
        semconv.SUSPICIONS: lambda: [(len(judging.suspicions), ())],
        semconv.DOUBT: lambda: [(judging.judgement.doubt, ())],
        semconv.VIEWS: lambda: [
            (judging.judgement.fresh_views, ("fresh",)),
            (judging.judgement.stale_views, ("stale",)),
        ],
        semconv.INVALID_VIEWS: lambda: [(judging.invalid_views, ())],
    }
