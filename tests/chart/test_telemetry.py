"""How metrics and traces leave: monitors, collector, OTLP; rules and dashboards."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from collector import binaries

from . import helm
from .values import CHART

COLLECTOR = {"endpoint": "otlp.example.com:4317"}
OTELCOL = binaries.collector_target()
MONITORS = {"service": "ServiceMonitor", "pod": "PodMonitor"}


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ({}, "annotations"),
        ({"monitor": "none"}, "none"),
        ({"monitor": "service"}, "service"),
        ({"monitor": "pod"}, "pod"),
        ({"serviceMonitor": {"enabled": True}}, "service"),
    ],
)
@pytest.mark.parametrize("admin", [0, 9090])
def test_exactly_one_way_to_scrape(given: dict[str, Any], used: str, admin: int) -> None:
    """Annotations, ServiceMonitor, PodMonitor or nothing, on the port that has /metrics."""
    manifests = helm.render(given | {"ports": {"admin": admin}, "clusterName": "one"})
    annotations = helm.pod(manifests)["metadata"]["annotations"]
    assert ("prometheus.io/scrape" in annotations) == (used == "annotations")
    if used == "annotations":
        assert str(admin or 8080) == annotations["prometheus.io/port"]
        assert "one" == helm.pod(manifests)["metadata"]["labels"]["cluster"]
    for kind, name in MONITORS.items():
        assert len(helm.of_kind(manifests, name)) == (used == kind)
    if used in MONITORS:
        spec = helm.one(manifests, MONITORS[used])["spec"]
        (endpoint,) = spec["endpoints" if used == "service" else "podMetricsEndpoints"]
        ports = {
            "service": helm.one(manifests, "Service")["spec"]["ports"],
            "pod": helm.agent(manifests)["ports"],
        }[used]
        (port,) = [port for port in ports if port["name"] == endpoint["port"]]
        assert (admin or 8080) == port.get("targetPort", port.get("containerPort"))
        assert {"action": "replace", "targetLabel": "cluster", "replacement": "one"} == (
            endpoint["relabelings"][0]
        )


@pytest.mark.parametrize("kind", MONITORS)
def test_a_monitor_asks_for_classic_histograms(kind: str) -> None:
    """Whatever is done with other targets; not where the operator does not know the words."""
    words = {"scrapeClassicHistograms": True, "convertClassicHistogramsToNHCB": False}
    spec = helm.one(helm.render({"monitor": kind}), MONITORS[kind])["spec"]
    assert words == {key: value for key, value in spec.items() if "Classic" in key}

    values = {"monitor": kind, "serviceMonitor": {"classicHistograms": False}}
    assert not words.keys() & helm.one(helm.render(values), MONITORS[kind])["spec"].keys()


def test_monitor_takes_its_settings() -> None:
    """Interval, timeout, relabelings and labels reach ServiceMonitor and PodMonitor alike."""
    settings = {
        "interval": "15s",
        "scrapeTimeout": "10s",
        "relabelings": [{"targetLabel": "a", "replacement": "b"}],
        "metricRelabelings": [{"action": "drop", "regex": "c"}],
    }
    for kind, name in MONITORS.items():
        values = {"monitor": kind, "serviceMonitor": settings | {"labels": {"release": "p"}}}
        manifest = helm.one(helm.render(values), name)
        (endpoint,) = manifest["spec"]["endpoints" if kind == "service" else "podMetricsEndpoints"]
        assert settings == {key: endpoint[key] for key in settings}
        assert "p" == manifest["metadata"]["labels"]["release"]


@pytest.mark.parametrize("exporter", ["", "otlp", "none"])
def test_verdicts_leave_as_log_records_on_request(exporter: str) -> None:
    """Without a value the agent's own default counts."""
    given = {} if not exporter else {"otel": {"logsExporter": exporter}}
    environ = {one["name"]: one.get("value") for one in helm.agent(helm.render(given))["env"]}
    assert (exporter or None) == environ.get("OTEL_LOGS_EXPORTER")


