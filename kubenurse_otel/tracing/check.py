"""Checks one Target with a prober: makes one root span and one CheckResult.

Owns the root span. Measures and judges nothing: the probe does that.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from opentelemetry.context import Context
from opentelemetry.trace import (
    Span,
    SpanKind,
    StatusCode,
    Tracer,
    format_span_id,
    format_trace_id,
)

from kubenurse_otel import errors, semconv, unhandled
from kubenurse_otel.probe import verdict
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kubenurse_otel.model import CheckResult, Target
    from kubenurse_otel.probe.prober import Probed


class Probing(Protocol):
    """What makes the probe: httpx_adapter.InstrumentedProber."""

    async def probe(self, target: Target) -> Probed: ...


def no_explanation(_: CheckResult) -> Mapping[str, str]:
    return {}


class Checker:
    """Runs checks, any number at a time, over one prober.

    ``explanation`` gives the root span's attributes that say why a check failed, where it is known.
    """

    def __init__(
        self,
        prober: Probing,
        tracer: Tracer,
        *,
        explanation: Callable[[CheckResult], Mapping[str, str]] = no_explanation,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._prober = prober
        self._tracer = tracer
        self._explanation = explanation
        self._wall_clock = wall_clock

    async def check(self, target: Target, *, sample_reason: str | None = None) -> CheckResult:
        """Check once. ``sample_reason`` makes both ends sample the trace, and says why.

        Raises nothing for what the network or the far end does. A cancelled check leaves a root
        span without an outcome, which counts as no check.
        """
        started_at = self._wall_clock()
        with self._tracer.start_as_current_span(
            semconv.SPAN_CHECK_PREFIX + target.kind,
            context=Context(),  # a root, whatever span is current
            kind=SpanKind.INTERNAL,
            attributes=_attributes(target, sample_reason),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            trace_id, span_id = _ids(span)
            code = semconv.EVENT_ROUND_TRIP_ERROR
            try:
                probed = await self._prober.probe(target)
                if probed.reply is not None:
                    code = errors.status_word(probed.reply.status_code)
                elif probed.measurement.answer:
                    code = probed.measurement.answer
                result = verdict.result(probed, started_at, trace_id=trace_id, span_id=span_id)
            except Exception as error:  # noqa: BLE001 - the edge of one check: a bug must not end others
                unhandled.caught(Part.CHECK, error, about=target.key)
                bug = verdict.bug(errors.without_frames(error), target, started_at)
                result = replace(bug, trace_id=trace_id, span_id=span_id)
            _conclude(span, code, result)
            if result.failure is not None:
                span.set_attributes(self._explanation(result))
        return result


def _ids(span: Span) -> tuple[str, str]:
    """Trace and span as the result names them; empty without a trace."""
    context = span.get_span_context()
    if not context.is_valid:
        return "", ""
    return format_trace_id(context.trace_id), format_span_id(context.span_id)


def _attributes(target: Target, sample_reason: str | None) -> dict[str, str]:
    url = target.url
    attributes = {
        semconv.TYPE: target.type,
        semconv.TARGET_KEY: target.key,
        semconv.METHOD: target.method if url.speaks_http else url.scheme,
    }
    if target.neighbour is not None:
        attributes[semconv.TARGET_NODE] = target.neighbour.node_name
        attributes[semconv.TARGET_POD] = target.neighbour.pod_name
    if sample_reason is not None:
        attributes[semconv.FORCE_SAMPLE] = sample_reason
    return attributes


def _conclude(span: Span, code: str, result: CheckResult) -> None:
    attributes = {semconv.CODE: code, semconv.OUTCOME: str(result.outcome)}
    if result.failure is not None:
        attributes |= {
            semconv.FAILURE_ERROR_TYPE: str(result.failure.error_type),
            semconv.FAILURE_PHASE: result.failure.phase.value,
            semconv.FAILURE_EVENT: result.failure.event,
            semconv.FAILURE_MESSAGE: result.failure.message,
        }
        span.set_status(StatusCode.ERROR, result.failure.message)
    span.set_attributes(attributes)
