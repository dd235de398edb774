"""The keys and defaults of kubenurse's chart (1.15.3), and what its templates make of them."""

from __future__ import annotations

from typing import Any, Final

DEFAULTS: Final[dict[str, Any]] = {
    "daemonset": {
        "image": {"repository": "postfinance/kubenurse"},
        "extraEnvs": [],
        "podLabels": {},
        "podAnnotations": {},
        "podSecurityContext": {},
        "containerSecurityContext": {},
        "containerResources": {},
        "containerImagePullPolicy": "IfNotPresent",
        "tolerations": [
            {"effect": "NoSchedule", "key": f"node-role.kubernetes.io/{role}", "operator": "Equal"}
            for role in ("master", "control-plane")
        ],
        "dnsConfig": {},
        "volumeMounts": [],
        "volumes": [],
        "priorityClassName": "",
        "rollingUpdate": {"maxUnavailable": "34%"},
    },
    "serviceMonitor": {"enabled": False, "labels": {}, "relabelings": []},
    "insecure": True,
    "service_url": "",
    "kubernetes_service_dns": "kubernetes.default.svc.cluster.local",
    "allow_unschedulable": False,
    "neighbour_filter": "app.kubernetes.io/name=kubenurse",
    "neighbour_limit": 10,
    "histogram_buckets": "",
    "expose_metadata": False,
    "victoriametrics_histogram": False,
    "extra_ca": "",
    "extra_checks": "",
    "check_api_server_direct": True,
    "check_api_server_dns": True,
    "check_me_ingress": True,
    "check_me_service": True,
    "check_neighbourhood": True,
    "check_interval": "5s",
    "reuse_connections": False,
    "shutdown_duration": "5s",
    "use_tls": False,
    "cert_file": "",
    "cert_key": "",
    "nameOverride": "",
    "fullnameOverride": "",
    "imagePullSecrets": [],
    "serviceAccount": {"create": True, "name": None},
    "service": {"name": "8080-8080", "port": 8080, "labels": {}},
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "annotations": {},
        "tlsSecretName": "",
        "url": "dummy-kubenurse.example.com",
    },
    "extraObjects": [],
}

# Named in its templates, commented out in its values.
NAMED: Final = {
    "daemonset": {"image": {"tag": "v1.15.3"}, "rollingUpdate": {"maxSurge": 1}},
}

# What its templates set for these values, in a release kubenurse of namespace monitoring.
ENVIRONMENT: Final = {
    "KUBENURSE_SERVICE_URL": "http://kubenurse.monitoring.svc.cluster.local:8080",
    "KUBENURSE_INSECURE": "true",
    "KUBERNETES_SERVICE_DNS": "kubernetes.default.svc.cluster.local",
    "KUBENURSE_ALLOW_UNSCHEDULABLE": "false",
    "KUBENURSE_NAMESPACE": "monitoring",
    "KUBENURSE_NEIGHBOUR_FILTER": "app.kubernetes.io/name=kubenurse",
    "KUBENURSE_NEIGHBOUR_LIMIT": "10",
    "KUBENURSE_EXPOSE_METADATA": "false",
    "KUBENURSE_VICTORIAMETRICS_HISTOGRAM": "false",
    "KUBENURSE_CHECK_API_SERVER_DIRECT": "true",
    "KUBENURSE_CHECK_API_SERVER_DNS": "true",
    "KUBENURSE_CHECK_ME_INGRESS": "true",
    "KUBENURSE_CHECK_ME_SERVICE": "true",
    "KUBENURSE_CHECK_NEIGHBOURHOOD": "true",
    "KUBENURSE_CHECK_INTERVAL": "5s",
    "KUBENURSE_REUSE_CONNECTIONS": "false",
    "KUBENURSE_SHUTDOWN_DURATION": "5s",
    "KUBENURSE_USE_TLS": "false",
}

SELECTOR: Final = {
    "app.kubernetes.io/name": "kubenurse",
    "app.kubernetes.io/instance": "kubenurse",
}


def leaves(tree: dict[str, Any], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return each key that holds no map of keys, with its default."""
    found: dict[tuple[str, ...], Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found |= leaves(value, (*path, key))
        else:
            found[*path, key] = value
    return found


def nested(path: tuple[str, ...], value: object) -> dict[str, Any]:
    """Return the values that set the key at ``path``."""
    for key in reversed(path):
        value = {key: value}
    assert isinstance(value, dict)
    return value
