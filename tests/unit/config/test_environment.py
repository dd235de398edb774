"""The process's environment: taken away from libraries, service links, unread ones, secrets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.config import ConfigError, Source, load, take_environment
from kubenurse_otel.config.environment import is_service_link
from kubenurse_otel.config.unread import UNREAD, Use

TAKE = """
import json, os
from kubenurse_otel.config import take_environment
import sys
taken = take_environment()
left = {name for name in os.environ if name.startswith("OTEL_") or "proxy" in name.lower()}
print(json.dumps([taken, sorted(left), sorted(m for m in sys.modules if "telemetry" in m)]))
"""


def test_taking_the_environment_leaves_nothing_to_libraries() -> None:
    """OTEL_* and proxies are gone afterwards; only the stable conventions are asked for."""
    given_environ = {
        "OTEL_SDK_DISABLED": "true",
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "abc",
        "OTEL_SEMCONV_STABILITY_OPT_IN": "database",
        "HTTPS_PROXY": "http://proxy:3128",
        "http_proxy": "http://proxy:3128",
        "No_Proxy": "x",
        "grpc_proxy": "http://proxy:3128",
        "KUBENURSE_PORT": "8081",
    }
    done = subprocess.run(
        [sys.executable, "-c", TAKE],
        env=given_environ,
        cwd=Path(__file__).parents[2],
        capture_output=True,
        check=True,
        timeout=60,
    )
    taken, left, modules = json.loads(done.stdout)
    assert given_environ.items() <= taken.items()
    assert left == []
    assert modules == ["kubenurse_otel.config.telemetry"], "OpenTelemetry is not imported by config"


def test_taking_it_twice_is_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What we set for instrumentation-httpx is no news to the second reader."""
    before = dict(os.environ)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "a")
    try:
        assert take_environment()["OTEL_SERVICE_NAME"] == "a"
        assert not load(
            {name: text for name, text in take_environment().items() if name.startswith("OTEL_")}
        ).config.warnings
    finally:
        os.environ.clear()
        os.environ.update(before)


# --- service links ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KUBENURSE_SERVICE_HOST", "10.0.0.1"),
        ("KUBENURSE_SERVICE_HOST", "fd00::1"),
        ("KUBENURSE_SERVICE_PORT", "8080"),
        ("KUBENURSE_SERVICE_PORT_HTTP", "8080"),
        ("KUBENURSE_PORT", "tcp://10.0.0.1:8080"),
        ("KUBENURSE_PORT", "udp://[fd00::1]:8080"),
        ("KUBENURSE_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
        ("KUBENURSE_PORT_8080_TCP_PROTO", "tcp"),
        ("KUBENURSE_PORT_8080_TCP_PORT", "8080"),
        ("KUBENURSE_PORT_8080_TCP_ADDR", "10.0.0.1"),
        ("KUBENURSE_ADMIN_PORT", "tcp://10.0.0.1:9090"),
        ("KUBENURSE_OTEL_HEADLESS_SERVICE_PORT", "8080"),
        ("OTEL_COLLECTOR_PORT_4317_TCP", "tcp://10.0.0.1:4317"),
        ("OTEL_COLLECTOR_SERVICE_HOST", "10.0.0.1"),
    ],
)
def test_service_links_never_break_the_start(name: str, text: str) -> None:
    """Whatever Kubernetes sets for a Service is ignored, and no port of ours changes."""
    assert is_service_link(name, text)
    loaded = load({name: text})
    ours = name in ("KUBENURSE_PORT", "KUBENURSE_ADMIN_PORT")
    assert loaded.config.server == load({}).config.server
    assert len(loaded.config.warnings) == ours
    if not ours:
        (setting,) = (setting for setting in loaded.sources if setting.name == name)
        assert setting.source is Source.IGNORED


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KUBENURSE_SERVICE_HOST", "kubenurse.example.com"),
        ("KUBENURSE_SERVICE_HOST", "1:2"),
        ("KUBENURSE_SERVICE_PORT", "http"),
        ("KUBENURSE_PORT", "8080"),
        ("KUBENURSE_PORT", "tcp://kubenurse:8080"),
        ("KUBENURSE_PORT", "http://10.0.0.1:8080"),
        ("KUBENURSE_PORT_8080_TCP_PROTO", "http"),
        ("KUBENURSE_PORT_TCP", "tcp://10.0.0.1:8080"),
        ("KUBENURSE_SERVICE_URL", "http://10.0.0.1:8080"),
        ("KUBENURSE_TRACE_RATIO", "1"),
    ],
)
def test_only_exact_shapes_are_service_links(name: str, text: str) -> None:
    """A name or a value of its own is a person's, and is judged."""
    assert not is_service_link(name, text)


