"""A node's place on the ring: which neighbours it has, and its short name on the wire.

kubenurse's hash bit for bit (internal/servicecheck/neighbours.go).
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

RING_SIZE: Final = 1 << 64
_SHORT_BITS: Final = 32


def node_hash(node_name: str) -> int:
    """Return a node's place on the ring: the first 8 bytes, big-endian, of sha256(name)."""
    return int.from_bytes(sha256(node_name.encode()).digest()[:8], "big")


def short_hash(node_name: str) -> str:
    """Return the first half of it, as 8 hex digits: two of 5,000 nodes share one once in 340."""
    return f"{node_hash(node_name) >> _SHORT_BITS:08x}"
