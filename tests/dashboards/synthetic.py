"""A cluster of agents on paper: what Prometheus would hold of it, as promtool's input series.

Owns which series an agent has and how they move under a fault; the faults are the tests'. One
``Moment`` says how the world is at a scrape.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

NODES = tuple(f"node-{number:02}" for number in range(1, 13))
NEIGHBOUR_LIMIT = 10
CHECK_SECONDS = 5
SERVICE_TYPES = ("api_server_direct", "api_server_dns", "me_ingress", "me_service")
BOUNDS = (0.0002, 0.001, 0.005, 0.02, 0.1, 1)
BY_NAME = ("api_server_dns", "me_ingress", "me_service")
EVERYWHERE = frozenset(NODES)
NOBODY: frozenset[str] = frozenset()
YEAR = 365 * 86400


FIRING = (
    "count by (alertname, node, source_node, target_node, signal, type, far_end, metric, kind,"
    ' culprit) (ALERTS{alertstate="firing"})'
)


class Way(Enum):
    """How the metrics got there."""

    SCRAPED = "scraped"
    """instance is ip:port, a series that ends gets a stale marker, le as Prometheus 3 writes it."""
    PUSHED = "pushed"
    """instance is the pod's UID, a series that ends lingers; the last push says shutting_down."""
    NATIVE = "native"
    """Scraped, and Prometheus makes native histograms: convert_classic_histograms_to_nhcb."""
    ATTRIBUTES = "attributes"
    """Pushed to VictoriaMetrics: no job and no instance, the resource's attributes as they are."""


Verdict = tuple[str, str, str, str]
"""kind, culprit, direction, cause"""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """Checks of a type that fail: from where, why, and how many of three."""

    sources: frozenset[str] = EVERYWHERE
    error_type: str = "connect_timeout"
    phase: str = "connect"
    every: int = 1
    """Every n-th sample of a source is a failure."""


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The world at one scrape. Sets hold node names."""

    dead: frozenset[str] = NOBODY
    """Machines that answer nothing and report nothing, though their Node is there."""
    removed: frozenset[str] = NOBODY
    """Nodes that are gone from the API."""
    silent: frozenset[str] = NOBODY
    """Agents that answer while their metrics do not arrive."""
    unreachable: frozenset[str] = NOBODY
    """Agents that report while nobody reaches them."""
    wrong_peers: frozenset[str] = NOBODY
    """Agents that report while another node's agent answers at their address."""
    isolated: frozenset[str] = NOBODY
    """Agents that report while all their checks fail."""
    leaving: frozenset[str] = NOBODY
    """Their own agent knows that the node leaves."""
    shutting_down: frozenset[str] = NOBODY
    untargeted: frozenset[str] = NOBODY
    """Nodes that no agent has as target (beside those removed)."""
    starting: frozenset[str] = NOBODY
    """Nodes whose agent is down for the change to its next generation."""
    generation: Mapping[str, int] = field(default_factory=dict)
    """How often a node's agent has been replaced."""
    bad_pairs: frozenset[tuple[str, str]] = frozenset()
    faults: Mapping[str, Fault] = field(default_factory=dict)
    """By type."""
    lossy_pairs: Mapping[tuple[str, str], float] = field(default_factory=dict)
    """(Source, target) to the share of their checks that wait for a retransmission."""
    far_end_seconds: Mapping[str, float] = field(default_factory=dict)
    """Type to the time that its far end takes; 2 ms where nothing is said."""
    loss: Mapping[str, float] = field(default_factory=dict)
    """Node to the share of its checks, in and out, that wait for a retransmission."""
    not_ready: frozenset[str] = NOBODY
    """The kubelet's word: node_state of targets."""
    dns_seconds: float = 0.002
    own_delay_seconds: Mapping[str, float] = field(default_factory=dict)
    discovery_age: float = 20.0
    without_neighbours: frozenset[str] = NOBODY
    exports_fail: frozenset[str] = NOBODY
    rejected_a_check: float = 0.0
    """Spans of each agent that the collector rejects, in exports that it takes."""
    collector_items: str = "spans"
    """What the collector beside each agent takes: spans, metric_points or log_records."""
    collector_sends: Mapping[str, float] = field(default_factory=dict)
    """Node to the share of it that is sent on; all where nothing is said."""
    collector_refuses: frozenset[str] = NOBODY
    """Nodes whose collector refuses a half."""
    collector_gives_up: frozenset[str] = NOBODY
    """Nodes whose collector gives up a half."""
    dropped: frozenset[str] = frozenset()
    """Metrics that do not arrive in any form."""
    checks: bool = True
    """False: every check is switched off; neighbours are known all the same."""
    bugs: frozenset[str] = NOBODY
    """Agents of which an exception that nobody foresaw ends a check now and then."""
    verdicts: Mapping[str, tuple[Verdict, ...]] = field(default_factory=dict)
    """By the node whose agent says so."""
    certificate_seconds: Mapping[str, float] = field(default_factory=dict)
    """Type to the life that its certificate has left at time 0."""


