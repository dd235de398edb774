"""The traces that Jaeger has, by its HTTP JSON. Whoever asks is in the cluster's network."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster import json_api, polling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

URL: Final = "http://10.90.0.2:16686"
SERVICE: Final = "kubenurse-otel"
_AHEAD_SECONDS: Final = 3600.0
"""A node's clock may be ahead of ours: its spans begin later than now."""
# What Jaeger's translation of OTLP writes beside the attributes; `Span` has them as fields.
_KIND: Final = "span.kind"
_STATUS: Final = "otel.status_code"
_STATUS_DESCRIPTION: Final = "otel.status_description"
_NO_ATTRIBUTES: Final = {_KIND, _STATUS, _STATUS_DESCRIPTION, "error", "internal.span.format"}


@dataclass(frozen=True, slots=True)
class Event:
    """``time`` is in Unix seconds, to the microsecond."""

    name: str
    time: float
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Span:
    """Times in seconds, to the microsecond: ``start`` since 1970, by the clock of its node.

    ``parent`` is a span's id ("" for a root), ``status`` is UNSET, OK or ERROR, ``kind`` is in
    lower case ("" where none was set), ``resource`` has service.name, too.
    """

    id: str
    parent: str
    name: str
    kind: str
    status: str
    start: float
    duration: float
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Trace:
    """Spans in the order of their start. Those of several nodes arrive one after the other."""

    id: str
    spans: tuple[Span, ...]

    @property
    def root(self) -> Span | None:
        """The span without a parent; None while it has not arrived."""
        return next((span for span in self.spans if not span.parent), None)

    @property
    def client(self) -> Span | None:
        """The CLIENT span of a check."""
        return next((span for span in self.spans if span.kind == "client"), None)

    def named(self, name: str) -> list[Span]:
        return [span for span in self.spans if span.name == name]

    def children(self, span: Span) -> list[Span]:
        return [one for one in self.spans if one.parent == span.id]


class Jaeger:
    """Each call raises ClusterError for what Jaeger refuses, OSError where it is not there."""

    def __init__(self, url: str = URL) -> None:
        self.url = url

    def traces(
        self,
        service: str = SERVICE,
        *,
        tags: Mapping[str, str] | None = None,
        operation: str | None = None,
        limit: int = 20,
        lookback: float = 300.0,
    ) -> list[Trace]:
        """Traces with a span of the service, the name and all ``tags`` that began in time.

        ``lookback`` is in seconds. A tag may be an attribute of the span, of an event or of the
        resource; `error: true` is the status ERROR.
        """
        now = time.time()
        parameters = {
            "service": service,
            "limit": str(limit),
            "start": f"{(now - lookback) * 1e6:.0f}",
            "end": f"{(now + _AHEAD_SECONDS) * 1e6:.0f}",
        }
        if tags:
            parameters["tags"] = json.dumps(dict(tags))
        if operation is not None:
            parameters["operation"] = operation
        return [_trace(one) for one in json_api.get(f"{self.url}/api/traces", parameters)["data"]]

    def until(
        self,
        condition: Callable[[Trace], object],
        *,
        seconds: float,
        what: str,
        service: str = SERVICE,
        tags: Mapping[str, str] | None = None,
        operation: str | None = None,
        limit: int = 20,
        lookback: float = 300.0,
    ) -> tuple[Trace, float]:
        """Return a trace for which ``condition`` holds, and the seconds that it took.

        Raises AssertionError, with the traces that were seen last.
        """

        def look() -> list[Trace]:
            return self.traces(
                service, tags=tags, operation=operation, limit=limit, lookback=lookback
            )

        found, took = polling.until(
            look, lambda traces: any(map(condition, traces)), seconds=seconds, what=what
        )
        return next(trace for trace in found if condition(trace)), took


def _trace(one: dict[str, Any]) -> Trace:
    resources = {
        name: {"service.name": process["serviceName"], **_values(process["tags"])}
        for name, process in one["processes"].items()
    }
    spans = [_span(span, resources[span["processID"]]) for span in one["spans"]]
    return Trace(one["traceID"], tuple(sorted(spans, key=lambda span: span.start)))


def _span(one: dict[str, Any], resource: Mapping[str, Any]) -> Span:
    tags = _values(one["tags"])
    parents = [ref["spanID"] for ref in one["references"] if ref["refType"] == "CHILD_OF"]
    return Span(
        id=one["spanID"],
        parent=parents[0] if parents else "",
        name=one["operationName"],
        kind=tags.get(_KIND, ""),
        status=tags.get(_STATUS, "UNSET"),
        start=one["startTime"] / 1e6,
        duration=one["duration"] / 1e6,
        attributes={name: value for name, value in tags.items() if name not in _NO_ATTRIBUTES},
        resource=resource,
        events=tuple(map(_event, one["logs"])),
    )


def _event(log: dict[str, Any]) -> Event:
    fields = _values(log["fields"])
    return Event(fields.pop("event", ""), log["timestamp"] / 1e6, fields)


def _values(tags: list[dict[str, Any]]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in tags}