def listens(values: dict[str, Any]) -> tuple[str, int] | None:
    """Where the collector serves its own metrics, by its configuration."""
    metrics = collector_config(values)["service"]["telemetry"]["metrics"]
    if metrics == {"level": "none"}:
        return None
    (reader,) = metrics["readers"]
    prometheus = reader["pull"]["exporter"]["prometheus"]
    return prometheus["host"], prometheus["port"]


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("kind", MONITORS)
def test_the_agents_monitor_scrapes_the_collector_too(kind: str, *, native: bool) -> None:
    """Whether it can send on only it knows: same monitor, labels and time, on both families."""
    values = {
        "collector": COLLECTOR | {"native": native, "metricsPort": 8889},
        "monitor": kind,
        "clusterName": "one",
        "serviceMonitor": {"metricRelabelings": [{"action": "drop", "regex": "c"}]},
    }
    manifests = helm.render(values)
    spec = helm.one(manifests, MONITORS[kind])["spec"]
    ours, theirs = spec["endpoints" if kind == "service" else "podMetricsEndpoints"]
    assert ours | {"port": theirs["port"]} == theirs
    assert ("", 8889) == listens(values)
    pod = helm.pod(manifests)["spec"]
    collector = pod["initContainers"][0] if native else pod["containers"][1]
    assert [{"name": theirs["port"], "containerPort": 8889, "protocol": "TCP"}] == (
        collector["ports"]
    )
    # By number: a native sidecar is an init container, whose ports' names are not looked for.
    of_service = [
        (port["port"], port["targetPort"])
        for port in helm.one(manifests, "Service")["spec"]["ports"]
        if port["name"] == theirs["port"]
    ]
    assert ([(8889, 8889)] if kind == "service" else []) == of_service


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ({}, ("127.0.0.1", 8888)),
        ({"monitor": "none"}, ("127.0.0.1", 8888)),
        ({"otel": {"metricsExporter": "none"}, "monitor": "service"}, ("127.0.0.1", 8888)),
        ({"collector": COLLECTOR | {"metricsPort": 8889}}, ("127.0.0.1", 8889)),
        ({"collector": COLLECTOR | {"metricsPort": 0}}, None),
        ({"collector": COLLECTOR | {"metricsPort": 0}, "monitor": "service"}, None),
        ({"collector": COLLECTOR | {"metricsPort": 0}, "monitor": "pod"}, None),
    ],
)
def test_without_a_monitor_the_collectors_metrics_stay_in_the_pod(
    given: dict[str, Any], at: tuple[str, int] | None
) -> None:
    """Annotations know one port, and a second one could have the agent scraped twice."""
    values = {"collector": COLLECTOR} | given
    assert at == listens(values)
    assert_not_scraped(helm.render(values))


@pytest.mark.parametrize("kind", MONITORS)
def test_a_collector_of_the_users_own_is_not_scraped_unasked(kind: str) -> None:
    """Nobody knows which port its metrics have, if any."""
    own = {"config": {"service": {"telemetry": {"metrics": {"level": "none"}}}}}
    assert_not_scraped(helm.render({"collector": own, "monitor": kind}))


def assert_not_scraped(manifests: list[helm.Manifest]) -> None:
    assert "ports" not in helm.pod(manifests)["spec"]["containers"][1]
    assert ["8080-8080"] == [
        port["name"] for port in helm.one(manifests, "Service")["spec"]["ports"]
    ]
    for kind, name in MONITORS.items():
        for monitor in helm.of_kind(manifests, name):
            assert 1 == len(
                monitor["spec"]["endpoints" if kind == "service" else "podMetricsEndpoints"]
            )


