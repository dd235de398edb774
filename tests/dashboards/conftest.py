"""Who runs what beside whom, where there are several workers (--dist loadscope)."""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


class _Scheduling(LoadScopeScheduling):
    """A class or a module is one worker's, but for the alerts: each is a promtool of its own."""

    def _split_scope(self, nodeid: str) -> str:
        return nodeid if "/test_alerts.py::" in nodeid else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _Scheduling | None:
    return _Scheduling(config, log) if config.getvalue("dist") == "loadscope" else None
