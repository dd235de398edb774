"""Prometheus, Alertmanager and VictoriaMetrics, built once. About four minutes on two cores."""

from __future__ import annotations

from pathlib import Path

import go_programs
from collector import binaries

ROOT = go_programs.ROOT
ALERTMANAGER_VERSION = "0.28.1"
VICTORIAMETRICS_VERSION = "1.151.0"
"""As tools/victoriametrics/go.mod has it (its own replaces: `go install` takes no such module)."""
_VICTORIAMETRICS = Path(__file__).parent / "tools" / "victoriametrics"


def binary(name: str) -> Path:
    """Return the path of one of them, built if it is not in the cache."""
    if name in {"prometheus", "promtool"}:
        return binaries.prometheus(name)
    if name == "alertmanager":
        package = f"github.com/prometheus/alertmanager/cmd/{name}@v{ALERTMANAGER_VERSION}"
        return go_programs.installed(go_programs.cached(name, ALERTMANAGER_VERSION), package)
    return go_programs.installed(
        go_programs.cached(name, VICTORIAMETRICS_VERSION),
        "-trimpath",
        "-ldflags=-s -w",
        f"github.com/VictoriaMetrics/VictoriaMetrics/app/{name}",
        cwd=_VICTORIAMETRICS,
    )
