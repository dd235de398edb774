"""OTEL_* that are set for a whole cluster: unknown and invalid ones stop no network monitoring."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.config import Config, OtlpProtocol, TelemetryConfig, load
from kubenurse_otel.config.settings import BY_NAME
from kubenurse_otel.config.unread import UNREAD
from kubenurse_otel.config.variable import Origin

if TYPE_CHECKING:
    from pathlib import Path

OURS = [variable for variable in BY_NAME.values() if variable.origin is Origin.OPENTELEMETRY]


def config(**environ: str) -> Config:
    return load(environ, host_name=lambda: "host-1").config


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("OTEL_SDK_DISABLED", "1", "wants true or false"),
        ("OTEL_SDK_DISABLED", "yes", "wants true or false"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "wants a whole number from 1"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "2k", "wants a whole number from 1"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "-1", "wants a whole number from 1"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5s", "wants whole milliseconds"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1", "wants whole milliseconds"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1.5", "wants whole milliseconds"),
        ("OTEL_METRIC_EXPORT_TIMEOUT", "soon", "wants whole milliseconds"),
        ("OTEL_METRICS_EXEMPLAR_FILTER", "all", "wants trace_based or always_on"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "-1", "wants a whole number from 0"),
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "inf", "wants a whole number from 0"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "abc", "wants a whole number from 0"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "1e3", "wants a whole number from 0"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "9" * 30, "wants a whole number from 0"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", " x", "wants a whole number from 0"),
        ("OTEL_TRACES_SAMPLER", "jaeger_remote", "wants always_on or always_off"),
        ("OTEL_TRACES_SAMPLER", "parentbased_jaeger_remote", "wants always_on"),
        ("OTEL_TRACES_SAMPLER", "xray", "wants always_on or always_off"),
        ("OTEL_TRACES_EXPORTER", "zipkin", "wants otlp, console or none"),
        ("OTEL_TRACES_EXPORTER", "jaeger", "wants otlp, console or none"),
        ("OTEL_METRICS_EXPORTER", "logging", "wants prometheus, otlp"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "wants grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "wants grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "HTTP/2", "wants grpc or http/protobuf"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "3s", "wants whole milliseconds"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", "wants gzip or none"),
        ("OTEL_EXPORTER_OTLP_INSECURE", "1", "wants true or false"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=c", "header names"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318", "wants a URL"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector?x=y", "without a ?query"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:b@collector", "without user and password"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://fd00::1:5", "in brackets"),
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "ftp://collector", "wants a URL"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "sometimes", "wants cumulative"),
        ("OTEL_RESOURCE_ATTRIBUTES", "a", "with a '=' in every entry"),
        ("OTEL_SERVICE_NAME", "a\nb", "wants printable text"),
    ],
)
def test_an_invalid_value_is_a_warning_and_the_default(name: str, text: str, says: str) -> None:
    """One line in the log (what it got, what it wants), and all is as if it was not set."""
    loaded = config(**{name: text})
    (warning,) = loaded.warnings
    assert warning.startswith(f"{name}: got ")
    assert says in warning
    assert warning.endswith("ignored, as if it was not set")
    assert replace(loaded, warnings=()) == config()


@given(
    st.dictionaries(
        st.sampled_from([v.name for v in OURS] + [row.name.replace("*", "X") for row in UNREAD]),
        st.text(max_size=30)
        | st.sampled_from(
            [v.example for v in OURS] + ["none", "0", "grpc", "::1:4317", "/dev/zero"]
        ),
        max_size=6,
    )
)
def test_no_opentelemetry_variable_keeps_the_agent_from_starting(environ: dict[str, str]) -> None:
    """Any texts in any of them, together: a Config, and lines that print."""
    loaded = load(environ)
    assert all(line.isprintable() for line in loaded.lines())
    for otlp in (loaded.config.telemetry.otlp_traces, loaded.config.telemetry.otlp_metrics):
        assert otlp is None or otlp.endpoint


@pytest.mark.parametrize(
    ("name", "text", "field", "followed"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin,otlp", "otlp_traces", True),
        ("OTEL_TRACES_EXPORTER", "none,console", "console_traces", True),
        ("OTEL_METRICS_EXPORTER", "otlp,logging", "otlp_metrics", True),
        ("OTEL_METRICS_EXPORTER", "otlp,logging", "prometheus", False),
        ("OTEL_METRICS_EXPORTER", "none,otlp", "otlp_metrics", True),
    ],
)
def test_of_a_list_what_is_known_is_followed(
    name: str, text: str, field: str, followed: bool
) -> None:
    """Each word of it is a setting of its own."""
    loaded = config(**{name: text})
    assert bool(getattr(loaded.telemetry, field)) == followed
    (warning,) = loaded.warnings
    assert warning.endswith("the rest of it is followed")


@pytest.mark.parametrize(
    ("queue", "batch", "taken"), [("", "1024", (512, 512)), ("10", "11", (10, 10))]
)
def test_a_batch_is_at_most_the_queue(queue: str, batch: str, taken: tuple[int, int]) -> None:
    """A batch of 1024 is for a queue of 2048, the specification's default."""
    loaded = config(OTEL_BSP_MAX_QUEUE_SIZE=queue, OTEL_BSP_MAX_EXPORT_BATCH_SIZE=batch)
    assert (loaded.telemetry.bsp_queue_size, loaded.telemetry.bsp_batch_size) == taken
    (warning,) = loaded.warnings
    assert warning.endswith(f"taken as that, {taken[0]}")


