"""Metrics as a real Prometheus 3 has them, scraped and taken by OTLP."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from agents import running, wait_for
from ports import free_port

from collector import servers
from collector.conftest import (
    ADDRESSES,
    EXAMPLES,
    Stack,
    agent_environment,
    prometheus_config,
    write_neighbours,
)
from kubenurse_otel import semconv

FIVE = (
    semconv.HTTPCLIENT_REQUEST_DURATION,
    semconv.HTTPCLIENT_TRACE_REQUEST_DURATION,
    semconv.HTTPCLIENT_REQUESTS,
    semconv.ERRORS,
    semconv.INCOMING_CHECKS,
)
SCRAPED = '{job="scraped",__name__=~"(kubenurse|process)_.+"}'
PUSHED = '{job="kubenurse-otel",__name__=~"(kubenurse|process)_.+"}'
STRATEGIES = (
    "UnderscoreEscapingWithSuffixes",
    "UnderscoreEscapingWithoutSuffixes",
    "NoUTF8EscapingWithSuffixes",
    "NoTranslation",
)


def names_of(metric: semconv.Metric) -> set[str]:
    if metric.kind == semconv.MetricKind.HISTOGRAM:
        return {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return {metric.name}


THE_FIVE = set().union(*map(names_of, FIVE))


def names(series: list[dict[str, str]]) -> set[str]:
    return {one["__name__"] for one in series}


def contents(series: list[dict[str, str]], node: str) -> set[tuple[tuple[str, Any], ...]]:
    """Series of ``node`` by name and labels of ours; ``le`` as a number."""
    of_the_target = {"job", "instance", "cluster"}
    return {
        tuple(
            sorted(
                (label, float(value) if label == "le" else value)
                for label, value in one.items()
                if label not in of_the_target and not label.startswith("k8s_")
            )
        )
        for one in series
        if one.get("k8s_node_name") == node or one["instance"].startswith(f"{ADDRESSES[node]}:")
    }


def test_the_five_names_come_out_unchanged_scraped_and_pushed(stack: Stack) -> None:
    """Whichever way they take, the five have kubenurse's names, and their labels are the same."""
    five = '{__name__=~"' + "|".join(sorted(THE_FIVE)) + '"}'
    ways = {"sidecar and gateway": "node-a", "straight": "node-b"}
    for way, node in ways.items():

        def same() -> bool:
            found = stack.prometheus.series(five)
            by_scrape = contents([one for one in found if one["job"] == "scraped"], node)  # noqa: B023 - called at once
            by_otlp = contents([one for one in found if one["job"] != "scraped"], node)  # noqa: B023 - called at once
            names_of_both = {dict(one)["__name__"] for one in by_scrape & by_otlp}
            return by_scrape == by_otlp and names_of_both == THE_FIVE

        wait_for(same, seconds=30, what=f"the same series of the five: {way}")


def test_every_metric_has_one_name_however_it_comes(stack: Stack) -> None:
    """Not only the five: no name of ours gains or loses a suffix on the way."""
    known = set().union(*map(names_of, semconv.METRICS))
    wait_for(
        lambda: (
            (scraped := names(stack.prometheus.series(SCRAPED)))
            and THE_FIVE <= scraped
            and scraped == names(stack.prometheus.series(PUSHED))
        ),
        seconds=30,
        what="the same names",
    )
    assert names(stack.prometheus.series(PUSHED)) <= known


def test_pushed_series_tell_cluster_node_and_pod(stack: Stack) -> None:
    """The documented resource attributes are labels; job and instance stand for the agent."""
    found = wait_for(
        lambda: stack.prometheus.query(
            'kubenurse_check_success{job="kubenurse-otel",type="path_node-b"}'
        ),
        seconds=30,
        what="a pushed gauge",
    )
    (one,) = found
    labels = one["metric"]
    assert labels["cluster"] == labels["k8s_cluster_name"] == "test"
    assert labels["k8s_node_name"] == "node-a"
    assert labels["k8s_pod_name"] == "kubenurse-node-a"
    assert labels["instance"]
    assert one["value"][1] == "1"


