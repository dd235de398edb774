"""The table of what is recorded from which attribute of a check's spans, and its one loop.

Owns the allow-list of labels. Reads attributes only, never end minus start; which checks count,
and whether an exemplar may point at one, is for the bridge to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.trace import SpanKind

from kubenurse_otel import semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase, TimingSource

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Event
    from opentelemetry.util.types import AnyValue

    from kubenurse_otel.semconv import Metric, Recorder


class When(Enum):
    """Of which checks a row is recorded."""

    ALWAYS = "always"
    KERNEL = "kernel"
    """The kernel held the stopwatch."""
    NETWORK = "network"
    """As KERNEL, and the far end of the connection was the target itself."""


class Take(Enum):
    """What of the attribute is observed."""

    VALUE = "value"
    POSITIVE = "positive"
    """The value, if it is more than 0."""
    ONE = "one"
    """1, where it is there and neither False nor 0."""
    EACH = "each"
    """1 for each element, which is the ``labels`` entry's value."""


@dataclass(frozen=True, slots=True)
class Row:
    """``attribute`` of a check's ``span`` (INTERNAL: the root) is an observation of ``metric``.

    ``labels`` are the metric's labels beside ``type``, each with the attribute of the same span
    that fills it; ``constants`` those that are the same in every check.
    """

    span: SpanKind
    attribute: str
    metric: Metric
    labels: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    when: When = When.ALWAYS
    take: Take = Take.VALUE


_ROOT: Final = SpanKind.INTERNAL
_CLIENT: Final = SpanKind.CLIENT

ROWS: Final = (
    Row(
        _ROOT,
        semconv.CODE,
        semconv.HTTPCLIENT_REQUESTS,
        labels={"code": semconv.CODE},
        constants={"method": "GET"},
        take=Take.ONE,
    ),
    Row(
        _ROOT,
        semconv.FAILURE_EVENT,
        semconv.ERRORS,
        labels={"event": semconv.FAILURE_EVENT},
        take=Take.ONE,
    ),
    Row(
        _ROOT,
        semconv.FAILURE_ERROR_TYPE,
        semconv.CHECK_FAILURES,
        labels={"error_type": semconv.FAILURE_ERROR_TYPE, "phase": semconv.FAILURE_PHASE},
        take=Take.ONE,
    ),
    Row(_CLIENT, semconv.DURATION, semconv.HTTPCLIENT_REQUEST_DURATION),
    *(
        Row(
            _CLIENT,
            attribute,
            semconv.CHECK_PHASE_DURATION,
            constants={"phase": phase.value},
            when=When.NETWORK if phase is Phase.CONNECT else When.KERNEL,
        )
        for phase, attribute in (
            (Phase.DNS, semconv.PHASE_DNS),
            (Phase.CONNECT, semconv.PHASE_CONNECT),
            (Phase.TLS, semconv.PHASE_TLS),
            (Phase.REQUEST, semconv.PHASE_REQUEST),
        )
    ),
    Row(
        _CLIENT,
        semconv.NETWORK_ROUND_TRIP,
        semconv.NETWORK_ROUND_TRIP_TIME,
        when=When.NETWORK,
    ),
    Row(_CLIENT, semconv.FAR_END, semconv.FAR_END_DURATION, when=When.NETWORK),
    Row(_CLIENT, semconv.EGRESS, semconv.EGRESS_DELAY, when=When.KERNEL),
    *(
        Row(
            _CLIENT,
            semconv.LOSS,
            metric,
            labels={"direction": semconv.LOSS_DIRECTION},
            when=When.NETWORK,
            take=take,
        )
        for metric, take in (
            (semconv.LOSS_DELAY, Take.POSITIVE),
            (semconv.LOSSY_CHECKS, Take.ONE),
        )
    ),
    Row(_CLIENT, semconv.OWN_DELAY, semconv.OWN_DELAY_TIME),
    Row(_CLIENT, semconv.TCP_RETRANSMITS, semconv.RETRANSMITS),
    Row(
        _CLIENT,
        semconv.ADDRESS_FAILURES,
        semconv.ADDRESS_FAILURES_COUNT,
        labels={"family": semconv.ADDRESS_FAILURES},
        take=Take.EACH,
    ),
    Row(
        _CLIENT,
        semconv.TIMING_SOURCE,
        semconv.CHECKS_TIMED,
        labels={"source": semconv.TIMING_SOURCE, "reason": semconv.TIMING_FALLBACK_REASON},
        take=Take.ONE,
    ),
    Row(_CLIENT, semconv.INTERCEPTED, semconv.INTERCEPTED_CHECKS, take=Take.ONE),
)
"""Every observation of a check but the events' offsets: the allow-list of what becomes a label."""


