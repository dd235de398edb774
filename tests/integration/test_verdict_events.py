"""Verdicts as OpenTelemetry events: what a collector receives, and that a bad one costs nothing."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import otlp_receiver
import pytest
import yaml
from agents import environment, running, wait_for
from otlp_receiver import Received, attributes
from otlp_telemetry import exports, otlp
from otlp_telemetry import running as telemetry_of
from ports import free_port
from waiting import wait_until

from kubenurse_otel.config import OtlpProtocol
from kubenurse_otel.diagnosis.diagnosis import Judgement
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Evidence, Kind, State, Verdict

if TYPE_CHECKING:
    from pathlib import Path

RECEIVERS = {
    OtlpProtocol.HTTP_PROTOBUF: otlp_receiver.http_receiver,
    OtlpProtocol.GRPC: otlp_receiver.grpc_receiver,
}
WARN, INFO = 13, 9
"""opentelemetry/proto/logs/v1/logs.proto: SeverityNumber."""
TRACE = "0af7651916cd43dd8448eb211c80319c"


def verdict(state: State, trace_id: str = "") -> Verdict:
    return Verdict(
        kind=Kind.NODE,
        culprit="node-b",
        direction=Direction.IN,
        cause=Cause.SILENT,
        confidence=0.95,
        since=1.0,
        last_seen=2.0,
        state=state,
        evidence=(Evidence(words="seen"), Evidence(words="from node-a", trace_id=trace_id)),
    )


RAISED = Judgement(raised=(verdict(State.RAISED, TRACE),))
CLEARED = Judgement(cleared=(verdict(State.CLEARED),))


@pytest.mark.parametrize("protocol", list(RECEIVERS), ids=str)
def test_a_raise_and_a_clear_are_a_record_each(protocol: OtlpProtocol) -> None:
    """With name, sentence, severity, attributes, the evidence's trace and the agent's resource."""
    with (
        RECEIVERS[protocol]() as received,
        telemetry_of(
            otlp_logs=otlp(received.endpoint, protocol, "logs", gzip=True),
            resource_attributes=(("service.name", "mine"),),
        ) as telemetry,
    ):
        before_ns = time.time_ns()
        for judgement in (Judgement(), RAISED, CLEARED):
            telemetry.tell(judgement)
        assert received.wait_for(lambda: len(received.log_records()) == 2)
        raised, cleared = received.log_records()
        said = {
            "kubenurse.verdict.kind": "node",
            "kubenurse.verdict.culprit": "node-b",
            "kubenurse.verdict.direction": "in",
            "kubenurse.verdict.cause": "silent",
            "kubenurse.verdict.state": "raised",
            "kubenurse.verdict.confidence": 0.95,
        }
        assert [said, said | {"kubenurse.verdict.state": "cleared"}] == [
            attributes(one) for one in (raised, cleared)
        ]
        assert [(WARN, "WARN"), (INFO, "INFO")] == [
            (one.severity_number, one.severity_text) for one in (raised, cleared)
        ]
        for one in (raised, cleared):
            assert "kubenurse.verdict" == one.event_name
            assert one.body.string_value == (
                "node node-b does not answer: what is sent to it does not arrive, "
                "and what it sends does"
            )
            assert before_ns <= one.time_unix_nano <= time.time_ns()
            assert one.time_unix_nano == one.observed_time_unix_nano
        assert (bytes.fromhex(TRACE), b"") == (raised.trace_id, raised.span_id)
        assert b"" == cleared.trace_id
        resource = received.logs[0].resource_logs[0]
        assert "mine" == attributes(resource.resource)["service.name"]
        assert "kubenurse_otel.diagnosis" == resource.scope_logs[0].scope.name
        assert resource.schema_url == resource.scope_logs[0].schema_url != ""
        wait_until(lambda: ("logs", "success") in exports(telemetry))


def test_a_dead_collector_is_counted_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it, and what is too much for the queue counts as failed, too."""
    with telemetry_of(
        otlp_logs=otlp(f"http://127.0.0.1:{free_port()}", OtlpProtocol.HTTP_PROTOBUF, "logs")
    ) as telemetry:
        for _ in range(600):
            telemetry.tell(RAISED)
        wait_until(lambda: "Connection refused" in caplog.text)
        assert exports(telemetry)["logs", "failure"] >= 600 - 512 - 64
        assert "log records were dropped: queue_full" in caplog.text
        assert caplog.text.count("cannot export logs") == 2
        began = time.monotonic()
        telemetry.shutdown(1.0)
        assert time.monotonic() - began < 15  # a bound that a hang would break, no speed


def test_a_verdict_outlives_the_fault_that_it_is_about() -> None:
    """It is tried again for longer than spans are: the collector may be what cannot be reached."""
    with (
        otlp_receiver.http_receiver() as received,
        telemetry_of(
            otlp_logs=otlp(received.endpoint, OtlpProtocol.HTTP_PROTOBUF, "logs")
        ) as telemetry,
    ):
        received.status = 503
        telemetry.tell(RAISED)
        assert received.wait_for(lambda: received.refused == 3, 20)
        received.status = 200
        assert received.wait_for(lambda: len(received.log_records()) == 1, 20)


