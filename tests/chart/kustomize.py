"""examples/kustomize, rendered from the chart: `python -m tests.chart.kustomize --write`.

Owns what is generated there. kustomization.yaml, namespace.yaml and README.md are written by hand.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import go_programs
import yaml

from . import helm

VERSION: Final = "v5.7.1"
ROOT: Final = Path(__file__).parents[2]
EXAMPLES: Final = ROOT / "examples" / "kustomize"
BASE: Final = EXAMPLES / "base"
COLLECTOR: Final = EXAMPLES / "collector"
COLLECTOR_VALUES: Final = {"collector": {"endpoint": "otlp.example.com:4317"}}
"""What the overlay adds to the chart's defaults."""

_MADE: Final = "# Made from the chart by `python -m tests.chart.kustomize --write`; do not edit.\n"
_SOURCE: Final = re.compile(r"# Source: \S+/templates/(\S+)\n")
# Labels that say something about Helm: nobody is to think that it owns these objects.
_HELM_LABELS: Final = re.compile(
    r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n", re.MULTILINE
)
# The overlay's ConfigMap has its content's hash in the name, so a change rolls the pods without it.
_CHECKSUM: Final = re.compile(r"^ +checksum/collector-config: .*\n", re.MULTILINE)


def binary() -> Path:
    """Return kustomize, built (half a minute) if the cache has none of this version."""
    package = f"sigs.k8s.io/kustomize/kustomize/v5@{VERSION}"
    return go_programs.installed(go_programs.cached("kustomize", VERSION), package)


def build(directory: Path) -> list[helm.Manifest]:
    """Return what the real kustomize makes of a directory."""
    command = [str(binary()), "build", str(directory)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def rendered(values: object = None, *, namespace: str = helm.NAMESPACE) -> str:
    """Return the chart's manifests without Helm's own labels, annotations and hooks."""
    text = helm.template(values, "--no-hooks", namespace=namespace)
    return _CHECKSUM.sub("", _HELM_LABELS.sub("", text))


def files() -> dict[Path, str]:
    """Return the generated files' texts by path."""
    base, more = rendered(), rendered(COLLECTOR_VALUES)
    found = {BASE / name: _MADE + text for name, text in _by_template(base).items()}
    manifests = [one for one in yaml.safe_load_all(more) if one]
    config = helm.one(manifests, "ConfigMap")["data"]["config.yaml"]
    ours = helm.one(list(yaml.safe_load_all(base)), "DaemonSet")
    theirs = helm.one(manifests, "DaemonSet")
    identity = {key: ours[key] for key in ("apiVersion", "kind")}
    identity["metadata"] = {key: ours["metadata"][key] for key in ("name", "namespace")}
    patch = identity | _difference(ours, theirs)
    return found | {
        COLLECTOR / "config.yaml": config,
        COLLECTOR / "daemonset.yaml": _MADE + yaml.safe_dump(patch, sort_keys=False, width=100),
    }


def _by_template(text: str) -> dict[str, str]:
    """Return the documents of a rendering, joined by the template that they come from."""
    found: dict[str, list[str]] = {}
    for document in text.split("---\n"):
        source = _SOURCE.match(document)
        if source is not None:
            found.setdefault(source[1], []).append(document[source.end() :])
    return {name: "---\n".join(documents) for name, documents in found.items()}


def _difference(old: Any, new: Any) -> Any:
    """Return the strategic merge patch that turns ``old`` into ``new``, which only adds."""
    if isinstance(new, dict):
        assert old.keys() <= new.keys(), "a patch of ours removes nothing"
        return {
            key: _difference(old[key], value) if key in old else value
            for key, value in new.items()
            if key not in old or old[key] != value
        }
    assert isinstance(new, list), "a patch of ours changes no value"
    there = {one["name"]: one for one in old}
    changed = [one for one in new if there.get(one["name"]) != one]
    return [
        {"name": one["name"]} | _difference(there[one["name"]], one)
        if one["name"] in there
        else one
        for one in changed
    ]


def stale() -> list[Path]:
    """Return the generated files that are missing or out of date, and the base's left-overs."""
    wanted = files()
    bad = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    by_hand = ("kustomization.yaml", "namespace.yaml")
    return bad + [
        path for path in BASE.iterdir() if path.name not in by_hand and path not in wanted
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chart.kustomize")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail where a file is stale")
    what.add_argument("--write", action="store_true", help="write the files")
    if parser.parse_args().write:
        for path, text in files().items():
            path.write_text(text)
        return 0
    bad = stale()
    for path in bad:
        print(f"{path.relative_to(ROOT)} is stale: {parser.prog} --write")  # noqa: T201 - for people
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
