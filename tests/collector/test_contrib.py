"""What needs the contrib distribution, on a collector that has those components.

Building it takes minutes: `PYTHONPATH=tests python -m collector.binaries` does, and then these run.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from agents import running, wait_for
from apiserver import objects, real
from otlp_receiver import attributes, grpc_receiver
from ports import free_port

from collector import binaries, servers
from collector.conftest import (
    EXAMPLES,
    GATEWAY,
    NEED_CONTRIB,
    agent_environment,
    prometheus_config,
    write_neighbours,
)
from kubenurse_otel import semconv

pytestmark = pytest.mark.skipif(
    not binaries.contrib_target().exists(),
    reason=f"no {binaries.contrib_target().name}, which takes minutes to build: "
    "PYTHONPATH=tests .venv/bin/python -m collector.binaries",
)

OUTSIDE = {"auth_type": "kubeConfig", "wait_for_metadata": True}
"""k8sattributes of a collector that is no pod; no trace comes before it knows the pods."""


@pytest.mark.parametrize("name", NEED_CONTRIB)
def test_the_contrib_collector_accepts_it(name: str) -> None:
    """Each example is valid, over gateway.yaml or by itself."""
    file = EXAMPLES / f"{name}.yaml"
    files = (file,) if name == "load-balancing" else (GATEWAY, file)
    environ = {
        "TRACES_ENDPOINT": "jaeger:4317",
        "METRICS_ENDPOINT": "http://prometheus:9090/api/v1/otlp/v1/metrics",
        "REMOTE_WRITE_ENDPOINT": "http://prometheus:9090/api/v1/write",
    }
    found = servers.validate(*files, environ=environ, binary=binaries.contrib())
    assert found.returncode == 0, found.stderr


def test_failed_checks_pass_tail_sampling_and_names_pass_remote_write(tmp_path: Path) -> None:
    """A gateway with both: failed traces arrive whole, and the five names are unchanged."""
    neighbours = write_neighbours(tmp_path)
    port = free_port()
    five = {
        "kubenurse_httpclient_request_duration_seconds_bucket",
        "kubenurse_httpclient_trace_request_duration_seconds_bucket",
        "kubenurse_httpclient_requests_total",
        "kubenurse_errors_total",
        "kubenurse_neighbourhood_incoming_checks",
    }
    with (
        grpc_receiver() as behind,
        servers.prometheus("prometheus", tmp_path, prometheus_config([])) as prometheus,
        servers.collector(
            "gateway",
            tmp_path,
            GATEWAY,
            EXAMPLES / "tail-sampling.yaml",
            EXAMPLES / "remote-write.yaml",
            {"processors": {"tail_sampling": {"decision_wait": "1s"}}},
            environ={
                "TRACES_ENDPOINT": behind.endpoint.removeprefix("http://"),
                "TRACES_INSECURE": "true",
                "METRICS_ENDPOINT": "http://unused",
                "REMOTE_WRITE_ENDPOINT": f"{prometheus.url}/api/v1/write",
            },
            binary=binaries.contrib(),
        ) as gateway,
    ):
        environs = [
            agent_environment(node, port, neighbours, OTEL_EXPORTER_OTLP_ENDPOINT=gateway.http)
            for node in ("node-a", "node-b")
        ]
        with running(environs, tmp_path):

            def failed() -> bool:
                roots = [span for span in behind.spans() if span.name == "check path"]
                return any(attributes(one)[semconv.OUTCOME] == "failed" for one in roots)

            wait_for(failed, seconds=30, what="a failed check's trace")
            wait_for(
                lambda: (
                    five
                    <= {one["__name__"] for one in prometheus.series('{__name__=~"kubenurse.+"}')}
                ),
                seconds=30,
                what="the five names by remote write",
            )
            (labels,) = [
                one
                for one in prometheus.series('kubenurse_check_success{type="path_node-b"}')
                if one["k8s_node_name"] == "node-a"
            ]
            assert labels["cluster"] == "test"
            assert labels["job"] == "kubenurse-otel"


@pytest.mark.skipif(not real.binary().exists(), reason="no kube-apiserver: make test-apiserver")
def test_k8sattributes_takes_nobody_for_the_collector_in_between(tmp_path: Path) -> None:
    """node-a's pod has the address that connections come from; node-b's agent sends no pod UID."""
    neighbours = write_neighbours(tmp_path)
    port = free_port()
    pod = objects.pod("node-a", "127.0.0.1")
    pod["metadata"]["ownerReferences"] = [
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "name": "nurse",
            "uid": "1",
            "controller": True,
        }
    ]
    with real.real_api_server(tmp_path) as api, grpc_receiver() as behind:
        api.put(objects.node("node-a"), objects.node("node-b", zone="zone-b"), pod)
        path = f"/api/v1/namespaces/{objects.NAMESPACE}/pods/{pod['metadata']['name']}"
        uid = api.must("GET", path)["metadata"]["uid"]
        with servers.collector(
            "gateway",
            tmp_path,
            GATEWAY,
            EXAMPLES / "k8sattributes.yaml",
            {"processors": {"k8sattributes": OUTSIDE}},
            environ={
                "KUBECONFIG": str(_kubeconfig(api, tmp_path / "kubeconfig")),
                "TRACES_ENDPOINT": behind.endpoint.removeprefix("http://"),
                "TRACES_INSECURE": "true",
                "METRICS_ENDPOINT": "http://unused",
            },
            binary=binaries.contrib(),
        ) as gateway:
            environs = [
                agent_environment(
                    node,
                    port,
                    neighbours,
                    OTEL_EXPORTER_OTLP_ENDPOINT=gateway.http,
                    KUBENURSE_POD_UID=pod_uid,
                )
                for node, pod_uid in (("node-a", uid), ("node-b", ""))
            ]
            with running(environs, tmp_path):

                def resources() -> dict[str, tuple[str, str]]:
                    found = (
                        attributes(one.resource)
                        for request in list(behind.traces)
                        for one in request.resource_spans
                    )
                    return {
                        one["k8s.node.name"]: (
                            one.get("topology.zone", ""),
                            one.get("k8s.daemonset.name", ""),
                        )
                        for one in found
                    }

                wait_for(lambda: len(resources()) == 2, seconds=30, what="traces of both agents")
                assert resources() == {"node-a": ("zone-a", "nurse"), "node-b": ("zone-b", "")}


def _kubeconfig(api: real.RealApiServer, file: Path) -> Path:
    cluster = {
        "server": f"https://127.0.0.1:{api.port}",
        "certificate-authority": str(api.ca_file),
    }
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": {"token": api.admin_token}}],
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "current-context": "it",
    }
    file.write_text(json.dumps(document))
    return file
