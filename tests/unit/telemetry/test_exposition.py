"""What a scraper reads, through prometheus_client's parsers."""

from __future__ import annotations

import gzip
import math
from collections.abc import Callable
from typing import Any

import pytest
from bridge_doubles import MeterRecorder
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opentelemetry.context import attach, detach
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.exporter.prometheus._mapping import (
    map_unit,
    sanitize_attribute,
    sanitize_full_name,
)
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from kubenurse_otel import semconv
from kubenurse_otel.config import (
    Config,
    DiscoveryConfig,
    MetricsChoice,
    OtlpConfig,
    TelemetryConfig,
)
from kubenurse_otel.semconv import MetricKind
from kubenurse_otel.telemetry import exposition
from kubenurse_otel.telemetry.providers import Telemetry
from kubenurse_otel.telemetry.store import OPENMETRICS, TEXT

START = Callable[..., Telemetry]
OM = "application/openmetrics-text;version=1.0.0"
NOWHERE = OtlpConfig(endpoint="http://127.0.0.1:9/v1/traces", timeout_seconds=0.1)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def text_of(telemetry: Telemetry) -> str:
    return telemetry.render().body.decode()


def openmetrics_of(telemetry: Telemetry) -> str:
    return telemetry.render(OM).body.decode()


def samples(families: Any) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """(name, labels) -> value of every sample."""
    return {
        (sample.name, tuple(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
    }


def record_one_of_each(telemetry: Telemetry, value: float = 0.003) -> None:
    for metric in semconv.METRICS:
        attributes = {label: f"a {label}" for label in metric.labels}
        if metric.kind is MetricKind.COUNTER:
            telemetry.instruments.add(metric, 2, attributes)
        elif metric.kind is MetricKind.HISTOGRAM:
            telemetry.instruments.record(metric, value, attributes)


def every_gauge() -> dict[Any, Any]:
    return {
        metric: lambda metric=metric: [(1.5, tuple(f"a {label}" for label in metric.labels))]
        for metric in semconv.METRICS
        if metric.kind in (MetricKind.GAUGE, MetricKind.OBSERVABLE_COUNTER)
    }


def sampled(trace_id: int = 0xABC, span_id: int = 0xDEF) -> Any:
    context = SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(context))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT),
        (PROMETHEUS_3, OPENMETRICS),
        ("application/openmetrics-text", OPENMETRICS),
        ('Application/OpenMetrics-Text; Version="1.0.0"', OPENMETRICS),
        ("application/openmetrics-text;version=0.0.1", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.2,text/plain;version=0.0.4;q=0.9", TEXT),
        ("application/openmetrics-text;version=1.0.0;q=0.9,text/plain;q=0.2", OPENMETRICS),
        ("application/openmetrics-text;q=huge", TEXT),
        ("application/openmetrics-text;q=7", TEXT),
        (";;;,=;q=,", TEXT),
        ("," * 100_000, TEXT),
    ],
)
def test_the_format_follows_the_accept_header(accept: str, expected: int) -> None:
    """OpenMetrics is for those that prefer it by name; everyone else gets text 0.0.4."""
    assert expected == exposition.negotiate(accept)


@given(st.text(max_size=200))
def test_no_accept_header_breaks_the_scrape(accept: str) -> None:
    """Whatever is in the header, one of the two formats is chosen."""
    assert exposition.negotiate(accept) in (TEXT, OPENMETRICS)


def test_every_metric_survives_both_parsers(start: START) -> None:
    """All of semconv.METRICS come back from both parsers with name, labels, values and type."""
    telemetry = start(gauges=every_gauge())
    record_one_of_each(telemetry)
    text, openmetrics = text_of(telemetry), openmetrics_of(telemetry)
    by_name = {family.name: family for family in parse_openmetrics(openmetrics)}
    read = samples(parse_text(text))
    for metric in semconv.METRICS:
        labels = tuple((label, f"a {label}") for label in metric.labels)
        if metric.kind is MetricKind.HISTOGRAM:
            assert read[(f"{metric.name}_count", labels)] == 1
            assert read[(f"{metric.name}_sum", labels)] == 0.003
        else:
            expected = 2 if metric.kind is MetricKind.COUNTER else 1.5
            assert read[(metric.name, labels)] == expected
        family = by_name[metric.name.removesuffix("_total")]
        kind = MetricKind.COUNTER if "counter" in metric.kind else metric.kind
        assert family.type == kind.value
        assert family.documentation == metric.help
        unit = {"s": "seconds", "By": "bytes"}.get(metric.unit, "")
        assert family.unit in (unit, "")
        # A family without the line would get the unit of the family before, in Prometheus.
        assert f"# UNIT {family.name} {family.unit}\n" in openmetrics
    assert openmetrics.endswith("# EOF\n")
    assert openmetrics.count("# UNIT") >= 12
    assert "_created" not in openmetrics


