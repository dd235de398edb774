"""From environments to Configs: where each variable lands, what depends on what."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from verification.forms import broken, other_root, root

from kubenurse_otel.config import (
    Config,
    ConfigError,
    DiscoverySource,
    IpFamilies,
    LogFormat,
    MetricsChoice,
    OtlpConfig,
    OtlpProtocol,
    ProxyConfig,
    Source,
    SpanLimitsConfig,
    Temporality,
    load,
)
from kubenurse_otel.config.settings import BY_NAME, LANDS, walk
from kubenurse_otel.config.variable import Origin, Variable
from kubenurse_otel.model import Proxy, TargetKind

if TYPE_CHECKING:
    from pathlib import Path


def config(**environ: str) -> Config:
    return load(environ, host_name=lambda: "host-1").config


def problems(**environ: str) -> tuple[str, ...]:
    """What is wrong with an environment; nothing is a failure of the test."""
    with pytest.raises(ConfigError) as caught:
        load(environ)
    return caught.value.problems


# --- each variable by itself --------------------------------------------------------------------


def needed(variable: Variable[object], tmp_path: Path) -> dict[str, str]:
    """What has to be set, too, for a variable to have an effect."""
    file = tmp_path / "file.pem"
    file.write_text("x")
    signal = next((one for one in ("TRACES", "LOGS") if f"_{one}_" in variable.name), "METRICS")
    context = {
        "KUBENURSE_USE_TLS": {"KUBENURSE_CERT_FILE": str(file), "KUBENURSE_CERT_KEY": str(file)},
        "KUBENURSE_DISCOVERY": {"KUBENURSE_NEIGHBOURS_FILE": str(file)},
        "KUBENURSE_USE_PROXY": {"HTTP_PROXY": "http://proxy:3128"},
        "HTTP_PROXY": {"KUBENURSE_USE_PROXY": "true"},
        "HTTPS_PROXY": {"KUBENURSE_USE_PROXY": "true"},
        "NO_PROXY": {"KUBENURSE_USE_PROXY": "true"},
        "OTEL_TRACES_SAMPLER_ARG": {"OTEL_TRACES_SAMPLER": "traceidratio"},
    }.get(variable.name, {})
    if variable.name.startswith("OTEL_EXPORTER_OTLP_"):
        context = {
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_LOGS_EXPORTER": "otlp",
            f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT": "http://collector:4318",
        }
        if variable.name.endswith("_INSECURE"):
            context["OTEL_EXPORTER_OTLP_PROTOCOL"] = "grpc"
            context[f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"] = "collector:4317"
        if variable.name.endswith("_CLIENT_KEY"):
            context[variable.name.replace("_KEY", "_CERTIFICATE")] = str(file)
        if variable.name.endswith("_CLIENT_CERTIFICATE"):
            context[variable.name.replace("_CERTIFICATE", "_KEY")] = str(file)
        if variable.name.endswith("_ENDPOINT"):
            del context[f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT"]
    return context


@pytest.mark.parametrize("variable", BY_NAME.values(), ids=lambda variable: variable.name)
def test_a_variable_lands_where_the_reference_says(
    variable: Variable[object], tmp_path: Path
) -> None:
    """Its example, beside what it needs, changes a field that its row names, and no other part."""
    context = needed(variable, tmp_path)
    is_file = variable.name.endswith(("_CERTIFICATE", "CLIENT_KEY"))
    example = str(tmp_path / "file.pem") if is_file else variable.example
    without = dict(context)
    if variable.name.endswith(("CLIENT_KEY", "CLIENT_CERTIFICATE")):
        without = {name: text for name, text in context.items() if "_CLIENT_" not in name}
    before, after = config(**without), config(**context, **{variable.name: example})

    def field(of: Config, path: str) -> object:
        return reduce(getattr, path.split("."), of)  # type: ignore[return-value]

    paths = LANDS[variable.name]
    assert any(field(before, path) != field(after, path) for path in paths)
    changed = {part for part in Config.__slots__ if getattr(before, part) != getattr(after, part)}
    if variable.name not in ("KUBENURSE_PORT", "KUBENURSE_SERVICE_URL"):  # Others follow these.
        assert changed - {"warnings"} <= {path.partition(".")[0] for path in paths}


@pytest.mark.parametrize("variable", BY_NAME.values(), ids=lambda variable: variable.name)
def test_a_default_is_a_value(variable: Variable[object]) -> None:
    """Defaults are written in the variable's own syntax; without one the reference says what is."""
    if variable.default is None:
        assert variable.absent
    else:
        variable.parser.parse(variable.default)


