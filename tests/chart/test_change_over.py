"""From kubenurse's chart to ours: `helm upgrade` with the same values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from . import helm, kubenurse
from .values import leaves, read, sections

if TYPE_CHECKING:
    from pathlib import Path

Notes = Callable[..., str]
KEYS = kubenurse.leaves(kubenurse.DEFAULTS) | kubenurse.leaves(kubenurse.NAMED)
MAPS = [path for path, value in KEYS.items() if value == {}]
STRUCTURES = [
    *(one.path for one in sections(read())),
    *(one.path for one in leaves(read()) if isinstance(one.default, dict)),
    *(one.path for one in leaves(read()) if isinstance(one.default, list) and one.default),
]
"""Every map of ours, and every list that has something in it."""


def names(path: tuple[str, ...]) -> str:
    return ".".join(path)


def test_every_key_of_kubenurse_is_ours() -> None:
    """Each key of kubenurse's chart is one of ours, marked as such, and no other is marked."""
    marked = {one.path for one in leaves(read()) if one.is_kubenurse}
    assert set(KEYS) == marked


@pytest.mark.parametrize("how", ["a file of values", "--reuse-values"])
def test_kubenurses_values_mean_the_same(how: str, reused: Path) -> None:
    """With kubenurse's whole values.yaml the agents get what its templates give them."""
    manifests = (
        helm.render(chart=reused) if how == "--reuse-values" else helm.render(kubenurse.DEFAULTS)
    )
    got = helm.environment(manifests)
    assert kubenurse.ENVIRONMENT == {name: got[name] for name in kubenurse.ENVIRONMENT}
    assert "KUBENURSE_INGRESS_URL" not in got
    assert [] == helm.of_kind(manifests, "Ingress")


def test_reused_values_render_as_given_ones(reused: Path) -> None:
    """`--reuse-values`, beneath which our values.yaml is missing, renders the same objects."""
    assert helm.render(kubenurse.DEFAULTS) == helm.render(chart=reused)


def test_objects_keep_name_and_selector() -> None:
    """DaemonSet, Service, port and selector are kubenurse's: a release is upgraded in place."""
    manifests = helm.render(kubenurse.DEFAULTS)
    daemonset = helm.one(manifests, "DaemonSet")
    service = helm.one(manifests, "Service")
    assert "kubenurse" == daemonset["metadata"]["name"] == service["metadata"]["name"]
    assert {"matchLabels": kubenurse.SELECTOR} == daemonset["spec"]["selector"]
    assert kubenurse.SELECTOR == service["spec"]["selector"]
    assert kubenurse.SELECTOR.items() <= helm.pod(manifests)["metadata"]["labels"].items()
    (port,) = service["spec"]["ports"]
    assert {"name": "8080-8080", "port": 8080, "protocol": "TCP", "targetPort": 8080} == port
    assert {"maxUnavailable": "34%"} == daemonset["spec"]["updateStrategy"]["rollingUpdate"]


@pytest.mark.parametrize(
    ("given", "name", "fullname"),
    [
        ({}, "kubenurse", "kubenurse"),
        ({"nameOverride": ""}, "kubenurse", "kubenurse"),
        ({"nameOverride": "probe"}, "probe", "kubenurse-probe"),
        ({"fullnameOverride": "agents"}, "kubenurse", "agents"),
    ],
)
def test_names(given: dict[str, Any], name: str, fullname: str) -> None:
    """Names are made from release and overrides as kubenurse's chart makes them."""
    manifests = helm.render(given)
    daemonset = helm.one(manifests, "DaemonSet")
    assert fullname == daemonset["metadata"]["name"]
    assert daemonset["spec"]["selector"]["matchLabels"] == {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/instance": "kubenurse",
    }
    assert helm.environment(manifests)["KUBENURSE_NEIGHBOUR_FILTER"] == (
        f"app.kubernetes.io/name={name},app.kubernetes.io/instance=kubenurse"
    )


@pytest.mark.parametrize("path", KEYS, ids=names)
def test_every_key_accepts_null(path: tuple[str, ...]) -> None:
    """Each key of kubenurse's may be null, and all objects are rendered still."""
    assert helm.render(kubenurse.nested(path, None))


