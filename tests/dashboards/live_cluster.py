"""Real agents with faults, and a real Prometheus that scrapes five of them and is pushed to by one.

A script for a network namespace of its own (packets are dropped here): its arguments are a file of
expressions, Prometheus, a folder, and "classic" or "native": then native histograms are made of
all classic ones, and each series has its type and unit as labels. Evaluates the expressions again
and again until each has returned data or time is up, and prints what each returned.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from agents import environment, launch, wait_for
from servers.behaviours import answer
from servers.fault_server import FaultServer

from kubenurse_otel.demo.cluster import Cluster

ROOT = Path(__file__).parents[2]
PROMETHEUS = "http://127.0.0.1:9090"
PORT = 18080
PROXIED = "127.0.1.7"
RUN_SECONDS = 80.0
LEAST_SECONDS = 45.0
PICTURES_AT = 33.0
"""Before the certificate expires: its checks have no time to show."""
SCRAPE = "1s"
SHORTER = {"2m": "8s", "5m": "12s", "1d": "60s"}
"""Ranges of the rules, which would take minutes to fill."""
LOSS = """
table inet faults {
  chain out {
    type filter hook output priority 0
    ip daddr 127.0.1.3 tcp dport 18080 numgen random mod 100 < 20 drop
  }
}
"""


TWO_ADDRESSES = "two-addresses"
HOSTS = f"127.0.0.1 localhost\n::1 localhost\n::1 {TWO_ADDRESSES}\n127.0.0.1 {TWO_ADDRESSES}\n"


def shortened_rules(text: str) -> dict[str, Any]:
    """Return the rules with ranges of seconds, and alerts that do not wait."""
    for long, short in SHORTER.items():
        text = text.replace(f"[{long}]", f"[{short}]")
    document: dict[str, Any] = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "0s"
    return document


def configuration(folder: Path, *, native: bool) -> Path:
    """Scrape the demo's agents as the relabelings of docs/examples make it, and take OTLP."""
    example = yaml.safe_load((ROOT / "docs/examples/kubenurse-dashboard-values.yaml").read_text())
    relabelings = [
        {
            re.sub("([A-Z])", lambda found: "_" + found[1].lower(), key): value
            for key, value in one.items()
        }
        for one in example["serviceMonitor"]["relabelings"]
    ]
    targets = [
        {
            "targets": [f"127.0.1.{number}:{PORT}"],
            "labels": {
                "namespace": "demo",
                "__meta_kubernetes_pod_name": f"kubenurse-{number}",
                "__meta_kubernetes_pod_node_name": f"node-{number}",
                "__meta_kubernetes_pod_label_app_kubernetes_io_name": "kubenurse",
            },
        }
        for number in range(1, 6)
    ]
    rules = folder / "rules.yaml"
    rules.write_text(
        json.dumps(shortened_rules((ROOT / "dashboards/alerts/rules.yaml").read_text()))
    )
    file = folder / "prometheus.yml"
    job = {"job_name": "kubenurse", "static_configs": targets, "relabel_configs": relabelings}
    file.write_text(
        json.dumps(
            {
                "global": {
                    "scrape_interval": SCRAPE,
                    "evaluation_interval": "1s",
                    "convert_classic_histograms_to_nhcb": native,
                },
                "rule_files": [str(rules)],
                "scrape_configs": [job],
                "otlp": {
                    "translation_strategy": "NoTranslation",
                    "convert_histograms_to_nhcb": native,
                },
            }
        )
    )
    return file


def get(path: str, **parameters: str | float) -> Any:
    url = f"{PROMETHEUS}{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            return {"error": json.load(error)["error"]}


def prometheus_is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"{PROMETHEUS}/-/ready", timeout=2):
            return True
    except OSError:
        return False


def evaluate(expressions: Iterable[str], found: dict[str, Any]) -> None:
    """Query those that have returned nothing yet."""
    for expression in expressions:
        if not found.get(expression, {}).get("series"):
            answer = get("/api/v1/query", query=expression)
            result = answer.get("result", [])
            numbers = [one for one in result if one.get("value", ["", ""])[1] != "NaN"]
            found[expression] = {
                "series": len(numbers),
                "first": numbers[0] if numbers else None,
                "error": answer.get("error", ""),
            }


def main() -> None:
    wanted = json.loads(Path(sys.argv[1]).read_text())
    folder = Path(sys.argv[3])
    (folder / "hosts").write_text(HOSTS)
    subprocess.run(["mount", "--bind", str(folder / "hosts"), "/etc/hosts"], check=True)
    with prometheus(sys.argv[2], folder, native=sys.argv[4:] == ["native"]):
        found = asyncio.run(watch(wanted["expressions"], wanted["pictures"], folder))
    sys.stdout.write(json.dumps(found))