def test_whole_bounds_are_ints_in_the_text_and_floats_in_openmetrics(start: START) -> None:
    """kubenurse writes le="1"; OpenMetrics demands le="1.0"; le is the last label."""
    telemetry = start(histogram_buckets=(0.5, 1, 10))
    record_one_of_each(telemetry)
    name = "kubenurse_httpclient_trace_request_duration_seconds_bucket"
    labels = 'type="a type",event="a event"'
    assert f'{name}{{{labels},le="1"}} 1\n' in text_of(telemetry)
    assert f'{name}{{{labels},le="10"}} 1\n' in text_of(telemetry)
    assert f'{name}{{{labels},le="1.0"}} 1\n' in openmetrics_of(telemetry)


def test_configured_bounds_are_for_the_httpclient_metrics_alone(start: START) -> None:
    """KUBENURSE_HISTOGRAM_BUCKETS leaves our own histograms' bounds as they are."""
    telemetry = start(histogram_buckets=(0.5, 1))
    record_one_of_each(telemetry)
    bounds = {
        family.name: [s.labels["le"] for s in family.samples if "le" in s.labels]
        for family in parse_text(text_of(telemetry))
        if family.type == "histogram"
    }
    assert bounds["kubenurse_httpclient_request_duration_seconds"] == ["0.5", "1", "+Inf"]
    assert len(bounds["kubenurse_far_end_duration_seconds"]) == len(semconv.OWN_BOUNDS) + 1


_label = st.text(max_size=30) | st.text(alphabet='\\"\n{},= ', max_size=12)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(_label, min_size=1, max_size=4, unique=True))
@example(["\\", '"', "\n", "\\n"])
def test_any_label_value_comes_back_as_it_went_in(start: START, values: list[str]) -> None:
    """Escaping is undone by both parsers whatever the value holds."""
    # prometheus_client's own reader of lines takes these for line ends
    values = [v for v in values if not set(v) & set("\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029")]
    telemetry = start()
    for value in values:
        telemetry.instruments.add(semconv.MISSED_CHECKS, 1, {"type": value})
    for families in (parse_text(text_of(telemetry)), parse_openmetrics(openmetrics_of(telemetry))):
        read = {
            labels[0][1]
            for name, labels in samples(families)
            if name == "kubenurse_missed_checks_total"
        }
        assert set(values) == read


@given(st.floats() | st.integers(-(10**20), 10**20))
def test_any_number_comes_back_as_it_went_in(value: float) -> None:
    """Values read back exactly, NaN and the infinities included."""
    read = float(exposition.number(value))
    assert read == float(value) or (math.isnan(read) and math.isnan(value))
    assert exposition.number(value) in ("NaN", "+Inf", "-Inf") or "n" not in exposition.number(
        value
    )


def test_without_metadata_the_text_is_samples_alone(start: START) -> None:
    """KUBENURSE_EXPOSE_METADATA=false leaves comments out, but OpenMetrics keeps its types."""
    telemetry = start(expose_metadata=False)
    record_one_of_each(telemetry)
    assert "#" not in text_of(telemetry)
    openmetrics = openmetrics_of(telemetry)
    assert "# HELP" not in openmetrics
    assert {"histogram", "counter"} <= {f.type for f in parse_openmetrics(openmetrics)}


@pytest.mark.parametrize(
    ("choice", "there", "absent"),
    [
        (MetricsChoice.KUBENURSE, "kubenurse_errors_total", "kubenurse_own_delay_seconds_sum"),
        (MetricsChoice.OWN, "kubenurse_own_delay_seconds_sum", "kubenurse_errors_total"),
        (MetricsChoice.BOTH, "kubenurse_own_delay_seconds_sum", "kubenurse_nothing"),
    ],
)
def test_families_are_chosen(start: START, choice: MetricsChoice, there: str, absent: str) -> None:
    """KUBENURSE_METRICS keeps a family out, instruments and gauges; the process's stay."""
    telemetry = start(metrics=choice, gauges=every_gauge())
    record_one_of_each(telemetry)
    names = {name for name, _labels in samples(parse_text(text_of(telemetry)))}
    assert there in names
    assert absent not in names
    assert "process_open_fds" in names


