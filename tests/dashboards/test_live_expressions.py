"""Every expression of every panel and rule on real stores, filled by real agents with faults.

Two runs of at most 80 s. Five agents are scraped, a sixth pushes over OTLP, into one Prometheus:
once with classic histograms, once with native ones made of them and type and unit as labels. With
KUBENURSE_TEST_STORES=all a third, of at most 200 s: two VictoriaMetrics, each with vmalert; one
scrapes all six, all six push to the other. Ranges of rules are seconds there. What such a cluster
cannot show is listed, and proven by promtool instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest
from expressions import filled_in, of_panels, of_rules
from live_cluster import FIRING
from prometheus_tools import ROOT, binary
from servers.nameserver import RESOLV_CONF
from servers.namespace import _SET_UP as SET_UP
from stores import KINDS, shortened_rules

from dashboards.pictures import queries

HERE = Path(__file__).parent
TYPES = ("path_node-3", "path_node-5", "me_ingress")
"""What "One target" is looked at with: loss, a hanging far end, TLS and a bad certificate."""
PROVEN_BY_PROMTOOL = {
    "kubenurse:source:token_refused",
    "KubenurseTokenRefused",
    "KubenurseFarEndSlow",  # none is, but where this machine is busy
    "KubenursePairImpaired",
    "kubenurse:node:leaving",  # static neighbours know no cordoned node
    "kubenurse:node_out:bad",  # loopback cannot cut off one source
    "kubenurse:cluster:lossy",
    "kubenurse:dns:failing",
    "KubenurseNodeCannotReachOthers",
    "KubenurseClusterPacketLoss",
    "KubenurseNodeServicesUnreachable",
    "KubenurseDNSFailing",
    "KubenurseDNSSlow",
    "KubenurseAPIServerUnreachable",
    "KubenurseAPIServerNameUnreachable",
    "KubenurseServiceFailing",
    "KubenurseDiscoveryStale",
    "KubenurseNoNeighbours",
    "KubenurseAgentsAbsent",
    "KubenurseAgentNotReporting",
    "KubenurseCollectorNotSending",  # no collector is there
    "KubenurseRulesWithoutData",
    "KubenurseCertificateExpiring",
    "KubenurseUnhandledException",  # nothing that a cluster does may make one
    "KubenurseProberSick",  # a matter of the machine's load
    "kubenurse:verdict:on_pair",
    "kubenurse:verdict:on_cluster",  # so are these: agents without CPU accuse nobody but themselves
    "KubenurseVerdictNode",
    "KubenurseVerdictSelf",
    "KubenurseVerdictService",
    "KubenurseVerdictWay",
}

# kubenurse's published dashboard: the names, labels and shapes of its queries, in our own words.
_CLUSTER = 'kubernetes_cluster_name="my-cluster"'
_NAME = 'app_kubernetes_io_name="kubenurse"'
_TRACE = "kubenurse_httpclient_trace_request_duration_seconds_bucket"
KUBENURSE = {
    f"{title} ({kind})": expression
    for kind in ("api_server_direct", "api_server_dns", "me_service", "me_ingress", "path_")
    for title, expression in {
        "requests": "sum by (le) (rate(kubenurse_httpclient_request_duration_seconds_bucket"
        f'{{kubernetes_cluster_name=~"my-cluster", type=~"{kind}.*"}}[5m]))',
        "duration by pod": "histogram_quantile(0.95, sum by (le, pod) ("
        f'kubenurse_httpclient_request_duration_seconds_bucket{{{_CLUSTER}, type=~"{kind}.*"}}))',
        "tracing": "histogram_quantile(0.95, sum by (le, event) ("
        f'{_TRACE}{{{_CLUSTER}, type=~"{kind}.*"}}))',
    }.items()
} | {
    "errors": f'sum(irate(kubenurse_errors_total{{{_CLUSTER}, type=~"path_.*"}}[5m]))',
    "dns": f'histogram_quantile(0.95, sum by (le) ({_TRACE}{{{_CLUSTER}, event="dns_done"}}))'
    f' - histogram_quantile(0.95, sum by (le) ({_TRACE}{{{_CLUSTER}, event="dns_start"}}))',
    "requests by pod": "sum by (pod, kubernetes_node) ("
    f"kubenurse_httpclient_requests_total{{{_CLUSTER}}})",
    "memory": f"process_resident_memory_bytes{{{_NAME}, {_CLUSTER}}}",
    "open fds": f"process_open_fds{{{_NAME}, {_CLUSTER}}}",
}
PUSHED = {
    "pushed pairs": 'kubenurse:pair:info{source_node="node-6", instance="uid-of-node-6"}',
    "pushed, joined": 'kubenurse:pair:round_trip_seconds5m{source_node="node-6"}',
    "scraped, joined": 'kubenurse:pair:round_trip_seconds5m{source_node="node-1"}',
    "both at once": 'kubenurse:node_in:sources{node="node-1"} >= 4',
}
"""On Prometheus, where the sixth agent alone pushes."""


def panel_queries() -> dict[str, list[str]]:
    """Return what each panel's expression may be asked as: data for one of them is enough."""
    return {
        place: sorted({filled_in(expr, one_type=one, rate="12s") for one in TYPES})
        for place, expr in of_panels().items()
    }


