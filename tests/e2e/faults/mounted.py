"""The chart's values for agents that have one more volume (a list of values replaces another)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from e2e.faults import run

if TYPE_CHECKING:
    from collections.abc import Mapping


def values(
    path: str, volume: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Those of a fault run, with ``volume`` (as in a pod) at ``path``, and more variables."""
    ca = "ingress-ca"  # As in agent-values.yaml.
    return {
        **run.VALUES,
        "daemonset": {
            "volumes": [{"name": ca, "configMap": {"name": ca}}, dict(volume)],
            "volumeMounts": [
                {"name": ca, "mountPath": f"/etc/{ca}", "readOnly": True},
                {"name": volume["name"], "mountPath": path, "readOnly": True},
            ],
            "extraEnvs": [{"name": key, "value": one} for key, one in (environ or {}).items()],
        },
    }
