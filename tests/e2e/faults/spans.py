"""What the CLIENT span of a check's trace says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from e2e.cluster.jaeger_api import Span, Trace


def client(trace: Trace) -> Span | None:
    return next((span for span in trace.spans if span.kind == "client"), None)


def client_number(trace: Trace, name: str) -> float:
    """One of its figures, 0 where there is none."""
    span = client(trace)
    return float(span.attributes.get(name, 0)) if span is not None else 0.0


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
