"""kubenurse_otel.discovery.listing: lists cut into items wherever the chunks end."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.discovery import listing
from kubenurse_otel.discovery.listing import ListError, read_list

Item = dict[str, Any]


def compact(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def a_list(items: list[Item], version: str = "7") -> bytes:
    head = {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": version}}
    return compact(head | {"items": items}) + b"\n"


def read(content: bytes, chunk_bytes: int) -> tuple[list[Item], str]:
    """Read in chunks, as from the network."""
    items: list[Item] = []
    chunks = (content[start : start + chunk_bytes] for start in range(0, len(content), chunk_bytes))
    version = read_list(chunks, lambda item: items.append(msgspec.json.decode(item, type=Item)))
    return items, version


# Objects whose strings and nested lists hold what stands between two items of a list.
TEXT = st.text(max_size=8) | st.sampled_from(['},{"metadata":{', "]}", '"items":[', "}", '"\\'])
VALUES = st.recursive(
    TEXT | st.integers() | st.none(),
    lambda inner: (
        st.lists(inner | st.builds(lambda v: {"metadata": {"a": v}}, inner), max_size=3)
        | st.dictionaries(TEXT, inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.builds(
    lambda metadata, rest: {"metadata": metadata} | rest,
    st.dictionaries(TEXT, VALUES, max_size=3),
    st.dictionaries(TEXT.filter(lambda key: key != "metadata"), VALUES, max_size=3),
)


@given(st.lists(OBJECTS, max_size=6), st.integers(1, 64))
def test_any_items_in_any_chunks(items: list[Item], chunk_bytes: int) -> None:
    """Items come out as they went in, whatever their strings hold, wherever a chunk ends."""
    assert (items, "7") == read(a_list(items), chunk_bytes)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b'{"metadata":{"resourceVersion":"5"},"items":null}', ([], "5")),
        (b'{"metadata":{"resourceVersion":"5"},"items":[]}', ([], "5")),
        (b'{"items":[],"metadata":{"resourceVersion":"5"}}', ([], "5")),
        (b'{"metadata":{"resourceVersion":"5"}}', ([], "5")),
        (b'{ "metadata": {"resourceVersion": "5"},\n "items": [ {"a": 1} ] }', ([{"a": 1}], "5")),
        (
            b'{"metadata":{"resourceVersion":"5"},"items":[{"spec":{},"metadata":{}}]}',
            ([{"spec": {}, "metadata": {}}], "5"),
        ),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000])
def test_other_forms(content: bytes, expected: tuple[list[Item], str], chunk_bytes: int) -> None:
    """What another encoder would write is read all the same, only not in pieces."""
    assert expected == read(content, chunk_bytes)


def test_a_late_items(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that is too long to be one is read as another form."""
    monkeypatch.setattr(listing, "_HEAD_BYTES", 100)
    content = {"x": "y" * 200, "metadata": {"resourceVersion": "5"}, "items": [{"a": 1}]}
    assert ([{"a": 1}], "5") == read(compact(content), 50)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "no JSON list"),
        (b"<html>", "no JSON list"),
        (b"[" * 100_000, "no JSON list"),
        (b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{', "ends in the middle"),
        (b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{}}]', "ends in the middle"),
        (b'{"metadata":{"resourceVersion":"5"},"items":[{]}', "an item cannot be read"),
        (b'{"metadata":{"resourceVersion":"5"},"items":[' + b"[" * 5000 + b"]}", "cannot be read"),
        (
            b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":' + b'},{"metadata":{' * 99,
            "an item cannot be read",
        ),
        (b'{"metadata":{},"items": [1]}', "an item cannot be read"),
    ],
)
def test_what_is_no_list(content: bytes, expected: str) -> None:
    """A body that is cut off or is none of Kubernetes' is refused."""
    with pytest.raises(ListError, match=expected):
        read(content, 65536)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes(content: bytes, chunk_bytes: int) -> None:
    """Whatever comes after a good beginning, it is items or a ListError."""
    for start in (b"", b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":{'):
        with suppress(ListError):
            read(start + content, chunk_bytes)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("MAX_ITEM_BYTES", b'{"metadata":{"resourceVersion":"5"},"items":[{"metadata":"'),
        ("MAX_UNSPLIT_BYTES", b'{"nothing":"'),
    ],
)
def test_bounded(name: str, start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless item, or an endless body without items, is given up."""
    monkeypatch.setattr(listing, name, 2 * 1024 * 1024)
    given_bytes = 0

    def endless() -> Any:
        nonlocal given_bytes
        yield start
        while True:
            given_bytes += 65536
            yield b"x" * 65536

    with pytest.raises(ListError, match=r"larger than 2 MiB|more than 2 MiB"):
        read_list(endless(), lambda item: None)
    assert given_bytes < 3 * 1024 * 1024
