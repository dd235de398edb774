"""The schema: typing errors are refused with a message that names them; what is right passes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import pytest

from . import helm, values

Notes = Callable[..., str]

FILTERS_OF_OURS = (
    "app.kubernetes.io/name=kubenurse",
    "app.kubernetes.io/name == kubenurse",
    "app.kubernetes.io/name in (other, kubenurse),!canary",
    "app.kubernetes.io/name,app.kubernetes.io/instance=kubenurse",
    "app.kubernetes.io/instance=kubenurse,canary notin (yes),tier!=web",
)
FILTERS_OF_OTHERS = (
    "app=kubenurse",
    "app.kubernetes.io/name=kubenurse-otel",
    "canary",
    "app in (kubenurse)",
)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"chekc_interval": "5s"}, "'chekc_interval' not allowed"),
        ({"daemonset": {"toleratons": []}}, "at '/daemonset': additional properties 'toleratons'"),
        ({"daemonset": {"image": {"repo": "x"}}}, "'repo' not allowed"),
        ({"daemonset": {"containerResources": {"limit": {}}}}, "'limit' not allowed"),
        ({"daemonset": {"podSecurityContext": {"runAsNonRot": True}}}, "'runAsNonRot'"),
        ({"daemonset": {"tolerations": [{"kye": "x"}]}}, "'kye' not allowed"),
        ({"daemonset": {"extraEnvs": [{"value": "x"}]}}, "missing property 'name'"),
        ({"daemonset": {"podLabels": {"a": 1}}}, "got number, want string"),
        ({"collector": {"endpont": "x"}}, "at '/collector': additional properties 'endpont'"),
        ({"collector": {"headers": {"authorization": "secret"}}}, "want object"),
        ({"networkPolicy": {"dnsPorts": [0]}}, "minimum"),
        ({"ingress": {"paths": [{"path": "alwayshappy"}]}}, "does not match pattern"),
        ({"ingress": {"url": "https://user@host?query"}}, "/ingress/url"),
        ({"monitor": "prometheus"}, "at '/monitor': value must be one of"),
        ({"check_interval": "5 seconds"}, "at '/check_interval'"),
        ({"insecure": "yes"}, "at '/insecure'"),
        ({"neighbour_limit": -1}, "minimum"),
        ({"extra_checks": "web=https://example.com"}, "at '/extra_checks'"),
        ({"extraChecks": [{"name": "a"}]}, "missing property 'url'"),
        ({"extraChecks": [{"name": "a", "url": "ftp://b"}]}, "at '/extraChecks/0/url'"),
        ({"extraChecks": [{"name": "a", "url": "http://b|c"}]}, "at '/extraChecks/0/url'"),
        ({"extraChecks": [{"name": "a:b", "url": "http://b"}]}, "at '/extraChecks/0/name'"),
        (
            {"extraChecks": [{"name": "a", "url": "http://b", "interval": "5"}]},
            "at '/extraChecks/0/interval'",
        ),
        (
            {"extraChecks": [{"name": "a", "url": "http://b", "method": "PUT"}]},
            "at '/extraChecks/0/method'",
        ),
        ({"extraChecks": [{"name": "a", "url": "http://b", "exepct": 1}]}, "'exepct' not allowed"),
        ({"trace_ratio": 2}, "maximum"),
        ({"clusterName": "a cluster"}, "at '/clusterName'"),
        ({"neighbour_filter": "a;b"}, "at '/neighbour_filter'"),
    ],
)
def test_typing_error_is_refused(bad: dict[str, Any], said: str) -> None:
    """A wrong key or value is named in one line, and nothing is rendered."""
    with pytest.raises(helm.HelmError) as refused:
        helm.render(bad)
    assert said in str(refused.value)


@pytest.mark.parametrize("filter_", FILTERS_OF_OURS)
def test_filter_that_finds_our_pods_is_good(filter_: str, notes: Notes) -> None:
    """A neighbour_filter that our pods' labels fulfil passes the schema, without a warning."""
    assert "WARNING" not in notes({"neighbour_filter": filter_})


@pytest.mark.parametrize("filter_", FILTERS_OF_OTHERS)
def test_filter_that_misses_our_pods_is_refused(filter_: str) -> None:
    """A neighbour_filter that cannot match our pods is refused where their labels are known."""
    with pytest.raises(helm.HelmError, match="/neighbour_filter"):
        helm.render({"neighbour_filter": filter_})


