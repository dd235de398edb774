"""What the bench borrows from tests/: a real API server, and pods as a DaemonSet's are.

tests/ is no package of mypy's, so the few things that are used have their types here.
"""

from __future__ import annotations

import copy
import importlib
import sys
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

from bench.network import ROOT

if TYPE_CHECKING:
    from pathlib import Path

sys.path.insert(0, str(ROOT / "tests"))

daemonset: Final[Any] = importlib.import_module("apiserver.daemonset")
rbac: Final[Any] = importlib.import_module("apiserver.rbac")
scale: Final[Any] = importlib.import_module("apiserver.scale")
real: Final[Any] = importlib.import_module("apiserver.real")
programs: Final[Any] = importlib.import_module("e2e.cluster.programs")
real.START_SECONDS = 600.0  # thousands of objects, on a machine that does other things, too
NAMESPACE: Final[str] = importlib.import_module("apiserver.objects").NAMESPACE


class Administrator(Protocol):
    """tests/apiserver/real.py: RealApiServer. ``must`` raises AssertionError when refused."""

    directory: Path
    ca_file: Path
    admin_token: str
    port: int

    def start_etcd(self) -> None: ...
    def stop_etcd(self) -> None: ...
    def start(self, *options: str) -> None: ...
    def stop(self) -> None: ...
    def must(self, method: str, path: str, body: object = None, content_type: str = ...) -> Any: ...
    def merge(self, path: str, change: object) -> None: ...
    def delete(self, path: str) -> None: ...
    def token(self, namespace: str, account: str, seconds: int = ...) -> str: ...
    def cpu_seconds(self) -> float: ...


def another(administrator: Administrator) -> Administrator:
    """The same administrator with a connection of its own, for another thread."""
    twin = cast("Any", copy.copy(administrator))
    twin._connection = None  # noqa: SLF001 - what makes it a connection of its own
    return cast("Administrator", twin)
