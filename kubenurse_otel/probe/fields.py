"""Read the header lines of a head, or the trailers of a body, as Go's net/http does.

Owns what a line may contain. Has no bound: whoever passes the lines counts their bytes.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from kubenurse_otel.errors import MalformedResponseError
from kubenurse_otel.text import printable

Field = tuple[bytes, bytes]
"""A header's name and value."""
Headers = list[Field]

_SPACE: Final = b" \t"
_NAME: Final = re.compile(rb"[0-9A-Za-z!#$%&'*+.^_`|~ -]+").fullmatch
"""A token (RFC 9110 section 5.6.2), and spaces, which Go keeps as part of the name."""
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch
_MAX_QUOTED: Final = 40
_KEPT_BYTES: Final = 128


class FieldLines:
    """Takes the lines of a block one by one, without line ends and without the last, empty line."""

    __slots__ = ("_fields", "_last", "_more")

    def __init__(self) -> None:
        self._fields: Headers = []
        self._last = b""
        self._more: list[bytes] = []
        """The lines that continue the last one (obs-fold)."""

    def add(self, line: bytes) -> None:
        """Add a line. If it begins with a space, it continues the one before (obs-fold).

        Raises MalformedResponseError.
        """
        if line[0] in _SPACE:
            if not self._fields:
                raise MalformedResponseError("a space before the name of its first header")
            more = line.strip(_SPACE)
            if not _VALUE(more):
                raise _bad_value(self._last.partition(b":")[0])
            self._more.append(more)
            return
        if self._more:
            self._unfold()
        self._last = line
        self._fields.append(_field(line) if len(line) > _KEPT_BYTES else _known_field(line))

    def add_all(self, lines: list[bytes]) -> None:
        """Add several lines. Raises MalformedResponseError."""
        for line in lines:
            if line[0] in _SPACE or len(line) > _KEPT_BYTES or self._more:
                self.add(line)
            else:
                self._fields.append(_known_field(line))
                self._last = line

    def take(self) -> Headers:
        """Return all fields so far, with names in lower case, and forget them."""
        if self._more:
            self._unfold()
        fields, self._fields = self._fields, []
        return fields

    def _unfold(self) -> None:
        name, value = self._fields[-1]
        self._fields[-1] = name, b" ".join((value, *self._more)).lstrip(_SPACE)
        self._more.clear()


def _field(line: bytes) -> Field:
    name, colon, value = line.rstrip(_SPACE).partition(b":")
    if not colon:
        raise MalformedResponseError(f"a header line without a colon: {quoted(line)}")
    if not _NAME(name):
        raise MalformedResponseError(f"not a header's name: {quoted(name)}")
    if not _VALUE(value):
        raise _bad_value(name)
    return name.lower(), value.lstrip(_SPACE)


_known_field: Final = lru_cache(maxsize=256)(_field)
"""Cached, because far ends send most lines again and again."""


def values(fields: Headers, name: bytes) -> list[bytes]:
    """Return the value of each line with this name. As in Go, one with a space is another name."""
    return [value for key, value in fields if key == name]


def elements(lines: list[bytes]) -> list[bytes]:
    """Return the members of a comma-separated list, over all its lines, in lower case."""
    return [one.strip(_SPACE).lower() for line in lines for one in line.split(b",")]


def quoted(data: bytes) -> str:
    """Return the first bytes of what came, for people to see what it is."""
    return f"'{printable(data.decode('latin-1'), _MAX_QUOTED)}'"


def _bad_value(name: bytes) -> MalformedResponseError:
    return MalformedResponseError(f"a control character in the value of {quoted(name)}")
