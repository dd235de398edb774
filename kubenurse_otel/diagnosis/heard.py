"""What neighbours said: the latest view of each, and when they accused or doubted themselves.

Keeps MOST_VIEWS at most. No clock of its own: each method is told the time (Unix seconds).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.doubt import NO_WITNESS
from kubenurse_otel.diagnosis.symptoms import HARD, SOFT, Symptom

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from kubenurse_otel.diagnosis.view import Shared, View

MOST_VIEWS: Final = 64
LAST_WORD_INTERVALS: Final = 12.0
"""So long what a neighbour said of itself may be why it is silent now."""


@dataclass(slots=True)
class _Word:
    """``lossy`` are nodes on whose ways it loses segments, ``vanishing`` those of large ones.

    ``bad_at`` is when it last said that something shared is bad, also in earlier views.
    """

    view: View
    at: float
    lossy: frozenset[str]
    vanishing: frozenset[str]
    bad_at: dict[Shared, float] = field(default_factory=dict)


def _word(view: View, now: float) -> _Word:
    """A way has two ends: who loses large segments on one may be the one that loses them."""
    said = view.targets.items()
    vanishing = frozenset(node for node, one in said if one.symptom is Symptom.FULL_SIZE)
    return _Word(
        view=view,
        at=now,
        lossy=frozenset(node for node, one in said if one.lossy),
        vanishing=vanishing | {view.node} if vanishing else vanishing,
    )


class Heard:
    """A view counts for ``fresh_seconds``."""

    def __init__(self, *, interval_seconds: float, fresh_seconds: float) -> None:
        self._fresh_seconds = fresh_seconds
        self._last_word_seconds = LAST_WORD_INTERVALS * interval_seconds
        self._words: dict[str, _Word] = {}
        self._accused_at: dict[str, float] = {}
        self._lost_at: dict[str, float] = {}
        self._doubted_at: dict[str, float] = {}
        self._by_node = (self._words, self._accused_at, self._lost_at, self._doubted_at)

    def __len__(self) -> int:
        return len(self._words)

    def take(self, view: View, now: float) -> None:
        """Keep ``view`` as the latest of its node. The oldest has to go for one too many."""
        before = self._words.pop(view.node, None)
        word = before
        if word is None or word.view is not view:
            word = _word(view, now)
        if before is not None:
            word.bad_at = before.bad_at
        word.at = now
        bad = (letter for letter, said in view.shared.items() if said.symptom in HARD | SOFT)
        word.bad_at |= dict.fromkeys(bad, now)
        self._words[view.node] = word
        if view.doubt >= NO_WITNESS:
            self._doubted_at[view.node] = now
        if view.accused.loses_or_is_cut_off:
            self.accused(view.node, now)
        if view.accused.loses:
            self._lost_at[view.node] = now
        while len(self._words) > MOST_VIEWS:
            self._forget(next(iter(self._words)))

    def accused(self, node: str, now: float) -> None:
        """``node``, which may be ours, accused itself."""
        self._accused_at[node] = now

    def retain(self, peers: Collection[str]) -> None:
        """Forget all but ``peers``."""
        for node in self._words.keys() - peers:
            self._forget(node)

    def forget_strangers(self, peers: Collection[str], now: float) -> None:
        """Forget what is old, but for ``peers``: others are not asked again for long."""
        for node in self._words.keys() - peers:
            if not self._is_fresh(self._words[node], now):
                self._forget(node)

    def _forget(self, node: str) -> None:
        for kept in self._by_node:
            kept.pop(node, None)

    def fresh(self, now: float) -> dict[str, View]:
        """Return the views that count now, by node."""
        return {word.view.node: word.view for word in self._fresh_words(now)}

    def tells_of_loss(self, nodes: Collection[str], now: float) -> bool:
        """Whether a fresh view says of one of ``nodes`` that segments are lost on the way to it.

        Hearsay names nobody: it has us look. Then we may see it ourselves, or speak against it.
        """
        return any(not word.lossy.isdisjoint(nodes) for word in self._fresh_words(now))

    def vanishing(self, now: float) -> frozenset[str]:
        """Return nodes that lose large segments on a way, as a fresh view says."""
        return frozenset().union(*(word.vanishing for word in self._fresh_words(now)))

    def bad_lately(self, now: float) -> dict[Shared, frozenset[str]]:
        """Return who said lately that something shared is bad, whatever it says now."""
        bad: dict[Shared, set[str]] = {}
        for node, word in self._words.items():
            for letter, at in word.bad_at.items():
                if 0 <= now - at <= self._last_word_seconds:
                    bad.setdefault(letter, set()).add(node)
        return {letter: frozenset(nodes) for letter, nodes in bad.items()}

    def _fresh_words(self, now: float) -> Iterator[_Word]:
        return (word for word in self._words.values() if self._is_fresh(word, now))

    def _is_fresh(self, word: _Word, now: float) -> bool:
        return 0 <= now - word.at <= self._fresh_seconds

    # --- what they said of themselves -----------------------------------------------------------

    @property
    def accused_at(self) -> Mapping[str, float]:
        """When each accused itself for the last time."""
        return self._accused_at

    def accused_lately(self, now: float) -> frozenset[str]:
        return self._lately(self._accused_at, now)

    def lost_lately(self, now: float) -> frozenset[str]:
        return self._lately(self._lost_at, now)

    def doubted_lately(self, now: float) -> frozenset[str]:
        return self._lately(self._doubted_at, now)

    def doubting(self, now: float) -> frozenset[str]:
        """Return who doubted itself lately, and has said nothing else since."""
        lately = self._lately(self._doubted_at, now)
        return frozenset(node for node in lately if self._doubted_at[node] == self._words[node].at)

    def _lately(self, at: Mapping[str, float], now: float) -> frozenset[str]:
        longest = self._last_word_seconds
        return frozenset(node for node, then in at.items() if 0 <= now - then <= longest)
