"""Every rendering before a real API server: strict fields, real CRDs, restricted Pod Security."""

from __future__ import annotations

import copy
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from . import golden, helm, kubenurse
from .admission import PRIVILEGED, RESTRICTED

if TYPE_CHECKING:
    from pathlib import Path

    from .admission import Admission

pytestmark = pytest.mark.skipif(shutil.which("etcd") is None, reason="needs Debian's etcd-server")


@pytest.mark.parametrize("case", golden.CASES, ids=golden.name)
def test_api_server_takes_every_rendering(case: Path, admission: Admission) -> None:
    """Each manifest of each ci/*-values.yaml passes server-side dry run with strict fields."""
    values = yaml.safe_load(case.read_text())
    namespace = PRIVILEGED if values.get("daemonset", {}).get("hostNetwork") else RESTRICTED
    for manifest in helm.render(values, namespace=namespace):
        status, answer = admission.apply(manifest)
        assert status in (200, 201), (manifest["kind"], answer)


@pytest.mark.parametrize("case", [None, *golden.CASES], ids=lambda one: one and golden.name(one))
def test_pods_pass_restricted_pod_security(case: Path | None, admission: Admission) -> None:
    """A pod of each rendering is admitted to a namespace that enforces restricted Pod Security."""
    values = yaml.safe_load(case.read_text()) if case is not None else kubenurse.DEFAULTS
    template = helm.pod(helm.render(values, namespace=RESTRICTED))
    status, answer = admission.create_pod(template, RESTRICTED)
    if template["spec"].get("hostNetwork"):
        assert status == 403, answer
        assert "hostNetwork=true" in answer["message"]
        assert admission.create_pod(template, PRIVILEGED)[0] == 201
    else:
        assert status == 201, answer


def test_check_that_the_dry_run_is_strict(admission: Admission) -> None:
    """The dry run would catch a wrong field, and the namespace a privileged pod."""
    manifests = helm.render(namespace=RESTRICTED)
    wrong = copy.deepcopy(helm.one(manifests, "DaemonSet"))
    wrong["spec"]["template"]["spec"]["containers"][0]["enviroment"] = []
    assert admission.apply(wrong)[0] >= 400
    bold = copy.deepcopy(helm.pod(manifests))
    bold["spec"]["containers"][0]["securityContext"]["privileged"] = True
    assert admission.create_pod(bold, RESTRICTED)[0] in (403, 422)


def test_kubenurses_daemonset_is_upgraded_in_place(admission: Admission) -> None:
    """Ours is accepted over a DaemonSet with kubenurse's name and (immutable) selector."""
    container = {"name": "kubenurse", "image": "postfinance/kubenurse:v1.15.3"}
    container["ports"] = [{"containerPort": 8080, "protocol": "TCP"}]  # type: ignore[assignment]
    theirs: dict[str, Any] = {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": "kubenurse", "namespace": RESTRICTED, "labels": kubenurse.SELECTOR},
        "spec": {
            "selector": {"matchLabels": kubenurse.SELECTOR},
            "template": {
                "metadata": {"labels": kubenurse.SELECTOR},
                "spec": {"serviceAccountName": "kubenurse", "containers": [container]},
            },
        },
    }
    ours = helm.one(helm.render(kubenurse.DEFAULTS, namespace=RESTRICTED), "DaemonSet")
    renamed = helm.one(helm.render({"nameOverride": "x"}, namespace=RESTRICTED), "DaemonSet")
    renamed["metadata"]["name"] = "kubenurse"
    try:
        assert admission.apply(theirs, dry_run=False)[0] == 201
        assert admission.apply(ours)[0] == 200
        status, answer = admission.apply(renamed)
        assert status == 422, answer
        assert "immutable" in answer["message"]
    finally:
        admission.server.delete(f"/apis/apps/v1/namespaces/{RESTRICTED}/daemonsets/kubenurse")