Scene = Callable[[float], Moment]
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class _Native:
    """A native histogram with the bounds of BOUNDS, as counts of each bucket."""

    total: float
    counts: tuple[float, ...]

    def __add__(self, more: _Native) -> _Native:
        counts = tuple(a + b for a, b in zip(self.counts, more.counts, strict=True))
        return _Native(total=self.total + more.total, counts=counts)

    def __str__(self) -> str:
        """As promtool writes it; schema -53 has bounds of its own."""
        bounds = " ".join(map(str, BOUNDS))
        counts = " ".join(f"{count:.10g}" for count in self.counts)
        return (
            f"{{{{schema:-53 sum:{self.total:.10g} count:{sum(self.counts):.10g}"
            f" custom_values:[{bounds}] buckets:[{counts}]}}}}"
        )


@dataclass
class Recorder:
    """Samples by series, one list element a scrape; None where there is no sample."""

    steps: int
    series: dict[tuple[str, Labels], list[float | None]] = field(default_factory=dict)
    counters: dict[tuple[str, Labels], float] = field(default_factory=lambda: defaultdict(float))
    natives: dict[tuple[str, Labels], list[_Native | None]] = field(default_factory=dict)

    def gauge(self, step: int, name: str, labels: Mapping[str, str], value: float) -> None:
        key = (name, tuple(labels.items()))
        self.series.setdefault(key, [None] * self.steps)[step] = value

    def count(
        self, step: int, name: str, labels: Mapping[str, str], more: float, *, born: bool = False
    ) -> None:
        """Add to a counter; it is ``born`` when it has something to count, or at once."""
        key = (name, tuple(labels.items()))
        if more or born or key in self.counters:
            self.counters[key] += more
            self.gauge(step, name, labels, self.counters[key])

    def native(self, step: int, name: str, labels: Mapping[str, str], more: _Native) -> None:
        """Add to a native histogram."""
        samples = self.natives.setdefault((name, tuple(labels.items())), [None] * self.steps)
        before = next((one for one in reversed(samples[:step]) if one is not None), None)
        samples[step] = more if before is None else before + more


def input_series(
    scene: Scene,
    *,
    seconds: float,
    step_seconds: float,
    way: Way,
    nodes: tuple[str, ...] = NODES,
    cluster: str = "",
) -> list[dict[str, str]]:
    """Return promtool's input_series for the whole scene."""
    steps = int(seconds / step_seconds) + 1
    recorder = Recorder(steps)
    for step in range(steps):
        moment = scene(step * step_seconds)
        away = moment.dead | moment.removed | moment.silent | moment.starting
        for number, node in enumerate(nodes, start=1):
            if node in away:
                continue
            _Agent(
                recorder=recorder,
                step=step,
                checks=step_seconds / CHECK_SECONDS,
                moment=moment,
                node=node,
                nodes=nodes,
                way=way,
                who=_identity(node, number, moment.generation.get(node, 0), way, cluster),
            ).report()
    stale = way not in {Way.PUSHED, Way.ATTRIBUTES}
    written = {key: _notation(values, stale=stale) for key, values in recorder.series.items()}
    written |= {key: _in_full(values, stale=stale) for key, values in recorder.natives.items()}
    return [
        {
            "series": name + "{" + ",".join(f'"{key}"="{value}"' for key, value in labels) + "}",
            "values": values,
        }
        for (name, labels), values in written.items()
    ]


