"""Ten minutes of churn and faults: nothing grows, nothing is missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from e2e import soak

if TYPE_CHECKING:
    from e2e.cluster.cluster import Cluster

SECONDS: Final = 600.0
ALLOWED: Final = {"rss_mib": 2.0, "threads": 2, "open_files": 4, "series": 150}
"""By how much the median of the last quarter may be above that of the second. Threads and files
come and go with checks; series with the neighbours that are there (about 60 each)."""
MOST_MISSED: Final = 0.01
"""Of all checks, while up to four clusters share two cores."""


@pytest.fixture(scope="module")
def cluster_options() -> dict[str, float | str]:
    """A node more, so that two come and go and two are measured."""
    return {"nodes": 4, "compress": 10.0, "scrape": "1s"}


def test_ten_minutes_of_churn(cluster: Cluster) -> None:
    """RSS, threads, open files and series are flat; no tick was missed but for want of a core."""
    cluster.install(soak.VALUES)
    samples = soak.soak(cluster, seconds=SECONDS)
    print(soak.report(samples))
    for node in soak.MEASURED:
        for name, allowed in ALLOWED.items():
            early, late = soak.growth(samples, node, name)
            assert late <= early + allowed, (node, name, early, late)
        last = [one for one in samples if one.node == node][-1]
        assert last.checks > SECONDS / 2 * 4
        assert 0 == soak.missed_unstarved(samples, node), node
        assert last.missed <= MOST_MISSED * last.checks, node
    restarted = [
        status["restartCount"]
        for node, pod in cluster.agents().items()
        for status in pod["status"]["containerStatuses"]
        if node in soak.MEASURED
    ]
    assert [0, 0] == restarted


def test_only_a_missing_core_explains_a_missed_tick() -> None:
    """In the two samples' time up to the scrape that tells of it; half a second at least."""

    def sample(missed: float, starved_seconds: float, node: str = "node-1") -> soak.Sample:
        return soak.Sample(0.0, node, 48.0, 6, 15, 1240, 100.0, missed, starved_seconds)

    calm = [sample(0, 1.0), sample(0, 1.1), sample(2, 1.2), sample(2, 1.3)]
    starved = [sample(0, 1.0), sample(0, 1.4), sample(2, 1.6), sample(2, 1.7)]
    assert 2 == soak.missed_unstarved(calm, "node-1")
    assert 0 == soak.missed_unstarved(starved, "node-1")
    assert 0 == soak.missed_unstarved([*calm, *calm], "node-2")
