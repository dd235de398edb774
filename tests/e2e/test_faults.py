"""A choice of the faults of docs/faults.md, one of each kind; `make faults` runs them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from e2e.faults import all_faults, report, run

if TYPE_CHECKING:
    from e2e.cluster.cluster import Cluster

TRIES: Final = 2
CHOSEN: Final = (
    "node-link-down",
    "loss-to-node-30",
    "service-rules-flushed",
    "node-frozen",
    "pod-killed",
    "node-drained",
    "api-server-stopped",
    "prober-stopped",
)


@pytest.fixture(scope="module")
def agents(cluster: Cluster) -> Cluster:
    """The cluster with agents that check every second."""
    cluster.install(run.VALUES)
    return cluster


@pytest.mark.parametrize("name", CHOSEN)
def test_a_fault_is_seen(agents: Cluster, name: str) -> None:
    """What the fault's row in docs/faults.md says is seen, and nothing else.

    Once more where it was not: two cores carry four clusters here, and a check that no core was
    left for fails as well. Both problems are told.
    """
    fault = all_faults.by_name()[name]
    problems = []
    for result in run.run(agents, [fault] * TRIES):
        if result.passed:
            break
        problems.append(result.problem)
    assert len(problems) < TRIES, "\n".join(problems)


def test_the_page_has_every_fault() -> None:
    """docs/faults.md was written by a run of all the faults there are, and none failed."""
    page = report.PAGE.read_text()
    lacking = [name for name in all_faults.by_name() if f"`{name}`" not in page]
    assert not lacking
    assert "**FAILED**" not in page