def test_a_slow_collector_delays_nobody() -> None:
    """While an export hangs, verdicts are told at once, and all of them arrive later."""
    with (
        otlp_receiver.http_receiver() as received,
        telemetry_of(
            otlp_logs=otlp(received.endpoint, OtlpProtocol.HTTP_PROTOBUF, "logs")
        ) as telemetry,
    ):
        received.release.clear()
        telemetry.tell(RAISED)
        wait_until(lambda: not telemetry._log_queues[0]._waiting)
        telemetry.tell(CLEARED)
        assert 1 == telemetry._log_queues[0]._waiting
        received.release.set()
        assert received.wait_for(lambda: len(received.log_records()) == 2)


def test_shutdown_sends_what_waits() -> None:
    """The verdict that was raised last arrives, though the delay has not passed."""
    with otlp_receiver.http_receiver() as received:
        where = otlp(received.endpoint, OtlpProtocol.HTTP_PROTOBUF, "logs")
        with telemetry_of(otlp_logs=where) as telemetry:
            telemetry.tell(RAISED)
        assert 1 == len(received.log_records())


def test_the_console_shows_verdicts(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON, as the SDK prints log records."""
    with telemetry_of(console_logs=True) as telemetry:
        telemetry.tell(RAISED)
    printed = json.loads(capsys.readouterr().out)
    assert ("kubenurse.verdict", f"0x{TRACE}") == (printed["event_name"], printed["trace_id"])


def test_where_no_log_record_leaves_nothing_of_them_is_loaded() -> None:
    """Neither by default nor without diagnosis: the SDK's logs cost memory."""
    script = """
import asyncio, sys
from kubenurse_otel.config import load
from kubenurse_otel.app import App

async def make():
    names = ("OTEL_LOGS_EXPORTER", "KUBENURSE_DIAGNOSIS")
    environ = {"KUBENURSE_NEIGHBOURS_FILE": "/dev/null"} | dict(zip(names, sys.argv[1:]))
    App(load(environ).config)

asyncio.run(make())
print("opentelemetry.sdk._logs" in sys.modules)
"""
    for exporter, diagnosis, loaded in (
        ("", "", "False"),
        ("otlp", "false", "False"),
        ("otlp", "", "True"),
    ):
        command = [sys.executable, "-c", script, exporter, diagnosis]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert loaded == done.stdout.strip(), (exporter, diagnosis)


def test_what_a_collector_rejects_is_counted() -> None:
    """By the field of the answer that is the logs' own."""
    with (
        otlp_receiver.http_receiver() as received,
        telemetry_of(
            otlp_logs=otlp(received.endpoint, OtlpProtocol.HTTP_PROTOBUF, "logs")
        ) as telemetry,
    ):
        received.rejected = 1
        telemetry.tell(RAISED)
        wait_until(lambda: ("logs", "partial") in exports(telemetry))


def records(received: Received) -> list[tuple[str, str, str]]:
    names = ("culprit", "cause", "state")
    found = [attributes(one) for one in received.log_records()]
    return [tuple(one[f"kubenurse.verdict.{name}"] for name in names) for one in found]  # type: ignore[misc]


def test_agents_send_what_they_name(tmp_path: Path) -> None:
    """Whole agents: none while all is well and nothing by default, one record a raise."""
    nodes = {f"node-{letter}": f"127.0.1.{number}" for number, letter in enumerate("abc", start=1)}
    file, port = tmp_path / "neighbours.yaml", free_port()
    file.write_text(
        yaml.safe_dump(
            [
                {"podName": f"kubenurse-{node}", "nodeName": node, "podIP": address}
                for node, address in nodes.items()
            ]
        )
    )
    with ExitStack() as stack:
        received = stack.enter_context(otlp_receiver.http_receiver())
        common = {
            "KUBENURSE_NEIGHBOURS_FILE": str(file),
            "KUBENURSE_CHECK_TIMEOUT": "1s",
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.endpoint,
            "OTEL_TRACES_EXPORTER": "none",
        }
        environs = [environment(address, node, port, **common) for node, address in nodes.items()]
        environs[0]["OTEL_LOGS_EXPORTER"] = "otlp"
        agents = stack.enter_context(running(environs, tmp_path))
        first, _, killed = agents
        for agent in agents:
            wait_for(
                lambda: agent.document("/api/v1/verdicts").json()["views"]["fresh"] == 2,  # noqa: B023 - called at once
                seconds=20,
                what="views of all neighbours",
            )
        assert [] == records(received)
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(10)
        named = ("node-c", "refused", "raised")
        assert received.wait_for(lambda: named in records(received), 30)
        logged = re.findall(
            r"(WARN|INFO)\S* verdict(?: cleared)?: (.+?)(?: \(| kind=)", first.log()
        )
        sent = [(one.severity_text, one.body.string_value) for one in received.log_records()]
        assert sent == logged[: len(sent)]
        sender = attributes(received.logs[0].resource_logs[0].resource)
        assert "node-a" == sender["k8s.node.name"]
        assert {"/v1/logs"} == set(received.paths)
        wait_for(
            lambda: first.metrics().get(
                'kubenurse_telemetry_exports_total{signal="logs",result="success"}'
            ),
            seconds=10,
            what="the export's count",
        )
