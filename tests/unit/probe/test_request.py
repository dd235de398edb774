"""A request's head, whose beginning is made once for each target."""

from __future__ import annotations

from dataclasses import replace

import pytest
from bridge_doubles import target

from kubenurse_otel.model import Url
from kubenurse_otel.probe.request import Beginnings, beginning, lines


def test_it_is_made_once_for_a_target_and_again_for_one_that_is_another() -> None:
    """The key alone is not enough: an explored neighbour goes by the key of the one before."""
    beginnings = Beginnings()
    first = target()
    moved = replace(first, url=Url.of("http", "10.0.0.9", 8080, "/alwayshappy"))

    made = beginnings.of(first)

    assert beginnings.of(first) is made
    assert b"\r\nHost: 10.0.0.9:8080\r\n" in beginnings.of(moved)


def test_what_is_no_target_any_more_is_forgotten() -> None:
    """Of agents that come and go nothing stays."""
    beginnings = Beginnings()
    first = target()
    made = beginnings.of(first)

    beginnings.retain(())

    assert beginnings.of(first) is not made


@pytest.mark.parametrize(
    "header", [(b"na me", b"v"), (b"name\r\n", b"v"), (b"name", b"v\r\nother: w"), (b"name", b"\0")]
)
def test_a_header_that_would_end_its_line_is_refused(header: tuple[bytes, bytes]) -> None:
    """Whatever a configuration lets through."""
    with pytest.raises(ValueError, match="not a header"):
        lines([header])


def test_a_request_target_with_a_blank_is_refused() -> None:
    """It would end the request line."""
    with pytest.raises(ValueError, match="request target"):
        beginning(b"GET", b"/a b")
