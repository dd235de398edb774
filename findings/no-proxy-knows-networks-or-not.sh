#!/usr/bin/env bash
# Guess: NO_PROXY=10.96.0.0/12, as Kubernetes distributions write it for their Services, keeps these addresses from the proxy
#   whatever the client: Go, curl (since 7.86) and requests read networks.
# Seen: of clients of one image, requests 2.34.2, kubernetes 37.0.2 and curl 7.88.1 connect directly; urllib of CPython 3.11,
#   httpx 0.28.1, aiohttp 3.14.5 (trust_env) and wget 1.21.3 send the request to the proxy, in silence. With the address
#   itself in NO_PROXY all of them connect directly. There is no standard for it.
# Why it matters: in a pod with the cluster's own proxy variables some clients reach a Service and others ask a proxy that
#   does not know cluster addresses: 502 or a time-out, at which one looks for the Service's fault.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  requests==2.34.2 httpx==0.28.1 aiohttp==3.14.5 kubernetes==37.0.2
curl --version | sed -n 1p
wget --version | sed -n 1p

cat >"$work/ask.py" <<'PYTHON'
import asyncio
import http.server
import os
import subprocess
import threading
import urllib.request

import aiohttp
import httpx
import requests
from kubernetes import client as kubernetes

by_proxy = []


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("http://"):  # as proxies are asked
            by_proxy.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def serve(address):
    server = http.server.ThreadingHTTPServer((address, 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://{address}:{server.server_port}"


def of_kubernetes(url):
    configuration = kubernetes.Configuration()
    configuration.host = url
    kubernetes.ApiClient(configuration).call_api("GET", url)


async def of_aiohttp(url):
    async with aiohttp.ClientSession(trust_env=True) as session, session.get(url) as answer:
        await answer.read()


def run(*words):
    subprocess.run(words, check=True)


CLIENTS = {
    "requests": requests.get,
    "kubernetes": of_kubernetes,
    "curl": lambda url: run("curl", "-s", "-o", os.devnull, url),
    "urllib": lambda url: urllib.request.urlopen(url, timeout=5).read(),
    "httpx": httpx.get,
    "aiohttp": lambda url: asyncio.run(of_aiohttp(url)),
    "wget": lambda url: run("wget", "-q", "-O", os.devnull, url),
}
READ_NETWORKS = {"requests", "kubernetes", "curl"}

service, proxy = serve("127.96.0.1"), serve("127.0.0.1")
os.environ["http_proxy"] = os.environ["HTTP_PROXY"] = proxy
for no_proxy, expected in (("127.96.0.0/12", READ_NETWORKS), ("127.96.0.1", set(CLIENTS))):
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = no_proxy
    direct = set()
    for name, ask in CLIENTS.items():
        by_proxy.clear()
        ask(service + "/")
        if not by_proxy:
            direct.add(name)
        print(f"NO_PROXY={no_proxy}: {name} {'asks the proxy' if by_proxy else 'connects directly'}")
    assert direct == expected, direct
PYTHON
env -u ALL_PROXY -u all_proxy -u HTTPS_PROXY -u https_proxy -u REQUEST_METHOD "$work/venv/bin/python" "$work/ask.py"
