"""Make the rows of a table from the agents' /alive. No I/O.

Reads the ``details`` of that JSON (server/alive.py). Draws no conclusions: the agents themselves
say whose fault it is.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.record import record
from kubenurse_otel.report.words import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

HEADINGS: Final = (
    "from",
    "target",
    "outcome",
    "total",
    "dns",
    "connect",
    "tls",
    "network",
    "loss",
    "far end",
    "own delay",
)
SLOW_SECONDS: Final = 0.1
"""From so many seconds on a check is slow. On loopback nothing takes more than a few ms."""


@record(frozen=True, slots=True, kw_only=True)
class Row:
    """The latest check of one target by one agent. Times are in seconds. None: no such step."""

    node: str
    target: str
    type: str
    outcome: str
    """ok or failed. Empty before the first check."""
    interval_seconds: float = 0.0
    error_type: str = ""
    total: float | None = None
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    network: float | None = None
    loss: float | None = None
    far_end: float | None = None
    own_delay: float | None = None

    @property
    def slow(self) -> bool:
        return self.outcome == "ok" and (self.total or 0.0) >= SLOW_SECONDS

    @property
    def remarkable(self) -> bool:
        return self.outcome == "failed" or self.slow

    def cells(self) -> tuple[str, ...]:
        """Return one text per heading."""
        verdict = self.error_type or ("slow" if self.slow else self.outcome or "not yet")
        figures = (
            *(self.total, self.dns, self.connect, self.tls),
            *(self.network, self.loss, self.far_end, self.own_delay),
        )
        return (self.node, self.target, verdict, *(_figure(figure) for figure in figures))


def rows(alive: Mapping[str, Mapping[str, Any] | None]) -> list[Row]:
    """Read each agent's /alive, by node name. An agent that did not answer (None) has no rows."""
    return [
        _row(node, key, about)
        for node, document in sorted(alive.items())
        if document is not None
        for key, about in document.get("details", {}).get("targets", {}).items()
    ]


def all_is_well(rows: Iterable[Row]) -> str:
    """Say what good checks look like, by their medians."""
    good = [row for row in rows if row.outcome == "ok" and not row.slow]
    parts = []
    for label, figures in (
        ("network", [row.network for row in good if row.network is not None]),
        ("far end", [row.far_end for row in good if row.far_end is not None]),
        ("own delay", [row.own_delay for row in good if row.own_delay is not None]),
    ):
        if figures:
            parts.append(f"{label} {duration(median(figures))}")
    return f"{len(good)} targets are good; medians: {', '.join(parts) or 'none yet'}"


def fit(rows: Sequence[Row], count: int) -> tuple[list[Row], int]:
    """Choose at most ``count`` rows: bad ones first, then by agent. Return them, and how many are
    left out.

    The rows keep their order, so those of an agent stay together.
    """
    ranked = sorted(range(len(rows)), key=lambda index: (not rows[index].remarkable, index))
    chosen = sorted(ranked[: max(0, count)])
    return [rows[index] for index in chosen], len(rows) - len(chosen)


def plain(rows: Iterable[Row]) -> list[str]:
    """Return the table's lines for a log file."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    return ["  ".join(map(_aligned, line, widths, range(len(line)))).rstrip() for line in table]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)


def _figure(seconds: float | None) -> str:
    return "0" if seconds == 0 else duration(seconds)


def _row(node: str, key: str, about: Mapping[str, Any]) -> Row:
    phases = about.get("phases", {})
    return Row(
        node=node,
        target=key,
        type=about.get("type", key),
        outcome=about.get("outcome") or "",
        interval_seconds=about.get("interval_seconds", 0.0),
        error_type=about.get("error_type", ""),
        total=about.get("duration_seconds"),
        dns=phases.get("dns"),
        connect=phases.get("connect"),
        tls=phases.get("tls"),
        network=phases.get("network_round_trip"),
        loss=phases.get("loss"),
        far_end=phases.get("far_end"),
        own_delay=phases.get("own_delay"),
    )
