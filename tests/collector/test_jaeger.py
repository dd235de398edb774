"""Traces as a real Jaeger gives them by its query API, sent by two agents on two ways."""

from __future__ import annotations

from typing import Any

from agents import wait_for

from collector.conftest import ADDRESSES, Stack
from kubenurse_otel import semconv


def tags(item: dict[str, Any]) -> dict[str, Any]:
    return {tag["key"]: tag["value"] for tag in item["tags"]}


def parent(span: dict[str, Any]) -> str | None:
    return next((one["spanID"] for one in span["references"] if one["refType"] == "CHILD_OF"), None)


def test_a_trace_has_its_sub_spans_and_the_neighbours_server_span(stack: Stack) -> None:
    """check > GET > connection_setup > socket connect by node-a, GET /alwayshappy by node-b."""
    wanted = {
        "check path",
        "GET",
        semconv.SPAN_CONNECTION_SETUP,
        semconv.SPAN_SOCKET_CONNECT,
        semconv.SPAN_SERVER,
    }

    def whole() -> dict[str, Any] | None:
        found = stack.jaeger.traces(
            service="kubenurse-otel",
            operation="check path",
            tags='{"kubenurse.target.node":"node-b"}',
            limit="50",
        )
        return next(
            (one for one in found if wanted == {span["operationName"] for span in one["spans"]}),
            None,
        )

    trace = wait_for(whole, seconds=40, what="a trace with both ends")
    spans = {span["operationName"]: span for span in trace["spans"]}
    assert len(trace["spans"]) == len(wanted)
    root, client = spans["check path"], spans["GET"]
    setup, connect = spans[semconv.SPAN_CONNECTION_SETUP], spans[semconv.SPAN_SOCKET_CONNECT]
    server = spans[semconv.SPAN_SERVER]
    assert parent(root) is None
    assert parent(client) == root["spanID"]
    assert parent(setup) == client["spanID"]
    assert parent(connect) == setup["spanID"]
    assert parent(server) == client["spanID"]
    assert tags(client)["span.kind"] == "client"
    assert tags(server)["span.kind"] == "server"
    assert tags(client)[semconv.NETWORK_PEER_ADDRESS] == ADDRESSES["node-b"]
    assert tags(client)[semconv.TIMING_SOURCE] == "kernel"
    assert tags(root)[semconv.KEPT] == "ratio"

    def node(span: dict[str, Any]) -> str:
        process = trace["processes"][span["processID"]]
        assert process["serviceName"] == "kubenurse-otel"
        found = tags(process)
        assert found["k8s.cluster.name"] == "test"
        return str(found["k8s.node.name"])

    assert node(root) == node(client) == node(setup) == node(connect) == "node-a"
    assert node(server) == "node-b"
    events = [tags({"tags": log["fields"]})["event"] for log in client["logs"]]
    assert events[-1] == semconv.EVENT_FIRST_BYTE
    assert client["startTime"] <= server["startTime"]
    assert server["startTime"] + server["duration"] <= root["startTime"] + root["duration"] + 1


def test_a_failed_check_is_found_by_its_error(stack: Stack) -> None:
    """error=true finds the checks of the dead node, and they say what failed."""
    found = wait_for(
        lambda: stack.jaeger.traces(
            service="kubenurse-otel",
            tags='{"error":"true","kubenurse.target.node":"node-c"}',
            limit="1",
        ),
        seconds=40,
        what="a failed check",
    )
    root = next(one for one in found[0]["spans"] if one["operationName"] == "check path")
    assert tags(root)[semconv.FAILURE_ERROR_TYPE] == "connection_refused"
    assert tags(root)["otel.status_code"] == "ERROR"
