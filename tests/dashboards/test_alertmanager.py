"""The inhibition example, in a real Alertmanager: which alert mutes which, and only there."""

from __future__ import annotations

import json
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from agents import wait_for
from prometheus_tools import ROOT, binary
from test_generated import ALERTS

EXAMPLE = ROOT / "docs/examples/alertmanager-inhibition.yaml"
ABOUT_A_NODE = {
    "NodePacketLoss",
    "NodeServicesUnreachable",
    "AgentNotReporting",
    "ProberSick",
}
MUTED = {
    "ClusterNetworkFailing": {
        *ABOUT_A_NODE,
        *("NodeUnreachable", "NodeCannotReachOthers", "ClusterPacketLoss"),
        *("DNSFailing", "DNSSlow", "APIServerUnreachable", "APIServerNameUnreachable"),
        *("ServiceFailing", "IngressFailing", "ExtraCheckFailing"),
        *("AgentsAbsent", "DiscoveryStale", "ExportsFailing", "NoNeighbours"),
        *("PairImpaired", "FarEndSlow", "TokenRefused"),
        *("VerdictSelf", "VerdictWay"),
    },
    "NodeUnreachable": ABOUT_A_NODE,
    "NodeCannotReachOthers": ABOUT_A_NODE,
    "DNSFailing": {
        *("DNSSlow", "APIServerNameUnreachable", "NodeServicesUnreachable"),
        *("ServiceFailing", "IngressFailing", "ExtraCheckFailing"),
    },
    "APIServerUnreachable": {"APIServerNameUnreachable", "DiscoveryStale", "NoNeighbours"},
    "TokenRefused": {"DiscoveryStale", "NoNeighbours"},
    "VerdictNode": {*ABOUT_A_NODE, "NodeUnreachable", "NodeCannotReachOthers", "VerdictSelf"},
    "VerdictSelf": {"NodePacketLoss", "ProberSick"},
    "VerdictService dns": {
        *("DNSFailing", "DNSSlow", "APIServerNameUnreachable", "NodeServicesUnreachable"),
        *("ServiceFailing", "IngressFailing", "ExtraCheckFailing"),
    },
    "VerdictService api_server": {
        *("APIServerUnreachable", "APIServerNameUnreachable", "DiscoveryStale", "NoNeighbours"),
    },
    "VerdictService service": {"ServiceFailing"},
    "VerdictService ingress": {"IngressFailing"},
    "AgentsAbsent": {
        *("AgentNotReporting", "ExportsFailing", "NodeUnreachable", "NodeCannotReachOthers"),
        *("NodePacketLoss", "NodeServicesUnreachable"),
    },
}
"""Without what all names begin with; after a blank the label ``kind``."""
OF_ONE_NODE = {"NodeUnreachable", "NodeCannotReachOthers", "VerdictNode", "VerdictSelf"}
"""These mute what is said of the same node alone."""


Firing = tuple[str, str, str]
"""Name (and kind), cluster and node of an alert."""


class Alertmanager:
    """One that has the example; ``url`` is where it listens."""

    def __init__(self, url: str) -> None:
        self.url = url

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2):
                return True
        except OSError:
            return False

    def fire(self, alerts: set[Firing]) -> None:
        labels = [
            {
                "alertname": f"Kubenurse{name.partition(' ')[0]}",
                "cluster": cluster,
                "node": node,
                "kind": name.partition(" ")[2],
                "culprit": "cluster",
            }
            for name, cluster, node in alerts
        ]
        request = urllib.request.Request(
            f"{self.url}/api/v2/alerts",
            json.dumps([{"labels": one} for one in labels]).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10):
            pass

    def inhibited(self, test: str) -> set[Firing]:
        """The alerts of a test that are muted."""
        with urllib.request.urlopen(f"{self.url}/api/v2/alerts", timeout=10) as answer:
            alerts: list[dict[str, Any]] = json.load(answer)
        return {
            (_name(labels), labels["cluster"], labels["node"])
            for alert in alerts
            if alert["status"]["inhibitedBy"]
            and (labels := alert["labels"])["cluster"].startswith(test)
        }


def _name(labels: dict[str, str]) -> str:
    return f"{labels['alertname'].removeprefix('Kubenurse')} {labels.get('kind', '')}".strip()


@pytest.fixture(scope="module")
def alertmanager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Alertmanager]:
    folder: Path = tmp_path_factory.mktemp("alertmanager")
    document = yaml.safe_load(EXAMPLE.read_text()) | {
        "route": {"receiver": "nobody"},
        "receivers": [{"name": "nobody"}],
    }
    (folder / "alertmanager.yml").write_text(yaml.safe_dump(document))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    command = [
        binary("alertmanager"),
        f"--config.file={folder / 'alertmanager.yml'}",
        f"--storage.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            one = Alertmanager(f"http://{address}")
            wait_for(one.is_ready, seconds=20, what=f"Alertmanager ({folder / 'log'})")
            yield one
        finally:
            process.terminate()
            process.wait(10)


def test_the_table_is_of_the_example() -> None:
    """A row for each alert that is a source there; each name is an alert's."""
    named = set(MUTED) | {name for muted in MUTED.values() for name in muted}
    assert {f"Kubenurse{name.partition(' ')[0]}" for name in named} <= set(ALERTS)
    assert len(MUTED) == 1 + len(yaml.safe_load(EXAMPLE.read_text())["inhibit_rules"])


@pytest.mark.parametrize("source", sorted(MUTED))
def test_who_is_muted(alertmanager: Alertmanager, source: str) -> None:
    """While one alert fires, of all others exactly those are muted, and not in another cluster.

    Also not on another node, where the alert is one node's.
    """
    here, elsewhere = f"{source} here", f"{source} elsewhere"
    sources = {name.partition(" ")[0] for name in MUTED}
    others = {name.removeprefix("Kubenurse") for name in ALERTS} - sources
    places = [(here, "node-1"), (here, "node-2"), (elsewhere, "node-1")]
    # Those that mute others in their turn are on a node of their own.
    targets = {(name, *place) for name in others for place in places}
    targets |= {(name, here, "node-3") for name in MUTED[source] - others}
    alertmanager.fire(targets)
    alertmanager.fire({(source, here, "node-1")})
    nodes = {"node-1"} if source in OF_ONE_NODE else {"node-1", "node-2", "node-3"}
    expected = {one for one in targets if one[0] in MUTED[source] and one[1] == here}
    expected = {one for one in expected if one[2] in nodes}
    assert expected

    wait_for(lambda: expected <= alertmanager.inhibited(source), seconds=20, what=str(expected))
    assert alertmanager.inhibited(source) == expected
