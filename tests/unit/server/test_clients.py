"""Shares and budgets: who may come, who may hold, and who goes."""

from __future__ import annotations

from collections import Counter

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server.clients import (
    BUDGET_BYTES,
    MAX_HANDSHAKES,
    MAX_REMEMBERED,
    SHARE_BYTES,
    SHARE_CONNECTIONS,
    SHARE_HANDSHAKES,
    SILENT_SECONDS,
    Client,
    Clients,
)


class Member:
    """A connection that only knows what it holds, and how to go."""

    def __init__(self, clients: Clients, client: Client, now: float) -> None:
        self.clients, self.client, self.entered_at = clients, client, now
        self.held_bytes = 0
        self.gone: Refusal | None = None
        self.is_shaking = False
        clients.enter(client, self)

    def shakes(self) -> bool:
        self.is_shaking = self.clients.start_handshake(self, self)
        return self.is_shaking

    def ends_handshake(self) -> None:
        self.is_shaking = False
        self.clients.end_handshake(self)

    def hold(self, size: int) -> bool:
        more, self.held_bytes = size - self.held_bytes, size
        return self.clients.hold(self, more)

    def serve(self) -> bool:
        return True

    def pause(self) -> None: ...

    def abort(self, reason: Refusal | None = None) -> None:
        self.gone = reason
        if self.is_shaking:
            self.ends_handshake()
        self.clients.leave(self.client, self)
        self.hold(0)


class Door:
    def __init__(self, *, limit: int = 1_500) -> None:
        self.refusals = Counter[Refusal]()
        self.clients = Clients(limit=limit, refusals=self.refusals)
        self.now = 0.0

    def comes(self, address: str) -> Member | None:
        client = self.clients.admit(address, lambda: self.now)
        return None if client is None else Member(self.clients, client, self.now)

    def come(self, address: str, count: int = 1) -> list[Member]:
        return [member for _ in range(count) if (member := self.comes(address)) is not None]


def test_a_client_has_a_share_of_the_connections() -> None:
    """Who opens more at once is refused; who opens more by and by loses its most silent one."""
    door = Door()
    members = door.come("a", SHARE_CONNECTIONS + 5)
    assert len(members) == len(door.clients) == SHARE_CONNECTIONS
    assert door.refusals == {Refusal.CONNECTIONS: 5}
    assert len(door.come("b", 3)) == 3
    door.now += SILENT_SECONDS
    assert door.comes("a") is not None
    assert [member.gone is not None for member in members[:2]] == [True, False]


def test_at_the_limit_who_has_most_makes_room() -> None:
    """A new client is welcome whatever others have; who has its part already is not."""
    door = Door(limit=10)
    crowd, few = door.come("a", 8), door.come("b", 2)
    assert [len(crowd), len(few)] == [8, 2]
    assert door.comes("c") is not None
    assert crowd[0].gone is Refusal.CONNECTIONS
    assert door.comes("a") is None
    assert len(door.clients) == 10


def test_nobody_can_make_room_where_nobody_is() -> None:
    """False, and no error."""
    assert Door().clients.make_room() is False


def test_a_client_has_a_share_of_the_bytes() -> None:
    """The connection that asks for more is told so; others of other clients may."""
    door = Door()
    first, second, third = door.come("a", 3)
    assert first.hold(SHARE_BYTES // 2)
    assert second.hold(SHARE_BYTES // 2)
    assert not third.hold(1)
    third.abort(Refusal.BYTES)
    (other,) = door.come("b")
    assert other.hold(SHARE_BYTES)
    assert first.hold(0)
    assert second.hold(SHARE_BYTES)


def test_over_the_budget_who_holds_most_goes() -> None:
    """However many clients there are, no more is held, and who holds little stays."""
    door = Door(limit=10_000)
    (little,) = door.come("little")
    assert little.hold(1)
    hoarders = []
    for number in range(2 * BUDGET_BYTES // SHARE_BYTES):
        for member in door.come(f"a{number}", 2):
            if not member.hold(SHARE_BYTES // 2):
                member.abort(Refusal.BYTES)
            hoarders.append(member)
        assert door.clients.held_bytes <= BUDGET_BYTES
    assert little.gone is None
    assert sum(member.gone is None for member in hoarders) >= len(hoarders) // 2 - 2
    for member in hoarders:
        if member.gone is None:
            member.abort()
    little.abort()
    assert (door.clients.held_bytes, len(door.clients)) == (0, 0)


def test_handshakes_are_few() -> None:
    """So many of a client; each that ends leaves its place."""
    door = Door()
    members = door.come("a", SHARE_HANDSHAKES + 1)
    assert [one.shakes() for one in members] == [True] * SHARE_HANDSHAKES + [False]
    members[0].ends_handshake()
    assert members[-1].shakes()


def test_where_handshakes_are_too_many_the_oldest_of_who_has_most_goes() -> None:
    """So many in all, and whoever comes may begin one."""
    door = Door()
    lone, many = door.come("lone"), door.come("many", 2)
    others = [door.come(str(number))[0] for number in range(MAX_HANDSHAKES)]
    assert all(one.shakes() for one in (*lone, *many, *others[3:]))
    assert door.clients.handshakes == MAX_HANDSHAKES
    assert others[0].shakes()
    assert [one.gone for one in (*lone, *many)] == [None, Refusal.HANDSHAKES, None]
    assert others[1].shakes()
    assert [one.gone for one in (*lone, *many)] == [Refusal.HANDSHAKES] * 2 + [None]
    assert door.clients.handshakes == MAX_HANDSHAKES


def test_a_client_is_remembered_for_a_while() -> None:
    """Who comes with one connection after the other is the same client; few are remembered."""
    door = Door()
    first = door.come("a")[0]
    first.abort()
    assert door.come("a")[0].client is first.client
    for number in range(MAX_REMEMBERED + 10):
        door.come(f"b{number}")[0].abort()
    assert len(door.clients._remembered) == MAX_REMEMBERED
