"""examples/kustomize against the chart, by the real kustomize, before the real API server."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from . import helm, kustomize
from .admission import RESTRICTED

if TYPE_CHECKING:
    from pathlib import Path

    from .admission import Admission

Identity = tuple[str, str]

VALUES: dict[Path, object] = {
    kustomize.BASE: None,
    kustomize.COLLECTOR: kustomize.COLLECTOR_VALUES,
}
_HASH = re.compile(r"\bkubenurse-collector-[a-z0-9]{10}\b")


def _by_identity(manifests: list[helm.Manifest]) -> dict[Identity, helm.Manifest]:
    found = {(one["kind"], one["metadata"]["name"]): one for one in manifests if one}
    for one in found.values():
        if one["kind"] == "DaemonSet":
            _sort(one["spec"]["template"]["spec"])
        if one["kind"] == "ConfigMap":  # kustomize makes its own, without labels.
            one["metadata"].pop("labels", None)
    return found


def _sort(pod: dict[str, Any]) -> None:
    """Put what a strategic merge patch does not order by name; containers stay as they are."""
    pod["volumes"].sort(key=lambda volume: volume["name"])
    for container in pod["containers"]:
        container["env"].sort(key=lambda variable: variable["name"])


def _chart(values: object, namespace: str = helm.NAMESPACE) -> dict[Identity, helm.Manifest]:
    return _by_identity(list(yaml.safe_load_all(kustomize.rendered(values, namespace=namespace))))


def _built(directory: Path) -> dict[Identity, helm.Manifest]:
    """Return what kustomize builds, without the namespace and the hash in the ConfigMap's name."""
    built = yaml.safe_dump_all(kustomize.build(directory))
    found = _by_identity(list(yaml.safe_load_all(_HASH.sub("kubenurse-collector", built))))
    del found["Namespace", next(name for kind, name in found if kind == "Namespace")]
    return found


def test_generated_files_are_up_to_date() -> None:
    """What is in the directory is what the chart makes today."""
    assert [] == kustomize.stale()


def test_nothing_says_that_helm_owns_it() -> None:
    """No object has Helm's labels: they would be untrue."""
    text = "".join(path.read_text() for path in kustomize.BASE.glob("*.yaml"))
    assert "helm.sh/" not in text
    assert "managed-by" not in text


@pytest.mark.parametrize("directory", VALUES, ids=lambda path: path.name)
def test_kustomize_builds_what_the_chart_renders(directory: Path) -> None:
    """`kustomize build` equals `helm template`, object by object."""
    assert _chart(VALUES[directory]) == _built(directory)


@pytest.mark.parametrize("directory", VALUES, ids=lambda path: path.name)
def test_namespace_changes_as_the_readme_says(directory: Path, tmp_path: Path) -> None:
    """The README's sed gives what the chart renders for that namespace."""
    copy = tmp_path / "kustomize"
    shutil.copytree(kustomize.EXAMPLES, copy)
    for path in copy.rglob("*.yaml"):
        path.write_text(path.read_text().replace("monitoring", "network"))
    assert _chart(VALUES[directory], "network") == _built(copy / directory.name)


def test_readmes_kustomization_builds(tmp_path: Path) -> None:
    """The kustomization in the README changes the image and adds the variable, nothing else."""
    readme = (kustomize.EXAMPLES / "README.md").read_text()
    block = re.search(r"(?:^    .*\n)*^    resources:\n(?:^    .*\n)+", readme, re.MULTILINE)
    assert block is not None
    shutil.copytree(kustomize.BASE, tmp_path / "base")
    text = re.sub(r"https://github\.com\S+", "base", textwrap.dedent(block[0]))
    (tmp_path / "kustomization.yaml").write_text(text)
    agent = helm.agent(list(_built(tmp_path).values()))
    plain = helm.agent(list(_chart(None).values()))
    assert "registry.example.com/kubenurse-otel:0.1.0" == agent["image"]
    added = [variable for variable in agent["env"] if variable not in plain["env"]]
    assert [{"name": "KUBENURSE_INGRESS_URL", "value": "https://kubenurse.example.com"}] == added


@pytest.mark.skipif(shutil.which("etcd") is None, reason="needs Debian's etcd-server")
@pytest.mark.parametrize("directory", VALUES, ids=lambda path: path.name)
def test_api_server_takes_it(directory: Path, admission: Admission) -> None:
    """Each object passes server-side dry run with strict fields, its pods restricted security."""
    manifests = kustomize.build(directory)
    for manifest in manifests:
        status, answer = admission.apply(manifest)
        assert status in (200, 201), (manifest["kind"], answer)
    status, answer = admission.create_pod(helm.pod(manifests), RESTRICTED)
    assert status == 201, answer