def test_a_variable_is_written_once() -> None:
    """What fills several fields is one row, so that no two can say different things."""
    rows = {name: {id(row) for row, _ in walk(Config) if row.name == name} for name in BY_NAME}
    assert dict.fromkeys(BY_NAME, 1) == {name: len(found) for name, found in rows.items()}


def test_an_empty_environment_gives_the_defaults() -> None:
    """Config's own defaults are those of the table, so that both may be relied upon."""
    loaded = load({}, host_name=lambda: "host-1")
    mine, plain = loaded.config, Config()
    assert mine.identity.pod_name == "host-1"
    for part in ("checks", "trust", "discovery", "server", "telemetry", "log", "warnings"):
        assert getattr(mine, part) == getattr(plain, part)
    assert {setting.name for setting in loaded.sources} == set(BY_NAME)


def test_kubenurses_own_manifest_loads() -> None:
    """The environment that kubenurse's chart 1.15.3 makes needs only another image."""
    loaded = load(
        {
            "KUBENURSE_INGRESS_URL": "https://dummy-kubenurse.example.com",
            "KUBENURSE_SERVICE_URL": "http://kubenurse.kube-system.svc.cluster.local:8080",
            "KUBENURSE_INSECURE": "true",
            "KUBERNETES_SERVICE_DNS": "kubernetes.default.svc.cluster.local",
            "KUBENURSE_ALLOW_UNSCHEDULABLE": "false",
            "KUBENURSE_NAMESPACE": "kube-system",
            "KUBENURSE_NEIGHBOUR_FILTER": "app.kubernetes.io/name=kubenurse",
            "KUBENURSE_NEIGHBOUR_LIMIT": "10",
            "KUBENURSE_HISTOGRAM_BUCKETS": ".0005,.001,.0025,.005,.01,.025,.05,0.1,0.25,0.5,1",
            "KUBENURSE_EXPOSE_METADATA": "false",
            "KUBENURSE_VICTORIAMETRICS_HISTOGRAM": "false",
            "KUBENURSE_CHECK_ME_INGRESS": "false",
            "KUBENURSE_CHECK_INTERVAL": "5s",
            "KUBENURSE_REUSE_CONNECTIONS": "false",
            "KUBENURSE_SHUTDOWN_DURATION": "5s",
            "KUBENURSE_USE_TLS": "false",
            "KUBENURSE_CERT_FILE": "",
            "HOSTNAME": "kubenurse-x2bwx",
            "KUBERNETES_SERVICE_HOST": "10.96.0.1",
            "KUBERNETES_SERVICE_PORT": "443",
            "KUBERNETES_SERVICE_PORT_HTTPS": "443",
            "KUBERNETES_PORT": "tcp://10.96.0.1:443",
            "KUBENURSE_SERVICE_HOST": "10.96.7.7",
            "KUBENURSE_SERVICE_PORT": "8080",
            "KUBENURSE_SERVICE_PORT_8080_8080": "8080",
            "KUBENURSE_PORT": "tcp://10.96.7.7:8080",
            "KUBENURSE_PORT_8080_TCP": "tcp://10.96.7.7:8080",
            "KUBENURSE_PORT_8080_TCP_PROTO": "tcp",
            "KUBENURSE_PORT_8080_TCP_PORT": "8080",
            "KUBENURSE_PORT_8080_TCP_ADDR": "10.96.7.7",
        }
    ).config
    assert loaded.identity.pod_name == "kubenurse-x2bwx"
    assert loaded.identity.namespace == "kube-system"
    assert loaded.checks.api_server_host == "10.96.0.1"
    assert loaded.checks.enabled == frozenset(TargetKind) - {TargetKind.ME_INGRESS}
    assert loaded.checks.tls_server_name == "kubenurse.kube-system.svc.cluster.local"
    assert loaded.server.port == 8080
    assert not loaded.telemetry.expose_metadata
    assert loaded.telemetry.histogram_buckets[-1] == 1
    assert len(loaded.warnings) == 1
    assert loaded.warnings[0].startswith("KUBENURSE_PORT: ignored 'tcp://10.96.7.7:8080'")


LENIENT = [v for v in BY_NAME.values() if v.lenient and v.origin is not Origin.SYSTEM]


@pytest.mark.parametrize("variable", LENIENT, ids=lambda variable: variable.name)
@pytest.mark.parametrize("text", ["True", "1", "yes", " true", "off"])
def test_kubenurses_booleans_know_two_words(variable: Variable[object], text: str) -> None:
    """Anything but true and false is as if it was not set, with a warning that says so."""
    loaded = config(**{variable.name: text})
    (warning,) = loaded.warnings
    assert warning.startswith(f"{variable.name}: got '{text}', wants true or false; taken as")
    assert loaded == config_with_warnings(config(), loaded.warnings)


