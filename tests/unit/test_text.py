"""text.py: what others wrote, fit for a message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.text import printable


@pytest.mark.parametrize(
    ("text", "limit", "shown"),
    [
        ("plain", 5, "plain"),
        ("plain!", 5, "pl..."),
        ("a\nb\x1b[31m", 30, r"a\nb\x1b[31m"),
        ("\x9b\u2028\U000e0001", 30, r"\x9b\u2028\U000e0001"),
        ("grün", 4, "grün"),
        ("abc", 2, ".."),
        ("abc", 0, ""),
    ],
)
def test_a_text_is_escaped_and_cut(text: str, limit: int, shown: str) -> None:
    """Control characters of every kind are written as Python would, and a cut is shown."""
    assert printable(text, limit) == shown


@given(text=st.text(), limit=st.integers(0, 100))
def test_any_text_is_printable_and_within_its_limit(text: str, limit: int) -> None:
    """Whatever it holds."""
    shown = printable(text, limit)

    assert len(shown) <= limit
    assert shown.isprintable()
