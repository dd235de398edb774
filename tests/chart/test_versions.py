"""Which Kubernetes the chart takes, and what `helm test` leaves behind."""

from __future__ import annotations

from typing import Any, Final

import pytest
import yaml

from . import helm

NATIVE: Final = {"collector": {"endpoint": "otlp.example.com:4317", "native": True}}


@pytest.mark.parametrize("version", ["1.25.0", "1.25.16-gke.1234", "1.29.0-eks-a1b2c3", "1.36.3"])
def test_a_distribution_may_add_to_the_version(version: str) -> None:
    """Kubernetes 1.25 and later, also as GKE and EKS write it."""
    assert helm.of_kind(helm.render(None, "--kube-version", version), "DaemonSet")


def test_an_older_kubernetes_is_refused() -> None:
    """By Helm itself, before anything is rendered."""
    with pytest.raises(helm.HelmError, match=r"requires kubeVersion: >=1\.25\.0-0"):
        helm.render(None, "--kube-version", "1.24.17")


@pytest.mark.parametrize("version", ["1.28.15", "1.28.9-gke.1000"])
def test_a_native_sidecar_needs_kubernetes_1_29(version: str) -> None:
    """Before it the collector would be an init container that never ends: no agent would start."""
    with pytest.raises(helm.HelmError, match=r"collector\.native needs Kubernetes 1\.29"):
        helm.render(NATIVE, "--kube-version", version)


@pytest.mark.parametrize("version", ["1.29.0", "1.29.0-gke.1", "1.36.3"])
def test_a_native_sidecar_runs_from_there_on(version: str) -> None:
    """Also on a distribution whose version looks like one before 1.29.0 to a SemVer reader."""
    assert helm.pod(helm.render(NATIVE, "--kube-version", version))["spec"]["initContainers"]


def test_helm_test_leaves_its_pod_for_the_logs() -> None:
    """`helm test --logs` reads them after the pod has ended; the next `helm test` takes it away."""
    text = helm.template(None, "--show-only", "templates/tests/check.yaml")
    pod: dict[str, Any] = yaml.safe_load(text)
    annotations = pod["metadata"]["annotations"]
    assert "before-hook-creation" == annotations["helm.sh/hook-delete-policy"]