def config_with_warnings(of: Config, warnings: tuple[str, ...]) -> Config:
    return Config(
        **{part: getattr(of, part) for part in Config.__slots__ if part != "warnings"},
        warnings=warnings,
    )


def test_which_booleans_are_kubenurses() -> None:
    """Every boolean that kubenurse 1.15.3 reads is lenient, and no other variable is."""
    assert {variable.name.removeprefix("KUBENURSE_") for variable in LENIENT} == {
        "INSECURE",
        "USE_TLS",
        "ALLOW_UNSCHEDULABLE",
        "EXPOSE_METADATA",
        "VICTORIAMETRICS_HISTOGRAM",
        "REUSE_CONNECTIONS",
        "CHECK_API_SERVER_DIRECT",
        "CHECK_API_SERVER_DNS",
        "CHECK_ME_INGRESS",
        "CHECK_ME_SERVICE",
        "CHECK_NEIGHBOURHOOD",
    }


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("KUBENURSE_CHECK_INTERVAL", "5", "got '5', wants a duration such as 5s"),
        ("KUBENURSE_CHECK_TIMEOUT", "-1s", "got '-1s', wants a duration"),
        ("KUBENURSE_NEIGHBOUR_LIMIT", "-1", "wants a whole number from 0"),
        ("KUBENURSE_NEIGHBOUR_LIMIT", "ten", "wants a whole number"),
        ("KUBENURSE_NEIGHBOUR_FILTER", "app in (a", "wants a label selector"),
        ("KUBENURSE_INGRESS_URL", "kubenurse.example.com", "wants a URL"),
        ("KUBENURSE_HISTOGRAM_BUCKETS", "1,1", "strictly increasing"),
        ("KUBENURSE_EXTRA_CHECKS", "a", "with a ':' between name and URL"),
        ("KUBENURSE_EXTRA_CHECKS", "me_service:http://a", "no built-in check has"),
        ("KUBENURSE_PORT", "80800", "wants a port from 1 to 65535"),
        ("KUBENURSE_LISTEN_ADDRESS", "localhost", "wants an IPv4 or IPv6 address"),
        ("KUBENURSE_LISTEN_ADDRESS", "fe80::1%eth0", "without a zone"),
        ("KUBENURSE_INGRESS_URL", "http://[fe80::1%25eth0]/", "without a zone"),
        ("KUBENURSE_NODE_NAME", "$(NODE_NAME)", "wants a Kubernetes name"),
        ("KUBENURSE_DISCOVERY", "consul", "wants kubernetes or static"),
        ("KUBENURSE_TRACE_RATIO", "2", "wants a number from 0 to 1"),
        ("KUBENURSE_UNREADY_WHEN_CORDONED", "True", "wants true or false"),
        ("KUBENURSE_USE_PROXY", "1", "wants true or false"),
        ("KUBENURSE_LOG_LEVEL", "loud", "wants debug or info or warning"),
        ("KUBENURSE_ALIVE_STATUS", "204", "wants 200 or 500"),
        ("KUBERNETES_SERVICE_PORT", "https", "wants a port"),
    ],
)
def test_an_invalid_value_is_a_problem(name: str, text: str, says: str) -> None:
    """One line: the variable, what it got, what it wants."""
    (problem,) = problems(**{name: text})
    assert problem.startswith(f"{name}: ")
    assert says in problem


def test_all_problems_are_said_at_once() -> None:
    """Nobody has to start the agent five times to find five mistakes."""
    found = problems(
        KUBENURSE_CHECK_INTERVAL="5",
        KUBENURSE_PORT="0",
        KUBENURSE_DISCOVERY="static",
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "KUBENURSE_CHECK_INTERVAL",
        "KUBENURSE_PORT",
        "KUBENURSE_NEIGHBOURS_FILE",
    ]


def test_a_value_that_could_break_a_line_is_escaped_and_cut() -> None:
    """A problem stays one line of bounded length, whatever the environment holds."""
    (problem,) = problems(KUBENURSE_CHECK_INTERVAL="5\n\x1b[31m\udcff" + "9" * 5000)
    assert "5\\n\\x1b[31m\\udcff999" in problem
    assert problem.isprintable()
    assert len(problem) < 500


