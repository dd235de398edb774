"""How the page marks what is good and bad. Words are written as in the terminal."""

from __future__ import annotations

from functools import cache
from typing import Final

import htpy as h
from markupsafe import Markup

from kubenurse_otel.report.words import ago, clock, duration, lasting, plural, unix

_MARKS: Final = {
    "good": ("✓", "good"),
    "bad": ("✗", "bad"),
    "warn": ("!", "warn"),
    "dim": ("·", "dim"),
}

__all__ = [
    "ago",
    "clock",
    "duration",
    "flat",
    "lasting",
    "mark",
    "outcome",
    "plural",
    "unix",
]


def flat(element: h.Renderable) -> Markup:
    """Return the element rendered at once, because htpy passes every piece of nested elements up
    level by level.
    """
    return Markup(str(element))  # noqa: S704 - htpy has escaped it


@cache
def mark(kind: str) -> Markup:
    """Return a sign for good, bad, warn or dim, to stand beside a word that says the same."""
    sign, style = _MARKS[kind]
    return flat(h.span(class_=f"mark {style}", aria_hidden="true")[sign])


def outcome(of: str) -> Markup:
    """A check's outcome, in a sign and a word."""
    kind, word = {"ok": ("good", "good"), "failed": ("bad", "failed")}.get(of, ("dim", "not yet"))
    return mark(kind) + word
