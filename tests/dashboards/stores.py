"""Where agents' metrics go in a test: Prometheus or VictoriaMetrics, with the rules evaluated.

Owns the stores' configuration, processes and APIs. The agents are the demo's, on loopback.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from agents import wait_for
from prometheus_tools import binary

ROOT = Path(__file__).parents[2]
PORT = 18080
SHORTER = {"2m": "8s", "5m": "12s", "1d": "60s"}
"""Ranges of the rules, which would take minutes to fill."""
SCRAPED, PUSHED = "scraped", "pushed"


@dataclass(frozen=True, kw_only=True)
class Store:
    """One that runs: ``url`` answers queries, ``rules_url`` says what the rules came to."""

    name: str
    url: str
    rules_url: str
    otlp: str
    """Where an agent pushes its metrics."""

    def get(self, path: str, **parameters: str | float) -> Any:
        """Return ``data`` of the answer, or {"error": ...}."""
        return _get(f"{self.url}{path}?{urllib.parse.urlencode(parameters)}")

    def query(self, expression: str) -> Any:
        return self.get("/api/v1/query", query=expression)

    def firing(self) -> dict[str, Mapping[str, str]]:
        """Annotations of alerts by "name node"."""
        alerts = _get(f"{self.rules_url}/api/v1/alerts")["alerts"]
        return {
            f"{alert['labels']['alertname']} {alert['labels'].get('node', '')}".strip(): alert[
                "annotations"
            ]
            for alert in alerts
            if alert["state"] == "firing"
        }

    def problems(self) -> dict[str, str]:
        """What the evaluation of a rule failed with, by rule."""
        groups = _get(f"{self.rules_url}/api/v1/rules")["groups"]
        return {
            rule["name"]: rule["lastError"]
            for group in groups
            for rule in group["rules"]
            if rule["health"] not in {"ok", "no match"}
        }


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        with error:
            return {"error": json.load(error)["error"]}


MUTED_BY_VERDICTS = re.compile(
    r"\n +unless on \(cluster(?:, node)?\) kubenurse:verdict:\w+\{[^}]*\}"
)


def shortened_rules(text: str) -> dict[str, Any]:
    """Return the rules with ranges of seconds, and alerts that do not wait.

    Not muted by verdicts, which come first: here all that can fire is to fire.
    """
    text = MUTED_BY_VERDICTS.sub("", text)
    for long, short in SHORTER.items():
        text = text.replace(f"[{long}]", f"[{short}]")
    document: dict[str, Any] = yaml.safe_load(text)
    for group in document["groups"]:
        for rule in group["rules"]:
            if "for" in rule:
                rule["for"] = "0s"
    return document


def rules(folder: Path, *, shortened: bool = True) -> Path:
    text = (ROOT / "helm/kubenurse-otel/files/alerts/rules.yaml").read_text()
    file = folder / "rules.yaml"
    file.write_text(json.dumps(shortened_rules(text)) if shortened else text)
    return file


def scrape_job(agents: int) -> dict[str, Any]:
    """Scrape that many agents as the relabelings of docs/examples make it."""
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
        for number in range(1, agents + 1)
    ]
    return {"job_name": "kubenurse", "static_configs": targets, "relabel_configs": relabelings}


@dataclass(frozen=True)
class Prometheus:
    """Scrapes five agents and is pushed to by one; ``native``: as histograms, with unit labels."""

    native: bool

    @property
    def names(self) -> tuple[str, ...]:
        return ("native" if self.native else "classic",)

    @contextmanager
    def started(self, folder: Path) -> Iterator[list[Store]]:
        """Run it, ready, with everything it needs in the folder."""
        file = folder / "prometheus.yml"
        file.write_text(
            json.dumps(
                {
                    "global": {
                        "scrape_interval": "1s",
                        "evaluation_interval": "1s",
                        "convert_classic_histograms_to_nhcb": self.native,
                    },
                    "rule_files": [str(rules(folder))],
                    "scrape_configs": [scrape_job(5)],
                    "otlp": {
                        "translation_strategy": "NoTranslation",
                        "convert_histograms_to_nhcb": self.native,
                    },
                }
            )
        )
        command = [
            str(binary("prometheus")),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:9090",
            "--web.enable-otlp-receiver",
            "--query.lookback-delta=6s",
            "--log.level=warn",
            *(["--enable-feature=type-and-unit-labels"] if self.native else []),
        ]
        url = "http://127.0.0.1:9090"
        with _running(command, folder / "prometheus.log", f"{url}/-/ready"):
            yield [
                Store(
                    name=self.names[0], url=url, rules_url=url, otlp=f"{url}/api/v1/otlp/v1/metrics"
                )
            ]


@dataclass(frozen=True)
class VictoriaMetrics:
    """Two of them: one scrapes all six agents, the other is pushed to by them."""

    names = ("victoriametrics scraped", "victoriametrics pushed")

    @contextmanager
    def started(self, folder: Path) -> Iterator[list[Store]]:
        """Run both, ready, with everything they need in the folder."""
        scrape = folder / "scrape.yml"
        scrape.write_text(
            json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape_job(6)]})
        )
        file = rules(folder)
        with ExitStack() as stack:
            yield [
                stack.enter_context(victoria_metrics(name, folder / name, file, ports, *more))
                for name, ports, more in (
                    (self.names[0], (9090, 9091), [f"-promscrape.config={scrape}"]),
                    (self.names[1], (9092, 9093), []),
                )
            ]


@contextmanager
def victoria_metrics(
    name: str, folder: Path, rules_file: Path, ports: tuple[int, int], *more: str
) -> Iterator[Store]:
    """VictoriaMetrics with ``more`` flags and its vmalert, at these ports, with data in ``folder``.

    Both as they are by default, but for what would take minutes: latency offset, look-back
    and vmalert's intervals. No flag names a label.
    """
    folder.mkdir()
    url, rules_url = (f"http://127.0.0.1:{port}" for port in ports)
    store = [
        str(binary("victoria-metrics")),
        f"-httpListenAddr=127.0.0.1:{ports[0]}",
        f"-storageDataPath={folder / 'data'}",
        "-search.latencyOffset=1s",
        "-search.maxLookback=6s",
        "-search.disableCache",
        "-storage.cacheSizeIndexDBTagFilters=1",
        "-memory.allowedBytes=128MiB",
        "-loggerLevel=WARN",
        *more,
    ]
    vmalert = [
        str(binary("vmalert")),
        f"-httpListenAddr=127.0.0.1:{ports[1]}",
        f"-rule={rules_file}",
        f"-datasource.url={url}",
        "-datasource.queryStep=6s",
        f"-remoteRead.url={url}",
        f"-remoteWrite.url={url}",
        "-remoteWrite.flushInterval=500ms",
        "-evaluationInterval=1s",
        "-rule.evalDelay=1s",
        "-group.maxStartDelay=1s",
        "-notifier.blackhole",
        "-loggerLevel=WARN",
    ]
    with (
        _running(store, folder / "store.log", f"{url}/health"),
        _running(vmalert, folder / "vmalert.log", f"{rules_url}/health"),
    ):
        yield Store(name=name, url=url, rules_url=rules_url, otlp=f"{url}/opentelemetry/v1/metrics")


KINDS: dict[str, Prometheus | VictoriaMetrics] = {
    "classic": Prometheus(native=False),
    "native": Prometheus(native=True),
    "victoriametrics": VictoriaMetrics(),
}


@contextmanager
def _running(command: list[str], log_file: Path, health: str) -> Iterator[None]:
    """Run it until the end, from when it says that it is well."""
    with (
        log_file.open("wb") as log,
        stopped(subprocess.Popen(command, stdout=log, stderr=log)),
    ):
        wait_for(lambda: _answers(health), seconds=20, what=f"{command[0]}: {log_file}")
        yield


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False


@contextmanager
def stopped(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the process at the end."""
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)
