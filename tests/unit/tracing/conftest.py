"""Propagation as an agent has it."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator


@pytest.fixture
def trace_context_only() -> Any:
    """Propagate as an agent does, whatever the environment asks for."""
    before = propagate.get_global_textmap()
    propagate.set_global_textmap(TraceContextTextMapPropagator())
    yield
    propagate.set_global_textmap(before)
