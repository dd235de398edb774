"""How long discovery waits for what, in seconds."""

from __future__ import annotations

from typing import Final

from kubenurse_otel.record import record

SMALL_CLUSTER: Final = 50
LARGE_CLUSTER: Final = 500
"""Nodes at which the greatest jitter is reached."""


@record(frozen=True, slots=True, kw_only=True)
class Timings:
    """Defaults are those of a live agent; tests shorten them."""

    jitter: float = 30.0
    """The longest time over which agents of a large cluster spread their lists."""
    least_jitter: float = 1.0
    """The time over which every re-list is spread, also in a small cluster."""
    backoff: float = 0.5
    max_backoff: float = 30.0
    list_read: float = 30.0
    """The longest silence within the answer to a list."""
    watch: float = 150.0
    """How long one watch lasts at least; at most twice that. Silent for so long: a list is next.

    Bookmarks come once a minute, but only where any pod of the cluster changed: in a quiet cluster
    the end of a watch is the server's only word, and `listed_at` is so much behind.
    """
    watch_grace: float = 30.0
    """Seconds past its end after which a silent watch is dead."""
    poll: float = 300.0
    """About how long between two lists where a cluster is too large to watch."""
    hurried_poll: float = 60.0
    """The same while the last list proves outdated, as in a roll-out."""
    settle: float = 0.2
    """Changes that come together are looked at together."""
    tick: float = 5.0
    """The time between two moves of `listed_at` while nothing else changes."""
    own_pod_grace: float = 15.0
    """How long our own pod may be missing from the list (it is not Running at once)."""
    node_cache: float = 10.0
    leaving_cache: float = 60.0
    """When a leaving node that the ring would pick is read again."""
    not_ready_cache: float = 30.0
    forbidden: float = 300.0
    """When a read that our role does not allow is tried again."""
    patience: float = 60.0
    """How long it is tried again after ``node_cache`` before (discovery/refusals.py)."""

    def start_jitter(self, nodes: int) -> float:
        """Return what to spread a first list over: 0 up to 50 nodes, all of it from 500 on."""
        share = (nodes - SMALL_CLUSTER) / (LARGE_CLUSTER - SMALL_CLUSTER)
        return self.jitter * min(1.0, max(0.0, share))

    def relist_jitter(self, nodes: int) -> float:
        return max(self.least_jitter, self.start_jitter(nodes))
