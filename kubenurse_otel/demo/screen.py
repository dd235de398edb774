"""Show what the agents see: as a live table in a terminal, as plain lines anywhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kubenurse_otel.demo import view
from kubenurse_otel.record import record
from kubenurse_otel.report import within, written
from kubenurse_otel.report.verdicts import key, names

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kubenurse_otel.demo.view import Row
    from kubenurse_otel.report.overview import Overview
    from kubenurse_otel.report.verdicts import Named

_FRAME_LINES: Final = 3
"""The table's headings, the line for rows that are left out, and one to spare."""
_DOUBTING: Final = "prober"
_WIDE: Final = 125
"""Columns that the table needs with its longest error. The short form fits in 80."""
_TOTAL: Final = "total"
_SHORT: Final = {
    "outcome": "result",
    "connect": "conn",
    "network": "net",
    "far end": "far",
    "own delay": "own",
}


@record(frozen=True, slots=True)
class Picture:
    """Everything that is shown at one moment."""

    announcement: str
    rows: Sequence[Row]
    found: Overview
    """The agents' reports put together."""
    silent: Sequence[str] = ()
    """Nodes whose agent does not answer."""
    seconds: float = 0.0
    """Seconds since the agents were up."""

    def sentences(self) -> list[str]:
        """Say who is at fault. If nobody is, say what good checks look like."""
        silent = [f"The agent of {node} does not answer us." for node in self.silent]
        return [*silent, *conclusions(self.found.summary.named)] or [view.all_is_well(self.rows)]


def said(named: Named) -> str:
    """Say a verdict in one line, with the first part of its evidence."""
    verdict = named.verdict
    evidence = f": {verdict.evidence[0]}" if verdict.evidence else ""
    return f"{verdict.headline}. Said by {names(named.reporters)}{evidence}."


def conclusions(named: Sequence[Named]) -> list[str]:
    """Say each verdict in a line. Agents that doubt themselves, as on a busy machine, share one."""
    doubting = [one.verdict.culprit for one in named if one.verdict.kind == _DOUBTING]
    lines = [said(one) for one in named if one.verdict.kind != _DOUBTING]
    if doubting:
        lines.append(
            f"This machine is too busy for {names(doubting)}: they say so, and accuse nobody."
        )
    return lines


class Screen(Protocol):
    """Where pictures are shown, between ``open`` and ``close``. ``close`` may be called twice."""

    def open(self, header: Sequence[str]) -> None: ...

    def show(self, picture: Picture) -> None: ...

    def close(self) -> None: ...


def screen_for(console: Console) -> Screen:
    """Choose the screen by whether the output is a terminal."""
    return LiveScreen(console) if console.is_terminal else PlainScreen()


class LiveScreen:
    """Draws on the terminal's second page, so that what was there before comes back."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._header: Sequence[str] = ()

    def open(self, header: Sequence[str]) -> None:
        self._header = header
        self._live.start()

    def show(self, picture: Picture) -> None:
        self._live.update(self.draw(picture), refresh=True)

    def close(self) -> None:
        self._live.stop()

    def draw(self, picture: Picture) -> Group:
        """Lay out the picture for the terminal's present size."""
        words = [
            *(Text(line, style="dim") for line in self._header),
            Text(f"{picture.seconds:4.0f} s  {picture.announcement}", style="bold"),
            *(Text(f"  {sentence}") for sentence in picture.sentences()),
        ]
        taken = sum(len(text.wrap(self._console, self._console.width)) for text in words)
        room = max(0, self._console.height - taken - _FRAME_LINES)
        tables = written.tables(picture.found, width=self._console.width)
        amiss = within.height(tables, room // 2) if tables else []
        shown, left = view.fit(picture.rows, room - len(amiss))
        rest = [Text(f"... and {left} more", style="dim")] if left else []
        lines = (Text(line, no_wrap=True) for line in amiss)
        return Group(*words, *lines, _table(shown, self._console.width), *rest)


def _table(rows: Sequence[Row], width: int) -> Table:
    narrow = width < _WIDE
    table = Table(box=None, padding=(0, 1 if narrow else 2, 0, 0), pad_edge=False)
    for number, heading in enumerate(view.HEADINGS):
        if not (narrow and heading == _TOTAL):
            short = _SHORT.get(heading, heading) if narrow else heading
            table.add_column(short, justify="left" if number < 3 else "right", no_wrap=True)
    before = ""
    for row in rows:
        node, target, outcome, *figures = row.cells()
        style = "red" if row.outcome == "failed" else "yellow" if row.slow else "green"
        shown = "" if node == before else node
        before = node
        if narrow:  # the sentence above says why
            outcome = row.outcome if row.outcome == "failed" else outcome
            figures = [figure.replace(" ", "") for figure in figures[1:]]
        table.add_row(shown, target, Text(outcome, style=style), *figures)
    return table


@dataclass
class _Settling:
    """Reports a state once, when it has been the same at two looks."""

    _before: object = None
    _told: object = None

    def is_news(self, seen: object) -> bool:
        settled, self._before = seen == self._before, seen
        if not settled or seen == self._told:
            return False
        self._told = seen
        return True


@dataclass
class PlainScreen:
    """Prints lines for a log: each scene, and what is seen when that has settled."""

    _announced: str = ""
    _sentences: _Settling = field(default_factory=_Settling)
    _tables: _Settling = field(default_factory=_Settling)
    _begun: bool = False

    def open(self, header: Sequence[str]) -> None:
        _print(header)

    def show(self, picture: Picture) -> None:
        _print(self.draw(picture))

    def close(self) -> None:
        """Does nothing: there is no terminal to restore."""

    def draw(self, picture: Picture) -> Iterator[str]:
        """Yield the lines that are new."""
        stamp = f"{picture.seconds:5.1f} s"
        if picture.announcement != self._announced:
            self._announced = picture.announcement
            yield ""
            yield f"{stamp}  {picture.announcement}"
        named = [(key(one.verdict), one.reporters) for one in picture.found.summary.named]
        if self._sentences.is_news((tuple(picture.silent), named)):
            for sentence in picture.sentences():
                yield f"{stamp}  -> {sentence}"
            shown = [row for row in picture.rows if row.remarkable]
            if not self._begun:
                self._begun = True
                shown = shown or [row for row in picture.rows if row.node == picture.rows[0].node]
            if shown:
                yield from (f"         {line}" for line in view.plain(shown))
        tables = written.tables(picture.found)
        if self._tables.is_news(written.rows(picture.found)) and tables:
            yield from (f"         {line}".rstrip() for line in tables)


def _print(lines: Sequence[str] | Iterator[str]) -> None:
    for line in lines:
        # A log's encoding may have no µ. Flushing finds out whether the pipe is closed.
        encoding = sys.stdout.encoding or "ascii"
        print(line.encode(encoding, "replace").decode(encoding), flush=True)