def test_a_signals_own_invalid_value_leaves_the_common_one() -> None:
    """As if the signal's own was not set."""
    telemetry = config(
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="http/json",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://common:4317",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="not a URL",
    ).telemetry
    assert telemetry.otlp_traces is not None
    assert telemetry.otlp_traces.endpoint == "common:4317"
    assert telemetry.otlp_traces.protocol is OtlpProtocol.GRPC


@pytest.mark.parametrize("argument", ["endpoint=http://jaeger:14250,pollingIntervalMs=5000", "x"])
def test_the_argument_of_another_sampler_is_not_judged(argument: str) -> None:
    """Each sampler has arguments of its own form; one of traceidratio is a warning."""
    environ = {"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": argument}
    assert not config(**environ).warnings
    loaded = config(**environ | {"OTEL_TRACES_SAMPLER": "traceidratio"})
    assert loaded.telemetry.trace_ratio == 1.0
    assert len(loaded.warnings) == 1


@pytest.mark.parametrize(
    ("variable", "other"),
    [("CLIENT_KEY", "CLIENT_CERTIFICATE"), ("CLIENT_CERTIFICATE", "CLIENT_KEY")],
)
@pytest.mark.parametrize("signal", ["", "TRACES_"])
def test_half_a_pair_of_key_and_certificate_is_ignored(
    variable: str, other: str, signal: str
) -> None:
    """The collector then says what it wants, and the failed exports are counted."""
    loaded = config(
        OTEL_EXPORTER_OTLP_ENDPOINT="https://collector:4318",
        **{f"OTEL_EXPORTER_OTLP_{signal}{variable}": __file__},
    )
    assert any(f"_{other}: not set, wants a file beside" in text for text in loaded.warnings)
    otlp = loaded.telemetry.otlp_traces
    assert otlp is not None
    assert otlp.client_key is otlp.client_certificate is None


def test_a_ca_file_that_is_not_there_widens_no_trust(tmp_path: Path) -> None:
    """It stays what vouches for the collector: exports fail, and are counted, until it comes."""
    missing = tmp_path / "ca.pem"
    loaded = config(
        OTEL_EXPORTER_OTLP_ENDPOINT="https://collector:4318",
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(missing),
    )
    assert loaded.telemetry.otlp_traces is not None
    assert loaded.telemetry.otlp_traces.certificate == missing
    (warning,) = loaded.warnings
    assert "cannot be read yet" in warning


def test_a_declarative_configuration_is_not_followed() -> None:
    """It is a warning that says so."""
    loaded = config(OTEL_CONFIG_FILE="/etc/otel.yaml")
    (warning,) = loaded.warnings
    assert warning.startswith("OTEL_CONFIG_FILE: overridden. The agent is configured by variables")
    assert loaded.telemetry == TelemetryConfig()


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "10"}, "10 seconds, as OpenTelemetry Python reads it"),
        ({"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "99"}, "_TRACES_TIMEOUT: '99' is 99 milliseconds"),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "100"}, ""),
        ({"OTEL_EXPORTER_OTLP_TIMEOUT": "0"}, ""),
        ({}, ""),
    ],
)
def test_a_timeout_that_is_meant_in_seconds_is_a_warning(
    environ: dict[str, str], says: str
) -> None:
    """A value below 100 is right by the specification, and usually the habit of another SDK."""
    warnings = config(**environ).warnings
    assert len(warnings) == bool(says)
    assert says in "".join(warnings)


@pytest.mark.parametrize("host", ["collector", "10.0.0.1", "[fd00::1]"])
@pytest.mark.parametrize(
    ("protocol", "port", "warned"),
    [
        ("grpc", 4318, True),
        ("http/protobuf", 4317, True),
        ("grpc", 4317, False),
        ("http/protobuf", 4318, False),
        ("grpc", 443, False),
    ],
)
def test_the_port_of_the_other_protocol_is_a_warning(
    host: str, protocol: str, port: int, *, warned: bool
) -> None:
    """It names the endpoint's variable and both protocols; nothing is changed by itself."""
    loaded = config(
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://{host}:{port}",
        OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
        OTEL_METRICS_EXPORTER="otlp",
    )
    assert len(loaded.warnings) == warned
    if warned:
        assert loaded.warnings[0].startswith(f"OTEL_EXPORTER_OTLP_ENDPOINT: port {port} is usually")
        assert protocol in loaded.warnings[0]
    assert loaded.telemetry.otlp_metrics is not None
    assert str(loaded.telemetry.otlp_metrics.protocol) == protocol


@pytest.mark.parametrize("temporality", ["delta", "lowmemory", "Delta"])
@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("http://prometheus:9090/api/v1/otlp/v1/metrics", "Prometheus answers 500"),
        ("http://vm:8428/opentelemetry/v1/metrics", "VictoriaMetrics keeps deltas"),
        ("http://vminsert:8480/insert/0/opentelemetry/v1/metrics", "VictoriaMetrics keeps deltas"),
        ("http://collector:4318/v1/metrics", "deltatocumulative processor"),
    ],
)
def test_deltas_are_a_warning(temporality: str, endpoint: str, says: str) -> None:
    """What the store behind the endpoint makes of them, where its path tells which one it is."""
    environ = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE": temporality,
    }
    (warning,) = config(**environ).warnings
    assert warning.startswith("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: ")
    assert says in warning
    assert not config(**environ | {"OTEL_METRICS_EXPORTER": "prometheus"}).warnings


def test_sums_since_the_start_are_no_warning() -> None:
    """As they are by default, and where they are asked for."""
    environ = {
        "OTEL_METRICS_EXPORTER": "otlp",
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://prometheus:9090/api/v1/otlp/v1/metrics",
    }
    name = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
    assert not config(**environ).warnings
    assert not config(**environ | {name: "cumulative"}).warnings