# --- what depends on something else -------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "names"),
    [
        ({"KUBENURSE_DISCOVERY": "static"}, ["KUBENURSE_NEIGHBOURS_FILE"]),
        ({"KUBENURSE_USE_TLS": "true"}, ["KUBENURSE_CERT_FILE", "KUBENURSE_CERT_KEY"]),
        (
            {
                "KUBENURSE_USE_TLS": "true",
                "KUBENURSE_CERT_FILE": "/does/not/exist",
                "KUBENURSE_CERT_KEY": "/dev",
            },
            ["KUBENURSE_CERT_FILE", "KUBENURSE_CERT_KEY"],
        ),
        (
            {"KUBENURSE_VICTORIAMETRICS_HISTOGRAM": "true", "KUBENURSE_HISTOGRAM_BUCKETS": "1,2"},
            ["KUBENURSE_HISTOGRAM_BUCKETS"],
        ),
        ({"KUBENURSE_ADMIN_PORT": "8080"}, ["KUBENURSE_ADMIN_PORT"]),
    ],
)
def test_variables_that_contradict_each_other(environ: dict[str, str], names: list[str]) -> None:
    """What is missing beside another, or excludes it, is a problem of that variable."""
    assert [problem.partition(":")[0] for problem in problems(**environ)] == names


def test_ports_of_listeners_differ(tmp_path: Path) -> None:
    """With TLS there are two ports, and the admin port is a third."""
    file = tmp_path / "tls.pem"
    file.write_text("x")
    tls = {
        "KUBENURSE_USE_TLS": "true",
        "KUBENURSE_CERT_FILE": str(file),
        "KUBENURSE_CERT_KEY": str(file),
    }
    assert len(problems(**tls, KUBENURSE_PORT="8443")) == 1
    assert len(problems(**tls, KUBENURSE_ADMIN_PORT="8443")) == 1
    assert config(KUBENURSE_ADMIN_PORT="8443").server.admin_port == 8443
    loaded = config(**tls, KUBENURSE_ADMIN_PORT="9090", KUBENURSE_TLS_PORT="9443")
    assert (loaded.server.use_tls, loaded.server.path_port) == (True, 9443)
    assert (loaded.server.cert_file, loaded.server.cert_key) == (file, file)


def test_intervals_by_kind() -> None:
    """One variable for both API server checks, one for each other kind."""
    loaded = config(
        KUBENURSE_CHECK_INTERVAL="10s",
        KUBENURSE_CHECK_INTERVAL_API_SERVER="1m",
        KUBENURSE_CHECK_INTERVAL_NEIGHBOURHOOD="2s",
        KUBENURSE_CHECK_INTERVAL_EXTRA="30s",
    )
    assert loaded.checks.interval_seconds == 10
    assert loaded.checks.interval_seconds_by_kind == {
        TargetKind.API_SERVER_DIRECT: 60,
        TargetKind.API_SERVER_DNS: 60,
        TargetKind.PATH: 2,
        TargetKind.EXTRA: 30,
    }


def test_ours_of_many_kinds() -> None:
    """Words become enums, durations seconds, IPv6 addresses plain ones."""
    loaded = config(
        KUBENURSE_DISCOVERY="Static",
        KUBENURSE_NEIGHBOURS_FILE="/does/not/exist",
        KUBENURSE_IP_FAMILIES="both",
        KUBENURSE_LISTEN_ADDRESS="[::1]",
        KUBENURSE_METRICS="own",
        KUBENURSE_LOG_FORMAT="json",
        KUBENURSE_LOG_LEVEL="DEBUG",
        KUBENURSE_EXTRA_CA="/does/not/exist",
        KUBENURSE_SHUTDOWN_DURATION="0s",
        KUBENURSE_ALIVE_STATUS="200",
    )
    assert loaded.discovery.source is DiscoverySource.STATIC
    assert loaded.checks.ip_families is IpFamilies.BOTH
    assert loaded.server.listen_address == "::1"
    assert loaded.telemetry.metrics is MetricsChoice.OWN
    assert (loaded.log.format, loaded.log.level) == (LogFormat.JSON, "DEBUG")
    assert (loaded.server.shutdown_seconds, loaded.server.alive_status) == (0.0, 200)
    assert [warning.partition(":")[0] for warning in loaded.warnings] == [
        "KUBENURSE_EXTRA_CA",
        "KUBENURSE_NEIGHBOURS_FILE",
    ]


