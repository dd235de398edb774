"""Certificates and tokens change while checks go on: none fails, unless what it used is revoked."""

from __future__ import annotations

import base64
import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from e2e.cluster import ingress, polling
from e2e.cluster.cluster import NAMESPACE, RELEASE
from e2e.cluster.credentials import API_NAMES, INGRESS_HOST
from e2e.faults import discovery, mounted, run
from e2e.faults.agents import wait_until_all_ready
from e2e.faults.api_server import TYPES, all_is_well, neighbours_stay
from e2e.faults.failing import nothing_else
from e2e.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.cluster.cluster import Cluster
    from e2e.faults.scene import Scene

_EXPIRY: Final = "kubenurse_tls_certificate_expiry_timestamp_seconds"
_FAILURES: Final = "kubenurse_check_failures_total"
_TIMEOUTS: Final = ".+_timeout"
_FOLDER: Final = "run/secrets/kubernetes.io/serviceaccount"
_KUBELET: Final = "kubelet"
_LIFE: Final = timedelta(days=60)
_FIRST_LIFE: Final = timedelta(days=40)
_SECRET: Final = "agent-tls"
_MOUNT: Final = "/etc/agent-tls"
_SERVICE: Final = f"{RELEASE}.{NAMESPACE}.svc.cluster.local"
_NEW: Final = timedelta(days=50).total_seconds()
"""A certificate that expires later than this from now is a new one; the first ones never do."""
_NEVER: Final = timedelta(days=365).total_seconds()


# --- certificates ---------------------------------------------------------------------------------


def issue(cluster: Cluster, *hosts: str, life: timedelta = _LIFE) -> tuple[bytes, bytes]:
    """A certificate of the cluster's authority, with its chain, and its key."""
    leaf = cluster.credentials.authority().issue_cert(*hosts, not_after=datetime.now(UTC) + life)
    return b"".join(one.bytes() for one in leaf.cert_chain_pems), leaf.private_key_pem.bytes()


@contextmanager
def of_the_ingress(cluster: Cluster, _node: str) -> Iterator[None]:
    paths = cluster.edge.folder / "rotated.crt", cluster.edge.folder / "rotated.key"
    _write(paths, issue(cluster, INGRESS_HOST))
    try:
        ingress.override(cluster.edge, certificate=paths)
        yield
    finally:
        ingress.override(cluster.edge)


@contextmanager
def of_the_api_server(cluster: Cluster, _node: str) -> Iterator[None]:
    """It reads the files again by itself when they change."""
    folder = cluster.credentials.folder
    paths = folder / "kube-apiserver.crt", folder / "kube-apiserver.key"
    before = paths[0].read_bytes(), paths[1].read_bytes()
    try:
        _write(paths, issue(cluster, *API_NAMES))
        yield
    finally:
        _write(paths, before)


def _write(paths: tuple[Path, Path], contents: tuple[bytes, bytes]) -> None:
    for path, content in zip(paths, contents, strict=True):
        fresh = path.with_suffix(f"{path.suffix}.new")
        fresh.write_bytes(content)
        fresh.replace(path)


@contextmanager
def of_the_listener(cluster: Cluster, _node: str) -> Iterator[None]:
    """The agents serve TLS with a Secret's certificate, and the Secret gets a new one."""
    try:
        cluster.apply(_secret(issue(cluster, _SERVICE, life=_FIRST_LIFE)))
        cluster.install(_with_tls())
        wait_until_all_ready(cluster)
        yield
    finally:
        cluster.install(run.VALUES)
        wait_until_all_ready(cluster)
        cluster.kubectl("delete", "secret", _SECRET, "--namespace", NAMESPACE, "--ignore-not-found")


def _secret(pair: tuple[bytes, bytes]) -> dict[str, Any]:
    names = ("tls.crt", "tls.key")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": _SECRET, "namespace": NAMESPACE},
        "data": {n: base64.b64encode(one).decode() for n, one in zip(names, pair, strict=True)},
    }


def _with_tls() -> dict[str, Any]:
    return {
        **mounted.values(_MOUNT, {"name": _SECRET, "secret": {"secretName": _SECRET}}),
        "use_tls": True,
        "cert_file": f"{_MOUNT}/tls.crt",
        "cert_key": f"{_MOUNT}/tls.key",
    }


def proof_certificate(types: str, scene: Scene) -> None:
    """Every agent sees the new one, nobody fails."""
    _sees_the_new_one(scene, types, since=scene.began_at)


def proof_listener(scene: Scene) -> None:
    scene.wait_until_healthy()
    # Before this the agents were rolled out anew; what fails now is the new certificate's fault.
    since = time.time()
    scene.stays(
        f'{_EXPIRY}{{type=~"path_.+"}} - time()',
        lambda seconds: seconds < _FIRST_LIFE.total_seconds(),
        what="the first certificate",
    )
    scene.cluster.apply(_secret(issue(scene.cluster, _SERVICE)))
    _sees_the_new_one(scene, "path_.+", since=since)


def _sees_the_new_one(scene: Scene, types: str, *, since: float) -> None:
    series = f'{_EXPIRY}{{type=~"{types}"}}'
    expected = scene.total(f"count(kubenurse_check_success{{type=~'{types}'}})")
    scene.shows(
        f"count({series} - time() > {_NEW:.0f} < {_NEVER:.0f})",
        lambda count: count == expected,
        what=f"{_EXPIRY} type={types} is the new one's, at every agent",
        within=150,
    )
    time.sleep(5)
    none_fails(scene, types, since=since)
    scene.no_other_alert()


