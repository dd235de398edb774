"""The store as Prometheus text 0.0.4 or OpenMetrics 1.0: negotiation, lines, bodies.

Owns both formats byte for byte. Each series keeps its rendered lines until it changes, so that a
body costs only what changed. When to render is collection.py's.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from kubenurse_otel.record import record
from kubenurse_otel.semconv import Metric, MetricKind
from kubenurse_otel.telemetry import vmrange
from kubenurse_otel.telemetry.store import OPENMETRICS, TEXT, Exemplar, Family, Series, Store

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT_TYPES: Final = {
    TEXT: "text/plain; version=0.0.4; charset=utf-8",
    OPENMETRICS: "application/openmetrics-text; version=1.0.0; charset=utf-8",
}
_UNITS: Final = {"s": "seconds", "By": "bytes"}
"""As opentelemetry-exporter-prometheus maps them (a test compares); annotations are no unit."""
_SERIES_A_PIECE: Final = 32
_MAX_ACCEPT_BYTES: Final = 2_048


@record(frozen=True, slots=True)
class Rendered:
    """One answer to a scrape. ``content_encoding`` is "gzip" or empty."""

    body: bytes
    content_type: str
    content_encoding: str = ""


def negotiate(accept: str, *, openmetrics: bool = True) -> int:
    """TEXT or OPENMETRICS, as the Accept header prefers (RFC 9110, section 12.5.1).

    OpenMetrics is chosen only where it is named with a version that we write (1.0.0, or none) and
    no text format is preferred to it; anything else, and anything malformed, gets the text.
    """
    best: dict[int, float] = {}
    for entry in accept[:_MAX_ACCEPT_BYTES].lower().split(","):
        media_type, *parameters = (part.strip() for part in entry.split(";"))
        quality, version = 1.0, ""
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip() == "q":
                quality = _quality(value)
            elif name.strip() == "version":
                version = value.strip().strip('"')
        if media_type == "application/openmetrics-text" and version in ("", "1.0.0"):
            best[OPENMETRICS] = max(best.get(OPENMETRICS, 0.0), quality)
        elif media_type in ("text/plain", "text/*") and version in ("", "0.0.4"):
            best[TEXT] = max(best.get(TEXT, 0.0), quality)
    wanted = best.get(OPENMETRICS, 0.0)
    if openmetrics and wanted > 0 and wanted >= best.get(TEXT, 0.0):
        return OPENMETRICS
    return TEXT


def _quality(text: str) -> float:
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def number(value: float) -> str:
    """A sample's value as Go prints it: whole numbers without a point."""
    if isinstance(value, int):
        return str(value)
    if math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"


class Exposition:
    """Renders a Store.

    With ``victoriametrics`` the kubenurse_httpclient_* histograms are `vmrange` buckets, which
    OpenMetrics has no type for: then every scraper gets the text. Without ``metadata`` the text
    has no HELP and TYPE; OpenMetrics keeps TYPE and UNIT, which its samples need to be read.
    OpenMetrics' optional _created samples are left out: they would be one more series for each.
    """

    def __init__(self, store: Store, *, metadata: bool, victoriametrics: bool) -> None:
        self._store = store
        self._openmetrics = not victoriametrics
        self._families = [
            _FamilyText(family, metadata=metadata, ranges=family.bounds == vmrange.BOUNDS)
            for family in store.families.values()
        ]

    def negotiate(self, accept: str) -> int:
        return negotiate(accept, openmetrics=self._openmetrics)

    def pieces(self, form: int) -> Iterator[None]:
        """Render what changed, some series at a time; after the last piece ``body`` is cheap."""
        for family in self._families:
            rendered = 0
            for series in family.family.all_series():
                if series.chunks[form] is None:
                    family.chunk(series, form)
                    rendered += 1
                    if rendered % _SERIES_A_PIECE == 0:
                        yield
            if rendered % _SERIES_A_PIECE:
                yield

    def body(self, form: int) -> bytes:
        """The whole exposition as UTF-8."""
        parts: list[bytes] = []
        for family in self._families:
            chunks = [family.chunk(series, form) for series in family.family.all_series()]
            if chunks:
                parts.append(family.headers[form])
                parts.extend(chunks)
        if form == OPENMETRICS:
            parts.append(b"# EOF\n")
        return b"".join(parts)


