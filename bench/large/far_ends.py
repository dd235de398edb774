"""nginx as the ingress, and CoreDNS for the cluster's names and the ingress's."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
import urllib.request
from typing import TYPE_CHECKING, Final

from bench.large import borrowed, place
from bench.network import BenchError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from bench.large.borrowed import Administrator

_METRICS: Final = "127.0.0.1:9153"
_START_SECONDS: Final = 90.0
_NGINX: Final = """
daemon off;
worker_processes 1;
user root;
error_log stderr warn;
pid {here}/nginx.pid;
events {{ }}
http {{
  access_log off;
  client_body_temp_path {here}; proxy_temp_path {here}; fastcgi_temp_path {here};
  uwsgi_temp_path {here}; scgi_temp_path {here};
  upstream agents {{ {agents} }}
  server {{
    listen {address}:443 ssl;
    ssl_certificate {here}/tls.pem;
    ssl_certificate_key {here}/tls.pem;
    location / {{ proxy_pass http://agents; proxy_set_header Host $host; }}
  }}
}}
"""
_COREDNS: Final = """
.:53 {{
  bind {address}
  prometheus {metrics}
  hosts {{
    {ingress} {host}
    fallthrough
  }}
  kubernetes cluster.local {{
    kubeconfig {here}/coredns.kubeconfig
    ttl 30
  }}
  cache 30
}}
"""


@contextlib.contextmanager
def ingress(server: Administrator, agents: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    here = server.directory / "nginx"
    upstream = " ".join(f"server {address}:8080;" for address in agents)
    (here / "nginx.conf").write_text(
        _NGINX.format(here=here, agents=upstream, address=place.INGRESS)
    )
    command = ("nginx", "-c", str(here / "nginx.conf"), "-e", "stderr")
    with place.daemon(command, here / "nginx.log") as process:
        yield process


@contextlib.contextmanager
def dns(server: Administrator) -> Iterator[subprocess.Popen[bytes]]:
    """CoreDNS with the kubernetes plugin, asking the API server as an administrator."""
    coredns = borrowed.programs.coredns_target()
    if not coredns.exists():
        raise BenchError(f"{coredns} is not built: `make e2e` builds it")
    here = server.directory
    cluster = {
        "server": f"https://{place.API_SERVER}:{place.API_PORT}",
        "certificate-authority": str(server.ca_file),
    }
    (here / "coredns.kubeconfig").write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "c",
                "clusters": [{"name": "c", "cluster": cluster}],
                "users": [{"name": "c", "user": {"token": server.admin_token}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
            }
        )
    )
    (here / "Corefile").write_text(
        _COREDNS.format(
            here=here,
            address=place.DNS,
            metrics=_METRICS,
            ingress=place.INGRESS,
            host=place.INGRESS_HOST,
        )
    )
    command = (str(coredns), "-conf", str(here / "Corefile"))
    with place.daemon(command, here / "coredns.log") as process:
        deadline = time.monotonic() + _START_SECONDS
        while not _ready():
            if time.monotonic() > deadline or process.poll() is not None:
                raise BenchError("CoreDNS: " + (here / "coredns.log").read_text()[-500:])
            time.sleep(0.1)
        yield process


def _ready() -> bool:
    """Whether it answers for the cluster, by our resolv.conf."""
    with contextlib.suppress(OSError):
        return bool(socket.getaddrinfo("kubernetes.default.svc.cluster.local", None))
    return False


def _metrics() -> str:
    with urllib.request.urlopen(f"http://{_METRICS}/metrics", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


_REQUESTS: Final = re.compile(
    r"^coredns_dns_requests_total\{.*type=\"(\w+)\".*\} (\S+)", re.MULTILINE
)


def queries() -> dict[str, int]:
    """Queries that CoreDNS got so far, by type."""
    found: dict[str, int] = {}
    for kind, value in _REQUESTS.findall(_metrics()):
        found[kind] = found.get(kind, 0) + int(float(value))
    return found