def test_a_port_that_is_no_link_is_a_problem() -> None:
    """Only kubelet's own shape is forgiven."""
    with pytest.raises(ConfigError, match="KUBENURSE_PORT: got 'tcp://kubenurse:8080'"):
        load({"KUBENURSE_PORT": "tcp://kubenurse:8080"})


# --- variables that nobody reads ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("KUBENURSE_CHECK_INTERVALL", "did you mean KUBENURSE_CHECK_INTERVAL?"),
        ("KUBENURSE_NEIGHBOR_LIMIT", "did you mean KUBENURSE_NEIGHBOUR_LIMIT?"),
        ("OTEL_EXPORTER_OTLP_ENPOINT", "did you mean OTEL_EXPORTER_OTLP_ENDPOINT?"),
        ("KUBENURSE_\U0001f469" + "x" * 300, ""),
    ],
)
def test_an_unknown_name_is_a_warning(name: str, hint: str) -> None:
    """The nearest known name is said; the value never is."""
    (warning,) = load({name: "secret"}).config.warnings
    assert "not known, and without effect" in warning
    assert warning.endswith(hint)
    assert "secret" not in warning
    assert len(warning) < 300


def test_other_peoples_variables_are_none_of_our_business() -> None:
    """Nothing is said about PATH, an empty value, or what is alike in small letters only."""
    environ = {"PATH": "/bin", "KUBENURSE_OLD": "", "kubenurse_port": "1", "KUBERNETES_X": "y"}
    assert load(environ).config.warnings == ()


@pytest.mark.parametrize("row", UNREAD, ids=lambda row: row.name)
def test_what_is_refused_or_ignored(row: object) -> None:
    """Refused: a warning. Ignored: no word, but for `kubenurse-otel config`."""
    name = row.name.replace("*", "X_Y")  # type: ignore[attr-defined]
    loaded = load({name: "secret"})
    refused = row.use is Use.REFUSED  # type: ignore[attr-defined]
    assert [w.partition(".")[0] for w in loaded.config.warnings] == (
        [f"{name}: overridden"] if refused else []
    )
    (setting,) = (setting for setting in loaded.sources if setting.name == name)
    assert (setting.source, setting.value) == (Source.IGNORED, "***")
    assert setting.note


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OTEL_PROPAGATORS", "tracecontext"),
        ("OTEL_SEMCONV_STABILITY_OPT_IN", "HTTP"),
        (
            "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
            "explicit_bucket_histogram",
        ),
    ],
)
def test_nothing_is_said_where_nothing_differs(name: str, text: str) -> None:
    """A refused variable that asks for what we do anyway is no news."""
    assert load({name: text}).config.warnings == ()


# --- secrets ------------------------------------------------------------------------------------

