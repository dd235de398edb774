"""app.py: what the joining itself decides."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: an App sets OpenTelemetry's global propagator.
_SCRIPT = """
import asyncio
from dataclasses import replace

from kubenurse_otel.app import App
from kubenurse_otel.config import load
from kubenurse_otel.model import Neighbour, Neighbourhood

async def main():
    app = App(load({"KUBENURSE_NEIGHBOURS_FILE": "/dev/null"}).config)
    soon = []
    app._garbage.trim_soon = lambda: soon.append(app._neighbourhood.listed_at)
    here = Neighbourhood(own_node_name="node-a", state="ok", listed_at=1.0)
    app.neighbourhood_changed(here)
    app.neighbourhood_changed(replace(here, listed_at=2.0))
    app.neighbourhood_changed(replace(here, listed_at=3.0, state="refused"))
    print(soon, app._neighbourhood.listed_at)

asyncio.run(main())
"""


def test_memory_is_given_back_after_news_and_not_after_a_mere_word() -> None:
    """What discovery says every 15 s, that all is as it was, held no megabytes."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], check=False, capture_output=True, text=True, timeout=60
    )

    assert (done.returncode, done.stdout) == (0, "[1.0, 3.0] 3.0\n"), done.stderr
