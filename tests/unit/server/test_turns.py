"""In whose turn connections are served."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server.clients import Client
from kubenurse_otel.server.turns import REST_SECONDS, SLICE_SECONDS, SPACING_SECONDS, Turns

if TYPE_CHECKING:
    from collections.abc import Callable


class Handle:
    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback

    def cancel(self) -> None:
        self.callback = lambda: None


class Loop:
    """An event loop's clock, moved by hand and by what is served."""

    def __init__(self) -> None:
        self.now = 1.0
        self.handles: list[Handle] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> Handle:
        return self.call_later(0, callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Handle:
        self.handles.append(Handle(self.now + seconds, callback))
        return self.handles[-1]

    def once(self) -> None:
        """Run one round: everything that is due next."""
        self.now = max(self.now, min(handle.at for handle in self.handles))
        due = [handle for handle in self.handles if handle.at <= self.now]
        self.handles = [handle for handle in self.handles if handle.at > self.now]
        for handle in due:
            handle.callback()


class Member:
    entered_at = 0.0

    def __init__(self, name: str, client: Client, loop: Loop, served: list[str]) -> None:
        self.name, self.client, self._loop, self._served = name, client, loop, served
        self.paused = False
        self.nothing = False
        self.again = 0
        self.turns: Turns | None = None

    def serve(self) -> bool:
        self._loop.now += 0.0001
        if self.nothing:
            return False
        self._served.append(self.name)
        if self.again and self.turns is not None:
            self.again -= 1
            self.turns.wait(self)
        return True

    def pause(self) -> None:
        self.paused = True

    def abort(self, reason: Refusal | None = None) -> None: ...


class Room:
    def __init__(self) -> None:
        self.loop = Loop()
        self.turns = Turns(self.loop, clock=self.loop.time, cpu=self.loop.time)  # type: ignore[arg-type]
        self.served: list[str] = []

    def crowd(self, address: str, count: int) -> list[Member]:
        client = Client(address)
        members = [Member(f"{address}{n}", client, self.loop, self.served) for n in range(count)]
        for member in members:
            member.turns = self.turns
        return members


def test_who_asks_now_and_then_is_served_at_once() -> None:
    """Nobody waits for an event loop's round who does not ask again and again."""
    room = Room()
    (member,) = room.crowd("a", 1)
    for _ in range(3):
        room.turns.ask(member)
        room.loop.once()
        room.loop.now += SPACING_SECONDS
    assert room.served == ["a0"] * 3
    assert not member.paused


def test_a_turn_in_which_nothing_was_there_is_none() -> None:
    """A client whose request comes a moment after its connection does not wait for that."""
    room = Room()
    (member,) = room.crowd("a", 1)
    member.nothing = True
    assert room.turns.serve(member)
    room.turns.wait(member)
    room.loop.once()
    member.nothing = False
    room.turns.ask(member)
    assert room.served == ["a0"]
    assert not room.turns.serve(member)


def test_who_sends_nothing_takes_no_part_of_a_round() -> None:
    """However many connections are accepted in silence, who asks then is served at once."""
    room = Room()
    first, *silent, last = room.crowd("a", 1) + room.crowd("b", 100) + room.crowd("c", 1)
    assert room.turns.serve(first)
    for member in silent:
        member.nothing = True
        assert room.turns.serve(member)
    assert room.turns.serve(last)
    assert room.served == ["a0", "c0"]


def test_one_turn_a_client_round_and_round() -> None:
    """A client of many connections has no more turns than one of few."""
    room = Room()
    many, few = room.crowd("a", 4), room.crowd("b", 2)
    for member in (*many, *few):
        room.turns.ask(member)
    assert room.served == ["a0", "b0"]
    room.loop.once()
    assert room.served[2:] == ["a1", "b1", "a2", "a3"]
    assert not room.loop.handles


def test_a_round_has_an_end() -> None:
    """However many clients ask for the first time at once, they are not all served at once."""
    room = Room()
    members = [member for number in range(100) for member in room.crowd(f"a{number}-", 1)]
    for member in members:
        room.turns.ask(member)
    assert len(room.served) <= SLICE_SECONDS / 0.0001 + 1
    room.loop.once()
    for member in room.crowd("b", 1):
        room.turns.ask(member)
    assert room.served[-1] == "b0"


def test_who_comes_new_has_the_next_turn() -> None:
    """A client that had none waiting is served before those who have had their turn."""
    room = Room()
    crowd = [member for number in range(40) for member in room.crowd(f"a{number}-", 10)]
    for member in crowd:
        room.turns.ask(member)
    room.loop.once()
    room.loop.once()
    new = [*room.crowd("b", 2), *room.crowd("c", 1)]
    for member in new:
        room.turns.wait(member)
    before = len(room.served)
    room.loop.once()
    assert room.served[before + 1 : before + 3] == ["b0", "c0"]


def test_a_stranger_does_not_wait_for_a_crowd() -> None:
    """While a hundred of one client wait, another's first is served before them."""
    room = Room()
    for member in room.crowd("a", 100):
        room.turns.ask(member)
    room.loop.once()
    (stranger,) = room.crowd("b", 1)
    before = len(room.served)
    room.turns.ask(stranger)
    assert room.served[before:] == ["b0"]


def test_turns_take_a_sixth_of_the_time() -> None:
    """After a slice there is a rest, however many wait."""
    room = Room()
    for member in room.crowd("a", 1_000):
        room.turns.ask(member)
    began = room.loop.now
    while room.loop.handles:
        room.loop.once()
    took = room.loop.now - began
    assert len(room.served) == 1_000
    worked = 999 * 0.0001
    assert took >= worked + (worked / SLICE_SECONDS - 4) * REST_SECONDS


def test_who_has_more_to_do_waits_again() -> None:
    """Whoever asks again in its turn has another one, and there is never more than one timer."""
    room = Room()
    members = room.crowd("a", 3)
    for member in members:
        member.again = 100
        room.turns.ask(member)
    room.loop.once()
    while room.loop.handles:
        assert len(room.loop.handles) == 1
        room.loop.once()
    assert len(room.served) == 3 * 101


def test_who_goes_on_and_on_goes_to_the_back() -> None:
    """One that has more to do after each turn does not keep another from its turn."""
    room = Room()
    (greedy,), (other, another) = room.crowd("a", 1), room.crowd("b", 2)
    greedy.again = 1_000
    for member in (greedy, other, another):
        room.turns.wait(member)
    room.loop.once()
    assert room.served[:5] == ["a0", "b0", "a0", "b1", "a0"]


def test_who_has_gone_has_no_turn() -> None:
    """A connection that left while it waited is not served."""
    room = Room()
    members = room.crowd("a", 3)
    for member in members:
        room.turns.ask(member)
    client = members[1].client
    for _ in range(100):
        client.waiting.clear()
        room.turns.wait(members[2])
        client.waiting.clear()
    assert len(room.turns._first) == 1
    room.loop.once()
    assert room.served == ["a0"]


def test_closing_ends_the_turns() -> None:
    """What waits then is served no more."""
    room = Room()
    for member in room.crowd("a", 3):
        room.turns.ask(member)
    room.turns.close()
    room.turns.close()
    room.loop.once()
    assert room.served == ["a0"]
