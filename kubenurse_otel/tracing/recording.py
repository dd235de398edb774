"""The table of which attribute of a check's spans is recorded in which metric, and the loop over
it.

Owns the allow-list of labels. Reads attributes only, never end minus start; which checks count,
and whether an exemplar may point at one, is for the bridge to say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Self

from opentelemetry.trace import SpanKind

from kubenurse_otel import semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase, TimingSource

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import Event
    from opentelemetry.util.types import AnyValue

    from kubenurse_otel.semconv import Metric, Observation, Recorder


class When(Enum):
    """For which checks a row is recorded."""

    ALWAYS = "always"
    KERNEL = "kernel"
    """Checks that the kernel timed."""
    NETWORK = "network"
    """Checks that the kernel timed, and whose connection ended at the target itself."""


class Take(Enum):
    """What is observed of the attribute."""

    VALUE = "value"
    POSITIVE = "positive"
    """The value, if it is more than 0."""
    ONE = "one"
    """1, if the attribute exists and is neither False nor 0."""
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
        labels={"code": semconv.CODE, "method": semconv.METHOD},
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
    Row(_CLIENT, semconv.DNS_DETOURS, semconv.DNS_DETOURS_COUNT),
    Row(
        _CLIENT,
        semconv.TIMING_SOURCE,
        semconv.CHECKS_TIMED,
        labels={"source": semconv.TIMING_SOURCE, "reason": semconv.TIMING_FALLBACK_REASON},
        take=Take.ONE,
    ),
    Row(_CLIENT, semconv.INTERCEPTED, semconv.INTERCEPTED_CHECKS, take=Take.ONE),
)
"""Every observation of a check, except the events' offsets. This is the allow-list of labels."""


NOT_ANSWERED: Final = frozenset({"silent", "unreachable", "malformed"})
_HOLDS: Final = {When.ALWAYS: 0, When.KERNEL: 1, When.NETWORK: 2}


@dataclass(slots=True)
class _Planned:
    """A row, prepared for one type of check."""

    of_root: bool
    attribute: str
    metric: Metric
    holds: int
    take: Take
    label_values: tuple[str, ...]
    """Label values in the metric's order. Those that an attribute fills are put in later."""
    filled: tuple[tuple[int, str], ...]
    """(index in ``label_values``, attribute) of those."""

    @classmethod
    def of(cls, row: Row, type_: str) -> Self:
        labels = row.metric.labels
        return cls(
            row.span is _ROOT,
            row.attribute,
            row.metric,
            _HOLDS[row.when],
            row.take,
            tuple(row.constants.get(label, type_) for label in labels),
            tuple((at, row.labels[name]) for at, name in enumerate(labels) if name in row.labels),
        )

    def filled_in(self, found: Mapping[str, AnyValue]) -> tuple[str, ...]:
        values = list(self.label_values)
        for at, attribute in self.filled:
            values[at] = str(found.get(attribute) or "none")
        return tuple(values)

    def for_each(self, value: AnyValue, values: tuple[str, ...]) -> Iterator[Observation]:
        ((at, _),) = self.filled
        for element in value if isinstance(value, Sequence) else ():
            yield self.metric, 1, (*values[:at], str(element), *values[at + 1 :])


@lru_cache(maxsize=256)
def _plan(type_: str) -> tuple[list[_Planned], dict[str, tuple[str, ...]]]:
    """The rows, and each event's label values, for a type of checks; they come again and again."""
    labels = semconv.HTTPCLIENT_TRACE_REQUEST_DURATION.labels
    return (
        [_Planned.of(row, type_) for row in ROWS],
        {
            event: tuple({"type": type_, "event": event}[label] for label in labels)
            for event in semconv.EVENTS
        },
    )


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
    kernel = client.get(semconv.TIMING_SOURCE) == TimingSource.KERNEL
    network = (
        kernel
        and not client.get(semconv.INTERCEPTED)
        and root.get(semconv.FAILURE_ERROR_TYPE) != ErrorType.WRONG_PEER
    )
    rows, of_event = _plan(str(root[semconv.TYPE]))
    found = _rows(rows, root, client, (True, kernel, network))
    for asked in (client, root):  # the check dns has no CLIENT span
        if semconv.DNS_SERVERS in asked:
            found += _queries(asked)
    if semconv.DNS_ENDPOINTS in root:
        found += _endpoint_queries(root)
    seen: set[str] = set()
    for event in events:
        name = event.name
        offset = (event.attributes or {}).get(semconv.OFFSET)
        if isinstance(offset, int | float) and name in of_event and name not in seen:
            seen.add(name)
            found.append((semconv.HTTPCLIENT_TRACE_REQUEST_DURATION, offset, of_event[name]))
    recorder.observe(found, context)


def _rows(
    rows: Iterable[_Planned],
    root: Mapping[str, AnyValue],
    client: Mapping[str, AnyValue],
    holds: tuple[bool, ...],
) -> list[Observation]:
    """Return the observations that the table makes from the spans' attributes."""
    found: list[Observation] = []
    for row in rows:
        attributes = root if row.of_root else client
        value = attributes.get(row.attribute)
        if value is None or not holds[row.holds]:
            continue
        take, label_values = row.take, row.label_values
        if row.filled:
            label_values = row.filled_in(attributes)
        if take is Take.ONE:
            if value:
                found.append((row.metric, 1, label_values))
        elif take is Take.EACH:
            found += row.for_each(value, label_values)
        elif isinstance(value, int | float) and (take is Take.VALUE or value > 0):
            found.append((row.metric, value, label_values))
    return found


def _lists(asked: Mapping[str, AnyValue], *names: str) -> Iterator[Sequence[AnyValue]]:
    for name in names:
        found = asked.get(name)
        yield found if isinstance(found, Sequence) else ()


def _endpoint_queries(root: Mapping[str, AnyValue]) -> Iterator[Observation]:
    names = semconv.DNS_ENDPOINTS, semconv.DNS_ENDPOINT_TRANSPORTS, semconv.DNS_ENDPOINT_OUTCOMES
    for endpoint, transport, outcome in zip(*_lists(root, *names), strict=False):
        yield semconv.DNS_ENDPOINT_QUERIES, 1, (str(endpoint), str(transport), str(outcome))


def _queries(asked: Mapping[str, AnyValue]) -> Iterator[Observation]:
    """Return observations of name servers, from lists of one length, one element per query."""
    servers, outcomes, seconds, ports = _lists(
        asked,
        semconv.DNS_SERVERS,
        semconv.DNS_OUTCOMES,
        semconv.DNS_SECONDS,
        semconv.DNS_PORTS,
    )
    for server, state in zip(servers, ports, strict=False):
        yield semconv.DNS_PORTS_COUNT, 1, (str(server), str(state))
    for server, outcome, taken in zip(servers, outcomes, seconds, strict=False):
        yield semconv.DNS_QUERIES, 1, (str(server), str(outcome))
        if outcome not in NOT_ANSWERED and isinstance(taken, int | float):
            yield semconv.DNS_QUERY_DURATION, taken, (str(server),)
