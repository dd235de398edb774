"""Quantiles, Markdown tables, and where tables go in a document."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest-rank quantile: a value that was there. Raises ValueError for no values."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


@dataclass(slots=True)
class Table:
    """``notes`` are sentences below it."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """GitHub's tables: first column to the left, the others to the right."""
        widths = [
            max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))
        ]

        def line(cells: Sequence[str]) -> str:
            padded = [
                cell.ljust(width) if i == 0 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return "| " + " | ".join(padded) + " |"

        rule = [
            "-" * width if i == 0 else "-" * (width - 1) + ":" for i, width in enumerate(widths)
        ]
        lines = [f"### {self.title}", "", line(self.columns), line(rule)]
        lines += [line(row) for row in self.rows]
        for note in self.notes:
            lines += ["", note]
        return "\n".join(lines) + "\n"


def number(value: float | None, digits: int = 0) -> str:
    """Thousands apart, - for nothing."""
    return "-" if value is None else f"{value:,.{digits}f}"


def place(document: str, section: str, text: str) -> str:
    """Put ``text`` between the section's markers, at the end where there are none yet."""
    begin, end = f"<!-- bench:{section} -->", f"<!-- /bench:{section} -->"
    block = f"{begin}\n\n{text.strip()}\n\n{end}"
    head, found, rest = document.partition(begin)
    if not found:
        return document.rstrip("\n") + "\n\n" + block + "\n"
    _, found, tail = rest.partition(end)
    if not found:
        raise ValueError(f"{begin} without {end}")
    return head + block + tail
