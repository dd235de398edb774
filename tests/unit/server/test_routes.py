"""Which encodings are accepted."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.server.routes import accepts_gzip


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("gzip;q=0, *", False),
        ("*", True),
        ("*;q=0", False),
        ("identity", False),
        ("br, zstd", False),
    ],
)
def test_gzip_as_the_header_says(header: str, *, accepted: bool) -> None:
    """Accept-Encoding is read as RFC 9110, 12.5.3 has it."""
    assert accepts_gzip(header) is accepted


@given(st.text())
def test_no_header_is_too_odd(header: str) -> None:
    """Whatever a client sends is answered."""
    assert accepts_gzip(header) in (True, False)
