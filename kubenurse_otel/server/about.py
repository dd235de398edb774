"""What the page says about this agent itself: figures in groups that show how far to trust it.

Owns the choice of figures. Their values are the metrics' (gauges.py, the store), read when the view
is built.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv
from kubenurse_otel.diagnosis.slow import median
from kubenurse_otel.page.agent import Figure, Group
from kubenurse_otel.report.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from kubenurse_otel.config import Config
    from kubenurse_otel.model import Neighbourhood
    from kubenurse_otel.semconv import Metric
    from kubenurse_otel.state.results import Results

MOST_TYPES: Final = 8
"""Most types of checks whose missed ticks are listed one by one."""


class About:
    """``figures`` reads a metric: (value, label values), nothing where it is not kept."""

    def __init__(
        self,
        config: Config,
        *,
        results: Results,
        neighbourhood: Callable[[], Neighbourhood],
        figures: Callable[[Metric], Iterable[tuple[float, tuple[str, ...]]]],
    ) -> None:
        self._config = config
        self._results = results
        self._neighbourhood = neighbourhood
        self._figures = figures

    def groups(self) -> Sequence[Group]:
        """Return them in the page's order."""
        return (
            Group("discovery", "Who its neighbours are", list(self._discovery())),
            Group("checking", "How well it checks", list(self._checking())),
            Group(
                "exports",
                "Exports",
                list(self._exports()),
                nothing="Nothing is exported: metrics are there to be scraped.",
            ),
            Group("process", "Its process", list(self._process())),
        )

    def _discovery(self) -> Iterable[Figure]:
        here = self._neighbourhood()
        yield Figure("state", here.state, "good" if here.state == "ok" else "bad")
        age = self._one(semconv.DISCOVERY_AGE)
        yield Figure("last word", "never" if age is None else f"{age:.0f} s ago")
        yield Figure(
            "neighbours",
            f"{len(here.chosen)} are checked of {len(here.known)}; {len(here.agents)} are listed",
        )
        asked = self._one(semconv.INCOMING_CHECKS)
        yield Figure("asked by", f"{asked or 0:.0f} agents in the last minute")
        yield Figure("this node", "is leaving" if here.own_node_leaving else "stays")

    def _checking(self) -> Iterable[Figure]:
        interval = duration(self._config.checks.interval_seconds)
        yield Figure("targets", f"{len(self._results.targets)}, every {interval} by default")
        delays = [
            delay
            for standing in self._results.latest.values()
            if (measured := standing.result.measurement) is not None
            and (delay := measured.split.own_delay) is not None
        ]
        if delays:
            yield Figure(
                "own delay",
                f"{duration(median(delays))} in the median of the last checks, "
                f"{duration(max(delays))} at most",
            )
        yield self._missed()
        doubt = self._one(semconv.DOUBT)
        if doubt is not None:
            yield Figure(
                "doubt", f"{doubt:.0f} of 7; from 3 on it accuses nobody", _sign(doubt >= 3)
            )
        hears = {state: value for value, (state,) in self._figures(semconv.VIEWS)}
        if hears:
            told = ", ".join(f"{value:.0f} {state}" for state, value in hears.items())
            yield Figure("hears", f"neighbours' views: {told}")

    def _missed(self) -> Figure:
        missed = sorted(self._figures(semconv.MISSED_CHECKS), reverse=True)
        total = sum(value for value, _ in missed)
        told = ", ".join(
            f"{labels[0]} {value:.0f}" for value, labels in missed[:MOST_TYPES] if value
        )
        since = "since its start"
        if not total:
            return Figure("missed ticks", f"none {since}", "good")
        return Figure("missed ticks", f"{total:.0f} {since}: {told}")

    def _exports(self) -> Iterable[Figure]:
        signals: dict[str, dict[str, float]] = {}
        for value, (signal, result) in self._figures(semconv.TELEMETRY_EXPORTS):
            signals.setdefault(signal, {})[result] = value
        for signal, results in sorted(signals.items()):
            told = ", ".join(f"{value:.0f} {result}" for result, value in sorted(results.items()))
            yield Figure(signal, told, _sign(bool(results.get("failure"))))
        for value, (signal,) in self._figures(semconv.TELEMETRY_REJECTED_ITEMS):
            yield Figure(f"{signal} rejected", f"{value:.0f} items", _sign(bool(value)))

    def _process(self) -> Iterable[Figure]:
        for value, labels in self._figures(semconv.READY):
            yield Figure("ready", "yes" if value else f"no: {labels[0]}", _sign(not value))
        memory, seconds = self._one(semconv.PROCESS_RSS), self._one(semconv.PROCESS_CPU)
        if memory is not None:
            yield Figure("memory", f"{memory / 2**20:.1f} MiB resident")
        if seconds is not None:
            yield Figure("CPU", f"{seconds:.1f} s since its start")
        for term, metric in (
            ("requests refused", semconv.HTTP_REFUSED),
            ("exceptions that nobody foresaw", semconv.UNHANDLED_EXCEPTIONS),
            ("log lines dropped", semconv.LOG_LINES_DROPPED),
        ):
            total = sum(value for value, _ in self._figures(metric))
            yield Figure(term, f"{total:.0f}", _sign(bool(total)))

    def _one(self, metric: Metric) -> float | None:
        return next((value for value, _ in self._figures(metric)), None)


def _sign(is_bad: bool) -> str:  # noqa: FBT001 - a question's answer
    return "warn" if is_bad else "good"
