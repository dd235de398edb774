"""The agent's variables: each can be set by the chart, and the agent takes what is rendered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from kubenurse_otel.config import load
from kubenurse_otel.config.settings import BY_NAME
from kubenurse_otel.config.variable import Origin, Variable

from . import golden, helm, kubenurse
from .values import CHART

if TYPE_CHECKING:
    from pathlib import Path

OURS = [one for one in BY_NAME.values() if one.origin in (Origin.KUBENURSE, Origin.OURS)]
# What the kubelet puts where a variable comes from elsewhere.
PLACES = {
    "status.hostIP": "192.0.2.1",
    "spec.nodeName": "node-1",
    "status.podIP": "10.1.2.3",
    "metadata.name": "kubenurse-x2bwx",
    "metadata.uid": "9a3e7c5e-7f0e-4f0e-9d5c-0c8c3a3f9d11",
}
# Values under another key than the variable's name.
KEYS: dict[str, dict[str, Any]] = {
    "KUBENURSE_INGRESS_URL": {"ingress": {"url": "https://kubenurse.example.com"}},
    "KUBERNETES_SERVICE_DNS": {"kubernetes_service_dns": "kubernetes.default.svc.example.local"},
    "KUBENURSE_PORT": {"ports": {"http": 18080}},
    "KUBENURSE_TLS_PORT": {"ports": {"https": 18443}, "use_tls": True},
    "KUBENURSE_ADMIN_PORT": {"ports": {"admin": 9090}},
    "KUBENURSE_CLUSTER_NAME": {"clusterName": "production-1"},
    "KUBENURSE_EVENTS": {"events": {"enabled": True}},
    "KUBENURSE_DNS_NAMESPACE": {"dnsEndpoints": {"enabled": True}},
    "KUBENURSE_DNS_SELECTOR": {
        "dnsEndpoints": {
            "enabled": True,
            "selector": "dns.operator.openshift.io/owning-dns=default",
        }
    },
}
# From the pod itself, whatever the values say.
FIXED = {
    "KUBENURSE_NODE_NAME",
    "KUBENURSE_POD_NAME",
    "KUBENURSE_POD_IP",
    "KUBENURSE_POD_UID",
    "KUBENURSE_NAMESPACE",
}
# Of no use in a pod of this chart, or only together with volumes: daemonset.extraEnvs.
EXTRA = {
    "KUBENURSE_DISCOVERY",
    "KUBENURSE_NEIGHBOURS_FILE",
    "KUBENURSE_LISTEN_ADDRESS",
    "KUBENURSE_SERVICE_ACCOUNT_DIR",
}
NEEDS: dict[str, dict[str, Any]] = {
    "KUBENURSE_USE_TLS": {"cert_file": "/tls.crt", "cert_key": "/tls.key"},
    "KUBENURSE_TLS_PORT": {"cert_file": "/tls.crt", "cert_key": "/tls.key"},
    "KUBENURSE_NEIGHBOUR_FILTER": {"nameOverride": "kubenurse"},
}


def as_the_kubelet_does(
    manifests: list[helm.Manifest], *, host_ip: str = PLACES["status.hostIP"]
) -> dict[str, str]:
    """Return the environment that the agent's process gets on a node with this address."""
    places = PLACES | {"status.hostIP": host_ip}
    environ: dict[str, str] = {}
    for variable in helm.agent(manifests)["env"]:
        source = variable.get("valueFrom", {})
        if "fieldRef" in source:
            value = places[source["fieldRef"]["fieldPath"]]
        elif "secretKeyRef" in source:
            value = "authorization=secret"
        else:
            value = variable["value"]
        for name, known in environ.items():
            value = value.replace(f"$({name})", known)
        environ[variable["name"]] = value
    return environ


@pytest.mark.parametrize("variable", OURS, ids=lambda one: one.name)
def test_every_variable_can_be_set(variable: Variable[object]) -> None:
    """Each KUBENURSE_ variable is set by a value, by the pod itself, or documented as extraEnvs."""
    name, example = variable.name, str(variable.example)
    if name in FIXED:
        assert name in helm.environment(helm.render())
        return
    if name in EXTRA:
        assert f"`{name}`" in (CHART / "README.md").read_text()
        given: dict[str, Any] = {
            "daemonset": {"extraEnvs": [{"name": name, "value": example}]},
        }
    else:
        key = name.removeprefix("KUBENURSE_").lower()
        value: object = example == "true" if example in ("true", "false") else example
        given = {**KEYS.get(name, {key: value}), **NEEDS.get(name, {})}
    assert example == helm.environment(helm.render(given))[name]


@pytest.mark.parametrize("case", golden.CASES, ids=golden.name)
def test_agent_takes_what_is_rendered(case: Path) -> None:
    """The agent's own parser has no complaint about the environment of any ci/*-values.yaml."""
    environ = as_the_kubelet_does(helm.render(yaml.safe_load(case.read_text())))
    # The files that the agent wants to read at its start.
    environ |= {name: f"{CHART}/Chart.yaml" for name in environ if "_CERT_" in name}
    assert () == load(environ).config.warnings


