"""Two faults at once on a real cluster: both culprits are named, and `diagnose` prints them."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from e2e.cluster import polling
from e2e.cluster.observability import Prometheus
from e2e.faults import all_faults, run
from e2e.faults.agents import wait_until_all_ready

if TYPE_CHECKING:
    from e2e.cluster.cluster import Cluster


@pytest.fixture(scope="module")
def agents(cluster: Cluster) -> Cluster:
    """The cluster with agents that check every second and name who is at fault."""
    cluster.install(run.VALUES)
    wait_until_all_ready(cluster)
    return cluster


def diagnosed(cluster: Cluster, *arguments: str) -> tuple[int, str]:
    """Exit code and words of `kubenurse-otel diagnose` with the administrator's kubeconfig."""
    command = [sys.executable, "-m", "kubenurse_otel", "diagnose", *arguments]
    done = subprocess.run(
        cluster.control.in_network(*command),
        env={**os.environ, "KUBECONFIG": str(cluster.credentials.kubeconfig())},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def named(prometheus: Prometheus) -> set[tuple[str, str]]:
    """(kind, culprit) of all verdicts that stand."""
    return {
        (one.labels["kind"], one.labels["culprit"])
        for one in prometheus.query("kubenurse_verdict == 1")
    }


def test_nobody_is_named_where_all_is_well(agents: Cluster) -> None:
    """Exit code 0, and every agent was heard."""
    (code, said), _ = polling.until(
        lambda: diagnosed(agents),
        lambda found: found[0] == 0,
        seconds=90,
        what="a diagnosis of nothing",
    )
    assert code == 0, said


@pytest.mark.parametrize(
    ("faults", "culprits"),
    [
        (("pod-hanging", "tls-expired"), {("agent", "node-3"), ("certificate", "ingress")}),
        (("node-link-down", "dns-servfail"), {("node", "node-2"), ("dns", "cluster")}),
    ],
)
def test_two_faults_are_two_culprits(
    agents: Cluster, faults: tuple[str, str], culprits: set[tuple[str, str]]
) -> None:
    """The louder one hides none, whoever is well is not named, and the command prints both."""
    known, prometheus = all_faults.by_name(), Prometheus()
    polling.until(lambda: named(prometheus), lambda found: not found, seconds=330, what="nobody")
    with ExitStack() as broken:
        for name in faults:
            broken.enter_context(known[name].inject(agents, known[name].node))
        polling.until(
            lambda: named(prometheus),
            lambda found: culprits <= found,
            seconds=90,
            what=f"verdicts {culprits}",
        )
        code, said = diagnosed(agents)
        assert code == 1, said
        for _kind, culprit in culprits - {("dns", "cluster")}:
            assert culprit in said
        accused = {who for kind, who in named(prometheus) if kind in ("node", "agent", "node_loss")}
        assert accused <= {who for kind, who in culprits if kind in ("node", "agent")}
