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
BY_NAME = ("api_server_dns", "me_ingress", "me_service")
EVERYWHERE = frozenset(NODES)
NOBODY: frozenset[str] = frozenset()
YEAR = 365 * 86400


class Way(Enum):
    """How the metrics got there."""

    SCRAPED = "scraped"
    """instance is ip:port, a series that ends gets a stale marker, le as Prometheus 3 writes it."""
    PUSHED = "pushed"
    """instance is the pod's UID, a series that ends lingers; the last push says shutting_down."""


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
    loss: Mapping[str, float] = field(default_factory=dict)
    """Node to the share of its checks, in and out, that wait for a retransmission."""
    not_ready: frozenset[str] = NOBODY
    """The kubelet's word: node_state of targets."""
    dns_seconds: float = 0.002
    own_delay_seconds: Mapping[str, float] = field(default_factory=dict)
    discovery_age: float = 20.0
    without_neighbours: frozenset[str] = NOBODY
    exports_fail: frozenset[str] = NOBODY
    certificate_seconds: Mapping[str, float] = field(default_factory=dict)
    """Type to the life that its certificate has left at time 0."""


Scene = Callable[[float], Moment]
Labels = tuple[tuple[str, str], ...]


@dataclass
class Recorder:
    """Samples by series, one list element a scrape; None where there is no sample."""

    steps: int
    series: dict[tuple[str, Labels], list[float | None]] = field(default_factory=dict)
    counters: dict[tuple[str, Labels], float] = field(default_factory=lambda: defaultdict(float))

    def gauge(self, step: int, name: str, labels: Mapping[str, str], value: float) -> None:
        key = (name, tuple(labels.items()))
        self.series.setdefault(key, [None] * self.steps)[step] = value

    def count(self, step: int, name: str, labels: Mapping[str, str], more: float) -> None:
        """Add to a counter; it is born when it has something to count."""
        key = (name, tuple(labels.items()))
        if more or key in self.counters:
            self.counters[key] += more
            self.gauge(step, name, labels, self.counters[key])


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
        for node in nodes:
            _report(recorder, step, step_seconds, moment, node, nodes, way, cluster)
    return [
        {
            "series": name + "{" + ",".join(f'{key}="{value}"' for key, value in labels) + "}",
            "values": _notation(values, stale=way is Way.SCRAPED),
        }
        for (name, labels), values in recorder.series.items()
    ]