def test_extra_checks_as_objects() -> None:
    """They stand behind kubenurse's string, and the agent reads of them what was said."""
    given = {
        "extra_checks": "web:https://a/;v=1;expect=2xx",
        "extraChecks": [
            {"name": "db", "url": "tcp://db:5432", "tls": True, "expect": "a.b", "interval": "1m"},
            {"name": "moved", "url": "http://c/", "method": "HEAD", "expect": 301},
            {"name": "ns", "url": "dns://[::1]/d?type=AAAA", "expect": "::1", "timeout": "2s"},
        ],
    }
    checks = load(as_the_kubelet_does(helm.render(given))).config.checks.extra_checks
    assert ["web", "db", "moved", "ns"] == [one.name for one in checks]
    web, db, moved, ns = checks
    assert ("https://a/;v=1", ((200, 299),)) == (web.url.text, web.expect)
    assert (True, "a.b", 60.0) == (db.tls, db.server_name, db.interval_seconds)
    assert ("HEAD", ((301, 301),)) == (moved.method, moved.expect)
    assert ns.query is not None
    assert (frozenset({"::1"}), 2.0) == (ns.query.addresses, ns.timeout_seconds)


def test_agent_takes_kubenurses_values() -> None:
    """The agent's own parser has no complaint about the environment of kubenurse's values."""
    loaded = load(as_the_kubelet_does(helm.render(kubenurse.DEFAULTS)))
    assert () == loaded.config.warnings
    assert "kubenurse-x2bwx" == loaded.config.identity.pod_name
    assert loaded.config.checks.ingress_url is None


def test_extra_variables_win_and_stand_once() -> None:
    """extraEnvs replace what the chart sets, as they come last in kubenurse's chart."""
    extra = [
        {"name": "KUBENURSE_CHECK_INTERVAL", "value": "30s"},
        {"name": "OTEL_METRICS_EXPORTER", "value": "none"},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
    ]
    manifests = helm.render({"daemonset": {"extraEnvs": extra}})
    got = helm.environment(manifests)
    assert ("30s", "none") == (got["KUBENURSE_CHECK_INTERVAL"], got["OTEL_METRICS_EXPORTER"])
    assert extra == helm.agent(manifests)["env"][-3:]


def test_host_address_comes_first() -> None:
    """$(HOST_IP) is known to every later variable."""
    environ = as_the_kubelet_does(helm.render({"otel": {"endpoint": "http://$(HOST_IP):4318"}}))
    assert "http://192.0.2.1:4318" == environ["OTEL_EXPORTER_OTLP_ENDPOINT"]
    assert "HOST_IP" == next(iter(environ))


@pytest.mark.parametrize(
    ("otel", "endpoint"),
    [
        ({"endpoint": "http://$(HOST_IP):4318"}, "http://{}:4318/v1/traces"),
        ({"endpoint": "http://$(HOST_IP):4318/base"}, "http://{}:4318/base/v1/traces"),
        ({"endpoint": "$(HOST_IP):4317", "protocol": "grpc"}, "{}:4317"),
        ({"endpoint": "http://$(HOST_IP):4317", "protocol": "grpc"}, "{}:4317"),
    ],
)
@pytest.mark.parametrize(
    ("host_ip", "host"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("fd00::5", "[fd00::5]"),
        ("2001:db8:1:2:3:4:5:6", "[2001:db8:1:2:3:4:5:6]"),
    ],
)
def test_the_nodes_collector_is_found_on_both_families(
    otel: dict[str, Any], endpoint: str, host_ip: str, host: str
) -> None:
    """$(HOST_IP) is the node's address as Kubernetes writes it; the agent reads it with a port."""
    loaded = load(as_the_kubelet_does(helm.render({"otel": otel}), host_ip=host_ip))
    exported = loaded.config.telemetry.otlp_traces
    assert exported is not None
    assert endpoint.format(host) == exported.endpoint


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("5s", 15), ("0s", 10), ("1m1.5s", 72), ("500ms", 11), ("1h", 3610), ("", 15), (None, 15)],
)
def test_grace_period_follows_the_shutdown(duration: str | None, seconds: int) -> None:
    """The grace period is shutdown_duration and 10 s."""
    spec = helm.pod(helm.render({"shutdown_duration": duration}))["spec"]
    assert seconds == spec["terminationGracePeriodSeconds"]


@pytest.mark.parametrize("value", [1000000, 2147483647])
def test_large_numbers_stay_whole(value: int) -> None:
    """A number is rendered as it was written, and not as 1e+06."""
    got = helm.environment(helm.render({"neighbour_limit": value}))
    assert str(value) == got["KUBENURSE_NEIGHBOUR_LIMIT"]
