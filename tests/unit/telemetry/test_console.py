"""exporters.py: the console's, where standard output is a pipe, as in a container."""

from __future__ import annotations

import os
import sys

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.metrics.v1.metrics_pb2 import ResourceMetrics

from kubenurse_otel.telemetry.answers import Result
from kubenurse_otel.telemetry.exporters import make_exporter

REQUEST = ExportMetricsServiceRequest(resource_metrics=[ResourceMetrics(schema_url="here")])


def test_metrics_are_printed_whole_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe is buffered: what is not flushed would be read with the next round, or never."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    with os.fdopen(reader, "rb", buffering=0) as out, os.fdopen(writer, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        answer = make_exporter("metrics", None).export(REQUEST, deadline=0.0)
        printed = out.read()
    assert answer.result is Result.SUCCESS
    assert printed is not None
    assert printed.rstrip().endswith(b"}")


def test_a_pipe_that_nobody_reads_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is known with the round that was lost, and not with a later one."""
    reader, writer = os.pipe()
    os.close(reader)
    stdout = os.fdopen(writer, "w", encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stdout)
    answer = make_exporter("metrics", None).export(REQUEST, deadline=0.0)
    with pytest.raises(BrokenPipeError):
        stdout.close()
    assert answer.result is Result.FAILURE
    assert "Broken pipe" in answer.reason