def test_victoriametrics_ranges_replace_le_buckets(start: START) -> None:
    """kubenurse_httpclient_* have non-empty vmrange buckets, not cumulative; others keep le."""
    telemetry = start(victoriametrics_histogram=True)
    for value in (0.0011, 0.0011, 0.3, 0.0):
        telemetry.instruments.record(
            semconv.HTTPCLIENT_REQUEST_DURATION, value, {"type": "me_service"}
        )
    telemetry.instruments.record(semconv.OWN_DELAY_TIME, 0.1, {"type": "me_service"})
    lines = text_of(telemetry).splitlines()
    name = "kubenurse_httpclient_request_duration_seconds"
    assert [line for line in lines if line.startswith(name)] == [
        f'{name}_bucket{{type="me_service",vmrange="0...1.000e-09"}} 1',
        f'{name}_bucket{{type="me_service",vmrange="1.000e-03...1.136e-03"}} 2',
        f'{name}_bucket{{type="me_service",vmrange="2.783e-01...3.162e-01"}} 1',
        f'{name}_sum{{type="me_service"}} {0.0011 + 0.0011 + 0.3}',
        f'{name}_count{{type="me_service"}} 4',
    ]
    assert 'kubenurse_own_delay_seconds_bucket{type="me_service",le="0.1"} 1' in lines
    assert telemetry.render(OM).content_type.startswith("text/plain; version=0.0.4")


def test_exemplars_stand_on_openmetrics_buckets_and_stay_there(start: START) -> None:
    """A scrape repeats each bucket's last exemplar; only sampled contexts leave one."""
    telemetry = start(otlp_traces=NOWHERE)
    record = telemetry.instruments.record
    metric = semconv.HTTPCLIENT_REQUEST_DURATION
    record(metric, 0.2, {"type": "x"}, sampled(trace_id=1))
    record(metric, 0.21, {"type": "x"}, sampled(trace_id=2))
    record(metric, 0.001, {"type": "x"})
    telemetry.instruments.add(
        semconv.ERRORS, 1, {"type": "x", "event": "dns_done"}, sampled(trace_id=3)
    )
    for _ in range(2):
        found = {
            (sample.name, sample.labels.get("le")): sample.exemplar
            for family in parse_openmetrics(openmetrics_of(telemetry))
            for sample in family.samples
            if sample.exemplar
        }
        bucket = (f"{metric.name}_bucket", "0.25")
        assert set(found) == {bucket, ("kubenurse_errors_total", None)}
        assert found[bucket].labels == {"trace_id": f"{2:032x}", "span_id": f"{0xDEF:016x}"}
        assert found[bucket].value == 0.21
        assert found["kubenurse_errors_total", None].labels["trace_id"] == f"{3:032x}"
        record(semconv.OWN_DELAY_TIME, 0.2, {"type": "x"})  # something new, so that it collects
    assert "trace_id" not in text_of(telemetry)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"otlp_traces": NOWHERE, "exemplars": False},
        {"otlp_traces": NOWHERE, "sdk_disabled": True},
    ],
)
def test_there_are_no_exemplars_without_a_trace_exporter(start: START, fields: Any) -> None:
    """An exemplar that points at a trace which went nowhere is worse than none."""
    telemetry = start(**fields)
    telemetry.instruments.record(semconv.OWN_DELAY_TIME, 0.2, {"type": "x"}, sampled())
    assert "trace_id" not in openmetrics_of(telemetry)


def test_the_current_span_leaves_no_exemplar(start: START) -> None:
    """Only a context that is handed over counts: in on_end the current span is another's."""
    telemetry = start(otlp_traces=NOWHERE)
    token = attach(sampled())
    try:
        telemetry.instruments.record(semconv.OWN_DELAY_TIME, 0.2, {"type": "x"})
        telemetry.instruments.add(semconv.MISSED_CHECKS, 1, {"type": "x"})
    finally:
        detach(token)
    assert "trace_id" not in openmetrics_of(telemetry)


def test_gzip_is_the_same_body(start: START) -> None:
    """A gzip-coded answer decodes to the identity one and says so."""
    telemetry = start(gauges=every_gauge())
    record_one_of_each(telemetry)
    plain, coded = telemetry.render(), telemetry.render(gzip=True)
    names = [
        set(samples(parse_text(body.decode())))
        for body in (plain.body, gzip.decompress(coded.body))
    ]
    assert names[0] == names[1]
    assert (plain.content_encoding, coded.content_encoding) == ("", "gzip")


def test_names_and_units_follow_the_stock_exporters_rules() -> None:
    """opentelemetry-exporter-prometheus would change no name, no label and no unit of ours."""
    for metric in semconv.METRICS:
        assert sanitize_full_name(metric.name) == metric.name
        assert [sanitize_attribute(label) for label in metric.labels] == list(metric.labels)
        unit = map_unit(metric.unit)
        assert unit == {"s": "seconds", "By": "bytes"}.get(metric.unit, "")
        assert metric.unit != "1"
        if unit:
            assert metric.name.removesuffix("_total").endswith(f"_{unit}")