def rule_queries(folder: Path) -> dict[str, str]:
    file = folder / "shorter.yaml"
    rules = (ROOT / "helm" / "kubenurse-otel" / "files" / "alerts" / "rules.yaml").read_text()
    file.write_text(json.dumps(shortened_rules(rules)))
    return of_rules(file)


def others() -> dict[str, str]:
    return {name: expr.replace("[5m]", "[12s]") for name, expr in (KUBENURSE | PUSHED).items()}


@pytest.fixture(scope="class")
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What was found in this store."""
    kind, store = request.cls.kind, request.param
    if kind not in RUNS:
        RUNS[kind] = run(kind, tmp_path_factory.mktemp("live"))
    return RUNS[kind][store]


RUNS: dict[str, dict[str, Any]] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each test for each store of its class."""
    if "live" in metafunc.fixturenames:
        metafunc.parametrize("live", KINDS[metafunc.cls.kind].names, indirect=True, scope="class")


def run(kind: str, folder: Path) -> dict[str, Any]:
    """What live_cluster.py found by store, run in a network of its own."""
    for name in ("prometheus", "victoria-metrics", "vmalert"):
        binary(name)  # not within its time
    wanted = list(panel_queries().values())
    wanted += [[expr] for expr in others().values()] if kind != "victoriametrics" else []
    wanted += [[e] for name, e in rule_queries(folder).items() if name not in PROVEN_BY_PROMTOOL]
    drawn = {
        name: filled_in(query, one_type="me_ingress", rate="8s")
        for name, query in queries().items()
    }
    file = folder / "wanted.json"
    file.write_text(json.dumps({"alternatives": wanted, "pictures": drawn}))
    script = [sys.executable, str(HERE / "live_cluster.py")]
    arguments = [str(file), str(folder), kind]
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        flags.append("--map-root-user")
    done = subprocess.run(
        [
            "unshare",
            *flags,
            "sh",
            "-c",
            SET_UP,
            "sh",
            str(folder),
            RESOLV_CONF,
            *script,
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"},
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    if kind == "classic" and (keep := os.environ.get("KUBENURSE_PICTURES")):
        Path(keep).write_text(json.dumps(found["classic"]["pictures"]))
    return found


class OnAStore:
    """A run of its own, by one worker: pytest-xdist sends each class to one (--dist loadscope)."""

    kind: ClassVar[str]

    def test_every_panel_has_data(self, live: dict[str, Any]) -> None:
        """Each expression returned a number, but for CPU throttling on machines that count none,
        and the check of name servers: the API server has no name in DNS here.
        """
        counts_throttling = "cpu_throttled" in str(live["found"]) and any(
            "cpu_throttled" in expr and one["series"] for expr, one in live["found"].items()
        )
        empty = {
            place: [live["found"][query]["error"] or query for query in queries]
            for place, queries in panel_queries().items()
            if not any(live["found"][query]["series"] for query in queries)
            and "kubenurse_dns_ports_total" not in queries[0]
            and "kubenurse_dns_endpoint_queries_total" not in queries[0]
            and (counts_throttling or "cpu_throttled" not in queries[0])
        }
        assert not empty, json.dumps(empty, indent=1)

    def test_every_rule_has_data(self, live: dict[str, Any], tmp_path: Path) -> None:
        """Records and alerts alike, but for those that promtool proves."""
        rules = rule_queries(tmp_path)
        assert set(rules) >= PROVEN_BY_PROMTOOL
        empty = {
            name: live["found"][expr]
            for name, expr in rules.items()
            if name not in PROVEN_BY_PROMTOOL and not live["found"][expr]["series"]
        }
        assert not empty, json.dumps(empty, indent=1)

    def test_no_rule_failed(self, live: dict[str, Any]) -> None:
        """Prometheus evaluated every rule, also those without data: no join was ambiguous."""
        assert live["problems"] == {}

    def test_the_same_faults_fire_the_same_alerts(self, live: dict[str, Any]) -> None:
        """In every store, within the run; the seconds of each are in the test's output (-rP)."""
        for alert, seconds in sorted(live["seconds"].items(), key=lambda one: one[1]):
            sys.stdout.write(f"{seconds:6.1f} s {alert}\n")
        assert live["alerts"].keys() >= FIRING

    def test_alerts_name_the_culprit_in_whole_sentences(self, live: dict[str, Any]) -> None:
        """The stopped node is named, and no template left a gap."""
        assert "KubenurseNodeUnreachable node-4" in live["alerts"]
        for alert, texts in live["alerts"].items():
            assert not [text for text in texts.values() if "<" in text or "{{" in text], alert


class OnPrometheus(OnAStore):
    @pytest.mark.parametrize("title", PUSHED)
    def test_pushed_and_scraped_metrics_are_joined_alike(
        self, live: dict[str, Any], title: str
    ) -> None:
        """One agent's metrics came over OTLP, and are in the same records as the others'."""
        assert live["found"][others()[title]]["series"] > 0


class TestClassic(OnPrometheus):
    kind = "classic"

    @pytest.mark.parametrize("title", KUBENURSE)
    def test_kubenurses_dashboard_has_data(self, live: dict[str, Any], title: str) -> None:
        """Its queries, under the relabelling of docs/examples/kubenurse-dashboard-values.yaml."""
        assert live["found"][others()[title]]["series"] > 0, live["found"][others()[title]]


class TestNative(OnPrometheus):
    kind = "native"

    @pytest.mark.parametrize("title", KUBENURSE)
    def test_kubenurses_dashboard_has_data_but_for_buckets(
        self, live: dict[str, Any], title: str
    ) -> None:
        """With native histograms there are none."""
        found = live["found"][others()[title]]
        assert (found["series"] > 0) is ("_bucket" not in others()[title]), found


@pytest.mark.skipif(
    os.environ.get("KUBENURSE_TEST_STORES") != "all", reason="by hand: KUBENURSE_TEST_STORES=all"
)
class TestVictoriaMetrics(OnAStore):
    kind = "victoriametrics"


def test_each_run_is_one_workers(request: pytest.FixtureRequest) -> None:
    """pytest-xdist sends what stands before the last :: to one worker: there is one run in each."""
    runs = {
        (item.nodeid.rpartition("::")[0], item.cls.kind)
        for item in request.session.items
        if isinstance(item, pytest.Function) and "live" in item.fixturenames
    }
    assert len(runs) == len({scope for scope, _ in runs}) == len({kind for _, kind in runs})
    assert "--dist loadscope tests/dashboards" in (ROOT / "Makefile").read_text()