def test_pushed_and_scraped_values_agree(stack: Stack) -> None:
    """A counter and a histogram's buckets are the same at the same moment, give or take a check."""

    def agree() -> bool:
        expression = (
            'abs(sum by (type) (kubenurse_httpclient_requests_total{job="scraped",'
            f'instance=~"{ADDRESSES["node-a"]}.*"}})'
            ' - sum by (type) (kubenurse_httpclient_requests_total{job="kubenurse-otel",'
            'k8s_node_name="node-a"})) <= 4'
        )
        found = {one["metric"]["type"] for one in stack.prometheus.query(expression)}
        return found == {"path_node-b", "path_node-c"}

    wait_for(agree, seconds=30, what="the same counts")
    buckets = 'kubenurse_httpclient_request_duration_seconds_bucket{type="path_node-b",job="%s"}'
    for job in ("scraped", "kubenurse-otel"):
        bounds = {float(one["metric"]["le"]) for one in stack.prometheus.query(buckets % job)}
        assert bounds == {*semconv.DEFAULT_BOUNDS, float("inf")}


@pytest.mark.parametrize("job", ["scraped", "kubenurse-otel"])
def test_exemplars_lead_to_traces(stack: Stack, job: str) -> None:
    """The trace id of an exemplar, scraped or pushed, is a trace that Jaeger has."""
    selector = f'kubenurse_httpclient_request_duration_seconds_bucket{{job="{job}"}}'

    def leads() -> bool:
        found = [
            exemplar["labels"]["trace_id"]
            for series in stack.prometheus.exemplars(selector)
            for exemplar in series["exemplars"]
        ]
        return any(stack.jaeger.trace(trace_id) for trace_id in found[:5])

    wait_for(leads, seconds=30, what="an exemplar whose trace is there")


def test_every_translation_strategy_keeps_the_names(tmp_path: Path) -> None:
    """A Prometheus that is set up otherwise stores the same names; so the choice is free."""
    neighbours = write_neighbours(tmp_path)
    port = free_port()
    config = yaml.safe_load((EXAMPLES / "prometheus.yaml").read_text())
    assert config["otlp"]["translation_strategy"] == STRATEGIES[0]
    with ExitStack() as running_now:
        databases = {
            strategy: running_now.enter_context(
                servers.prometheus(
                    strategy, tmp_path, prometheus_config([], translation_strategy=strategy)
                )
            )
            for strategy in STRATEGIES
        }
        exporters = {
            f"otlp_http/{strategy}": {"metrics_endpoint": prometheus.otlp}
            for strategy, prometheus in databases.items()
        }
        fan_out = running_now.enter_context(
            servers.collector(
                "fan-out",
                tmp_path,
                {
                    "exporters": exporters,
                    "service": {
                        "telemetry": {"metrics": {"level": "none"}},
                        "pipelines": {
                            "metrics": {"receivers": ["otlp"], "exporters": sorted(exporters)}
                        },
                    },
                },
            )
        )
        environ = agent_environment(
            "node-a",
            port,
            neighbours,
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{fan_out.http}/v1/metrics",
        )
        (agent,) = running_now.enter_context(running([environ], tmp_path))
        expected = names_on_the_page(agent.get("/metrics").body.decode())
        for strategy, prometheus in databases.items():
            wait_for(
                lambda: expected <= names(prometheus.series('{job="kubenurse-otel"}')),  # noqa: B023 - called at once
                seconds=30,
                what=f"our names with {strategy}",
            )
            others = names(prometheus.series('{job="kubenurse-otel"}')) - {"target_info"}
            assert others <= set().union(*map(names_of, semconv.METRICS)), strategy


def names_on_the_page(page: str) -> set[str]:
    lines = (line for line in page.splitlines() if line and not line.startswith("#"))
    return {line.partition("{")[0].partition(" ")[0] for line in lines}
