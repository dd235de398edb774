"""Every fault there is, in the table's order."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from e2e.faults.fault import Fault

AREAS: Final = {
    "The network loses, delays or cuts": ("network", "late", "loss"),
    "Sockets that misbehave": ("sockets",),
    "The path through a Service": ("service_path",),
    "DNS": ("dns",),
    "TLS at the ingress": ("tls",),
    "Extra checks": ("extra",),
    "Nodes and applications": ("nodes", "slow"),
    "Roll-outs": ("rollout",),
    "Nodes that leave": ("leaving",),
    "The API server": ("api_server",),
    "Certificates and tokens that change": ("rotation",),
    "The prober itself": ("prober",),
    "A mesh's proxy": ("intercepted",),
    "Collectors": ("collector", "gateway"),
    "Hostile clients, eager scrapers": ("hostile",),
}
"""The table's sections, each with its modules of this package, each with its FAULTS."""


def by_area() -> dict[str, list[Fault]]:
    found: dict[str, list[Fault]] = {}
    for area, modules in AREAS.items():
        found[area] = []
        for module in modules:
            found[area] += import_module(f"e2e.faults.{module}").FAULTS
    return found


def by_name() -> dict[str, Fault]:
    return {fault.name: fault for faults in by_area().values() for fault in faults}