def _report(
    recorder: Recorder,
    step: int,
    step_seconds: float,
    moment: Moment,
    node: str,
    nodes: tuple[str, ...],
    way: Way,
    cluster: str,
) -> None:
    """Write one agent's sample of everything."""
    if node in moment.dead | moment.removed | moment.silent | moment.starting:
        return
    number, checks = nodes.index(node) + 1, step_seconds / CHECK_SECONDS
    who = _identity(node, number, moment.generation.get(node, 0), way, cluster)

    def gauge(name: str, value: float, **labels: str) -> None:
        recorder.gauge(step, name, who | labels, value)

    def count(name: str, more: float, **labels: str) -> None:
        recorder.count(step, name, who | labels, more)

    gauge("kubenurse_build_info", 1, version="0.1.0", python_version="3.11.2")
    leaving, stopping = node in moment.leaving, node in moment.shutting_down
    reason = "node_leaving" if leaving else "shutting_down" if stopping else ""
    gauge("kubenurse_ready", float(not reason), reason=reason)
    gauge("kubenurse_discovery_age_seconds", moment.discovery_age)

    targets = _targets(moment, node, nodes)
    gauge("kubenurse_neighbours", len(targets), state="chosen")
    gauge("kubenurse_neighbours", len(targets), state="known")
    for target in targets:
        failed = (
            node in moment.isolated
            or target in moment.dead | moment.unreachable | moment.starting
            or (node, target) in moment.bad_pairs
        )
        type_ = f"path_{target}"
        state = "not_ready" if target in moment.not_ready else "ready"
        places = {"target_node": target, "target_zone": _zone(nodes, target), "node_state": state}
        _check(recorder, step, who, type_, (node, _zone(nodes, node)), places, failed)
        if failed:
            count(
                "kubenurse_check_failures_total",
                checks,
                type=type_,
                error_type="connect_timeout",
                phase="connect",
            )
        count("kubenurse_own_delay_seconds_count", checks, type=type_)
        share = max(moment.loss.get(node, 0), moment.loss.get(target, 0), 1.0 * failed)
        count("kubenurse_loss_delay_seconds_count", checks * share, type=type_)
        if not failed:
            count("kubenurse_network_round_trip_seconds_sum", checks * 0.0002, type=type_)
            count("kubenurse_network_round_trip_seconds_count", checks, type=type_)

    for type_ in (*SERVICE_TYPES, *(set(moment.faults) - set(SERVICE_TYPES))):
        fault = moment.faults.get(type_)
        hit = fault is not None and node in fault.sources and (step + number) % fault.every == 0
        failed = hit or node in moment.isolated
        nowhere = {"target_node": "", "target_zone": "", "node_state": ""}
        _check(recorder, step, who, type_, (node, _zone(nodes, node)), nowhere, failed)
        cause = {"error_type": "connect_timeout", "phase": "connect"}
        if hit and fault is not None:
            cause = {"error_type": fault.error_type, "phase": fault.phase}
        elif type_ in BY_NAME:
            cause = {"error_type": "dns_timeout", "phase": "dns"}
        if failed:
            count("kubenurse_check_failures_total", checks, type=type_, **cause)
        if type_ in BY_NAME and not (failed and cause["phase"] == "dns"):
            phase = {"type": type_, "phase": "dns"}
            count(
                "kubenurse_check_phase_duration_seconds_sum", checks * moment.dns_seconds, **phase
            )
            count("kubenurse_check_phase_duration_seconds_count", checks, **phase)
    for type_, left in (
        {"api_server_direct": YEAR, "api_server_dns": YEAR, "me_ingress": YEAR}
        | dict(moment.certificate_seconds)
    ).items():
        gauge("kubenurse_tls_certificate_expiry_timestamp_seconds", left, type=type_)

    own_delay = moment.own_delay_seconds.get(node, 0.0015)
    for bound in (0.0002, 0.001, 0.005, 0.02, 0.1, 1):
        inside = checks * (own_delay <= bound)
        le = f"{bound:g}" if way is Way.PUSHED or bound != 1 else "1.0"
        recorder.counters[
            (
                "kubenurse_own_delay_seconds_bucket",
                tuple((who | {"type": "me_service", "le": le}).items()),
            )
        ] += 0
        count("kubenurse_own_delay_seconds_bucket", inside, type="me_service", le=le)
    count("kubenurse_own_delay_seconds_bucket", checks, type="me_service", le="+Inf")

    exports = step_seconds / 15
    failing = node in moment.exports_fail or node in moment.isolated
    for signal in ("traces",):
        count(
            "kubenurse_telemetry_exports_total",
            exports * (not failing),
            signal=signal,
            result="success",
        )
        count(
            "kubenurse_telemetry_exports_total", exports * failing, signal=signal, result="failure"
        )


def _check(
    recorder: Recorder,
    step: int,
    who: Mapping[str, str],
    type_: str,
    source: tuple[str, str],
    places: Mapping[str, str],
    failed: bool,
) -> None:
    node, zone = source
    recorder.gauge(step, "kubenurse_check_success", {**who, "type": type_}, float(not failed))
    info = {**who, "type": type_, "source_node": node, "source_zone": zone, **places}
    recorder.gauge(step, "kubenurse_check_info", info, 1)


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
    return of_cluster | {
        "job": "kubenurse",
        "instance": f"10.{generation}.0.{number}:8080",
        "namespace": "kube-system",
        "pod": f"kubenurse-{node}-{generation}",
    }


def _zone(nodes: tuple[str, ...], node: str) -> str:
    return "abc"[nodes.index(node) % 3]


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
            "expr": 'count by (alertname, node, signal, type, far_end) (ALERTS{alertstate="firing"})',
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