@pytest.mark.parametrize(
    ("given", "culprit"),
    [
        ({"nameOverride": "probe", "neighbour_filter": "app.kubernetes.io/name=kubenurse"}, "name"),
        ({"daemonset": {"podLabels": {"a": "1"}}, "neighbour_filter": "a=2"}, '"a=2"'),
        ({"daemonset": {"podLabels": {"a": "1"}}, "neighbour_filter": "!a"}, '"!a"'),
        ({"daemonset": {"podLabels": {"a": "1"}}, "neighbour_filter": "a notin (1,2)"}, "notin"),
        ({"neighbour_filter": "app.kubernetes.io/instance=other"}, "instance=other"),
        ({"neighbour_filter": "app.kubernetes.io/name=kubenurse,app=a"}, '"app=a"'),
        ({"neighbour_filter": "app.kubernetes.io/name!=kubenurse"}, "name!=kubenurse"),
    ],
)
def test_filter_that_misses_our_pods_is_noted(
    given: dict[str, Any], culprit: str, notes: Notes
) -> None:
    """What the schema cannot know, NOTES says: which part of the filter misses our pods."""
    (warning,) = [line for line in notes(given).splitlines() if "neighbour_filter" in line]
    assert "cannot match" in warning
    assert culprit in warning


@pytest.mark.parametrize("filter_", ["a=1", "a in (2, 1)", "a", "b notin (1),!c,a==1", "a!=2"])
def test_filter_by_pod_labels_is_good(filter_: str, notes: Notes) -> None:
    """A filter by daemonset.podLabels that they fulfil is good."""
    given = {"daemonset": {"podLabels": {"a": "1"}}, "neighbour_filter": filter_}
    assert "WARNING" not in notes(given)


@pytest.mark.parametrize(
    ("conflict", "said"),
    [
        ({"serviceMonitor": {"enabled": True}, "monitor": "pod"}, "choose one"),
        ({"daemonset": {"hostNetwork": True}, "collector": {"endpoint": "a:1"}}, "hostNetwork"),
        ({"otel": {"endpoint": "http://a:1"}, "collector": {"endpoint": "a:1"}}, "one of them"),
        ({"use_tls": True}, "cert_file and cert_key"),
        ({"histogram_buckets": "1", "victoriametrics_histogram": True}, "exclude"),
        ({"ports": {"admin": 8080}}, "must differ"),
        ({"collector": {"endpoint": "a:1"}, "ports": {"http": 4318}}, "4318 is where"),
        ({"collector": {"endpoint": "a:1"}, "ports": {"admin": 4317}}, "4317 is where"),
        (
            {"collector": {"config": {"receivers": {}}}, "ports": {"admin": 4318}},
            "4318 is where",
        ),
        ({"collector": {"endpoint": "a:1", "metricsPort": 8080}}, "another of the pod's ports"),
        ({"collector": {"endpoint": "a:1", "metricsPort": 4318}}, "another of the pod's ports"),
        (
            {"collector": {"endpoint": "a:1"}, "monitor": "service", "service": {"port": 8888}},
            "is service.port, too",
        ),
        (
            {"daemonset": {"hostNetwork": True, "rollingUpdate": {"maxSurge": 1}}},
            "cannot have the node's port",
        ),
        ({"collector": {"endpoint": "a:1", "tls": {"clientCertificate": True}}}, "secretName"),
    ],
)
def test_values_that_exclude_each_other_are_refused(conflict: dict[str, Any], said: str) -> None:
    """A contradiction between values is said, in place of a rendering that cannot work."""
    with pytest.raises(helm.HelmError, match=said):
        helm.render(conflict)


@pytest.mark.parametrize(
    "apart",
    [
        {"ports": {"http": 4318, "admin": 4317}},
        {"ports": {"https": 4318}, "collector": {"endpoint": "a:1"}},
        {"ports": {"http": 4317}, "collector": {"config": {"receivers": {}}}},
    ],
)
def test_ports_that_nobody_else_has_are_taken(apart: dict[str, Any]) -> None:
    """4317 and 4318 without our collector, and a port that does not listen."""
    assert helm.of_kind(helm.render(apart), "DaemonSet")


def test_works_as_a_dependency(tmp_path: Any) -> None:
    """As a dependency it takes `enabled` and `global`, and renders the same objects."""
    chart = tmp_path / "parent"
    shutil.copytree(values.CHART, chart / "charts" / "kubenurse-otel")
    (chart / "Chart.yaml").write_text(
        "apiVersion: v2\nname: parent\nversion: 1.0.0\ndependencies:\n"
        "- {name: kubenurse-otel, version: 0.1.0, condition: kubenurse-otel.enabled}\n"
    )
    given = {"kubenurse-otel": {"enabled": True, "clusterName": "one"}, "global": {"a": {"b": 1}}}
    assert helm.render({"clusterName": "one"}) == helm.render(given, chart=chart)
    assert [] == helm.render({"kubenurse-otel": {"enabled": False}}, chart=chart)