def test_a_broken_file_of_authorities_is_one_problem(tmp_path: Path) -> None:
    """It names file, block and line; a file that is missing may still come (a warning)."""
    file = tmp_path / "ca.pem"
    file.write_bytes(root().pem + broken(other_root().pem))
    line = root().pem.count(b"\n") + 1

    assert problems(KUBENURSE_EXTRA_CA=str(file)) == (
        f"KUBENURSE_EXTRA_CA: got '{file}', wants a file of sound certificates: block 2 in line "
        f"{line} is not base64",
    )
    file.write_text("")
    assert "there is no PEM certificate" in problems(KUBENURSE_EXTRA_CA=str(file))[0]
    # A regular file that may be opened, and not read.
    assert "Input/output error" in problems(KUBENURSE_EXTRA_CA="/proc/self/mem")[0]


def test_who_we_are(tmp_path: Path) -> None:
    """The downward API wins over the host name, KUBENURSE_NAMESPACE over the service account's."""
    (tmp_path / "namespace").write_text("monitoring\n")
    account = {"KUBENURSE_SERVICE_ACCOUNT_DIR": str(tmp_path)}
    loaded = config(**account, HOSTNAME="pod-1")
    assert (loaded.identity.pod_name, loaded.identity.namespace) == ("pod-1", "monitoring")
    assert loaded.trust.token_file == tmp_path / "token"
    loaded = config(
        **account, HOSTNAME="pod-1", KUBENURSE_POD_NAME="pod-2", KUBENURSE_NAMESPACE="other"
    )
    assert (loaded.identity.pod_name, loaded.identity.namespace) == ("pod-2", "other")
    assert load({}, host_name=lambda: "MyMac.local").config.identity.pod_name == "mymac.local"
    assert load({}, host_name=lambda: "my mac!").config.identity.pod_name == ""
    (tmp_path / "namespace").write_bytes(b"\xff\xfe")
    assert config(**account).identity.namespace == ""


@pytest.mark.parametrize(
    ("service_url", "name"),
    [
        ("https://kubenurse.ns.svc:8443/x", "kubenurse.ns.svc"),
        ("http://10.0.0.1:8080", ""),
        ("http://[fd00::1]:8080", ""),
    ],
)
def test_the_name_that_path_checks_verify(service_url: str, name: str) -> None:
    """By default the Service's DNS name, where its URL has one."""
    assert config(KUBENURSE_SERVICE_URL=service_url).checks.tls_server_name == name
    chosen = config(KUBENURSE_SERVICE_URL=service_url, KUBENURSE_TLS_SERVER_NAME="other.svc")
    assert chosen.checks.tls_server_name == "other.svc"


def proxy(host: str, port: int) -> Proxy:
    return Proxy(scheme="http", host=host, port=port)


@pytest.mark.parametrize(
    ("environ", "used"),
    [
        ({"HTTP_PROXY": "http://a:1"}, ProxyConfig()),
        ({"HTTP_PROXY": "not://a proxy", "KUBENURSE_USE_PROXY": "false"}, ProxyConfig()),
        (
            {"KUBENURSE_USE_PROXY": "true", "HTTP_PROXY": "a:1", "https_proxy": "http://b:2"},
            ProxyConfig(http=proxy("a", 1), https=proxy("b", 2)),
        ),
        (
            {"KUBENURSE_USE_PROXY": "true", "HTTPS_PROXY": "c:3", "https_proxy": "b:2",
             "no_proxy": ".svc"},
            ProxyConfig(https=proxy("c", 3), no_proxy=".svc"),
        ),
    ],
)  # fmt: skip
def test_proxies_are_used_on_request(environ: dict[str, str], used: ProxyConfig) -> None:
    """In capitals or small letters, capitals first; without KUBENURSE_USE_PROXY not even judged."""
    assert config(**environ).checks.proxy == used


# --- OpenTelemetry ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environ", "traces", "metrics"),
    [
        ({}, None, None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
            "http://c:4318/v1/traces",
            None,
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "https://c/otlp/", "OTEL_METRICS_EXPORTER": "otlp"},
            "https://c/otlp/v1/traces",
            "https://c/otlp/v1/metrics",
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t:4318/custom?x=y",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:4318",
                "OTEL_METRICS_EXPORTER": "both",
            },
            "http://t:4318/custom?x=y",
            "http://m:4318/",
        ),
        ({"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://m:4318"}, None, None),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://fd00::5:4318"},
            "http://[fd00::5]:4318/v1/traces",
            None,
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"},
            "http://localhost:4318/v1/traces",
            "http://localhost:4318/v1/metrics",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "localhost:4317",
            None,
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_EXPORTER": "none"},
            None,
            None,
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_SDK_DISABLED": "true",
             "OTEL_METRICS_EXPORTER": "otlp"},
            None,
            None,
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", "OTEL_TRACES_SAMPLER": "always_off"},
            None,
            None,
        ),
    ],
)  # fmt: skip
def test_where_otlp_goes(environ: dict[str, str], traces: str | None, metrics: str | None) -> None:
    """A base endpoint gets the signal's path, a signal's own is used as it is."""
    telemetry = config(**environ).telemetry
    assert (telemetry.otlp_traces.endpoint if telemetry.otlp_traces else None) == traces
    assert (telemetry.otlp_metrics.endpoint if telemetry.otlp_metrics else None) == metrics