_EVENTS: Final = frozenset(semconv.EVENTS)
_HOLDS: Final = {When.ALWAYS: 0, When.KERNEL: 1, When.NETWORK: 2}


@dataclass(frozen=True, slots=True)
class _Planned:
    """A row, made ready once: where each label value comes from, in the metric's order."""

    of_root: bool
    attribute: str
    metric: Metric
    holds: int
    take: Take
    constants: tuple[str | None, ...]
    """None: of the attribute at the same place in ``attributes``."""
    attributes: tuple[str | None, ...]
    """None: the check's type, or a constant."""

    @classmethod
    def of(cls, row: Row) -> Self:
        labels = row.metric.labels
        return cls(
            row.span is _ROOT,
            row.attribute,
            row.metric,
            _HOLDS[row.when],
            row.take,
            tuple(row.constants.get(label) for label in labels),
            tuple(row.labels.get(label) for label in labels),
        )

    def label_values(self, type_: str, found: Mapping[str, AnyValue]) -> tuple[str, ...]:
        return tuple(
            [
                constant or (str(found.get(attribute) or "none") if attribute else type_)
                for constant, attribute in zip(self.constants, self.attributes, strict=True)
            ]
        )


_PLAN: Final = tuple(_Planned.of(row) for row in ROWS)
_EVENT_FIRST: Final = semconv.HTTPCLIENT_TRACE_REQUEST_DURATION.labels[0] == "event"


def record(
    recorder: Recorder,
    root: Mapping[str, AnyValue],
    client: Mapping[str, AnyValue],
    events: Sequence[Event],
    context: Context | None,
) -> None:
    """Record one check: the attributes of its root and CLIENT span, the latter's events.

    ``context`` holds the sampled span that exemplars may point at; None: no exemplars.
    """
    type_ = str(root[semconv.TYPE])
    kernel = client.get(semconv.TIMING_SOURCE) == TimingSource.KERNEL
    network = (
        kernel
        and not client.get(semconv.INTERCEPTED)
        and root.get(semconv.FAILURE_ERROR_TYPE) != ErrorType.WRONG_PEER
    )
    holds = (True, kernel, network)
    for row in _PLAN:
        attributes = root if row.of_root else client
        value = attributes.get(row.attribute)
        if value is not None and holds[row.holds]:
            _observe(recorder, row, value, row.label_values(type_, attributes), context)
    metric = semconv.HTTPCLIENT_TRACE_REQUEST_DURATION
    seen: set[str] = set()
    for event in events:
        name = event.name
        offset = (event.attributes or {}).get(semconv.OFFSET)
        if isinstance(offset, int | float) and name in _EVENTS and name not in seen:
            seen.add(name)
            label_values = (name, type_) if _EVENT_FIRST else (type_, name)
            recorder.observe(metric, offset, label_values, context)


def _observe(
    recorder: Recorder,
    row: _Planned,
    value: AnyValue,
    label_values: tuple[str, ...],
    context: Context | None,
) -> None:
    if row.take is Take.ONE:
        if value:
            recorder.observe(row.metric, 1, label_values, context)
    elif row.take is Take.EACH:
        (at,) = (at for at, attribute in enumerate(row.attributes) if attribute is not None)
        for element in value if isinstance(value, Sequence) else ():
            one = (*label_values[:at], str(element), *label_values[at + 1 :])
            recorder.observe(row.metric, 1, one, context)
    elif isinstance(value, int | float) and (row.take is Take.VALUE or value > 0):
        recorder.observe(row.metric, value, label_values, context)