SECRET = "s3cr3t"
CARRIERS = [
    ("KUBENURSE_INGRESS_URL", "https://user:{}@host"),
    ("KUBENURSE_SERVICE_URL", "https://host/?token={}"),
    ("KUBENURSE_SERVICE_URL", "{}@host"),
    ("KUBENURSE_EXTRA_CHECKS", "a:https://host/?token={}"),
    ("KUBENURSE_EXTRA_CHECKS", "a:https://user:{}@host"),
    ("KUBENURSE_EXTRA_CHECKS", "a:https://u:x|{}@host"),
    ("KUBENURSE_EXTRA_CHECKS", "a:https://host/?token={};expect=9"),
    ("HTTP_PROXY", "http://user:{}@proxy:3128"),
    ("HTTPS_PROXY", "socks5://user:{}@proxy:3128"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer {}"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%ff{}"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "{}"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "{}="),
    ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "a b={}"),
    ("OTEL_EXPORTER_OTLP_METRICS_HEADERS", "a={},b"),
    ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "a={}"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://user:{}@collector"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://collector/v1/traces?key={}"),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "ftp://{}@collector"),
    ("OTEL_PYTHON_EXPORTER_OTLP_HTTP_CREDENTIAL_PROVIDER", "{}"),
    ("KUBENURSE_TOKEN", "{}"),
]


@pytest.mark.parametrize(("name", "text"), CARRIERS)
@pytest.mark.parametrize("proxy", ["true", "false"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_secret_is_in_no_message(name: str, text: str, proxy: str, protocol: str) -> None:
    """Neither in what `kubenurse-otel config` prints, nor in a warning, nor in a problem."""
    environ = {
        name: text.format(SECRET),
        "KUBENURSE_USE_PROXY": proxy,
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_METRICS_EXPORTER": "otlp",
    }
    try:
        said = load(environ).lines()
    except ConfigError as error:
        said = [str(error)]
    assert SECRET not in "\n".join(said)


@given(st.sampled_from([c for c in CARRIERS if c[0] != "KUBENURSE_TOKEN"]), st.text(max_size=5))
def test_no_noise_around_a_secret_shows_it(carrier: tuple[str, str], noise: str) -> None:
    """Also where the value is broken in a way that nobody thought of."""
    name, text = carrier
    environ = {name: text.format(SECRET + noise), "KUBENURSE_USE_PROXY": "true"}
    try:
        said = load(environ).lines()
    except ConfigError as error:
        said = [str(error)]
    assert SECRET not in "\n".join(said)


def test_what_is_printed() -> None:
    """One line a variable: name, value, source and why; then what the log will say."""
    lines = load(
        {
            "KUBENURSE_CHECK_INTERVAL": "10s",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=secret",
            "OTEL_TRACES_SAMPLER": "always_on",
            "OTEL_TRACES_SAMPLER_ARG": "0.5",
            "OTEL_BSP_MAX_QUEUE_SIZE": "32",
            "OTEL_PROPAGATORS": "b3",
        },
        host_name=lambda: "host-1",
    ).lines()
    words = {line.split()[0]: " ".join(line.split()[1:]) for line in lines}
    assert words["KUBENURSE_CHECK_INTERVAL"] == "10s environment"
    assert words["KUBENURSE_CHECK_TIMEOUT"] == "5s default"
    assert words["KUBENURSE_POD_NAME"] == "host-1 derived (the host name)"
    assert words["KUBENURSE_INGRESS_URL"] == "- default (me_ingress is skipped)"
    assert words["KUBENURSE_TRACE_RATIO"] == "1 derived (from OTEL_TRACES_SAMPLER)"
    assert words["OTEL_TRACES_SAMPLER_ARG"].startswith("0.5 ignored (read only with")
    assert words["OTEL_TRACES_EXPORTER"].startswith("otlp derived")
    assert words["OTEL_EXPORTER_OTLP_HEADERS"] == "api-key=*** environment"
    assert words["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"] == (
        "http://collector:4318/v1/traces derived (what is exported to)"
    )
    assert words["OTEL_BSP_MAX_EXPORT_BATCH_SIZE"].startswith("32 derived")
    assert words["OTEL_PROPAGATORS"].startswith("*** ignored")
    assert lines[-1].startswith("warning: OTEL_PROPAGATORS: overridden.")
