"""Prometheus, Alertmanager and VictoriaMetrics, built once from the Go module proxy into the cache.

The cache is $KUBENURSE_TEST_CACHE or .cache of the work tree. About four minutes on two cores.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

VERSION = "v0.316.0"
ALERTMANAGER_VERSION = "v0.28.1"
ROOT = Path(__file__).parents[2]
TAGS = "remove_all_sd,enable_kubernetes_sd,enable_dns_sd"
"""Without them one dependency (a service discovery that we do not use) is not served."""
_PACKAGES = {
    "prometheus": f"github.com/prometheus/prometheus/cmd/prometheus@{VERSION}",
    "promtool": f"github.com/prometheus/prometheus/cmd/promtool@{VERSION}",
    "alertmanager": f"github.com/prometheus/alertmanager/cmd/alertmanager@{ALERTMANAGER_VERSION}",
}
VICTORIAMETRICS_VERSION = "v1.151.0"
"""As tools/victoriametrics/go.mod has it (its own replaces: `go install` takes no such module)."""
_VICTORIAMETRICS = Path(__file__).parent / "tools" / "victoriametrics"


def binary(name: str) -> Path:
    """Return the path of one of them, built if it is not in the cache."""
    folder = Path(os.environ.get("KUBENURSE_TEST_CACHE", ROOT / ".cache")).absolute() / "bin"
    target = folder / name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        if name in _PACKAGES:
            command, cwd = ["go", "install", "-tags", TAGS, _PACKAGES[name]], folder
        else:
            command = ["go", "build", "-trimpath", "-ldflags=-s -w", "-o", f"{folder}/"]
            command += [f"github.com/VictoriaMetrics/VictoriaMetrics/app/{name}"]
            cwd = _VICTORIAMETRICS
        subprocess.run(
            ["nice", "-n", "10", *command],
            env=os.environ | {"GOBIN": str(folder)},
            cwd=cwd,
            check=True,
        )
    return target
