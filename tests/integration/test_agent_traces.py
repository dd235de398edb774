"""Traces of whole agents, as a collector receives them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from agents import environment, running, wait_for, write_neighbours
from otlp_receiver import Received, attributes, http_receiver
from ports import free_port

from kubenurse_otel import semconv

TRACE_FLAGS = 0x03
"""Sampled, and a random id (W3C Trace Context, level 2)."""
LOCAL, REMOTE = TRACE_FLAGS | 0x100, 0x200
"""trace.proto, SpanFlags: it is said whether the parent is remote; it is."""
SCHEMAS = "https://opentelemetry.io/schemas/"
KIND_INTERNAL, KIND_SERVER, KIND_CLIENT = 1, 2, 3


@pytest.fixture
def port() -> int:
    return free_port()


def by_name(spans: list[Any], trace_id: bytes) -> dict[str, Any]:
    return {span.name: span for span in spans if span.trace_id == trace_id}


def assert_schemas(received: Received) -> None:
    """Resource and scopes name the conventions' version, instrumentation-httpx its own."""
    resources = [one for request in received.traces for one in request.resource_spans]
    scopes = [scope for one in resources for scope in one.scope_spans]
    assert {one.schema_url for one in resources} == {semconv.SCHEMA_URL}
    urls = {scope.scope.name: scope.schema_url for scope in scopes}
    assert urls.pop("opentelemetry.instrumentation.httpx") == f"{SCHEMAS}1.21.0"
    ours = ("check", "server", "transport")
    assert urls == {f"kubenurse_otel.{name}": semconv.SCHEMA_URL for name in ours}


def test_a_sampled_check_shows_both_ends_and_every_step(tmp_path: Path, port: int) -> None:
    """check > GET > connection_setup > socket connect, and the neighbour's SERVER span."""
    file = tmp_path / "neighbours.yaml"
    nodes = {"node-a": "127.0.1.1", "node-b": "127.0.1.2"}
    write_neighbours(file, nodes)
    with http_receiver() as received:
        environs = [
            environment(
                address,
                node,
                port,
                KUBENURSE_NEIGHBOURS_FILE=str(file),
                KUBENURSE_SERVICE_URL=f"http://localhost:{port}",
                KUBENURSE_LISTEN_ADDRESS=address,
                KUBENURSE_TRACE_RATIO="1",
                OTEL_EXPORTER_OTLP_ENDPOINT=received.endpoint,
                OTEL_BSP_SCHEDULE_DELAY="200",
                OTEL_RESOURCE_ATTRIBUTES="deployment.environment=test",
            )
            for node, address in nodes.items()
        ]
        with running(environs, tmp_path):

            def complete() -> dict[str, Any] | None:
                spans = received.spans()
                for root in spans:
                    if root.name != "check path":
                        continue
                    found = by_name(spans, root.trace_id)
                    if semconv.SPAN_SERVER in found and "GET" in found:
                        return found
                return None

            trace = wait_for(complete, seconds=20, what="a trace with both ends")
            failed = wait_for(
                lambda: next(
                    (span for span in received.spans() if span.name == "check me_service"), None
                ),
                seconds=20,
                what="the failed me_service check",
            )
            failed_trace = by_name(received.spans(), failed.trace_id)
        root, client = trace["check path"], trace["GET"]
        setup, connect = trace[semconv.SPAN_CONNECTION_SETUP], trace[semconv.SPAN_SOCKET_CONNECT]
        server = trace[semconv.SPAN_SERVER]
        assert (root.kind, client.kind, server.kind) == (KIND_INTERNAL, KIND_CLIENT, KIND_SERVER)
        assert not root.parent_span_id
        assert client.parent_span_id == root.span_id
        assert setup.parent_span_id == client.span_id
        assert connect.parent_span_id == setup.span_id
        assert server.parent_span_id == client.span_id
        found = attributes(client)
        assert found[semconv.HTTP_RESPONSE_STATUS_CODE] == 200
        assert found[semconv.NETWORK_PEER_ADDRESS].startswith("127.0.1.")
        assert found[semconv.TIMING_SOURCE] == "kernel"
        assert found[semconv.DURATION] == pytest.approx(
            found[semconv.PHASE_CONNECT] + found[semconv.PHASE_REQUEST]
        )
        assert [event.name for event in client.events] == [
            semconv.EVENT_CONNECT_START,
            semconv.EVENT_CONNECT_DONE,
            semconv.EVENT_GOT_CONN,
            semconv.EVENT_WROTE_REQUEST,
            semconv.EVENT_FIRST_BYTE,
        ]
        moments = [event.time_unix_nano for event in client.events]
        assert moments == sorted(moments)
        assert client.start_time_unix_nano <= moments[0]
        assert moments[-1] <= client.end_time_unix_nano
        assert attributes(root)[semconv.KEPT] == "ratio"
        # Both ends name the server alike, and their flags say which parent was another process's.
        for name in (semconv.SERVER_ADDRESS, semconv.SERVER_PORT):
            assert attributes(server)[name] == found[name]
        assert {one.flags for one in (root, client, setup, connect)} == {LOCAL}
        assert server.flags == LOCAL | REMOTE
        resource = attributes(received.traces[0].resource_spans[0].resource)
        assert resource["service.name"] == "kubenurse-otel"
        assert resource["deployment.environment"] == "test"

        assert_schemas(received)

        # localhost has no agent on 127.0.0.1: the failure is told in our words, without a stack.
        told = failed_trace["GET"]
        assert attributes(told)[semconv.ERROR_TYPE] == "connection_refused"
        assert not [event for event in told.events if event.name == "exception"]
        assert "http://" not in told.status.message
        assert attributes(failed_trace["check me_service"])[semconv.KEPT]


def test_a_check_answered_by_ourselves_is_whole(tmp_path: Path, port: int) -> None:
    """me_service lands on our own pod: the check's trace and metrics are complete all the same."""
    file = tmp_path / "neighbours.yaml"
    file.write_text("[]\n")
    with http_receiver() as received:
        environ = environment(
            "127.0.1.1",
            "node-a",
            port,
            KUBENURSE_NEIGHBOURS_FILE=str(file),
            KUBENURSE_SERVICE_URL=f"http://127.0.1.1:{port}",
            KUBENURSE_TRACE_RATIO="1",
            OTEL_EXPORTER_OTLP_ENDPOINT=received.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        with running([environ], tmp_path) as (agent,):

            def complete() -> bool:
                spans = received.spans()
                return any(
                    {semconv.SPAN_SERVER, "GET", "check me_service"}
                    <= by_name(spans, root.trace_id).keys()
                    for root in spans
                    if root.name == "check me_service"
                )

            wait_for(complete, seconds=20, what="the whole trace")
            requests = (
                'kubenurse_httpclient_requests_total{type="me_service",code="200",method="GET"}'
            )
            durations = 'kubenurse_httpclient_request_duration_seconds_count{type="me_service"}'
            metrics = wait_for(
                lambda: (found := agent.metrics()).get(requests, 0) >= 3 and found,
                seconds=10,
                what="three checks",
            )
            assert metrics[requests] == metrics[durations]
            by_kernel = 'type="me_service",source="kernel",reason="none"'
            assert f"kubenurse_checks_timed_total{{{by_kernel}}}" in metrics