@pytest.mark.parametrize("path", sorted({path[:1] for path in KEYS if len(path) > 1}), ids=names)
def test_every_section_accepts_null(path: tuple[str, ...]) -> None:
    """Each map of kubenurse's that holds keys may be null or [], too."""
    nothings: list[object] = [None, []]
    for nothing in nothings:
        assert helm.render(kubenurse.nested(path, nothing))


@pytest.mark.parametrize("path", STRUCTURES, ids=names)
def test_what_is_left_empty_keeps_its_defaults(path: tuple[str, ...]) -> None:
    """`daemonset:` with nothing below it, and the like of every map, loses nothing in silence."""
    assert helm.render() == helm.render(kubenurse.nested(path, None))


def test_an_empty_list_is_a_list_without_items() -> None:
    """`tolerations: []` is how to have none."""
    assert "tolerations" not in helm.pod(helm.render({"daemonset": {"tolerations": []}}))["spec"]


# What each stale key of kubenurse's chart means today, and the warning that names it.
STALE: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"check_api_me_ingress": True}, {}, ""),
    ({"check_api_me_service": None}, {}, ""),
    ({"check_api_me_ingress": False}, {"check_me_ingress": False}, "check_api_me_ingress was"),
    ({"check_api_me_service": "false"}, {"check_me_service": False}, "check_api_me_service was"),
    ({"namespace": "monitoring"}, {}, ""),
    ({"namespace": "kube-system"}, {}, "namespace kube-system"),
    ({"rbac": {"allow_unschedulable": {"enabled": True}}}, {}, ""),
    (
        {"rbac": {"allow_unschedulable": {"enabled": False}}},
        {"allow_unschedulable": True},
        "rbac.allow_unschedulable.enabled",
    ),
    ({"rbac": {"allow_unschedulable": None}}, {}, ""),
    ({"rbac": []}, {}, ""),
]


@pytest.mark.parametrize(("given", "meant", "noted"), STALE)
def test_keys_that_kubenurses_chart_dropped(
    given: dict[str, Any], meant: dict[str, Any], noted: str, notes: Notes
) -> None:
    """kubenurse ignores them: here they mean what they meant, and NOTES names what is not so."""
    assert helm.render(meant) == helm.render(given)
    said = notes(given)
    assert (noted in said) if noted else ("WARNING" not in said)


@pytest.mark.parametrize("path", MAPS, ids=names)
def test_every_map_accepts_an_empty_list(path: tuple[str, ...]) -> None:
    """A map of kubenurse's may be written [], which means the same as {}."""
    empty = helm.render(kubenurse.nested(path, {}))
    assert empty == helm.render(kubenurse.nested(path, []))


def test_words_for_booleans_mean_the_same() -> None:
    """`--set-string insecure=true` and the like mean what they mean in kubenurse's chart."""
    words = {"insecure": "true", "allow_unschedulable": "false", "ingress": {"enabled": "false"}}
    meant = {"insecure": True, "allow_unschedulable": False, "ingress": {"enabled": False}}
    assert helm.render(meant) == helm.render(words)


@pytest.mark.parametrize(
    ("image", "runs", "noted"),
    [
        ({}, "ghcr.io/kubenurse-otel/kubenurse-otel:0.1.0", False),
        ({"tag": "0.2.0"}, "ghcr.io/kubenurse-otel/kubenurse-otel:0.2.0", False),
        ({"tag": "v1.15.3"}, "ghcr.io/kubenurse-otel/kubenurse-otel:0.1.0", True),
        (
            {"repository": "postfinance/kubenurse", "tag": "v1.15.3"},
            "ghcr.io/kubenurse-otel/kubenurse-otel:0.1.0",
            True,
        ),
        (
            {"repository": "docker.io/postfinance/kubenurse"},
            "ghcr.io/kubenurse-otel/kubenurse-otel:0.1.0",
            True,
        ),
        ({"repository": "mirror/kubenurse", "tag": "v1"}, "mirror/kubenurse:v1", True),
        ({"repository": "mirror/agent"}, "mirror/agent:0.1.0", False),
        (
            {"repository": "mirror/agent", "tag": "1", "digest": f"sha256:{'0' * 64}"},
            f"mirror/agent@sha256:{'0' * 64}",
            False,
        ),
    ],
)
def test_image(image: dict[str, str], runs: str, notes: Notes, *, noted: bool) -> None:
    """kubenurse's own image or tag counts as not set, and NOTES says so."""
    given = {"daemonset": {"image": image}}
    assert runs == helm.agent(helm.render(given))["image"]
    assert noted == ("WARNING: daemonset.image" in notes(given))


