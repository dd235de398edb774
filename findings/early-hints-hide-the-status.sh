#!/usr/bin/env bash
# Guess: HTTP clients skip interim answers (1xx), so that a check sees the final status: RFC 9110
#   section 15.2 asks for it, RFC 8297 (103 Early Hints) builds on it, and Go, curl and httpx do.
# Seen: with requests 2.34.2 on urllib3 2.8.0 (CPython 3.11.7) a server that sends 103 Early Hints
#   and then 503 is status 103, and response.ok is True; raise_for_status() raises nothing. Only 100
#   is skipped by http.client. httpx 0.28.1 (h11) says 503.
# Why it matters: whoever checks a Service or an ingress with requests calls a dead backend healthy as
#   soon as something in front of it sends Early Hints (H2O, nginx 1.29, FrankenPHP, Puma can), and
#   takes an empty body for the answer's. What is built on urllib3 (exporters, API clients) sees the same.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  requests==2.34.2 urllib3==2.8.0 httpx==0.28.1 h11==0.16.0

cat >"$work/ask.py" <<'PYTHON'
import socketserver
import threading

import httpx
import requests

INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
FINAL = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nConnection: close\r\n\r\ndead\n"


class Server(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(INTERIM + FINAL)


with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Server) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "http://127.0.0.1:%d/" % server.server_address[1]
    seen = requests.get(url, timeout=5)
    seen.raise_for_status()
    right = httpx.get(url, timeout=5, trust_env=False)
    print("requests:", seen.status_code, "ok" if seen.ok else "not ok", seen.content)
    print("httpx:   ", right.status_code, right.content)
    server.shutdown()
assert (seen.status_code, seen.ok, seen.content) == (103, True, b""), "requests skips 103 now"
assert right.status_code == 503
PYTHON
NO_PROXY=127.0.0.1 no_proxy=127.0.0.1 "$work/venv/bin/python" "$work/ask.py"
