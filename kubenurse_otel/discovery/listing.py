"""The answer to a list, cut into its items while it arrives. No I/O.

5,000 pods are 24 MB of JSON. Held whole, they would need more memory than the agent has. Decoded at
once, they would hold the interpreter for 50 ms, in which no check makes progress. Items have 5 KB
each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel.discovery.schema import ListHead, RawList, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

MAX_LIST_BYTES: Final = 256 * 1024 * 1024
"""Of a whole list: 5,000 pods are 24 MB. Nothing of it is held but what is kept of each item."""
MAX_ITEM_BYTES: Final = 8 * 1024 * 1024
"""etcd takes 1.5 MiB per object; as JSON it is a little larger."""
MAX_UNSPLIT_BYTES: Final = 16 * 1024 * 1024
MAX_TRIES: Final = 64

# How Kubernetes' encoder writes lists: no blanks, no kind in an item, an item's metadata first.
_ITEMS: Final = b'"items":['
_BETWEEN: Final = b'},{"metadata":{'
_HEAD_BYTES: Final = 65536


class ListError(Exception):
    """The bytes are no list of Kubernetes objects; the message says what is wrong."""


_HEAD: Final = msgspec.json.Decoder(ListHead)
_WHOLE: Final = msgspec.json.Decoder(RawList)


def read_list(chunks: Iterable[bytes], take: Callable[[bytes], None]) -> str:
    """Hand each item of a list to ``take`` and return the list's resourceVersion.

    ``take`` raises msgspec.DecodeError for bytes that are no whole item. Raises ListError. Holds
    one item and one chunk at a time; a list in another form is read whole (at most 16 MiB).
    """
    buffer = bytearray()
    pieces = iter(chunks)
    for chunk in pieces:
        buffer += chunk
        at = buffer.find(_ITEMS)
        if at >= 0:
            version = _head_version(bytes(buffer[:at]))
            if version is not None:
                del buffer[: at + len(_ITEMS)]
                _split(buffer, pieces, take)
                return version
        if len(buffer) > _HEAD_BYTES:
            break
    return _read_whole(buffer, pieces, take)


def _head_version(head: bytes) -> str | None:
    """Return the version from the part before the items, None if that part is not a whole head."""
    try:
        return _HEAD.decode(head.rstrip(b",") + b"}").metadata.resource_version or None
    except (msgspec.DecodeError, RecursionError):
        return None


def _split(buffer: bytearray, chunks: Iterable[bytes], take: Callable[[bytes], None]) -> None:
    looked = _take_items(buffer, 0, take)
    for chunk in chunks:
        buffer += chunk
        looked = _take_items(buffer, looked, take)
        if len(buffer) > MAX_ITEM_BYTES:
            raise ListError(f"an item is larger than {MAX_ITEM_BYTES // 1024 // 1024} MiB")
    last, bracket, rest = bytes(buffer).rpartition(b"]")
    if not bracket or rest.strip() != b"}":
        raise ListError("the list ends in the middle")
    if last.strip():
        _decoded(take, last)


def _take_items(buffer: bytearray, looked: int, take: Callable[[bytes], None]) -> int:
    """Take the whole items off the buffer's front; return up to where the rest was looked at."""
    start, tries = 0, 0
    while (end := buffer.find(_BETWEEN, looked)) >= 0:
        try:
            take(bytes(buffer[start : end + 1]))
        except (msgspec.DecodeError, RecursionError):
            # The pattern stood inside the item (a list of objects with metadata): look further.
            tries += 1
            looked = end + 1
            if tries > MAX_TRIES:
                raise ListError("an item cannot be read") from None
        else:
            tries = 0
            start = looked = end + 2
    del buffer[:start]
    return max(0, len(buffer) - len(_BETWEEN), looked - start if tries else 0)


def _read_whole(buffer: bytearray, chunks: Iterable[bytes], take: Callable[[bytes], None]) -> str:
    for chunk in chunks:
        buffer += chunk
        if len(buffer) > MAX_UNSPLIT_BYTES:
            raise ListError(f"more than {MAX_UNSPLIT_BYTES // 1024 // 1024} MiB and no items")
    try:
        whole = decode(_WHOLE, buffer)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ListError(f"no JSON list: {error}") from None
    for item in whole.items or ():
        _decoded(take, bytes(item))
    return whole.metadata.resource_version


def _decoded(take: Callable[[bytes], None], item: bytes) -> None:
    try:
        take(item)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ListError(f"an item cannot be read: {error}") from None
