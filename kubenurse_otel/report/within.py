"""Makes text fit: a table into a width, lines into a height. It says what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_CUT: Final = "..."
_GAP: Final = "  "
_LEAST: Final = 8
"""The fewest characters to which a column is cut."""


def table(
    rows: Sequence[Sequence[str]], *, width: int, indent: str = "", left: int = 0
) -> list[str]:
    """Align ``rows``, of which the first is the head; the widest cells are cut first.

    ``left``: the number of rows that are left out.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    over = len(indent) + sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while over > 0 and max(widths) > _LEAST:
        widest = widths.index(max(widths))
        second = max((one for one in widths if one < widths[widest]), default=_LEAST)
        less = min(over, widths[widest] - max(second, _LEAST)) or 1
        widths[widest] -= less
        over -= less
    lines = [indent + _GAP.join(map(_cell, row, widths)).rstrip() for row in rows]
    return [*lines, f"{indent}... and {left} more"] if left else lines


def height(lines: Sequence[str], most: int | None) -> list[str]:
    """At most ``most`` lines; the last one then says how many are left out."""
    if most is None or len(lines) <= most:
        return list(lines)
    shown = max(0, most - 1)
    return [*lines[:shown], f"... and {len(lines) - shown} lines more"]


def _cell(text: str, width: int) -> str:
    shown = text if len(text) <= width else text[: width - len(_CUT)] + _CUT
    return shown.ljust(width)
