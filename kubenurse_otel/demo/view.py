"""What the agents' /alive say, as rows of a table and as sentences on whose fault it is. No I/O.

Owns the demo's reading of the ``details`` JSON (server/alive.py). Knows no story: what it says
comes from the agents alone.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.report.waterfall import duration

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
"""On loopback, where nothing takes more than a few ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The latest check of one target by one agent. Seconds; None where a step did not happen."""

    node: str
    target: str
    type: str
    outcome: str
    """ok, failed, or empty before the first check."""
    error_type: str = ""
    phase: str = ""
    message: str = ""
    total: float | None = None
    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    network: float | None = None
    loss: float | None = None
    far_end: float | None = None
    far_end_told: float | None = None
    """What the answering agent says that it took."""
    own_delay: float | None = None
    checked_at: float = 0.0
    """When the check began, Unix seconds; 0 before the first one."""

    @property
    def slow(self) -> bool:
        return self.outcome == "ok" and (self.total or 0.0) >= SLOW_SECONDS

    @property
    def remarkable(self) -> bool:
        return self.outcome == "failed" or self.slow

    def cells(self) -> tuple[str, ...]:
        """One text a heading."""
        verdict = self.error_type or ("slow" if self.slow else self.outcome or "not yet")
        figures = (
            *(self.total, self.dns, self.connect, self.tls),
            *(self.network, self.loss, self.far_end, self.own_delay),
        )
        return (self.node, self.target, verdict, *(_figure(figure) for figure in figures))


@dataclass(frozen=True, slots=True)
class Finding:
    """``cause`` is an error_type, or the step that took the time; ``nodes`` are who saw it."""

    type: str
    cause: str
    nodes: tuple[str, ...]
    sentence: str


def rows(alive: Mapping[str, Mapping[str, Any] | None]) -> list[Row]:
    """Read each agent's /alive, by node name; agents that did not answer (None) have no rows."""
    return [
        _row(node, key, about)
        for node, document in sorted(alive.items())
        if document is not None
        for key, about in document.get("details", {}).get("targets", {}).items()
    ]


def findings(rows: Iterable[Row]) -> list[Finding]:
    """Say what is bad, once for all agents that see the same of the same target."""
    rows = list(rows)
    askers: dict[str, set[str]] = defaultdict(set)
    alike: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        askers[row.type].add(row.node)
        if row.outcome == "failed":
            alike[row.type, row.error_type].append(row)
        elif row.slow:
            alike[row.type, _slowest_part(row)].append(row)
    found = []
    for (target, cause), same in sorted(alike.items()):
        nodes = tuple(sorted({row.node for row in same}))
        among = f"{len(nodes)} of {len(askers[target])} agents"
        tell = _failed if same[0].outcome == "failed" else _slow
        found.append(Finding(target, cause, nodes, tell(same[0], cause, among)))
    return found


def all_is_well(rows: Iterable[Row]) -> str:
    """Say what good checks look like: the medians."""
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
    """Choose at most ``count`` rows: what is bad, then the agents in turn; and how many are left.

    The order stays; an agent's rows stay together.
    """
    ranked = sorted(range(len(rows)), key=lambda index: (not rows[index].remarkable, index))
    chosen = sorted(ranked[: max(0, count)])
    return [rows[index] for index in chosen], len(rows) - len(chosen)


def plain(rows: Iterable[Row]) -> list[str]:
    """Draw the table for a log file."""
    table = [HEADINGS, *(row.cells() for row in rows)]
    widths = [max(len(line[column]) for line in table) for column in range(len(HEADINGS))]
    return ["  ".join(map(_aligned, line, widths, range(len(line)))).rstrip() for line in table]


def _aligned(cell: str, width: int, column: int) -> str:
    return cell.ljust(width) if column < 3 else cell.rjust(width)


def _figure(seconds: float | None) -> str:
    return "0" if seconds == 0 else duration(seconds)


def _row(node: str, key: str, about: Mapping[str, Any]) -> Row:
    phases = about.get("phases", {})
    told = [phases[name] for name in ("far_end_wait", "far_end_app") if name in phases]
    return Row(
        node=node,
        target=key,
        type=about.get("type", key),
        outcome=about.get("outcome") or "",
        error_type=about.get("error_type", ""),
        phase=about.get("phase", ""),
        message=about.get("message", ""),
        total=about.get("duration_seconds"),
        dns=phases.get("dns"),
        connect=phases.get("connect"),
        tls=phases.get("tls"),
        network=phases.get("network_round_trip"),
        loss=phases.get("loss"),
        far_end=phases.get("far_end"),
        far_end_told=sum(told) if told else None,
        own_delay=phases.get("own_delay"),
        checked_at=datetime.fromisoformat(at).timestamp()
        if (at := about.get("checked_at"))
        else 0.0,
    )


_PARTS: Final = ("loss", "dns", "connect", "tls", "network", "far_end")
_SLOW: Final = {
    "loss": "Packets are lost on the way.",
    "dns": "Name resolution is slow: the DNS server, or the way to it.",
    "connect": "The way there is slow, or the far node's kernel.",
    "tls": "The far end takes its time over the TLS handshake.",
    "network": "The network is slow.",
    "far_end": "The far end's application is slow.",
}
_FAILED: Final = {
    "connection_refused": "Not the network: the far node itself said no, so nothing runs there.",
    "tls_certificate_expired": "Not the network, not the application: who renews that certificate?",
    "wrong_peer": "Another node's agent answers at its address: look at IPAM and routes.",
    "no_local_port": "Not the network: this machine has no free port left.",
    "own_timeout": "Not the network: this machine is too busy.",
}
_FAILED_IN: Final = {
    "dns": "Name resolution is at fault.",
    "connect": "The way there is at fault, or the far node.",
    "tls": "The far end's TLS is at fault.",
}


def _slowest_part(row: Row) -> str:
    return max(_PARTS, key=lambda name: getattr(row, name) or 0.0)


def _slow(row: Row, cause: str, among: str) -> str:
    far_end, told = row.far_end, row.far_end_told
    verdict = _SLOW[cause]
    if cause == "far_end" and far_end is not None and told is not None and told < far_end / 2:
        verdict = (
            f"The agent that answered took {duration(told)} of it: what stands before it is slow."
        )
    return (
        f"{row.type} is slow for {among}: {duration(row.total)}, of this network "
        f"{duration(row.network)}, far end {duration(far_end)}. {verdict}"
    )


def _failed(row: Row, cause: str, among: str) -> str:
    verdict = _FAILED.get(cause) or _FAILED_IN.get(row.phase) or "The far end is at fault."
    return f"{row.type} fails for {among}: {row.message}. {verdict}"
