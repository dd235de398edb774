"""The collector, Jaeger and Prometheus, built once. About two minutes each on two cores."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import go_programs
import yaml

TOOLS = Path(__file__).parent / "tools"
COLLECTOR_VERSION = "0.162.0"
CONTRIB_VERSION = "0.160.0"
JAEGER_VERSION = "1.62.0"
PROMETHEUS_VERSION = "0.316.0"


def collector() -> Path:
    """Return the collector of tools/builder.yaml: core components only."""
    return _collector(collector_target(), "builder.yaml", COLLECTOR_VERSION)


def collector_target() -> Path:
    """Where ``collector`` is, or would be."""
    return go_programs.cached("otelcol", COLLECTOR_VERSION)


def contrib() -> Path:
    """Return the collector of tools/contrib.yaml: with what the examples need of contrib."""
    return _collector(contrib_target(), "contrib.yaml", CONTRIB_VERSION)


def contrib_target() -> Path:
    """Where ``contrib`` is, or would be."""
    return go_programs.cached("otelcol-contrib", CONTRIB_VERSION)


def _collector(target: Path, manifest_name: str, version: str) -> Path:
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        manifest = yaml.safe_load((TOOLS / manifest_name).read_text())
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            manifest["dist"]["output_path"] = folder
            config = Path(folder) / "manifest.yaml"
            config.write_text(yaml.safe_dump(manifest))
            builder = f"go.opentelemetry.io/collector/cmd/builder@v{version}"
            command = ["nice", "-n", "10", "go", "run", builder, "--config", str(config)]
            subprocess.run([*command, "--ldflags=-s -w"], cwd=folder, check=True)
            (Path(folder) / manifest["dist"]["name"]).replace(target)
    return target


def jaeger() -> Path:
    """Return Jaeger's all-in-one of tools/jaeger/go.mod."""
    return go_programs.installed(
        jaeger_target(),
        "-trimpath",
        "-ldflags=-s -w",
        "github.com/jaegertracing/jaeger/cmd/all-in-one",
        cwd=TOOLS / "jaeger",
    )


def jaeger_target() -> Path:
    """Where ``jaeger`` is, or would be."""
    return go_programs.cached("jaeger-all-in-one", JAEGER_VERSION)


def prometheus(program: str = "prometheus") -> Path:
    """Return Prometheus, or another ``program`` of its: promtool."""
    # Without the tags one dependency (a service discovery that we do not use) is not served.
    tags = "remove_all_sd,enable_kubernetes_sd,enable_dns_sd"
    package = f"github.com/prometheus/prometheus/cmd/{program}@v{PROMETHEUS_VERSION}"
    return go_programs.installed(prometheus_target(program), "-tags", tags, package)


def prometheus_target(program: str = "prometheus") -> Path:
    """Where ``prometheus`` is, or would be."""
    return go_programs.cached(program, PROMETHEUS_VERSION)


if __name__ == "__main__":
    for build in (collector, jaeger, prometheus, contrib):
        print(build())  # noqa: T201 - a tool with a command line