class _FamilyText:
    """How one metric's lines look in both formats."""

    def __init__(self, family: Family, *, metadata: bool, ranges: bool) -> None:
        metric = family.metric
        self.family = family
        self._name = metric.name
        self._histogram = metric.kind is MetricKind.HISTOGRAM
        bounds = family.bounds
        self._ranges = vmrange.RANGES if ranges else ()
        self._les = (
            (*(number(bound) for bound in bounds), "+Inf"),
            (*(repr(float(bound)) for bound in bounds), "+Inf"),
        )
        self.headers = (
            _text_header(metric).encode() if metadata else b"",
            _openmetrics_header(metric, help_=metadata).encode(),
        )

    def chunk(self, series: Series, form: int) -> bytes:
        """The lines of one series, UTF-8; made again only after it changed."""
        chunk = series.chunks[form]
        if chunk is None:
            chunk = series.chunks[form] = self._lines(series, form).encode()
        return chunk

    def _lines(self, series: Series, form: int) -> str:
        if not self._histogram:
            return self._sample(series, form)
        if self._ranges:
            return self._vmrange_lines(series)
        return self._histogram_lines(series, form)

    def _sample(self, series: Series, form: int) -> str:
        labels = f"{{{series.label_text}}}" if series.label_text else ""
        exemplar = series.exemplars.get(0) if form == OPENMETRICS else None
        return f"{self._name}{labels} {number(series.value)}{_exemplar(exemplar)}\n"

    def _histogram_lines(self, series: Series, form: int) -> str:
        labels = series.label_text
        bucket = f'{self._name}_bucket{{{labels}{"," if labels else ""}le="'
        exemplars = series.exemplars if form == OPENMETRICS else {}
        lines = []
        total = 0
        for index, (le, count) in enumerate(zip(self._les[form], series.counts, strict=True)):
            total += count
            exemplar = _exemplar(exemplars.get(index)) if exemplars else ""
            lines.append(f'{bucket}{le}"}} {total}{exemplar}\n')
        return "".join(lines) + self._sum_and_count(series, total)

    def _vmrange_lines(self, series: Series) -> str:
        labels = series.label_text
        bucket = f'{self._name}_bucket{{{labels}{"," if labels else ""}vmrange="'
        lines = [
            f'{bucket}{range_}"}} {count}\n'
            for range_, count in zip(self._ranges, series.counts, strict=True)
            if count
        ]
        return "".join(lines) + self._sum_and_count(series, sum(series.counts))

    def _sum_and_count(self, series: Series, count: int) -> str:
        labels = f"{{{series.label_text}}}" if series.label_text else ""
        total = number(series.value)
        return f"{self._name}_sum{labels} {total}\n{self._name}_count{labels} {count}\n"


def _exemplar(exemplar: Exemplar | None) -> str:
    if exemplar is None:
        return ""
    return (
        f' # {{trace_id="{exemplar.trace_id:032x}",span_id="{exemplar.span_id:016x}"}}'
        f" {number(exemplar.value)} {exemplar.time_ns / 1e9:.3f}"
    )


_TYPES: Final = {
    MetricKind.COUNTER: "counter",
    MetricKind.OBSERVABLE_COUNTER: "counter",
    MetricKind.GAUGE: "gauge",
    MetricKind.HISTOGRAM: "histogram",
}


def _escaped_help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _text_header(metric: Metric) -> str:
    return (
        f"# HELP {metric.name} {_escaped_help(metric.help)}\n"
        f"# TYPE {metric.name} {_TYPES[metric.kind]}\n"
    )


def _openmetrics_header(metric: Metric, *, help_: bool) -> str:
    kind = _TYPES[metric.kind]
    # A counter's family is named without _total, its samples with it (OpenMetrics 1.0, 5.1).
    name = metric.name.removesuffix("_total") if kind == "counter" else metric.name
    header = f"# TYPE {name} {kind}\n"
    unit = _UNITS.get(metric.unit, "")
    if not name.endswith(f"_{unit}"):
        unit = ""
    # Also where it is empty (OpenMetrics 1.0 allows it): Prometheus (v0.316.0) carries a unit over
    # to families without the line, and with type-and-unit-labels into their series.
    header += f"# UNIT {name} {unit}\n"
    if help_:
        escaped = _escaped_help(metric.help).replace('"', r"\"")
        header += f"# HELP {name} {escaped}\n"
    return header
