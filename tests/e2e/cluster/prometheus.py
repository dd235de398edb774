"""Prometheus as a daemon of the control machine: what it scrapes, evaluates and takes by OTLP.

Its client is prometheus_api.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from e2e.cluster import gateway, json_api, programs
from e2e.cluster.rules import compressed_range, compressed_rules

if TYPE_CHECKING:
    from e2e.cluster.machine import Machine

NAME: Final = "prometheus"
PORT: Final = 9090
LOOKBACK: Final = "5m"
"""Prometheus' own default: how long a pushed series lingers."""
_ROOT: Final = Path(__file__).parents[3]
_RULES: Final = _ROOT / "helm/kubenurse-otel/files/alerts/rules.yaml"
_OTLP_EXAMPLE: Final = _ROOT / "docs/examples/collector/prometheus.yaml"
_DASHBOARD_EXAMPLE: Final = _ROOT / "docs/examples/kubenurse-dashboard-values.yaml"
_ANNOTATION: Final = "__meta_kubernetes_pod_annotation_prometheus_io"


def url(control: Machine) -> str:
    return f"http://{control.address}:{PORT}"


def otlp_url(control: Machine) -> str:
    """Where it takes metrics by OTLP over HTTP, from the gateway or straight from agents."""
    return f"{url(control)}/api/v1/otlp/v1/metrics"


def start(
    control: Machine,
    *,
    api_url: str,
    ca_file: Path,
    token_file: Path,
    compress: float = 10.0,
    scrape: str = "1s",
) -> None:
    """Start it, unless it runs. The token's account needs get, list and watch of all pods.

    Ranges and waits of the rules are divided by ``compress``; so is the look-back, which a push
    interval must not exceed.
    """
    if control.runs(NAME):
        return
    folder = control.folder / NAME
    folder.mkdir(parents=True, exist_ok=True)
    rules = folder / "rules.json"
    rules.write_text(
        json.dumps(compressed_rules(_RULES.read_text(), compress=compress, scrape=scrape), indent=1)
    )
    config = folder / "prometheus.json"
    config.write_text(
        json.dumps(
            configuration(
                rules,
                api_url=api_url,
                ca_file=ca_file,
                token_file=token_file,
                gateway_metrics=gateway.own_metrics(control),
                scrape=scrape,
            ),
            indent=1,
        )
    )
    lookback = compressed_range(LOOKBACK, compress=compress, scrape=scrape)
    control.daemon(
        NAME,
        str(programs.prometheus()),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        "--storage.tsdb.retention.time=1d",
        f"--web.listen-address={control.address}:{PORT}",
        "--web.enable-otlp-receiver",
        "--enable-feature=exemplar-storage",
        f"--query.lookback-delta={lookback}",
        # (A hidden flag.) Its 5 s until a new pod is scraped are long where time is compressed.
        "--scrape.discovery-reload-interval=1s",
        "--log.level=warn",
    )


def is_ready(control: Machine) -> bool:
    """Asks from where this thread is: in the cluster's network."""
    return json_api.answers(f"{url(control)}/-/ready")


def configuration(
    rules: Path,
    *,
    api_url: str,
    ca_file: Path,
    token_file: Path,
    gateway_metrics: str,
    scrape: str,
) -> dict[str, Any]:
    """Scrape annotated pods and the gateway; take OTLP as docs/examples/collector says."""
    document: dict[str, Any] = yaml.safe_load(_OTLP_EXAMPLE.read_text())
    # Dots in the labels of resource attributes stay: "k8s.node.name".
    document["otlp"]["translation_strategy"] = "NoTranslation"
    discovery = {
        "role": "pod",
        "api_server": api_url,
        "tls_config": {"ca_file": str(ca_file)},
        "authorization": {"credentials_file": str(token_file)},
    }
    return document | {
        "global": {"scrape_interval": scrape, "evaluation_interval": scrape},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {
                "job_name": "kubernetes-pods",
                "kubernetes_sd_configs": [discovery],
                "relabel_configs": [*annotated_pods(), *dashboard_labels()],
            },
            {"job_name": gateway.NAME, "static_configs": [{"targets": [gateway_metrics]}]},
        ],
    }


def annotated_pods() -> list[dict[str, Any]]:
    """Follow the annotations that `monitor: annotations` writes; instance is the pod's address.

    As the community's chart does it: the pod's labels are labels (its `cluster`, if it has one).
    """
    return [
        {"action": "keep", "source_labels": [f"{_ANNOTATION}_scrape"], "regex": "true"},
        {
            "action": "drop",
            "source_labels": ["__meta_kubernetes_pod_phase"],
            "regex": "Pending|Succeeded|Failed",
        },
        _label("__scheme__", f"{_ANNOTATION}_scheme", regex="(https?)"),
        _label("__metrics_path__", f"{_ANNOTATION}_path", regex="(.+)"),
        # One target a pod, however many ports its containers name.
        _label(
            "__address__",
            "__meta_kubernetes_pod_ip",
            f"{_ANNOTATION}_port",
            regex=r"(.+);(\d+)",
            replacement="$1:$2",
        ),
        {"action": "labelmap", "regex": "__meta_kubernetes_pod_label_(.+)"},
        _label("namespace", "__meta_kubernetes_namespace"),
        _label("pod", "__meta_kubernetes_pod_name"),
        _label("node", "__meta_kubernetes_pod_node_name"),
    ]


def dashboard_labels() -> list[dict[str, Any]]:
    """The relabelings that our documentation gives for kubenurse's own published dashboard."""
    values = yaml.safe_load(_DASHBOARD_EXAMPLE.read_text())
    return [
        {
            re.sub("([A-Z])", lambda found: f"_{found[1].lower()}", key): value
            for key, value in one.items()
        }
        for one in values["serviceMonitor"]["relabelings"]
    ]


def _label(target: str, *sources: str, **more: str) -> dict[str, Any]:
    return {"source_labels": list(sources), "target_label": target, **more}
