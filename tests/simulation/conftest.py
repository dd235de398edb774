"""Traced for coverage, a trial takes three times as long, and unit tests reach the same lines."""

from __future__ import annotations

import pytest


def pytest_itemcollected(item: pytest.Item) -> None:
    """With --no-cov pytest-cov has nothing to pause, and fails there (7.1.0)."""
    if not item.config.getoption("no_cov"):
        item.add_marker(pytest.mark.no_cover)