@pytest.mark.parametrize(
    ("given", "exporter", "warned"),
    [
        ({}, "prometheus", False),
        ({"collector": COLLECTOR}, "prometheus", False),
        ({"collector": COLLECTOR, "monitor": "none"}, "otlp", False),
        ({"otel": {"endpoint": "http://a:4318"}, "monitor": "none"}, "otlp", False),
        (
            {"otel": {"endpoint": "http://a:4318", "metricsExporter": "otlp"}},
            "prometheus,otlp",
            True,
        ),
        ({"otel": {"metricsExporter": "otlp"}, "monitor": "none"}, "otlp", False),
        ({"otel": {"metricsExporter": "otlp"}, "monitor": "service"}, "prometheus,otlp", True),
        ({"otel": {"metricsExporter": "console"}}, "prometheus,console", False),
        ({"otel": {"metricsExporter": "prometheus,otlp"}}, "prometheus,otlp", True),
    ],
)
def test_metrics_leave_once(
    given: dict[str, Any], exporter: str, notes: Callable[..., str], *, warned: bool
) -> None:
    """Metrics are scraped, or pushed where nothing scrapes; doing both is warned of."""
    assert exporter == helm.environment(helm.render(given))["OTEL_METRICS_EXPORTER"]
    assert warned == ("WARNING: metrics are pushed" in notes(given))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "Metrics: /metrics of each pod; Prometheus has to follow"),
        (
            {"monitor": "none"},
            "Metrics: /metrics of each pod, for a scrape configuration of your own",
        ),
        ({"monitor": "none", "collector": COLLECTOR}, "Metrics: pushed over OTLP."),
        ({"monitor": "pod"}, "Metrics: by the PodMonitor"),
        ({"otel": {"metricsExporter": "none"}}, "Metrics: none leave the agents"),
    ],
)
def test_notes_say_where_metrics_go(
    given: dict[str, Any], said: str, notes: Callable[..., str]
) -> None:
    """In one line."""
    (line,) = [line for line in notes(given).splitlines() if line.startswith("Metrics:")]
    assert line.startswith(said)


