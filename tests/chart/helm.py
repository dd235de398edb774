"""The real helm: built once into the cache, and what it renders of the chart.

Helm 3, or what $KUBENURSE_TEST_HELM says (of make: HELM=4).
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import go_programs
import yaml

from .values import CHART

VERSIONS: Final = {"3": "v3.22.0", "4": "v4.3.1"}
DEFAULT: Final = "3"
MAJOR: Final = os.environ.get("KUBENURSE_TEST_HELM") or DEFAULT
VERSION: Final = VERSIONS[MAJOR]
KUBE_VERSION: Final = "1.34.4"
RELEASE: Final = "kubenurse"
NAMESPACE: Final = "monitoring"

Manifest = dict[str, Any]


class HelmError(Exception):
    """helm said no; ``str()`` is what it wrote."""


def target() -> Path:
    """Where helm is, or would be."""
    return go_programs.cached("helm", VERSION)


def binary() -> Path:
    """Return helm, built (a minute or two) if the cache has none of this version."""
    return go_programs.installed(target(), f"helm.sh/helm/v{MAJOR}/cmd/helm@{VERSION}")


def run(*arguments: str, values: object = None) -> str:
    """Run helm with ``values`` (if any) as a file; return its output. Raises HelmError."""
    command = [str(binary()), *arguments]
    if values is not None:
        command += ["--values", "-"]
    done = subprocess.run(
        command,
        input=yaml.safe_dump(values) if values is not None else None,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise HelmError(done.stderr)
    return done.stdout


def template(
    values: object = None,
    *arguments: str,
    chart: Path = CHART,
    release: str = RELEASE,
    namespace: str = NAMESPACE,
) -> str:
    """Return the rendered manifests, as text. The empty line of Helm 4 after each is left out."""
    where = ("--namespace", namespace, "--kube-version", KUBE_VERSION)
    text = run("template", release, str(chart), *where, *arguments, values=values)
    return re.sub(r"\n\n+(?=---\n|\Z)", "\n", text)


def render(values: object = None, *arguments: str, **options: Any) -> list[Manifest]:
    """Return the rendered manifests. Options are ``template``'s."""
    return [one for one in yaml.safe_load_all(template(values, *arguments, **options)) if one]


def one(manifests: list[Manifest], kind: str) -> Manifest:
    """Return the only manifest of a kind."""
    (found,) = of_kind(manifests, kind)
    return found


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def pod(manifests: list[Manifest]) -> Manifest:
    """Return the DaemonSet's pod template."""
    template: Manifest = one(manifests, "DaemonSet")["spec"]["template"]
    return template


def agent(manifests: list[Manifest]) -> Manifest:
    """Return the agent's container: the first one."""
    container: Manifest = pod(manifests)["spec"]["containers"][0]
    return container


def environment(manifests: list[Manifest]) -> dict[str, str]:
    """Return the agent's variables by name; those from elsewhere as the place in angle brackets."""
    found: dict[str, str] = {}
    for variable in agent(manifests)["env"]:
        assert variable["name"] not in found, f"{variable['name']} stands twice"
        found[variable["name"]] = variable.get("value", f"<{variable.get('valueFrom')}>")
    return found