@pytest.mark.parametrize(
    ("endpoint", "insecure", "address", "plain"),
    [
        ("http://c:4317", "false", "c:4317", True),
        ("https://c:4317", "true", "c:4317", False),
        ("https://c", "", "c:443", False),
        ("http://[fd00::1]/", "", "[fd00::1]:80", True),
        ("c:4317", "", "c:4317", False),
        ("c:4317", "true", "c:4317", True),
        ("[::1]:4317", "true", "[::1]:4317", True),
        ("fd00::5:4317", "true", "[fd00::5]:4317", True),
        ("http://fd00::5:4317", "", "[fd00::5]:4317", True),
        ("dns:///c:4317", "true", "dns:///c:4317", True),
        ("unix:///run/otel.sock", "", "unix:///run/otel.sock", False),
    ],
)
def test_grpc_endpoints(endpoint: str, insecure: str, address: str, plain: bool) -> None:
    """The scheme says whether there is TLS, and _INSECURE where there is no scheme."""
    otlp = config(
        OTEL_EXPORTER_OTLP_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_ENDPOINT=endpoint,
        OTEL_EXPORTER_OTLP_INSECURE=insecure,
    ).telemetry.otlp_traces
    assert otlp is not None
    assert (otlp.endpoint, otlp.insecure) == (address, plain)


def test_a_signals_own_variables_win(tmp_path: Path) -> None:
    """Each of them replaces the common one; what is empty is not set."""
    file = tmp_path / "file.pem"
    file.write_text("x")
    telemetry = config(
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_ENDPOINT="https://common:4318",
        OTEL_EXPORTER_OTLP_HEADERS="a=1,b=2",
        OTEL_EXPORTER_OTLP_TIMEOUT="10000",
        OTEL_EXPORTER_OTLP_COMPRESSION="gzip",
        OTEL_EXPORTER_OTLP_CERTIFICATE=str(file),
        OTEL_EXPORTER_OTLP_TRACES_PROTOCOL="grpc",
        OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="traces:4317",
        OTEL_EXPORTER_OTLP_TRACES_INSECURE="true",
        OTEL_EXPORTER_OTLP_TRACES_HEADERS="c=3",
        OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="500",
        OTEL_EXPORTER_OTLP_TRACES_COMPRESSION="none",
        OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY=str(file),
        OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE=str(file),
        OTEL_EXPORTER_OTLP_METRICS_HEADERS="",
    ).telemetry
    assert telemetry.otlp_traces == OtlpConfig(
        endpoint="traces:4317",
        protocol=OtlpProtocol.GRPC,
        headers=(("c", "3"),),
        timeout_seconds=0.5,
        insecure=True,
        certificate=file,
        client_key=file,
        client_certificate=file,
    )
    assert telemetry.otlp_metrics == OtlpConfig(
        endpoint="https://common:4318/v1/metrics",
        headers=(("a", "1"), ("b", "2")),
        timeout_seconds=10.0,
        certificate=file,
        gzip=True,
    )
    assert not telemetry.prometheus


@pytest.mark.parametrize(
    ("exporters", "prometheus", "otlp", "console"),
    [
        ("", True, False, False),
        ("prometheus", True, False, False),
        ("otlp", False, True, False),
        ("both", True, True, False),
        ("OTLP , prometheus,otlp", True, True, False),
        ("console", False, False, True),
        ("none", False, False, False),
    ],
)
def test_metrics_exporters(exporters: str, prometheus: bool, otlp: bool, console: bool) -> None:
    """prometheus by default; a list is all of it, none is nothing."""
    telemetry = config(OTEL_METRICS_EXPORTER=exporters).telemetry
    assert telemetry.prometheus == prometheus
    assert (telemetry.otlp_metrics is not None) == otlp
    assert telemetry.console_metrics == console


