"""What the adapter does without: packages that patch httpx, which nobody asks for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from kubenurse_otel.tracing.instrumentation import without

_UNUSED = ("wrapt", "packaging", "opentelemetry.instrumentation.instrumentor")


def test_the_adapter_loads_none_of_them_and_leaves_no_stand_in_behind() -> None:
    """Who imports one of them later has the real one."""
    script = f"""
import sys
import kubenurse_otel.tracing.instrumentation
assert not set(sys.modules).intersection({_UNUSED!r})
import wrapt, packaging.version
assert wrapt.__file__ and str(packaging.version.Version("1.2")) == "1.2"
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_a_name_that_nobody_said_is_missing_at_once() -> None:
    """A new version that imports more of them does not start, rather than err at some check."""
    name = "kubenurse_otel_test_of_a_stand_in"
    with without({name: ("said",)}):
        __import__(name, fromlist=["said"])
        with pytest.raises(ImportError, match="unsaid"):
            exec(f"from {name} import unsaid")
    assert name not in sys.modules
