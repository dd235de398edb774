"""What we know of single nodes: read when their pod is picked or fails, and forgotten after.

Owns the reads, their cache and their bound; a read that fails leaves what was known.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.api import ApiError, ApiServer, Problem
from kubenurse_otel.discovery.nodes import DELETED, NodeView, decode_node
from kubenurse_otel.model import NodeState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from kubenurse_otel.discovery.timings import Timings

READ_SECONDS: Final = 5.0
MAX_NODE_BYTES: Final = 4 * 1024 * 1024
READS_A_PASS: Final = 20
"""More are read in later passes, so that a first neighbourhood does not wait for hundreds."""

_NOTHING_KNOWN: Final = NodeView()


@dataclass(frozen=True, slots=True)
class _Page:
    view: NodeView
    read_at: float


class NodeBook:
    """Views of the nodes that matter to us now. For one thread."""

    def __init__(
        self, server: ApiServer, timings: Timings, leaving_taints: Collection[str]
    ) -> None:
        self._server = server
        self._timings = timings
        self._leaving_taints = frozenset(leaving_taints)
        self._pages: dict[str, _Page] = {}
        self._blocked_until = 0.0
        self.problem: ApiError | None = None
        """Why the last read failed, None when it did not."""

    def view(self, name: str) -> NodeView:
        page = self._pages.get(name)
        return page.view if page is not None else _NOTHING_KNOWN

    def read(self, names: Iterable[str], failed: Collection[str]) -> bool:
        """Read those that are new, old or (cached for 10 s) failed. False: some are left over."""
        reads = 0
        for name in names:
            if not self._is_due(name, name in failed):
                continue
            if time.monotonic() < self._blocked_until:
                return True
            if reads == READS_A_PASS:
                return False
            self._read(name)
            reads += 1
        return True

    def leaving(self) -> set[str]:
        """Return the nodes that are known to be leaving, until it is time to look again."""
        now = time.monotonic()
        return {
            name
            for name, page in self._pages.items()
            if page.view.leaving and now - page.read_at < self._timings.leaving_cache
        }

    def keep(self, names: Collection[str]) -> None:
        """Forget all nodes but these and those that are leaving."""
        leaving = self.leaving()
        self._pages = {
            name: page for name, page in self._pages.items() if name in names or name in leaving
        }

    def _is_due(self, name: str, failed: bool) -> bool:  # noqa: FBT001 - private
        page = self._pages.get(name)
        if page is None:
            return True
        age = time.monotonic() - page.read_at
        if page.view.leaving:
            return age >= self._timings.leaving_cache
        if page.view.state is NodeState.NOT_READY and age >= self._timings.not_ready_cache:
            return True
        return failed and age >= self._timings.node_cache

    def _read(self, name: str) -> None:
        try:
            view = self._ask(name)
        except ApiError as error:
            self.problem = error
            # Not one time-out a node: ask for none while the server does not answer.
            forbidden = error.problem is Problem.FORBIDDEN
            pause = self._timings.forbidden if forbidden else self._timings.node_cache
            self._blocked_until = time.monotonic() + pause
            return
        self.problem = None
        self._pages[name] = _Page(view, time.monotonic())

    def _ask(self, name: str) -> NodeView:
        asked = "get nodes"
        try:
            answer = self._server.get(
                f"/api/v1/nodes/{name}",
                {"resourceVersion": "0"},
                asked=asked,
                read_seconds=READ_SECONDS,
            )
            with answer:
                return decode_node(answer.read(MAX_NODE_BYTES), self._leaving_taints)[1]
        except ApiError as error:
            if error.problem is Problem.NOT_FOUND:
                return DELETED
            raise
        except (msgspec.DecodeError, RecursionError) as error:
            raise ApiError(
                Problem.INVALID, f"the API server's answer to {asked} is not understood: {error}"
            ) from None
