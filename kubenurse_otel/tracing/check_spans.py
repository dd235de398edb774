"""The spans of checks: OpenTelemetry spans without the costs that the SDK's have for spans of
unknown origin.

One thread makes a check's spans, all attributes are ours, and their number is known. So there is
no lock, no cleaning and counting of attributes, and no copy at the end: a span that has ended is
its own readable form. What they say is the same (tests/unit/tracing/test_check_spans.py).
"""

from __future__ import annotations

from contextlib import nullcontext
from time import time_ns
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.context import Context, attach, detach, get_current
from opentelemetry.sdk.trace import Event, Span, SpanLimits
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    TracerProvider,
)
from opentelemetry.trace.propagation import _SPAN_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Link
    from opentelemetry.util.types import AnyValue, Attributes

    from kubenurse_otel.tracing.sampling import CheckSampler

_UNSET: Final = Status(StatusCode.UNSET)
# RandomIdGenerator's ids are random in their last 56 bits (W3C Trace Context, level 2).
_NOT_SAMPLED: Final = TraceFlags(TraceFlags.RANDOM_TRACE_ID)
_SAMPLED: Final = TraceFlags(TraceFlags.RANDOM_TRACE_ID | TraceFlags.SAMPLED)


class CheckEvent(Event):
    """An event whose attributes nobody copies or counts."""

    __slots__ = ("attributes", "name", "timestamp")
    dropped_attributes = 0  # the SDK's is computed

    def __init__(self, name: str, attributes: Attributes, timestamp: int | None) -> None:
        self.name = name  # type: ignore[misc]  # a property of the SDK's, likewise below
        self.attributes = attributes  # type: ignore[misc]
        self.timestamp = time_ns() if timestamp is None else timestamp  # type: ignore[misc]


class CheckSpan(Span):
    """A span and its own readable form. For one thread. What is set after its end is lost."""

    __slots__ = ("attributes", "events", "kind", "name", "parent")  # the SDK's are computed
    # What the SDK's methods that nothing overrides here go by.
    _lock = nullcontext()  # type: ignore[assignment]  # the SDK's is a threading.Lock
    _limits = SpanLimits(
        max_attributes=SpanLimits.UNSET,
        max_events=SpanLimits.UNSET,
        max_links=SpanLimits.UNSET,
    )
    _record_exception = _set_status_on_exception = False
    _links = ()  # likewise what never changes
    _instrumentation_info = None
    attributes: dict[str, AnyValue]
    events: list[Event]
    kind: SpanKind
    name: str
    parent: SpanContext | None

    def __init__(  # in the place of the SDK's: no attribute is copied or cleaned
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Attributes,
        *,
        start_time: int,
        resource: Resource,
        scope: InstrumentationScope,
        processor: SpanProcessor,
    ) -> None:
        self.name = self._name = name
        self._context = context
        self.parent = self._parent = parent
        self.kind = self._kind = kind
        self._status = _UNSET
        self._start_time = start_time
        self._end_time = None
        self._resource = resource
        self._instrumentation_scope = scope
        self._processor = processor
        self.attributes = self._attributes = dict(attributes) if attributes else {}
        self.events = self._events = []

    def set_attributes(self, attributes: Mapping[str, AnyValue]) -> None:
        if self._end_time is None:
            self.attributes.update(attributes)

    def set_attribute(self, key: str, value: AnyValue) -> None:
        if self._end_time is None:
            self.attributes[key] = value

    def add_event(
        self, name: str, attributes: Attributes = None, timestamp: int | None = None
    ) -> None:
        if self._end_time is None:
            self.events.append(CheckEvent(name, attributes, timestamp))

    def set_status(self, status: Status | StatusCode, description: str | None = None) -> None:
        if status is not StatusCode.UNSET:  # which says nothing, twice a check
            super().set_status(status, description)

    def record_exception(self, *_args: Any, **_kwargs: Any) -> None:
        """Do nothing: an exception's text and frames are never exported (export_form.py)."""

    def end(self, end_time: int | None = None) -> None:
        if self._end_time is None:
            self._end_time = time_ns() if end_time is None else end_time
            self._processor.on_end(self)


