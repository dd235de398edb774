"""Every fault there is, in the table's order."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from e2e.faults.fault import Fault

AREAS: Final = ("network", "loss", "service_path", "nodes", "rollout", "leaving", "api_server")
"""Modules of this package, each with its FAULTS."""


def by_name() -> dict[str, Fault]:
    faults: list[Fault] = []
    for area in AREAS:
        faults += import_module(f"e2e.faults.{area}").FAULTS
    return {fault.name: fault for fault in faults}