@contextmanager
def prometheus(program: str, folder: Path, *, native: bool) -> Iterator[None]:
    """Run it, ready, with everything it needs in the folder."""
    command = [
        program,
        f"--config.file={configuration(folder, native=native)}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--web.listen-address=127.0.0.1:9090",
        "--web.enable-otlp-receiver",
        "--query.lookback-delta=6s",
        "--log.level=warn",
        *(["--enable-feature=type-and-unit-labels"] if native else []),
    ]
    with (
        (folder / "prometheus.log").open("wb") as log,
        stopped(subprocess.Popen(command, stdout=log, stderr=log)),
    ):
        wait_for(prometheus_is_ready, seconds=20, what="Prometheus")
        yield


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process at the end."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


async def watch(
    expressions: list[str], drawn: Mapping[str, str], folder: Path
) -> dict[str, dict[str, Any]]:
    """Break one thing after the other, and look until everything has been seen or time is up."""
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9/v1/traces",
        "OTEL_METRICS_EXPORTER": "prometheus",
    }
    found: dict[str, Any] = {}
    alerts: dict[str, Any] = {}
    pictures: dict[str, Any] = {}
    async with Cluster(port=PORT, environ=environ) as cluster:
        with (
            FaultServer(answer(), host=PROXIED, port=PORT),
            stopped(launch(pushing_environment(cluster.folder), folder / "node-6.log")),
        ):
            started, faults = time.monotonic(), list(FAULTS)
            while (now := time.monotonic() - started) < RUN_SECONDS:
                if faults and now >= faults[0][0]:
                    await faults.pop(0)[1](cluster)
                if not pictures and now >= PICTURES_AT:
                    await asyncio.to_thread(take_pictures, drawn, pictures, now)
                await asyncio.to_thread(evaluate, expressions, found)
                for alert in (await asyncio.to_thread(get, "/api/v1/alerts"))["alerts"]:
                    labels = alert["labels"]
                    name = f"{labels['alertname']} {labels.get('node', '')}".strip()
                    alerts[name] = alert["annotations"]
                if (
                    not faults
                    and now > LEAST_SECONDS
                    and all(one["series"] for one in found.values())
                ):
                    break
                await asyncio.sleep(1)
            rules = await asyncio.to_thread(get, "/api/v1/rules")
            # It is told to stop by SIGTERM, and must be able to hear it.
            cluster._processes["node-5"].send_signal(signal.SIGCONT)
    problems = {
        rule["name"]: rule["lastError"]
        for group in rules["groups"]
        for rule in group["rules"]
        if rule["health"] != "ok"
    }
    return {"found": found, "alerts": alerts, "problems": problems, "pictures": pictures}


async def lose_packets(_: Cluster) -> None:
    await asyncio.to_thread(subprocess.run, ["nft", "-f", "-"], input=LOSS.encode(), check=True)


async def hang_an_agent(cluster: Cluster) -> None:
    """Its kernel accepts connections, and nobody answers."""
    cluster._processes["node-5"].send_signal(signal.SIGSTOP)


FAULTS: tuple[tuple[float, Callable[[Cluster], Awaitable[None]]], ...] = (
    (8.0, lose_packets),
    (14.0, lambda cluster: cluster.set_ingress("delay 0.4")),
    (22.0, lambda cluster: cluster.stop_agent(cluster.agents[3])),
    (34.0, lambda cluster: cluster.set_ingress(f"certificate {cluster.folder}/expired.pem")),
    (40.0, hang_an_agent),
)
"""Seconds, and what breaks then; nothing is healed."""


def pushing_environment(folder: Path) -> dict[str, str]:
    """A sixth agent that nobody scrapes; an address, a name and an API server of its fail.

    It alone meets a proxy in front of node-2.
    """
    neighbours = json.loads((folder / "neighbours.json").read_text())
    (behind,) = (one for one in neighbours if one["nodeName"] == "node-2")
    behind["podIP"] = PROXIED
    own = folder / "neighbours-of-node-6.json"
    own.write_text(json.dumps(neighbours))
    return environment(
        "127.0.1.6",
        "node-6",
        PORT,
        KUBENURSE_NEIGHBOURS_FILE=str(own),
        KUBENURSE_POD_UID="uid-of-node-6",
        KUBENURSE_CHECK_TIMEOUT="2s",
        KUBENURSE_CHECK_INTERVAL="1s",
        KUBENURSE_EXTRA_CHECKS=f"two:http://{TWO_ADDRESSES}:9090/-/ready"
        "|nowhere:http://nowhere.example/",
        KUBENURSE_CHECK_API_SERVER_DIRECT="true",
        KUBERNETES_SERVICE_HOST="127.0.0.1",
        KUBERNETES_SERVICE_PORT="9",
        OTEL_METRICS_EXPORTER="otlp",
        OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{PROMETHEUS}/api/v1/otlp/v1/metrics",
        OTEL_METRIC_EXPORT_INTERVAL="1000",
    )


def take_pictures(wanted: Mapping[str, str], pictures: dict[str, Any], seconds: float) -> None:
    """Keep what the README's pictures show: (instant, over time) of each query."""
    now = time.time()
    for name, expression in wanted.items():
        pictures[name] = {
            "instant": get("/api/v1/query", query=expression),
            "range": get(
                "/api/v1/query_range", query=expression, start=now - seconds + 3, end=now, step=1
            ),
        }


if __name__ == "__main__":
    main()