@dataclass(frozen=True, kw_only=True)
class _Agent:
    """One agent at one scrape: writes its samples."""

    recorder: Recorder
    step: int
    checks: float
    """Of a target, since the last scrape."""
    moment: Moment
    node: str
    nodes: tuple[str, ...]
    way: Way
    who: Mapping[str, str]

    def report(self) -> None:
        moment = self.moment
        self.gauge("kubenurse_build_info", 1, version="0.1.0", python_version="3.11.2")
        leaving, stopping = self.node in moment.leaving, self.node in moment.shutting_down
        reason = "node_leaving" if leaving else "shutting_down" if stopping else ""
        self.gauge("kubenurse_ready", float(not reason), reason=reason)
        self.gauge("kubenurse_discovery_age_seconds", moment.discovery_age)
        targets = _targets(moment, self.node, self.nodes)
        self.gauge("kubenurse_neighbours", len(targets), state="chosen")
        self.gauge("kubenurse_neighbours", len(targets), state="known")
        for kind, culprit, direction, cause in moment.verdicts.get(self.node, ()):
            said = {"kind": kind, "culprit": culprit, "direction": direction, "cause": cause}
            self.gauge("kubenurse_verdict", 1, **said)
        if moment.checks:
            self.results(targets)
        exports, failing = "kubenurse_telemetry_exports_total", self.node in moment.exports_fail
        failing = failing or self.node in moment.isolated
        self.count(exports, self.checks / 3 * (not failing), signal="traces", result="success")
        self.count(exports, self.checks / 3 * failing, signal="traces", result="failure")
        rejected = moment.rejected_a_check * self.checks
        self.count("kubenurse_telemetry_rejected_items_total", rejected, signal="traces")
        if not failing or self.node in moment.isolated:
            self.collector()
        bug = self.node in moment.bugs and self.step % 10 == 0
        self.count("kubenurse_unhandled_exceptions_total", bug, born=True, part="check")

    def collector(self) -> None:
        """The collector beside it; sent and given up are there once there is something to count."""
        moment, taken = self.moment, self.checks / 3
        sent = moment.collector_sends.get(self.node, float(self.node not in moment.isolated))
        counts = {
            "receiver_accepted": taken,
            "receiver_refused": taken / 2 * (self.node in moment.collector_refuses),
            "exporter_sent": taken * sent,
            "exporter_send_failed": taken / 2 * (self.node in moment.collector_gives_up),
        }
        whose = {"service_name": "kubenurse-collector", "k8s_node_name": self.node}
        for name, more in counts.items():
            born = name.startswith("receiver")
            self.count(f"otelcol_{name}_{moment.collector_items}", more, born=born, **whose)

    def results(self, targets: list[str]) -> None:
        moment = self.moment
        for target in targets:
            self.path(target)
        for type_ in (*SERVICE_TYPES, *(set(moment.faults) - set(SERVICE_TYPES))):
            self.service(type_)
        certificates = dict.fromkeys(("api_server_direct", "api_server_dns", "me_ingress"), YEAR)
        for type_, left in (certificates | dict(moment.certificate_seconds)).items():
            self.gauge("kubenurse_tls_certificate_expiry_timestamp_seconds", left, type=type_)
        delay = moment.own_delay_seconds.get(self.node, 0.0015)
        name = "kubenurse_own_delay_seconds"
        self.observe(name, self.checks, delay, buckets=True, type="me_service")

    def path(self, target: str) -> None:
        moment, type_ = self.moment, f"path_{target}"
        failed = (
            self.node in moment.isolated
            or target in moment.dead | moment.unreachable | moment.starting | moment.wrong_peers
            or (self.node, target) in moment.bad_pairs
        )
        state = "not_ready" if target in moment.not_ready else "ready"
        self.check(type_, target, _zone(self.nodes, target), state, failed=failed)
        if failed and target in moment.wrong_peers:
            self.failure(type_, "wrong_peer", "status")
        elif failed:
            self.failure(type_, "connect_timeout", "connect")
        else:
            self.observe("kubenurse_network_round_trip_seconds", self.checks, 0.0002, type=type_)
        share = max(
            moment.loss.get(self.node, 0),
            moment.loss.get(target, 0),
            moment.lossy_pairs.get((self.node, target), 0),
            1.0 * failed,
        )
        for direction in ("out", "in"):
            self.count(
                "kubenurse_lossy_checks_total",
                self.checks * share / 2,
                type=type_,
                direction=direction,
            )

    def service(self, type_: str) -> None:
        fault = self.moment.faults.get(type_)
        turn = self.step + self.nodes.index(self.node) + 1
        error_type, phase = "connect_timeout", "connect"
        failed = self.node in self.moment.isolated
        if fault is not None and self.node in fault.sources and turn % fault.every == 0:
            failed, error_type, phase = True, fault.error_type, fault.phase
        elif type_ in BY_NAME:
            error_type, phase = "dns_timeout", "dns"
        self.check(type_, "", "", "", failed=failed)
        if failed:
            self.failure(type_, error_type, phase)
        else:
            seconds = self.moment.far_end_seconds.get(type_, 0.002)
            self.observe("kubenurse_far_end_duration_seconds", self.checks, seconds, type=type_)
        if type_ in BY_NAME and not (failed and phase == "dns"):
            name, seconds = "kubenurse_check_phase_duration_seconds", self.moment.dns_seconds
            self.observe(name, self.checks, seconds, type=type_, phase="dns")

    def observe(
        self,
        name: str,
        observations: float,
        seconds: float,
        *,
        buckets: bool = False,
        **labels: str,
    ) -> None:
        """Observe the same value several times, in the form that the store has.

        Classic ``buckets`` are written where a rule reads them.
        """
        if self.drops(name):
            return
        if self.way is Way.NATIVE:
            at = next((n for n, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
            counts = tuple(observations * (n == at) for n in range(len(BOUNDS) + 1))
            more = _Native(total=observations * seconds, counts=counts)
            self.recorder.native(self.step, name, {**self.who, **labels}, more)
            return
        for bound in BOUNDS if buckets else ():
            le = "1.0" if self.way is Way.SCRAPED and bound == 1 else f"{bound:g}"
            inside = observations * (seconds <= bound)
            self.count(f"{name}_bucket", inside, born=True, **labels, le=le)
        if buckets:
            self.count(f"{name}_bucket", observations, **labels, le="+Inf")
        self.count(f"{name}_sum", observations * seconds, **labels)
        self.count(f"{name}_count", observations, **labels)

    def check(self, type_: str, target: str, zone: str, state: str, *, failed: bool) -> None:
        self.gauge("kubenurse_check_success", float(not failed), type=type_)
        timed = {"type": type_, "source": "kernel", "reason": "none"}
        self.count("kubenurse_checks_timed_total", self.checks, **timed)
        self.gauge(
            "kubenurse_check_info",
            1,
            type=type_,
            source_node=self.node,
            source_zone=_zone(self.nodes, self.node),
            target_node=target,
            target_zone=zone,
            node_state=state,
        )

    def failure(self, type_: str, error_type: str, phase: str) -> None:
        labels = {"type": type_, "error_type": error_type, "phase": phase}
        self.count("kubenurse_check_failures_total", self.checks, **labels)

    def gauge(self, name: str, value: float, **labels: str) -> None:
        if not self.drops(name):
            self.recorder.gauge(self.step, name, {**self.who, **labels}, value)

    def count(self, name: str, more: float, *, born: bool = False, **labels: str) -> None:
        if not self.drops(name):
            self.recorder.count(self.step, name, {**self.who, **labels}, more, born=born)

    def drops(self, name: str) -> bool:
        """Whether the metric of this series does not arrive."""
        return name.startswith(tuple(self.moment.dropped))


def _targets(moment: Moment, node: str, nodes: tuple[str, ...]) -> list[str]:
    """The next ten of a ring, without those that leave."""
    if node in moment.without_neighbours:
        return []
    start = nodes.index(node) + 1
    ring = [*nodes[start:], *nodes[: start - 1]]
    gone = moment.removed | moment.leaving | moment.shutting_down | moment.untargeted
    return [target for target in ring if target not in gone][:NEIGHBOUR_LIMIT]


def _identity(node: str, number: int, generation: int, way: Way, cluster: str) -> dict[str, str]:
    of_cluster = {"cluster": cluster} if cluster else {}
    if way is Way.PUSHED:
        return of_cluster | {"job": "kubenurse-otel", "instance": f"uid-{number}-{generation}"}
    if way is Way.ATTRIBUTES:
        return of_cluster | {
            "service.name": "kubenurse-otel",
            "service.instance.id": f"uid-{number}-{generation}",
            "k8s.node.name": node,
            "scope.name": "kubenurse_otel",
        }
    return of_cluster | {
        "job": "kubenurse",
        "instance": f"10.{generation}.0.{number}:8080",
        "namespace": "kube-system",
        "pod": f"kubenurse-{node}-{generation}",
    }


def _zone(nodes: tuple[str, ...], node: str) -> str:
    return "abc"[nodes.index(node) % 3]


def _in_full(values: list[_Native | None], *, stale: bool) -> str:
    """Write each native histogram; _ where there is none, and stale markers."""
    words = []
    before: _Native | None = None
    for value in values:
        gone = "stale" if before is not None and stale else "_"
        words.append(str(value) if value is not None else gone)
        before = value
    return " ".join(words)


def _notation(values: list[float | None], *, stale: bool) -> str:
    """Write promtool's series notation: runs with a constant step are a+bxn."""
    words: list[str] = []
    at, alive = 0, False
    while at < len(values):
        first = values[at]
        end = at + 1
        if first is None:
            while end < len(values) and values[end] is None:
                end += 1
            absent = end - at
            if alive and stale:
                words.append("stale")
                absent -= 1
            if absent:
                words.append(f"_x{absent}")
        else:
            following = values[end] if end < len(values) else None
            delta = following - first if following is not None else 0.0
            previous = first
            while end < len(values):
                current = values[end]
                if current is None or abs(current - previous - delta) > 1e-9:
                    break
                previous, end = current, end + 1
            words.append(f"{first:.10g}{delta:+.10g}x{end - at - 1}")
        alive = first is not None
        at = end
    return " ".join(words)


def at_times(fired: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return promql_expr_test entries: at each time exactly these alerts fire."""
    return [
        {
            "expr": FIRING,
            "eval_time": time,
            "exp_samples": [
                {
                    "labels": "{"
                    + ",".join(f'{key}="{value}"' for key, value in alert.items())
                    + "}",
                    "value": 1,
                }
                for alert in alerts
            ],
        }
        for time, alerts in fired.items()
    ]