def test_samples_equal_those_of_the_stock_exporter(start: START) -> None:
    """The same records give the samples that PrometheusMetricReader gives for them."""
    telemetry = start()
    registry = CollectorRegistry()
    reader = PrometheusMetricReader(
        disable_target_info=True, scope_info_enabled=False, registry=registry
    )
    stock = MeterRecorder(reader)
    for value in (0.0001, 0.004, 0.3, 1, 70):
        for metric in semconv.METRICS:
            attributes = {label: f"{label}-{value}" for label in metric.labels}
            for target in (telemetry.instruments, stock):
                if metric.kind is MetricKind.COUNTER:
                    target.add(metric, 1, attributes)
                elif metric.kind is MetricKind.HISTOGRAM:
                    target.record(metric, value, attributes)

    def comparable(families: Any) -> dict[Any, float]:
        return {
            (name, tuple(sorted(labels))): value
            for (name, labels), value in samples(families).items()
            if not name.startswith(("process_", "kubenurse_cpu", "kubenurse_node_cpu"))
        }

    theirs = comparable(parse_text(generate_latest(registry).decode()))
    ours = comparable(parse_text(text_of(telemetry)))
    assert theirs == ours
    stock.shutdown()


def test_fourteen_targets_have_at_most_2350_series(start: START) -> None:
    """Ten plain paths by address, the API server twice, ingress by https and service, all of it."""
    without_name = [event for event in semconv.EVENTS if not event.startswith("dns")]
    plain = [event for event in without_name if not event.startswith("tls")]
    events = {f"path_node-{node}": plain for node in range(10)}
    events["api_server_direct"] = without_name
    events["me_service"] = [event for event in semconv.EVENTS if not event.startswith("tls")]
    events["api_server_dns"] = events["me_ingress"] = list(semconv.EVENTS)

    def one_a_type(metric: semconv.Metric) -> list[tuple[float, tuple[str, ...]]]:
        firsts = list(events) if metric.labels[:1] == ("type",) else ["x"]
        return [
            (1, ((first,) + ("x",) * len(metric.labels))[: len(metric.labels)]) for first in firsts
        ]

    gauges = {metric: lambda metric=metric: one_a_type(metric) for metric in every_gauge()}
    telemetry = start(gauges=gauges)
    telemetry.retain(frozenset(events))
    instruments = telemetry.instruments
    for type_, reached in events.items():
        of_type = {"type": type_}
        for event in reached:
            instruments.record(
                semconv.HTTPCLIENT_TRACE_REQUEST_DURATION, 0.1, of_type | {"event": event}
            )
        instruments.record(semconv.HTTPCLIENT_REQUEST_DURATION, 0.1, of_type)
        instruments.add(semconv.HTTPCLIENT_REQUESTS, 1, of_type | {"code": "200", "method": "GET"})
        steps = {"dns": "dns_done", "connect": "connect_done", "tls": "tls_handshake_done"}
        for phase in ["request", *(p for p, event in steps.items() if event in reached)]:
            instruments.record(semconv.CHECK_PHASE_DURATION, 0.1, of_type | {"phase": phase})
        for metric in (
            semconv.NETWORK_ROUND_TRIP_TIME,
            semconv.FAR_END_DURATION,
            semconv.LOSS_DELAY,
            semconv.OWN_DELAY_TIME,
        ):
            instruments.record(metric, 0.1, of_type)
        instruments.add(semconv.RETRANSMITS, 1, of_type)
        instruments.add(semconv.LOSSY_CHECKS, 1, of_type)
        timed = of_type | {"source": "kernel", "reason": "none"}
        instruments.add(semconv.CHECKS_TIMED, 1, timed)
    instruments.record(semconv.EVENT_LOOP_LAG, 0.1, {})
    for form in (text_of(telemetry), openmetrics_of(telemetry)):
        assert len([line for line in form.splitlines() if not line.startswith("#")]) <= 2_350


def test_five_hundred_nodes_fit_without_a_neighbour_limit(start: START) -> None:
    """With NEIGHBOUR_LIMIT=0 and 500 nodes no series overflows."""
    telemetry = start(config=Config(discovery=DiscoveryConfig(neighbour_limit=0)))
    telemetry.retain(frozenset(f"path_{node}" for node in range(500)))
    for node in range(500):
        for event in semconv.EVENTS:
            telemetry.instruments.record(
                semconv.HTTPCLIENT_TRACE_REQUEST_DURATION,
                0.001,
                {"type": f"path_{node}", "event": event},
            )
    text = text_of(telemetry)
    assert "otel_metric_overflow" not in text
    assert text.count("trace_request_duration_seconds_count") == 4_500


@pytest.mark.parametrize("fields", [{"victoriametrics_histogram": True}, {}])
def test_a_telemetry_config_without_anything_else_starts(start: START, fields: Any) -> None:
    """The empty scrape is valid in both formats."""
    telemetry = start(config=Config(telemetry=TelemetryConfig(**fields)))
    assert list(parse_text(text_of(telemetry)))
    list(parse_text(openmetrics_of(telemetry)))
