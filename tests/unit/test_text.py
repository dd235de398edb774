"""Small questions about text."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.text import bracketed, host_port, is_address, printable


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("10.0.0.1", True),
        ("fd00::1", True),
        ("[fd00::1]", False),
        ("fe80::1%eth0", False),
        ("fe80::1%\u00e9", False),
        ("10.0.0", False),
        ("localhost", False),
        ("", False),
    ],
)
def test_what_is_an_address(text: str, answer: bool) -> None:
    """Without brackets, and without a zone, which belongs to one machine."""
    assert is_address(text) == answer


def test_addresses_in_urls() -> None:
    """IPv6 alone is in brackets, and once."""
    assert [bracketed(host) for host in ("a", "10.0.0.1", "fd00::1", "[fd00::1]")] == [
        "a",
        "10.0.0.1",
        "[fd00::1]",
        "[fd00::1]",
    ]
    assert host_port("fd00::1", 80) == "[fd00::1]:80"


@given(st.ip_addresses())
def test_every_address_is_one(address: object) -> None:
    """As Python writes it."""
    assert is_address(str(address))
    assert ip_address(str(address)) == address


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.integers(0, 250))
def test_printable_text_is_one_bounded_line_without_control_characters(
    text: str, limit: int
) -> None:
    """C0, C1, DEL, lone surrogates and line separators are escaped; other letters stay."""
    shown = printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode()
    if text.isprintable() and len(text) <= limit:
        assert shown == text


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
