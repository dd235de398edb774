"""A document is made again when it changed, and not too often."""

from __future__ import annotations

from clock import ManualClock

from kubenurse_otel.server.kept import BURST, Kept


class Source:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.version = 0
        self.made = 0
        self.kept = Kept(self.make, version=lambda: self.version, clock=self.clock.time)

    def make(self) -> int:
        self.made += 1
        return self.version


def test_what_did_not_change_is_made_once() -> None:
    """However often it is asked for, and however old it is."""
    source = Source()
    for _ in range(10):
        assert source.kept.get() == 0
        source.clock.now += 100
    assert source.made == 1


def test_what_changed_is_made_at_once() -> None:
    """Who looks now and then sees what is."""
    source = Source()
    for version in range(10):
        source.version = version
        assert source.kept.get() == version
        source.clock.now += 1


def test_what_changes_faster_is_a_second_old_at_most() -> None:
    """A thousand that ask while it changes cost one a second."""
    source = Source()
    for _ in range(1_000):
        source.version += 1
        seen = source.kept.get()
        assert source.version - seen <= 100
        source.clock.now += 0.01
    assert source.made <= BURST + 10
