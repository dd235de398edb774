"""The collector, Jaeger and Prometheus, built once from the Go module proxy into the cache.

The cache is $KUBENURSE_TEST_CACHE or .cache of the work tree. About two minutes each on two cores.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import yaml

TOOLS = Path(__file__).parent / "tools"
ROOT = Path(__file__).parents[2]
COLLECTOR_VERSION = "0.162.0"
CONTRIB_VERSION = "0.160.0"
JAEGER_VERSION = "1.62.0"
PROMETHEUS_VERSION = "0.316.0"
NICE = ("nice", "-n", "19")


def collector() -> Path:
    """Return the collector of tools/builder.yaml: core components only."""
    return _collector(f"otelcol-{COLLECTOR_VERSION}", "builder.yaml", COLLECTOR_VERSION)


def contrib() -> Path:
    """Return the collector of tools/contrib.yaml: with what the examples need of contrib."""
    return _collector(contrib_target().name, "contrib.yaml", CONTRIB_VERSION)


def contrib_target() -> Path:
    """Where ``contrib`` is, or would be."""
    return _target(f"otelcol-contrib-{CONTRIB_VERSION}")


def _collector(name: str, manifest_name: str, version: str) -> Path:
    target = _target(name)
    if not target.exists():
        manifest = yaml.safe_load((TOOLS / manifest_name).read_text())
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            manifest["dist"]["output_path"] = folder
            config = Path(folder) / "manifest.yaml"
            config.write_text(yaml.safe_dump(manifest))
            builder = f"go.opentelemetry.io/collector/cmd/builder@v{version}"
            command = [*NICE, "go", "run", builder, "--config", str(config), "--ldflags=-s -w"]
            subprocess.run(command, cwd=folder, check=True)
            (Path(folder) / manifest["dist"]["name"]).replace(target)
    return target


def jaeger() -> Path:
    """Return Jaeger's all-in-one of tools/jaeger/go.mod."""
    target = _target(f"jaeger-all-in-one-{JAEGER_VERSION}")
    if not target.exists():
        fresh = target.with_suffix(f".{os.getpid()}")
        command = [*NICE, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", str(fresh)]
        command += ["github.com/jaegertracing/jaeger/cmd/all-in-one"]
        subprocess.run(command, cwd=TOOLS / "jaeger", check=True)
        fresh.replace(target)
    return target


def prometheus() -> Path:
    """Return Prometheus, as tests/dashboards builds it, too."""
    target = _target("prometheus")
    if not target.exists():
        # Without the tags one dependency (a service discovery that we do not use) is not served.
        tags = "remove_all_sd,enable_kubernetes_sd,enable_dns_sd"
        package = f"github.com/prometheus/prometheus/cmd/prometheus@v{PROMETHEUS_VERSION}"
        subprocess.run(
            [*NICE, "go", "install", "-tags", tags, package],
            env=os.environ | {"GOBIN": str(target.parent)},
            cwd=target.parent,
            check=True,
        )
    return target


def _target(name: str) -> Path:
    cache = Path(os.environ.get("KUBENURSE_TEST_CACHE", ROOT / ".cache")).absolute()
    (cache / "bin").mkdir(parents=True, exist_ok=True)
    return cache / "bin" / name


if __name__ == "__main__":
    for build in (collector, jaeger, prometheus, contrib):
        print(build())  # noqa: T201 - a tool with a command line