class _Current:
    """Makes a span the current one within a block, and ends it with the block.

    A block that raises makes it an error without a description.
    """

    __slots__ = ("_context", "_end", "_set_status", "_span", "_token")

    def __init__(self, span: CheckSpan, context: Context, *, end: bool, set_status: bool) -> None:
        self._span = span
        self._context = context
        self._end = end
        self._set_status = set_status

    def __enter__(self) -> CheckSpan:
        self._token: Token[Context] = attach(Context({**self._context, _SPAN_KEY: self._span}))
        return self._span

    def __exit__(
        self,
        _: type[BaseException] | None,
        error: BaseException | None,
        _frames: TracebackType | None,
    ) -> None:
        detach(self._token)
        if self._set_status and isinstance(error, Exception):
            self._span.set_status(StatusCode.ERROR)
        if self._end:
            self._span.end()


class CheckTracer(Tracer):
    """Makes CheckSpans, all recorded. Only a root is judged: what is below copies its flags."""

    def __init__(
        self,
        *,
        sampler: CheckSampler,
        processor: SpanProcessor,
        resource: Resource,
        scope: InstrumentationScope,
    ) -> None:
        self._sampler = sampler
        self._processor = processor
        self._resource = resource
        self._scope = scope
        self._ids = RandomIdGenerator()

    def start_span(  # noqa: PLR0917 - the API's signature
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),  # noqa: ARG002 - none of ours has any
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: ARG002, FBT001, FBT002 - the API's signature
        set_status_on_exception: bool = True,  # noqa: ARG002, FBT001, FBT002 - the API's signature
    ) -> CheckSpan:
        above = (get_current() if context is None else context).get(_SPAN_KEY)
        parent = above.get_span_context() if isinstance(above, trace.Span) else None
        if parent is not None and parent.is_valid:
            trace_id, flags, state = parent.trace_id, parent.trace_flags, parent.trace_state
        else:
            parent, state = None, None
            trace_id = self._ids.generate_trace_id()
            flags = _SAMPLED if self._sampler.takes(trace_id, attributes) else _NOT_SAMPLED
        span = CheckSpan(
            name,
            SpanContext(
                trace_id,
                self._ids.generate_span_id(),
                is_remote=False,
                trace_flags=flags,
                trace_state=state,
            ),
            parent,
            kind,
            attributes,
            start_time=time_ns() if start_time is None else start_time,
            resource=self._resource,
            scope=self._scope,
            processor=self._processor,
        )
        self._processor.on_start(span, context)
        return span

    def start_as_current_span(  # type: ignore[override]  # noqa: PLR0917 - the API's, which decorates, too
        self,
        name: str,
        context: Context | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Attributes = None,
        links: Sequence[Link] | None = (),
        start_time: int | None = None,
        record_exception: bool = True,  # noqa: ARG002, FBT001, FBT002 - the API's signature
        set_status_on_exception: bool = True,  # noqa: FBT001, FBT002 - the API's signature
        end_on_exit: bool = True,  # noqa: FBT001, FBT002 - the API's signature
    ) -> _Current:
        if context is None:
            context = get_current()
        span = self.start_span(name, context, kind, attributes, links, start_time)
        return _Current(span, context, end=end_on_exit, set_status=set_status_on_exception)


class CheckTracerProvider(TracerProvider):
    """Hands out CheckTracers whose spans all go to one processor. Reads no environment."""

    def __init__(
        self, *, sampler: CheckSampler, processor: SpanProcessor, resource: Resource
    ) -> None:
        self._sampler = sampler
        self._processor = processor
        self._resource = resource

    def get_tracer(
        self,
        instrumenting_module_name: str,
        instrumenting_library_version: str | None = None,
        schema_url: str | None = None,
        attributes: Attributes = None,
    ) -> CheckTracer:
        return CheckTracer(
            sampler=self._sampler,
            processor=self._processor,
            resource=self._resource,
            scope=InstrumentationScope(
                instrumenting_module_name,
                instrumenting_library_version or "",
                schema_url,
                attributes,
            ),
        )
