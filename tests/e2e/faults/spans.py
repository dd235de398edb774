"""What the trace of a check says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e.cluster.jaeger_api import Trace


def client_number(trace: Trace, name: str) -> float:
    """One of its figures, 0 where there is none."""
    client = trace.client
    return float(client.attributes.get(name, 0)) if client is not None else 0.0


def begun_by(trace: Trace, node: str, **says: str) -> bool:
    """Whether it is of a check of this node; ``says`` is what its root has as kubenurse.error.*."""
    root = trace.root
    return (
        root is not None
        and root.resource.get("k8s.node.name") == node
        and all(
            root.attributes.get(f"kubenurse.error.{name}") == text for name, text in says.items()
        )
    )
