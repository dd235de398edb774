"""A bare `helm install` on a cluster without an ingress controller, for ten minutes."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import pytest

from e2e.cluster import ingress
from e2e.cluster.cluster import CHART, NAMESPACE, RELEASE
from e2e.cluster.observability import Prometheus
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from e2e.cluster.cluster import Cluster

MINUTES: Final = 10
IMAGE: Final = {
    "daemonset": {
        "image": {"repository": "localhost/kubenurse-otel", "tag": "e2e"},
        "containerImagePullPolicy": "Never",
    }
}
"""Nothing but where our image is: there is no registry here."""


@pytest.fixture(scope="module")
def cluster_options() -> dict[str, float | str]:
    """Alerts with their real waits."""
    return {"compress": 1.0, "scrape": "5s"}


def test_a_bare_install_is_quiet(cluster: Cluster) -> None:
    """No failed check and no alert; the ingress is not checked."""
    ingress.stop(cluster.edge)
    began = time.time()
    install = ("install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--wait")
    printed = cluster.helm(*install, values=IMAGE)
    assert "The ingress is not checked" in printed
    cluster.wait_for_rollout()
    prometheus = Prometheus()
    # An interval is 5 s; the first checks of the Service and the neighbours are a little late.
    least = (MINUTES * 60 - 60) / 5
    prometheus.until(
        'min(sum by (instance, type) (kubenurse_httpclient_requests_total{type!="full_size"}))',
        lambda found: bool(found) and found[0].value >= least,
        seconds=MINUTES * 60 + 120,
        what=f"{least:.0f} checks of each type by each agent",
    )
    wait_for(
        lambda: time.time() - began >= MINUTES * 60 or "not over",
        seconds=MINUTES * 60,
        what=f"{MINUTES} minutes",
    )
    since = f"[{time.time() - began:.0f}s]"
    types = prometheus.query("count by (type) (kubenurse_httpclient_requests_total)")
    expected = {"api_server_direct", "api_server_dns", "me_service", "full_size"}
    expected |= {f"path_{node}" for node in cluster.nodes}
    assert expected == {sample.labels["type"] for sample in types}
    assert len(cluster.nodes) == prometheus.value("count(kubenurse_build_info)")
    assert [] == prometheus.query(f"max_over_time(kubenurse_errors_total{since}) > 0")
    assert [] == prometheus.query(f'count_over_time(ALERTS{{alertstate="firing"}}{since})')
    assert {} == prometheus.rule_problems()
    for node, pod in cluster.agents().items():
        (status,) = pod["status"]["containerStatuses"]
        assert 0 == status["restartCount"], node
    service = f"/api/v1/namespaces/{NAMESPACE}/services/{RELEASE}:8080-8080/proxy/alive"
    alive = json.loads(cluster.kubectl("get", "--raw", service))
    assert "skipped" == alive["last_check_result"]["me_ingress"]
