"""A cluster of its own for each module of tests that asks for one; they can run at once."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from e2e.cluster.cluster import Cluster
from e2e.cluster.errors import ClusterError
from e2e.cluster.machine import network_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOG_SHOWN = 4000
_LONGEST_FIRST = ("test_soak", "test_bare_install", "test_faults", "test_acceptance")
"""Ten minutes and less: what begins last must not be what everybody waits for."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def place(item: pytest.Item) -> int:
        name = item.path.stem
        return _LONGEST_FIRST.index(name) if name in _LONGEST_FIRST else len(_LONGEST_FIRST)

    items.sort(key=place)


@pytest.fixture(scope="module")
def cluster_options() -> dict[str, float | str]:
    """Of Cluster.up; a module may have its own."""
    return {"compress": 10.0, "scrape": "1s"}


@pytest.fixture(scope="module")
def cluster(
    request: pytest.FixtureRequest, cluster_options: dict[str, float | str]
) -> Iterator[Cluster]:
    """A cluster that is up, without the agent; this thread is in its network.

    It is removed at the end, unless KUBENURSE_E2E_KEEP is set.
    """
    assert request.module.__name__
    one = Cluster("kne-" + request.module.__name__.rpartition("test_")[2].replace("_", "-"))
    try:
        one.up(**cluster_options)  # type: ignore[arg-type] # options of different types
        with network_of(one.control.pid):
            yield one
    finally:
        if "KUBENURSE_E2E_KEEP" not in os.environ:
            one.down()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> object:
    """Where a test fails, its cluster tells what it knows before it is removed."""
    report: pytest.TestReport = yield  # type: ignore[misc] # pytest's own protocol
    one = getattr(item, "funcargs", {}).get("cluster")
    if report.failed and isinstance(one, Cluster):
        report.sections.append(("the cluster", evidence(one)))
    return report


def evidence(cluster: Cluster) -> str:
    """Pods, events and what the agents logged last."""
    lines = []
    try:
        lines.append(cluster.kubectl("get", "pods", "--all-namespaces", "--output=wide"))
        lines.append(cluster.kubectl("get", "events", "--namespace=kubenurse")[-_LOG_SHOWN:])
    except ClusterError as error:
        lines.append(str(error))
    for name, node in cluster.nodes.items():
        logs = sorted((node.machine.folder / "disk/pods").glob("kubenurse_*/*/*.log"))
        lines += [f"{name} {log.parent.name}: {log.read_text()[-_LOG_SHOWN:]}" for log in logs]
    return "\n".join(lines)