@pytest.mark.parametrize(
    ("given", "said", "look"),
    [
        ({}, "Traces: none leave the agents", None),
        (
            {"collector": COLLECTOR},
            "Traces: to otlp.example.com:4317 by grpc",
            "--container collector",
        ),
        (
            {"collector": COLLECTOR | {"native": True}},
            "Traces: to otlp.example.com:4317 by grpc",
            "--container collector",
        ),
        (
            {"collector": {"config": {"receivers": {}}}},
            "Traces: to where collector.config sends them",
            "--container collector",
        ),
        (
            {"otel": {"endpoint": "http://a:4318"}},
            "Traces: to http://a:4318 by http/protobuf",
            "--container kubenurse",
        ),
        (
            {"otel": {"endpoint": "http://a:4317", "protocol": "grpc"}},
            "Traces: to http://a:4317 by grpc",
            "--container kubenurse",
        ),
        (
            {"otel": {"tracesExporter": "none"}},
            "Traces: none leave the agents (otel.tracesExporter: none).",
            None,
        ),
        (
            {
                "daemonset": {
                    "extraEnvs": [{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://a:4318"}]
                }
            },
            "Traces: as OTEL_ variables of daemonset.extraEnvs say.",
            "--container kubenurse",
        ),
        (
            {"otel": {"tracesExporter": "console"}},
            "Traces: into the agents' own output (otel.tracesExporter: console).",
            None,
        ),
    ],
)
def test_notes_say_where_traces_go(
    given: dict[str, Any], said: str, look: str | None, notes: Callable[..., str]
) -> None:
    """In one line, and how to see that they arrive: beside a collector the agent cannot tell."""
    text = notes(given)
    (line,) = [line for line in text.splitlines() if line.startswith("Traces:")]
    assert line.startswith(said)
    for command in ("--container collector", "--container kubenurse"):
        assert (command == look) == (command in text)


@pytest.mark.parametrize(
    ("given", "warned"),
    [
        ({"collector": {"endpoint": "a:4318"}}, "collector.endpoint a:4318"),
        ({"collector": {"endpoint": "http://[fd00::5]:4318/"}}, "collector.endpoint http://[fd00"),
        ({"collector": {"endpoint": "$(HOST_IP):4318"}}, "collector.endpoint $(HOST_IP):4318"),
        (
            {"collector": {"endpoint": "a:4317", "protocol": "http/protobuf"}},
            "collector.endpoint a:4317",
        ),
        ({"otel": {"endpoint": "http://a:4317"}}, "otel.endpoint http://a:4317"),
        ({"otel": {"endpoint": "http://$(HOST_IP):4317"}}, "otel.endpoint http://$(HOST_IP):4317"),
        (
            {"otel": {"endpoint": "http://a:4318", "protocol": "grpc"}},
            "otel.endpoint http://a:4318",
        ),
        ({"collector": {"endpoint": "a:4317"}}, None),
        ({"collector": {"endpoint": "a"}}, None),
        ({"collector": {"endpoint": "a:443"}}, None),
        ({"collector": {"endpoint": "a:4318", "protocol": "http/protobuf"}}, None),
        ({"otel": {"endpoint": "http://a:4318"}}, None),
        ({"otel": {"endpoint": "http://a:4318", "protocol": "http/protobuf"}}, None),
        ({"otel": {"endpoint": "a:4317", "protocol": "grpc"}}, None),
        ({}, None),
    ],
)
def test_a_port_that_contradicts_the_protocol_is_warned_of(
    given: dict[str, Any], warned: str | None, notes: Callable[..., str]
) -> None:
    """4317 is OTLP by gRPC, 4318 by HTTP: a collector answers nothing of use to the other."""
    lines = [line for line in notes(given).splitlines() if "is the port of OTLP" in line]
    assert (1 if warned else 0) == len(lines)
    assert all(line.startswith(f"WARNING: {warned}") for line in lines)


@pytest.mark.parametrize("monitor", ["annotations", "service", "pod", "none"])
def test_without_metrics_nothing_is_scraped(monitor: str) -> None:
    """The agent answers 404 then: a target for it would be down for ever."""
    rendered = helm.render({"otel": {"metricsExporter": "none"}, "monitor": monitor})
    assert "none" == helm.environment(rendered)["OTEL_METRICS_EXPORTER"]
    assert not [one for one in rendered if one["kind"] in MONITORS.values()]
    annotations = helm.pod(rendered)["metadata"].get("annotations", {})
    assert not [name for name in annotations if name.startswith("prometheus.io/")]


@pytest.mark.parametrize("native", [False, True])
def test_collector_is_beside_the_agent(*, native: bool) -> None:
    """With an endpoint there is a collector that nobody waits for; native, the agent waits."""
    spec = helm.pod(helm.render({"collector": COLLECTOR | {"native": native}}))["spec"]
    (collector,) = spec["initContainers"] if native else spec["containers"][1:]
    assert ("Always" if native else None) == collector.get("restartPolicy")
    for absent in ("readinessProbe", "livenessProbe", "startupProbe", "ports"):
        assert absent not in collector
    assert {"name": "GOMEMLIMIT", "value": "102MiB"} in collector["env"]
    assert "@sha256:" in collector["image"]
    if not native:
        # SIGTERM finds the collector when the agent has said its last (shutdown and 1 s).
        assert 11 == collector["lifecycle"]["preStop"]["sleep"]["seconds"]
        assert (
            collector["lifecycle"]["preStop"]["sleep"]["seconds"]
            < (spec["terminationGracePeriodSeconds"])
        )


def test_an_update_that_breaks_the_collector_stops() -> None:
    """A pod counts as updated only when its collector has run for longer than a crash takes."""
    spec = helm.one(helm.render({"collector": COLLECTOR}), "DaemonSet")["spec"]
    assert spec["minReadySeconds"] >= 10
    assert "minReadySeconds" not in helm.one(helm.render(), "DaemonSet")["spec"]


def test_no_collector_without_an_endpoint() -> None:
    """A bare install has the agent alone."""
    spec = helm.pod(helm.render())["spec"]
    assert ["kubenurse"] == [one["name"] for one in spec["containers"]]
    assert "initContainers" not in spec


def test_agent_sends_to_its_collector() -> None:
    """The agent's OTLP goes to the collector that its pod has."""
    got = helm.environment(helm.render({"collector": COLLECTOR}))
    assert ("http://127.0.0.1:4318", "http/protobuf") == (
        got["OTEL_EXPORTER_OTLP_ENDPOINT"],
        got["OTEL_EXPORTER_OTLP_PROTOCOL"],
    )


def collector_config(values: dict[str, Any]) -> dict[str, Any]:
    (config,) = [
        one
        for one in helm.of_kind(helm.render(values), "ConfigMap")
        if "config.yaml" in one["data"]
    ]
    loaded: dict[str, Any] = yaml.safe_load(config["data"]["config.yaml"])
    return loaded


@pytest.mark.parametrize(
    ("protocol", "exporter", "endpoint"),
    [
        ("grpc", "otlp_grpc", "otlp.example.com:4317"),
        ("http/protobuf", "otlp_http", "https://otlp.example.com:4317"),
    ],
)
def test_collector_is_configured_by_values(protocol: str, exporter: str, endpoint: str) -> None:
    """files/sidecar.yaml with endpoint, protocol, headers and TLS from the values; keepalive is
    gRPC's, and the collector refuses it for HTTP.
    """
    header = {"secretName": "vendor", "key": "token"}
    values = COLLECTOR | {
        "protocol": protocol,
        "headers": {"x-tenant": header, "authorization": header},
        "tls": {"secretName": "ca", "clientCertificate": True, "insecureSkipVerify": True},
    }
    config = collector_config({"collector": values})
    base = yaml.safe_load((CHART / "files" / "sidecar.yaml").read_text())
    assert [exporter] == list(config["exporters"])
    sent = config["exporters"][exporter]
    assert endpoint == sent.pop("endpoint")
    assert sent.pop("headers") == {
        "authorization": "${env:OTLP_HEADER_0}",
        "x-tenant": "${env:OTLP_HEADER_1}",
    }
    assert sent.pop("tls") == {
        "ca_file": "/etc/otelcol-tls/ca.crt",
        "cert_file": "/etc/otelcol-tls/tls.crt",
        "key_file": "/etc/otelcol-tls/tls.key",
        "insecure_skip_verify": True,
    }
    (theirs,) = base["exporters"].values()
    left_out = {"endpoint", "tls"} | (set() if protocol == "grpc" else {"keepalive"})
    assert {key: theirs[key] for key in theirs if key not in left_out} == sent
    assert config["receivers"] == base["receivers"]
    assert {exporter} == {
        name for one in config["service"]["pipelines"].values() for name in one["exporters"]
    }


@pytest.mark.parametrize(
    ("given", "endpoint", "tls"),
    [
        ({"endpoint": "a:4317"}, "a:4317", None),
        ({"endpoint": "a:4317", "tls": {"insecure": True}}, "a:4317", {"insecure": True}),
        ({"endpoint": "http://a:4317"}, "http://a:4317", {"insecure": True}),
        ({"endpoint": "https://a:4317"}, "https://a:4317", None),
        ({"endpoint": "a:4318", "protocol": "http/protobuf"}, "https://a:4318", None),
        (
            {"endpoint": "a:4318", "protocol": "http/protobuf", "tls": {"insecure": True}},
            "http://a:4318",
            {"insecure": True},
        ),
    ],
)
def test_collector_speaks_tls_unless_told_not_to(
    given: dict[str, Any], endpoint: str, tls: object
) -> None:
    """Plain text is what http:// or tls.insecure asks for, with gRPC and with HTTP."""
    (exporter,) = collector_config({"collector": given})["exporters"].values()
    assert (endpoint, tls) == (exporter["endpoint"], exporter.get("tls"))


@pytest.mark.parametrize(
    ("given", "protocol", "endpoint"),
    [
        ("fd00::5:4317", "grpc", "[fd00::5]:4317"),
        ("[fd00::5]:4317", "grpc", "[fd00::5]:4317"),
        ("fd00::5:4318", "http/protobuf", "https://[fd00::5]:4318"),
        ("http://fd00:1:2:3:4:5:6:7:80/a", "http/protobuf", "http://[fd00:1:2:3:4:5:6:7]:80/a"),
        ("https://fd00::ab", "http/protobuf", "https://[fd00::ab]"),
        ("192.0.2.1:4317", "grpc", "192.0.2.1:4317"),
        ("$(HOST_IP):4317", "grpc", "[${env:HOST_IP}]:4317"),
        ("http://${env:HOST_IP}:4317", "grpc", "http://[${env:HOST_IP}]:4317"),
        ("[${HOST_IP}]:4317", "grpc", "[${env:HOST_IP}]:4317"),
        ("http://$(HOST_IP):4318", "http/protobuf", "http://${env:HOST_IP}:4318"),
        ("http://[$(HOST_IP)]:4318", "http/protobuf", "http://[${env:HOST_IP}]:4318"),
    ],
)
def test_collectors_endpoint_may_be_an_ipv6_address(
    given: str, protocol: str, endpoint: str
) -> None:
    """It reaches the collector in brackets; by gRPC the node's address does, of either family."""
    config = collector_config({"collector": {"endpoint": given, "protocol": protocol}})
    (exporter,) = config["exporters"].values()
    assert endpoint == exporter["endpoint"]


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [("fd00::5:317", "grpc"), ("fd00::5:317", "http/protobuf"), ("fd00::ab", "grpc")],
)
def test_collectors_endpoint_has_one_reading(endpoint: str, protocol: str) -> None:
    """An IPv6 address whose end may be a port or not is refused before anything is installed."""
    with pytest.raises(helm.HelmError, match=r"written \[fd00::5\]:4317"):
        helm.render({"collector": {"endpoint": endpoint, "protocol": protocol}})


@pytest.mark.parametrize(
    "endpoint", ["http://fd00::5:9999", "HTTP://[fd00::5]:9999/", "fd00::5:9999", "a:9999"]
)
def test_egress_knows_the_port_of_an_ipv6_address(endpoint: str) -> None:
    """The policy lets out what goes to the endpoint's port."""
    policy = {"enabled": True, "egress": True}
    manifests = helm.render({"otel": {"endpoint": endpoint}, "networkPolicy": policy})
    egress = helm.one(manifests, "NetworkPolicy")["spec"]["egress"]
    ports = {one["port"] for rule in egress for one in rule["ports"]}
    assert 9999 in ports
    assert 80 not in ports


@pytest.mark.skipif(not OTELCOL.exists(), reason="no collector was built (tests/collector does)")
@pytest.mark.parametrize(
    ("monitor", "host_ip"), [("annotations", "192.0.2.1"), ("service", "fd00::5")]
)
@pytest.mark.parametrize(
    "given",
    [
        {"endpoint": "$(HOST_IP):4317"},
        {"endpoint": "http://$(HOST_IP):4317"},
        {"endpoint": "fd00::5:4318", "protocol": "http/protobuf"},
        {"endpoint": "a:4317"},
        {"endpoint": "a:4318", "protocol": "http/protobuf"},
        {
            "endpoint": "https://a:4317",
            "headers": {"authorization": {"secretName": "a", "key": "b"}},
            "tls": {"secretName": "a", "clientCertificate": True, "insecureSkipVerify": True},
        },
    ],
)
def test_real_collector_takes_the_configuration(
    given: dict[str, Any], monitor: str, host_ip: str, tmp_path: Path
) -> None:
    """`otelcol validate` has no complaint about what the chart renders, on a node of any family."""
    config = tmp_path / "config.yaml"
    values = {"collector": given, "monitor": monitor}
    config.write_text(yaml.safe_dump(collector_config(values)))
    command = [str(OTELCOL), "validate", f"--config={config}"]
    done = subprocess.run(
        command,
        env={"OTLP_HEADER_0": "secret", "HOST_IP": host_ip},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_collector_takes_a_configuration_of_its_own() -> None:
    """collector.config is used as it is, and a change of it restarts the pods."""
    own: dict[str, object] = {"receivers": {"otlp": {}}, "exporters": {"debug": {}}}
    assert own == collector_config({"collector": {"config": own}})
    sums = {
        helm.pod(helm.render({"collector": {"endpoint": endpoint}}))["metadata"]["annotations"][
            "checksum/collector-config"
        ]
        for endpoint in ("a:1", "b:1")
    }
    assert len(sums) == 2


def test_secrets_stay_in_secrets() -> None:
    """Headers of agent and collector come from Secrets; no value of them is rendered."""
    header = {"secretName": "vendor", "key": "token"}
    manifests = helm.render({"collector": COLLECTOR | {"headers": {"authorization": header}}})
    collector = helm.pod(manifests)["spec"]["containers"][1]
    reference = {"secretKeyRef": {"name": "vendor", "key": "token"}}
    assert {"name": "OTLP_HEADER_0", "valueFrom": reference} in collector["env"]
    values = {"endpoint": "https://a", "headersSecret": {"name": "vendor", "key": "token"}}
    agent = helm.agent(helm.render({"otel": values}))
    assert {"name": "OTEL_EXPORTER_OTLP_HEADERS", "valueFrom": reference} in agent["env"]


def test_cluster_is_told_over_otlp() -> None:
    """clusterName is k8s.cluster.name and the resource attribute cluster, beside the user's own."""
    values = {"clusterName": "one", "otel": {"resourceAttributes": {"team": "a, b=c"}}}
    got = helm.environment(helm.render(values))
    assert "one" == got["KUBENURSE_CLUSTER_NAME"]
    assert "cluster=one,team=a%2C%20b%3Dc" == got["OTEL_RESOURCE_ATTRIBUTES"]


def test_rules_and_dashboards_are_rendered_whole() -> None:
    """Each file of rules is a PrometheusRule, each dashboard a ConfigMap that Grafana finds."""
    values = {
        "prometheusRule": {"enabled": True, "labels": {"release": "p"}},
        "dashboards": {"enabled": True, "namespace": "grafana", "annotations": {"folder": "Net"}},
    }
    manifests = helm.render(values)
    rules = [yaml.safe_load(one.read_text()) for one in sorted((CHART / "files/alerts").glob("*"))]
    assert rules == [one["spec"] for one in helm.of_kind(manifests, "PrometheusRule")]
    assert rules
    boards = {
        path.name: json.loads(path.read_text()) for path in (CHART / "files/dashboards").glob("*")
    }
    assert boards
    maps = helm.of_kind(manifests, "ConfigMap")
    assert boards == {name: json.loads(text) for one in maps for name, text in one["data"].items()}
    for one in maps:
        assert ("grafana", "1", "Net") == (
            one["metadata"]["namespace"],
            one["metadata"]["labels"]["grafana_dashboard"],
            one["metadata"]["annotations"]["folder"],
        )
        assert len(json.dumps(one)) < 1_000_000  # etcd's limit is 1.5 MiB, a ConfigMap's 1 MiB.
    assert not helm.of_kind(helm.render(), "ConfigMap")
