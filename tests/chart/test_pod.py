"""The agents' pod: privileges, token, probes, where it runs, meshes, the node's network."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from . import golden, helm
from .helm import Manifest

PODS = [None, *(case for case in golden.CASES if "host-network" not in case.name)]


def containers(spec: Manifest) -> list[Manifest]:
    return [*spec.get("initContainers", []), *spec["containers"]]


@pytest.mark.parametrize("case", PODS, ids=lambda one: one and golden.name(one))
def test_every_container_is_restricted(case: Any) -> None:
    """Every pod of the chart, `helm test`'s too, is what restricted Pod Security asks for."""
    manifests = helm.render(yaml.safe_load(case.read_text()) if case else None)
    for spec in (helm.pod(manifests)["spec"], helm.one(manifests, "Pod")["spec"]):
        assert spec["securityContext"] == {
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        }
        for container in containers(spec):
            security = container["securityContext"]
            assert security == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            }
            assert "limits" in container["resources"]
            assert "cpu" not in container["resources"]["limits"]


@pytest.mark.parametrize("native", [False, True])
def test_token_is_the_agents_alone(*, native: bool) -> None:
    """Only the agent's container has the service account's token; nothing mounts it by itself."""
    manifests = helm.render({"collector": {"endpoint": "a:4317", "native": native}})
    spec = helm.pod(manifests)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert helm.one(manifests, "ServiceAccount")["automountServiceAccountToken"] is False
    assert ["kubenurse"] == [
        container["name"]
        for container in containers(spec)
        for mount in container["volumeMounts"]
        if mount["name"] == "api-access"
    ]
    assert helm.one(manifests, "Pod")["spec"]["automountServiceAccountToken"] is False


def test_probes_ask_for_the_agent_and_not_for_the_network() -> None:
    """Start and life are /alwayshappy, readiness is /ready; nothing probes /alive."""
    agent = helm.agent(helm.render({"ports": {"http": 18080}}))
    get = {"path": "/alwayshappy", "port": 18080, "scheme": "HTTP"}
    assert agent["startupProbe"] == {"httpGet": get, "periodSeconds": 2, "failureThreshold": 60}
    assert agent["livenessProbe"] == {
        "httpGet": get,
        "periodSeconds": 10,
        "timeoutSeconds": 5,
        "failureThreshold": 6,
    }
    assert agent["readinessProbe"] == {
        "httpGet": get | {"path": "/ready"},
        "periodSeconds": 3,
        "timeoutSeconds": 3,
        "successThreshold": 1,
        "failureThreshold": 2,
    }


@pytest.mark.parametrize("allow", [False, True])
def test_rights_are_the_least(*, allow: bool) -> None:
    """Pods of the own namespace, and nodes unless allow_unschedulable: to read, nothing more."""
    manifests = helm.render({"allow_unschedulable": allow})
    roles = [*helm.of_kind(manifests, "Role"), *helm.of_kind(manifests, "ClusterRole")]
    rules = {role["kind"]: role["rules"] for role in roles}
    read = {"apiGroups": [""], "verbs": ["get", "list", "watch"]}
    wanted = {"Role": [read | {"resources": ["pods"]}]}
    if not allow:
        wanted["ClusterRole"] = [read | {"resources": ["nodes"]}]
    assert wanted == rules
    assert len(helm.of_kind(manifests, "ClusterRoleBinding")) == (not allow)


