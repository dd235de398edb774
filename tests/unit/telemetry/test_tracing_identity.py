"""The tracer providers' absence of limits, and the resource that says who we are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from kubenurse_otel.config import Config, IdentityConfig, TelemetryConfig
from kubenurse_otel.telemetry.identity import make_resource
from kubenurse_otel.telemetry.providers import Telemetry

START = Callable[..., Telemetry]


class Kept(SpanProcessor):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.spans.append(span)


def a_span(start: START) -> ReadableSpan:
    kept = Kept()
    provider = start().tracer_provider(sampler=ALWAYS_ON, processor=kept)
    with provider.get_tracer("test").start_as_current_span("check path") as span:
        for number in range(200):
            span.set_attribute(f"a{number}", "x" * 50)
            span.add_event(f"event{number}", {"one": "y" * 50, "two": ("z" * 50, 3)})
    return kept.spans[0]


def test_inside_there_are_no_limits(start: START, monkeypatch: pytest.MonkeyPatch) -> None:
    """The provider keeps everything, even with limits in the environment."""
    for name in ("OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"):
        monkeypatch.setenv(name, "4")
    monkeypatch.setenv("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "4")
    span = a_span(start)
    attributes = span.attributes or {}
    assert (len(attributes), len(span.events), len(str(attributes["a0"]))) == (200, 200, 50)
    assert dict(span.events[0].attributes or {}) == {"one": "y" * 50, "two": ("z" * 50, 3)}


@pytest.mark.parametrize(
    ("identity", "given", "expected"),
    [
        (
            {"pod_uid": "uid-1", "pod_name": "p", "namespace": "n", "node_name": "node-1"},
            (),
            {
                "service.name": "kubenurse-otel",
                "service.instance.id": "uid-1",
                "k8s.node.name": "node-1",
            },
        ),
        ({"pod_name": "p", "namespace": "n"}, (), {"service.instance.id": "n.p.kubenurse-otel"}),
        ({"pod_name": "p"}, (), {"service.instance.id": "p.kubenurse-otel"}),
        (
            {"pod_name": "p", "cluster_name": "c"},
            (("service.name", "mine"), ("k8s.cluster.name", "theirs"), ("a", "b")),
            {"service.name": "mine", "k8s.cluster.name": "theirs", "a": "b", "k8s.pod.name": "p"},
        ),
    ],
)
def test_the_users_resource_attributes_win(
    identity: dict[str, str], given: Any, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ours stand below the user's; the environment is not read; empty ones are left out."""
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=environment,x=y")
    config = Config(
        identity=IdentityConfig(**identity), telemetry=TelemetryConfig(resource_attributes=given)
    )
    attributes = dict(make_resource(config).attributes)
    assert expected == {key: attributes[key] for key in expected}
    assert "x" not in attributes
    assert all(attributes.values())


def test_an_agent_without_a_name_has_a_random_instance_id() -> None:
    """Two agents that know nothing of themselves are still two."""
    ids = {make_resource(Config()).attributes["service.instance.id"] for _ in range(2)}
    assert len(ids) == 2
