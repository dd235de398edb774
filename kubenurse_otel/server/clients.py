"""One Client per address: how much its connections may hold, and which one is closed if that is
exceeded.

Owns the shares and the budget. Bounds are in bytes where bytes are held, and a connection is
charged for itself, so that nothing of a client's making is free. Refusals are counted by reason.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

from kubenurse_otel.semconv import Refusal

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

BUDGET_BYTES: Final = 16 * 1024 * 1024
"""Bytes that all clients together may hold: parts of requests, and answers not taken yet."""
SHARE_BYTES: Final = 2 * 1024 * 1024
MAX_CONNECTIONS: Final = 1_500
SHARE_CONNECTIONS: Final = 256
MAX_HANDSHAKES: Final = 64
"""TLS handshakes under way; each holds 30 to 50 KB of OpenSSL's and costs a signature."""
SHARE_HANDSHAKES: Final = 8
SILENT_SECONDS: Final = 1.0
"""If a client has its share of connections, one of its own makes room once it is silent for this
long.
"""
ROOM_SECONDS: Final = 0.1
"""Least time between two connections closed for room: to end one and begin another costs ten times
as much as a refusal.
"""
MAX_REMEMBERED: Final = 1_024
"""Clients without a connection: when they were served last is known for a while."""


class Member(Protocol):
    """What is asked of a connection."""

    client: Client
    entered_at: float
    """When it entered its stage, in the event loop's seconds. It has been silent since then."""

    def serve(self) -> bool:
        """Do one thing: read, or answer one request. False: there was nothing to do."""

    def pause(self) -> None:
        """Read nothing until served."""

    def abort(self, reason: Refusal | None = None) -> None:
        """Close at once and leave."""


class Client:
    """One address. ``members`` are its connections, the one that is silent longest first."""

    __slots__ = (
        "address",
        "handshakes",
        "held_bytes",
        "made_room_at",
        "members",
        "queued",
        "served_at",
        "waiting",
    )

    def __init__(self, address: str) -> None:
        self.address = address
        self.members: dict[Member, None] = {}
        self.held_bytes = 0
        self.handshakes = 0
        self.served_at = self.made_room_at = 0.0
        self.waiting: dict[Member, None] = {}
        """Its connections that wait for their turn, in order (turns.py)."""
        self.queued = False
        """Whether it is in a queue of turns.py: once, also where those that waited have gone."""

    def next_waiting(self) -> Member:
        """Remove and return the member that has waited longest."""
        member = next(iter(self.waiting))
        del self.waiting[member]
        return member


class Clients:
    """The clients that have connections, and some that had.

    ``limit`` is how many connections there may be in all; ``refusals`` counts by reason.
    """

    def __init__(self, *, limit: int, refusals: Counter[Refusal]) -> None:
        self._limit = limit
        self._refusals = refusals
        self._here: dict[str, Client] = {}
        self._remembered: OrderedDict[str, Client] = OrderedDict()
        self._connections = 0
        self._held_bytes = 0
        self._handshakes: dict[object, Member] = {}
        """By key, the one that began first first."""

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def handshakes(self) -> int:
        """How many are under way."""
        return len(self._handshakes)

    def __len__(self) -> int:
        """Return the number of connections."""
        return self._connections

    def admit(self, address: str, clock: Callable[[], float]) -> Client | None:
        """Return the Client of a new connection, or None if there is no room (the refusal is
        counted).

        A client at its share makes room by its own most silent connection. At the limit of all, the
        client with the most connections makes room. A client is refused only if it opens
        connections faster than its own fall silent.
        """
        client = self._here.get(address) or self._remembered.get(address) or Client(address)
        full = self._connections >= self._limit
        share = SHARE_CONNECTIONS
        if full:
            share = max(min(share, self._limit // (len(self._here) + 1)), 1)
        if len(client.members) >= share:
            oldest, now = next(iter(client.members)), clock()
            if now - oldest.entered_at < SILENT_SECONDS or now - client.made_room_at < ROOM_SECONDS:
                self._refusals[Refusal.CONNECTIONS] += 1
                return None
            client.made_room_at = now
            oldest.abort(Refusal.CONNECTIONS)
        elif full:
            self.make_room()
        return client

    def make_room(self) -> bool:
        """Close the most silent connection of the client that has most. False if there is none."""
        if not self._here:
            return False
        oldest = [(len(one.members), next(iter(one.members))) for one in self._here.values()]
        max(oldest, key=lambda one: (one[0], -one[1].entered_at))[1].abort(Refusal.CONNECTIONS)
        return True

    def enter(self, client: Client, member: Member) -> None:
        """Add a connection of ``client``."""
        if not client.members:
            self._remembered.pop(client.address, None)
            self._here[client.address] = client
        client.members[member] = None
        self._connections += 1

    def heard(self, client: Client, member: Member) -> None:
        """Note that ``member`` is the last of its client's to do something."""
        del client.members[member]
        client.members[member] = None

    def leave(self, client: Client, member: Member) -> None:
        del client.members[member]
        client.waiting.pop(member, None)
        self._connections -= 1
        if not client.members:
            del self._here[client.address]
            self._remembered[client.address] = client
            if len(self._remembered) > MAX_REMEMBERED:
                self._remembered.popitem(last=False)

    def hold(self, member: Member, more: int) -> bool:
        """Charge ``member`` for ``more`` bytes (less where negative).

        False: that is too much, and ``member`` must be closed. If all clients together are over the
        budget, the client that holds most loses its most silent connection.
        """
        client = member.client
        client.held_bytes += more
        self._held_bytes += more
        if more <= 0:
            return True
        while client.held_bytes <= SHARE_BYTES and self._held_bytes > BUDGET_BYTES:
            most = max(self._here.values(), key=lambda one: one.held_bytes)
            if most is client:
                return False
            next(iter(most.members)).abort(Refusal.BYTES)
        return client.held_bytes <= SHARE_BYTES

    def start_handshake(self, key: object, member: Member) -> bool:
        """Whether a TLS handshake of ``member`` may begin; ``end_handshake`` must follow then.

        If there are too many, the client with the most handshakes loses its oldest one.
        """
        if member.client.handshakes >= SHARE_HANDSHAKES:
            return False
        if len(self._handshakes) >= MAX_HANDSHAKES:
            all_of_them = self._handshakes.values()
            max(all_of_them, key=lambda one: one.client.handshakes).abort(Refusal.HANDSHAKES)
        member.client.handshakes += 1
        self._handshakes[key] = member
        return True

    def end_handshake(self, key: object) -> None:
        """End a handshake. A member that is aborted must call it, too."""
        self._handshakes.pop(key).client.handshakes -= 1