@pytest.mark.parametrize(
    ("namespace", "wanted"), [("monitoring", {"default", "monitoring"}), ("default", {"default"})]
)
def test_events_are_created_and_nothing_else_is(namespace: str, wanted: set[str]) -> None:
    """Only where they are asked for: of nodes in the namespace default, of all else in ours."""
    assert "KUBENURSE_EVENTS" not in helm.environment(helm.render())
    manifests = helm.render({"events": {"enabled": True}}, namespace=namespace)
    assert helm.environment(manifests)["KUBENURSE_EVENTS"] == "true"
    roles = [
        one
        for one in helm.of_kind(manifests, "Role")
        if one["metadata"]["name"].endswith("-events")
    ]
    create = [{"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}]
    assert {one["metadata"]["namespace"] for one in roles} == wanted
    assert [create] * len(wanted) == [one["rules"] for one in roles]
    bindings = [
        one
        for one in helm.of_kind(manifests, "RoleBinding")
        if one["metadata"]["name"].endswith("-events")
    ]
    subject = {"kind": "ServiceAccount", "name": "kubenurse", "namespace": namespace}
    assert [[subject]] * len(wanted) == [one["subjects"] for one in bindings]


@pytest.mark.parametrize("namespace", ["kube-system", "openshift-dns"])
def test_endpoints_of_dns_are_read_and_nothing_else_is(namespace: str) -> None:
    """Only where they are asked for, and only in the namespace of the DNS Service."""
    without = helm.render()
    assert "KUBENURSE_DNS_NAMESPACE" not in helm.environment(without)
    assert not [one for one in without if one["metadata"]["name"].endswith("-dns")]
    given = {"enabled": True} | ({"namespace": namespace} if namespace != "kube-system" else {})
    manifests = helm.render({"dnsEndpoints": given}, namespace="monitoring")
    assert helm.environment(manifests)["KUBENURSE_DNS_NAMESPACE"] == namespace
    found = [one for one in manifests if one["metadata"]["name"].endswith("-dns")]
    assert [(one["kind"], one["metadata"]["namespace"]) for one in found] == [
        ("Role", namespace),
        ("RoleBinding", namespace),
    ]
    assert found[0]["rules"] == [
        {
            "apiGroups": ["discovery.k8s.io"],
            "resources": ["endpointslices"],
            "verbs": ["get", "list", "watch"],
        }
    ]
    subject = {"kind": "ServiceAccount", "name": "kubenurse", "namespace": "monitoring"}
    assert found[1]["subjects"] == [subject]


@pytest.mark.parametrize(
    ("given", "account", "made"),
    [
        ({}, "kubenurse", 1),
        ({"name": "mine"}, "mine", 1),
        ({"create": False}, "default", 0),
        ({"create": False, "name": "mine"}, "mine", 0),
    ],
)
def test_service_account(given: dict[str, Any], account: str, made: int) -> None:
    """Pods and bindings use the account that is made or named."""
    manifests = helm.render({"serviceAccount": given | {"annotations": {"a": "b"}}})
    assert account == helm.pod(manifests)["spec"]["serviceAccountName"]
    for binding in ("RoleBinding", "ClusterRoleBinding"):
        assert account == helm.one(manifests, binding)["subjects"][0]["name"]
    accounts = helm.of_kind(manifests, "ServiceAccount")
    assert [{"a": "b"}] * made == [one["metadata"]["annotations"] for one in accounts]


def test_runs_on_linux_nodes_that_are_real() -> None:
    """Linux, not Fargate, not virtual kubelets, with the control plane; or wherever it is told."""
    spec = helm.pod(helm.render())["spec"]
    assert {"kubernetes.io/os": "linux"} == spec["nodeSelector"]
    rules = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert [("NotIn", ["fargate"]), ("NotIn", ["virtual-kubelet"])] == [
        (one["operator"], one["values"])
        for term in rules["nodeSelectorTerms"]
        for one in term["matchExpressions"]
    ]
    assert ["master", "control-plane"] == [
        one["key"].rpartition("/")[2] for one in spec["tolerations"]
    ]
    everywhere = {"tolerateAll": True, "affinity": {"nodeAffinity": None}}
    spec = helm.pod(helm.render({"daemonset": everywhere}))["spec"]
    assert [{"operator": "Exists"}] == spec["tolerations"]
    assert "affinity" not in spec


def test_meshes_are_kept_away() -> None:
    """Istio's sidecar and ambient mode and Linkerd's proxy leave the pods alone, unless wanted."""
    manifests = helm.render()
    for metadata in (helm.pod(manifests)["metadata"], helm.one(manifests, "Pod")["metadata"]):
        assert {"sidecar.istio.io/inject": "false", "istio.io/dataplane-mode": "none"}.items() <= (
            metadata["labels"].items()
        )
        assert "disabled" == metadata["annotations"]["linkerd.io/inject"]
    assert "istio" not in helm.template({"mesh": {"optOut": False}})
    assert "linkerd" not in helm.template({"mesh": {"optOut": False}})


@pytest.mark.parametrize("opt_out", [True, False])
def test_opentelemetrys_operator_is_kept_away(*, opt_out: bool) -> None:
    """No pod gets its libraries or sidecar, whatever its namespace asks for; podAnnotations win."""
    languages = ("apache-httpd", "dotnet", "go", "java", "nginx", "nodejs", "python", "sdk")
    refused = {f"instrumentation.opentelemetry.io/inject-{one}": "false" for one in languages}
    refused["sidecar.opentelemetry.io/inject"] = "false"
    manifests = helm.render({"mesh": {"optOut": opt_out}})
    for metadata in (helm.pod(manifests)["metadata"], helm.one(manifests, "Pod")["metadata"]):
        assert refused.items() <= metadata["annotations"].items()
    asked = {"sidecar.opentelemetry.io/inject": "mine"}
    annotations = helm.pod(helm.render({"daemonset": {"podAnnotations": asked}}))["metadata"][
        "annotations"
    ]
    assert asked.items() <= annotations.items()


def test_node_network() -> None:
    """hostNetwork sets the DNS policy that goes with it; ports can be moved out of the way."""
    given = {"daemonset": {"hostNetwork": True}, "ports": {"http": 18080, "admin": 18090}}
    manifests = helm.render(given)
    spec = helm.pod(manifests)["spec"]
    assert (True, "ClusterFirstWithHostNet") == (spec["hostNetwork"], spec["dnsPolicy"])
    assert [18080, 18090] == [port["containerPort"] for port in helm.agent(manifests)["ports"]]
    assert [18080, 18090] == [
        port["targetPort"] for port in helm.one(manifests, "Service")["spec"]["ports"]
    ]


def test_pod_labels_cannot_break_the_selector() -> None:
    """podLabels replace labels of ours, but not the two that the selector asks for."""
    labels = {"app.kubernetes.io/name": "other", "sidecar.istio.io/inject": "true", "team": "a"}
    got = helm.pod(helm.render({"daemonset": {"podLabels": labels}}))["metadata"]["labels"]
    assert ("kubenurse", "true", "a") == (
        got["app.kubernetes.io/name"],
        got["sidecar.istio.io/inject"],
        got["team"],
    )


def test_test_pod_is_no_agent() -> None:
    """`helm test`'s pod checks the Service, and is not behind it."""
    manifests = helm.render({"service": {"port": 80}})
    pod = helm.one(manifests, "Pod")
    selector = helm.one(manifests, "Service")["spec"]["selector"]
    assert not selector.items() <= pod["metadata"]["labels"].items()
    assert "test" == pod["metadata"]["annotations"]["helm.sh/hook"]
    (container,) = pod["spec"]["containers"]
    url = "http://kubenurse.monitoring.svc:80"
    assert ["check", "--timeout=10", f"{url}/alwayshappy", f"{url}/ready"] == container["args"]


def test_dual_stack() -> None:
    """The Service has the families that are asked for, in their order."""
    given = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    spec = helm.one(helm.render({"service": given}), "Service")["spec"]
    assert given == {key: spec[key] for key in given}