@pytest.mark.parametrize(
    ("environ", "endpoint", "console"),
    [
        ({}, None, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, None, False),
        ({"OTEL_LOGS_EXPORTER": "none"}, None, False),
        ({"OTEL_LOGS_EXPORTER": "console"}, None, True),
        ({"OTEL_LOGS_EXPORTER": "otlp,console"}, "http://localhost:4318/v1/logs", True),
        (
            {"OTEL_LOGS_EXPORTER": "OTLP", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"},
            "http://c:4318/v1/logs",
            False,
        ),
        (
            {"OTEL_LOGS_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT": "http://l/own"},
            "http://l/own",
            False,
        ),
        ({"OTEL_LOGS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, None, False),
    ],
)
def test_where_log_records_go(environ: dict[str, str], endpoint: str | None, console: bool) -> None:
    """Nowhere by default, though there is an endpoint: who wants verdicts there says so."""
    telemetry = config(**environ).telemetry
    assert endpoint == (telemetry.otlp_logs.endpoint if telemetry.otlp_logs else None)
    assert console == telemetry.console_logs


def test_an_unknown_exporter_of_logs_is_a_warning() -> None:
    """It may be set for a whole cluster: said once, and then none, as by default."""
    loaded = load({"OTEL_LOGS_EXPORTER": "file"})
    assert loaded.config.telemetry.otlp_logs is None
    (warning,) = loaded.config.warnings
    assert warning.startswith("OTEL_LOGS_EXPORTER: got 'file', wants otlp, console or none")


def test_without_diagnosis_no_log_record_is_promised() -> None:
    """The list of settings says that the exporter is without effect, and why."""
    loaded = load({"OTEL_LOGS_EXPORTER": "otlp", "KUBENURSE_DIAGNOSIS": "false"})
    (setting,) = (one for one in loaded.sources if one.name == "OTEL_LOGS_EXPORTER")
    assert ("ignored", "KUBENURSE_DIAGNOSIS is false: no verdicts") == (
        setting.source.value,
        setting.note,
    )


def test_a_disabled_sdk_leaves_the_scrape() -> None:
    """No traces, no OTLP, no console; /metrics goes on, and no other OTEL_* is looked at."""
    loaded = load(
        {
            "OTEL_SDK_DISABLED": "True",
            "OTEL_METRICS_EXPORTER": "otlp,console",
            "OTEL_TRACES_EXPORTER": "otlp,console",
            "OTEL_BSP_SCHEDULE_DELAY": "garbage",
            "OTEL_CONFIG_FILE": "/etc/otel.yaml",
            "OTEL_NEVER_HEARD_OF": "1",
        }
    )
    telemetry = loaded.config.telemetry
    assert not loaded.config.warnings
    assert telemetry == replace(Config().telemetry, sdk_disabled=True)
    ignored = {s.name for s in loaded.sources if s.source is Source.IGNORED}
    assert ignored == {
        "OTEL_METRICS_EXPORTER",
        "OTEL_TRACES_EXPORTER",
        "OTEL_BSP_SCHEDULE_DELAY",
    }
    assert telemetry.sdk_disabled
    assert telemetry.prometheus
    assert telemetry.otlp_metrics is telemetry.otlp_traces is None
    assert not telemetry.console_metrics
    assert not telemetry.console_traces


@pytest.mark.parametrize(
    ("environ", "ratio", "exported"),
    [
        ({}, 0.01, True),
        ({"OTEL_TRACES_SAMPLER": "always_on"}, 1.0, True),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_on"}, 1.0, True),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, 0.0, False),
        ({"OTEL_TRACES_SAMPLER": "parentbased_always_off"}, 0.0, False),
        ({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.5, True),
        (
            {
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.25",
            },
            0.25,
            True,
        ),
        ({"OTEL_TRACES_SAMPLER": "traceidratio"}, 1.0, True),
        ({"OTEL_TRACES_SAMPLER": "always_on", "KUBENURSE_TRACE_RATIO": "0.1"}, 0.1, True),
        ({"OTEL_TRACES_SAMPLER": "always_off", "KUBENURSE_TRACE_RATIO": "0"}, 0.0, True),
        ({"OTEL_TRACES_SAMPLER_ARG": "0.5"}, 0.01, True),
    ],
)
def test_sampling(environ: dict[str, str], ratio: float, exported: bool) -> None:
    """KUBENURSE_TRACE_RATIO wins; always_off exports nothing at all."""
    telemetry = config(**environ, OTEL_TRACES_EXPORTER="console").telemetry
    assert (telemetry.trace_ratio, telemetry.console_traces) == (ratio, exported)


def test_resource_attributes_and_the_services_name() -> None:
    """OTEL_SERVICE_NAME wins over OTEL_RESOURCE_ATTRIBUTES."""
    attributes = "service.name=a,team=net%20work"
    assert config(OTEL_RESOURCE_ATTRIBUTES=attributes).telemetry.resource_attributes == (
        ("service.name", "a"),
        ("team", "net work"),
    )
    named = config(OTEL_RESOURCE_ATTRIBUTES=attributes, OTEL_SERVICE_NAME="b").telemetry
    assert dict(named.resource_attributes) == {"service.name": "b", "team": "net work"}


def test_span_limits_fall_back_to_the_general_ones() -> None:
    """A limit of spans or events wins over the general one, 0 included."""
    general = config(OTEL_ATTRIBUTE_COUNT_LIMIT="10", OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="20")
    assert general.telemetry.span_limits == SpanLimitsConfig(
        attribute_count=10, attribute_value_length=20, event_count=128, event_attribute_count=10
    )
    special = config(
        OTEL_ATTRIBUTE_COUNT_LIMIT="10",
        OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT="20",
        OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT="5",
        OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT="0",
        OTEL_SPAN_EVENT_COUNT_LIMIT="4",
        OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT="3",
    )
    assert special.telemetry.span_limits == SpanLimitsConfig(
        attribute_count=5, attribute_value_length=0, event_count=4, event_attribute_count=3
    )


def test_batches_intervals_and_temporality() -> None:
    """Milliseconds become seconds; a batch never is larger than the queue."""
    telemetry = config(
        OTEL_BSP_MAX_QUEUE_SIZE="32",
        OTEL_BSP_SCHEDULE_DELAY="250",
        OTEL_METRIC_EXPORT_INTERVAL="1500",
        OTEL_METRIC_EXPORT_TIMEOUT="1000",
        OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE="Delta",
        OTEL_METRICS_EXEMPLAR_FILTER="always_off",
    ).telemetry
    assert (telemetry.bsp_queue_size, telemetry.bsp_batch_size) == (32, 32)
    assert telemetry.bsp_delay_seconds == 0.25
    assert (telemetry.metric_interval_seconds, telemetry.metric_timeout_seconds) == (1.5, 1.0)
    assert telemetry.temporality is Temporality.DELTA
    assert not telemetry.exemplars


# --- anything at all ----------------------------------------------------------------------------

NAMES = [*BY_NAME, "KUBENURSE_X", "OTEL_PROPAGATORS", "OTEL_CONFIG_FILE", "http_proxy"]
TEXTS = (
    st.text(max_size=30)
    | st.sampled_from([variable.example for variable in BY_NAME.values()])
    | st.from_regex(r"[0-9a-z:/.,=|%@-]{0,30}", fullmatch=True)
    | st.sampled_from(["tcp://10.0.0.1:80", "true", "0", "grpc", "static", "\udcff", "9" * 5000])
)


@settings(max_examples=400, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), TEXTS, max_size=12))
def test_any_environment_loads_or_is_refused(environ: dict[str, str]) -> None:
    """Either a Config or a ConfigError whose problems are single, printable, bounded lines."""
    try:
        loaded = load(environ)
    except ConfigError as error:
        said = error.problems
        assert said
    else:
        said = (*loaded.config.warnings, *loaded.lines())
        assert {setting.name for setting in loaded.sources} >= set(BY_NAME)
    assert all(sentence.isprintable() and len(sentence) < 700 for sentence in said)


@pytest.mark.parametrize(
    ("environ", "why"),
    [
        ({"KUBENURSE_DISCOVERY": "static"}, "KUBENURSE_DISCOVERY is static"),
        ({"KUBENURSE_CHECK_DNS": "false"}, "KUBENURSE_CHECK_DNS is false"),
        ({"KUBENURSE_CHECK_API_SERVER_DNS": "false"}, "KUBENURSE_CHECK_API_SERVER_DNS is false"),
        ({"KUBENURSE_RESOLVER": "system"}, None),
        ({}, None),
    ],
)
def test_a_namespace_of_dns_that_nobody_reads_is_told(
    environ: dict[str, str], why: str | None, tmp_path: Path
) -> None:
    """Once at the start, and in the list of settings."""
    file = tmp_path / "neighbours.yaml"
    file.write_text("[]")
    static = {"KUBENURSE_NEIGHBOURS_FILE": str(file)} if "KUBENURSE_DISCOVERY" in environ else {}
    loaded = load({**environ, **static, "KUBENURSE_DNS_NAMESPACE": "kube-system"})
    (setting,) = (one for one in loaded.sources if one.name == "KUBENURSE_DNS_NAMESPACE")
    if why is None:
        assert (loaded.config.warnings, setting.note) == ((), "")
        return
    (warning,) = loaded.config.warnings
    assert warning.startswith(f"KUBENURSE_DNS_NAMESPACE: without effect, {why}")
    assert setting.source is Source.IGNORED
    assert setting.note.startswith(why)