def none_fails(scene: Scene, types: str, *, since: float) -> None:
    """No check has failed since; two time-outs of two busy cores are none of the rotation."""
    for causes, most in ((f'error_type!~"{_TIMEOUTS}"', 0), (f'error_type=~"{_TIMEOUTS}"', 2)):
        failed = scene.grown(f'{_FAILURES}{{type=~"{types}", {causes}}}', since=since)
        assert failed <= most, f"{failed:g} checks failed, {causes}"
    scene.seen.unmoved.append(f"{_FAILURES} type={types}")


# --- tokens ---------------------------------------------------------------------------------------


@contextmanager
def kubelet_restarted(cluster: Cluster, node: str) -> Iterator[None]:
    """A kubelet remembers the tokens that it fetched: when it starts it fetches new ones."""
    _restart_kubelet(cluster, node)
    yield


def _restart_kubelet(cluster: Cluster, name: str) -> None:
    node = cluster.nodes[name]
    node.machine.end(_KUBELET)
    node.start_kubelet(cluster.credentials)


@contextmanager
def account_anew(cluster: Cluster, _node: str) -> Iterator[None]:
    """The ServiceAccount is deleted and made again: the tokens of the old one are no good."""
    path = ("serviceaccount", RELEASE, "--namespace", NAMESPACE)
    account = json.loads(cluster.kubectl("get", *path, "--output=json"))
    for name in ("uid", "resourceVersion", "creationTimestamp", "managedFields"):
        account["metadata"].pop(name, None)
    try:
        try:
            cluster.kubectl("delete", *path)
        finally:
            cluster.apply(account)
        yield
    finally:
        _restart_kubelets(cluster)


def _restart_kubelets(cluster: Cluster) -> None:
    """For a moment each says of its pods that they have not started: their Services are empty."""
    for name in cluster.nodes:
        _restart_kubelet(cluster, name)


def tokens(cluster: Cluster) -> dict[str, dict[str, Any]]:
    """The claims of each agent's token as it lies in its pod, by node."""
    found = {}
    for node in cluster.nodes:
        # Not by /var/run, a link that would lead out of the pod.
        file = Path(f"/proc/{cluster.agent_pid(node)}/root") / _FOLDER / "token"
        payload = file.read_text().split(".")[1]
        found[node] = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return found


def until_new_tokens(scene: Scene, *nodes: str) -> None:
    polling.until(
        lambda: tokens(scene.cluster),
        lambda found: all(found[node]["iat"] >= int(scene.began_at) for node in nodes),
        seconds=180,
        what=f"new tokens on {', '.join(nodes)}",
    )
    scene.seen.shown.append(f"the token on {', '.join(nodes)} is a new one")


def proof_token(scene: Scene) -> None:
    until_new_tokens(scene, scene.node)
    scene.wait(20)
    none_fails(scene, "|".join(TYPES), since=scene.began_at)
    discovery.end_watches(scene.cluster)
    discovery.until_ok(scene)
    nothing_else(scene, *TYPES)


def proof_account(scene: Scene) -> None:
    """401 is told apart; with the new token all is well, and no agent had to restart."""
    scene.shows(
        f'min(sum by (node, type) (increase({_FAILURES}{{type=~"{"|".join(TYPES)}", '
        'error_type="credentials_refused", phase="status"}[8s])))',
        lambda count: count > 0,
        what=f"{_FAILURES} type=api_server_* error_type=credentials_refused at every agent",
        within=60,
    )
    scene.counts(
        f'kubenurse_errors_total{{type=~"{"|".join(TYPES)}", event="status_code_401"}}',
        what="kubenurse_errors_total event=status_code_401",
    )
    scene.trace(
        lambda trace: any(
            span.attributes.get("http.response.status_code") == 401 and span.status == "ERROR"
            for span in trace.spans
            if span.kind == "client"
        ),
        what="GET with http.response.status_code 401 and the error; connect and TLS are good",
        tags={"kubenurse.type": TYPES[0], "kubenurse.error.type": "credentials_refused"},
    )
    discovery.end_watches(scene.cluster)
    discovery.until(
        scene,
        lambda state: "does not accept our token (401)" in state,
        what="/alive: neighbourhood_state says that the token is not accepted (401)",
    )
    neighbours_stay(scene)
    scene.alerts("KubenurseTokenRefused")
    scene.no_other_alert()
    nothing_else(scene, *TYPES)
    _restart_kubelets(scene.cluster)
    until_new_tokens(scene, *scene.cluster.nodes)
    all_is_well(scene)


_EXPIRED: Final = "Nothing, if it was done in time"

FAULTS: Final = (
    Fault(
        "certificate-rotated-ingress",
        "The ingress gets a new certificate",
        _EXPIRED,
        "nothing",
        of_the_ingress,
        partial(proof_certificate, "me_ingress"),
    ),
    Fault(
        "certificate-rotated-api-server",
        "The API server gets a new certificate",
        _EXPIRED,
        "nothing",
        of_the_api_server,
        partial(proof_certificate, "api_server_.+"),
    ),
    Fault(
        "certificate-rotated-agents",
        "The agents' own certificate is renewed (use_tls, a Secret that kubelet updates)",
        _EXPIRED,
        "its listener shows the old certificate until it expires or the pod restarts",
        of_the_listener,
        proof_listener,
    ),
    Fault(
        "token-rotated",
        "kubelet restarts and writes new service-account tokens",
        "Nothing",
        "nothing",
        kubelet_restarted,
        proof_token,
    ),
    Fault(
        "token-revoked",
        "The tokens are no longer accepted (401), because the ServiceAccount was deleted and made"
        " again",
        "Pods of this account are refused until kubelet gives them new tokens",
        "errors at api_server_direct and api_server_dns (status_code_401)",
        account_anew,
        proof_account,
    ),
)