@pytest.mark.parametrize(
    ("given", "url", "hosts"),
    [
        ({}, None, []),
        ({"url": "dummy-kubenurse.example.com"}, None, []),
        ({"url": "nurse.example.org"}, "https://nurse.example.org", ["nurse.example.org"]),
        ({"url": "https://nurse.example.org/"}, "https://nurse.example.org", ["nurse.example.org"]),
        ({"url": "http://nurse.example.org"}, "http://nurse.example.org", ["nurse.example.org"]),
        (
            {"url": "nurse.example.org:8443"},
            "https://nurse.example.org:8443",
            ["nurse.example.org"],
        ),
        ({"url": "nurse.example.org", "enabled": False}, "https://nurse.example.org", []),
        ({"url": "Nurse.Example.ORG"}, "https://nurse.example.org", ["nurse.example.org"]),
        (
            {"url": "http://Nurse.example.org.:80/A/"},
            "http://nurse.example.org:80/A",
            ["nurse.example.org"],
        ),
        ({"url": "nurse_1.example.org", "enabled": False}, "https://nurse_1.example.org", []),
    ],
)
def test_ingress(given: dict[str, Any], url: str | None, hosts: list[str]) -> None:
    """me_ingress and the Ingress follow ingress.url; a dummy or no host is no ingress."""
    manifests = helm.render({"ingress": given})
    assert url == helm.environment(manifests).get("KUBENURSE_INGRESS_URL")
    ingresses = helm.of_kind(manifests, "Ingress")
    assert hosts == [rule["host"] for one in ingresses for rule in one["spec"]["rules"]]
    for ingress in ingresses:
        (path,) = ingress["spec"]["rules"][0]["http"]["paths"]
        assert ("/alwayshappy", "Exact") == (path["path"], path["pathType"])
        assert ("tls" in ingress["spec"]) == str(url).startswith("https://")


@pytest.mark.parametrize(
    "host",
    [
        "nurse_1.example.org",
        "nurse.example.org..",
        "nurse..org",
        "nurse-.org",
        "192.0.2.1",
        "a" * 64,
    ],
)
def test_a_host_that_no_ingress_takes_is_refused(host: str) -> None:
    """The API server would refuse it after everything else was installed."""
    with pytest.raises(helm.HelmError, match=r"ingress\.url: an Ingress takes no host"):
        helm.render({"ingress": {"url": f"https://{host}/"}})


def test_hosts_of_a_route_are_mended_or_refused() -> None:
    """Lower case and without a dot at the end; a wildcard is published, and not checked."""
    route = {
        "parentRefs": [{"name": "gateway"}],
        "hostnames": ["*.Example.org", "Nurse.Example.org."],
    }
    manifests = helm.render({"httpRoute": route})
    hostnames = helm.one(manifests, "HTTPRoute")["spec"]["hostnames"]
    assert ["*.example.org", "nurse.example.org"] == hostnames
    assert "https://nurse.example.org" == helm.environment(manifests)["KUBENURSE_INGRESS_URL"]
    with pytest.raises(helm.HelmError, match="/httpRoute/hostnames/0"):
        helm.render({"httpRoute": route | {"hostnames": ["nurse_1.example.org"]}})


def test_dns_names_follow_the_cluster_domain() -> None:
    """Another cluster domain in kubernetes_service_dns is the Service's, too."""
    got = helm.environment(helm.render({"kubernetes_service_dns": "kubernetes.default.svc.a.b"}))
    assert "http://kubenurse.monitoring.svc.a.b:8080" == got["KUBENURSE_SERVICE_URL"]


def test_fresh_install_warns_of_nothing(notes: Notes) -> None:
    """A bare install says the next commands and warns of nothing."""
    said = notes()
    assert "kubectl --namespace monitoring rollout status daemonset/kubenurse" in said
    assert "helm test kubenurse --namespace monitoring" in said
    assert "WARNING" not in said
