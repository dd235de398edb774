"""One run of one fault: looks at the cluster from outside, and keeps what was seen."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from e2e.cluster import polling
from e2e.cluster.observability import Jaeger, Prometheus

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.cluster.cluster import Cluster
    from e2e.cluster.jaeger_api import Trace
    from e2e.cluster.prometheus_api import Sample

_HEALTHY_SECONDS: Final = 180.0
_BEFORE_SECONDS: Final = 15.0
_PASSING_SECONDS: Final = 10.0
_SHOWN: Final = ("node", "type", "phase", "error_type", "event", "pod")
_CALM_SECONDS: Final = 4.0
"""For so long nothing may fail before the next fault."""


@dataclass(slots=True)
class Seen:
    """What a run showed, in the table's words."""

    shown: list[str] = field(default_factory=list)
    unmoved: list[str] = field(default_factory=list)
    alerts: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    first_seconds: float | None = None
    """From the fault to the first metric that shows it."""


class Scene:
    """The fault is there from `begin` on; every look is recorded in ``seen``."""

    def __init__(self, cluster: Cluster, node: str) -> None:
        self.cluster = cluster
        self.node = node
        self.prometheus = Prometheus()
        self.jaeger = Jaeger()
        self.seen = Seen()
        self.began_at = time.time()
        self._expected: set[str] = set()

    @property
    def others(self) -> list[str]:
        """The nodes that are not broken."""
        return [name for name in self.cluster.nodes if name != self.node]

    # --- before -----------------------------------------------------------------------------------

    def wait_until_healthy(self, *, seconds: float = _HEALTHY_SECONDS) -> None:
        """Wait until every check of every agent works and no alert fires or waits."""
        expression = (
            f"count(min_over_time(kubenurse_check_success[{_CALM_SECONDS:.0f}s]) == 0) or vector(0)"
        )
        self.prometheus.until(
            expression,
            lambda found: [one.value for one in found] == [0.0],
            seconds=seconds,
            what="no failing check before the fault",
        )
        agents = len(self.cluster.nodes)
        self.prometheus.until(
            "count(kubenurse_build_info)",
            lambda found: [one.value for one in found] == [agents],
            seconds=seconds,
            what=f"{agents} agents that report",
        )
        # Those that just started have their series: API server (2), Service, ingress, neighbours.
        self.prometheus.until(
            'count(sum by (instance, type) (kubenurse_httpclient_requests_total{type!="full_size"})'
            " >= 5)",
            lambda found: [one.value for one in found] == [agents * (4 + agents - 1)],
            seconds=seconds,
            what=f"every one of {agents} agents has checked everything five times",
        )
        # Every 30 s per neighbour. These series have to be there, too, before any are counted.
        self.prometheus.until(
            'count(sum by (instance) (kubenurse_httpclient_requests_total{type="full_size"})'
            f" >= {agents - 1})",
            lambda found: [one.value for one in found] == [agents],
            seconds=seconds,
            what=f"every one of {agents} agents has made its full-size checks",
        )
        self.prometheus.until_alerts(
            lambda alerts: not alerts.firing and not alerts.pending,
            seconds=seconds,
            what="no alert before the fault",
        )

    def begin(self) -> None:
        """The fault is about to be injected."""
        self.began_at = time.time()

    def begin_again(self) -> None:
        """The agents were restarted to check in another way: counters count from here."""
        agents = len(self.cluster.nodes)
        self.prometheus.until(
            "count(count_over_time(kubenurse_build_info[3s]))",
            lambda found: [one.value for one in found] == [agents],
            seconds=60,
            what=f"{agents} agents, and none of before",
        )
        self.begin()

    # --- what must be seen ----------------------------------------------------------------------

    def shows(
        self,
        expression: str,
        condition: Callable[[float], bool],
        *,
        what: str,
        within: float = 30.0,
    ) -> float:
        """Wait until some sample of ``expression`` holds; return the seconds since the fault began.

        ``what`` is for the table: the metric with its type, phase and error_type.
        """
        self.prometheus.until(
            expression,
            lambda found: any(condition(one.value) for one in found),
            seconds=within,
            what=what,
        )
        took = time.time() - self.began_at
        if self.seen.first_seconds is None or took < self.seen.first_seconds:
            self.seen.first_seconds = took
        self.seen.shown.append(f"{what} ({took:.0f} s)")
        return took

    def counts(
        self, counter: str, *, what: str, at_least: float = 1.0, within: float = 30.0
    ) -> float:
        """Wait until a counter (a vector is summed) has grown since the fault began."""
        before = self.total(counter, at=self.began_at)
        return self.shows(
            f"sum({counter}) or vector(0)",
            lambda value: value - before >= at_least,
            what=what,
            within=within,
        )

    def alerts(self, name: str, *, within: float = 90.0, **labels: str) -> float:
        """Wait until the alert fires with these labels; the waits of the rules are compressed."""
        self._expected.add(name)

        def fires() -> bool:
            firing = self.prometheus.alerts().firing.get(name, [])
            return any(labels.items() <= one.items() for one in firing)

        deadline = time.time() + within
        while not fires():
            if time.time() > deadline:
                found = self.prometheus.alerts()
                raise AssertionError(
                    f"{name} {labels} does not fire within {within:.0f} s; firing "
                    f"{dict(found.firing)}, pending {dict(found.pending)}"
                )
            time.sleep(0.25)
        took = time.time() - self.began_at
        where = ", ".join(labels.values())
        self.seen.alerts.append(f"{name}{f' ({where})' if where else ''} after {took:.0f} s")
        return took

    def may_alert(self, *names: str) -> None:
        """Alerts that may fire, too; say why in a comment where this is called."""
        self._expected.update(names)

    def trace(
        self,
        condition: Callable[[Trace], object],
        *,
        what: str,
        tags: dict[str, str] | None = None,
        operation: str | None = None,
        within: float = 30.0,
    ) -> Trace:
        """Wait for a trace since the fault began for which ``condition`` holds."""
        trace, _ = self.jaeger.until(
            lambda one: one.root is not None and one.root.start >= self.began_at and condition(one),
            seconds=within,
            what=what,
            tags=tags,
            operation=operation,
            limit=200,
            lookback=time.time() - self.began_at + within + 5,
        )
        self.seen.traces.append(what)
        return trace

    # --- what must not move -----------------------------------------------------------------------

    def unmoved(self, counter: str, *, what: str, by: float = 0.0) -> None:
        """A counter (a vector is summed) has grown by no more than ``by`` since the fault began."""
        grown = self._growth(counter, self.began_at)
        total = sum(grown.values())
        assert total <= by, f"{what} moved by {total:g}: {grown}"
        self.seen.unmoved.append(what)

    def stays(self, expression: str, condition: Callable[[float], bool], *, what: str) -> None:
        """Every sample of ``expression`` holds now; there is at least one.

        A rate over seconds has none while an agent was away: it is waited for, its value is not.
        """
        found, _ = polling.until(
            lambda: self.prometheus.query(expression),
            bool,
            seconds=_PASSING_SECONDS,
            what=f"{what}: something that matches {expression}",
        )
        wrong = [one for one in found if not condition(one.value)]
        assert not wrong, f"{what}: {wrong[:5]}"
        self.seen.unmoved.append(what)

    def no_other_alert(self) -> None:
        """No alert has fired since the fault began that the proof did not name."""
        since = time.time() - self.began_at
        fired: set[str] = set()
        for series in self.prometheus.range(
            'ALERTS{alertstate="firing", severity!="info"}', since, 1
        ):
            fired.add(series.labels["alertname"])
        wrong = fired - self._expected
        assert not wrong, f"these alerts fired, too: {sorted(wrong)}"

    def no_alert_waits(self) -> None:
        """No alert stays pending: some wait for longer than a fault lasts.

        A late scrape of a busy machine is over in a moment; what a fault brings is not. Nor does it
        count that an agent is slow itself: any load of this machine makes it so.
        """
        self.prometheus.until_alerts(
            lambda alerts: not alerts.pending.keys() - {"KubenurseProberSick"},
            seconds=_PASSING_SECONDS,
            what="no alert that waits",
        )

    # --- asking -----------------------------------------------------------------------------------

    def total(self, expression: str, *, at: float | None = None) -> float:
        """The sum of a vector, 0 if it is empty."""
        return sum(one.value for one in self.prometheus.query(expression, at))

    def grown(self, counter: str, *, since: float | None = None) -> float:
        """By how much counters have grown since the fault began (or ``since``), all together.

        Those of an agent that has gone or restarted count for what they were; a new one's first
        value is growth.
        """
        return sum(self._growth(counter, self.began_at if since is None else since).values())

    def _growth(self, counter: str, since: float) -> dict[str, float]:
        """Those that have grown, by their labels that tell them apart for a reader."""
        grown: dict[str, float] = {}
        # From before: an agent whose last scrape failed has no sample at the very moment.
        for series in self.prometheus.range(counter, time.time() - since + _BEFORE_SECONDS, 1):
            last = more = 0.0
            for moment, value in series.points:
                if moment > since:
                    more += value - last if value >= last else value
                last = value
            if more:
                name = " ".join(series.labels[key] for key in _SHOWN if key in series.labels)
                grown[name] = grown.get(name, 0.0) + more
        return grown

    def samples(self, expression: str) -> list[Sample]:
        return self.prometheus.query(expression)

    def wait(self, seconds: float) -> None:
        """Let the fault last for so long since it began: to see that something does not happen."""
        time.sleep(max(0.0, self.began_at + seconds - time.time()))
