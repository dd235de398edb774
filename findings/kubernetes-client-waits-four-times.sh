#!/usr/bin/env bash
# Guess: `_request_timeout=2` bounds a call of the Python client: after 2 s there is an error, as with kubectl's --request-timeout, and
#   the API server was asked once.
# Seen: kubernetes 37.0.2 (urllib3 2.8.0). At an API server that takes the connection and says nothing a list takes 8 s and is four
#   requests: urllib3 repeats three times, at once, and each has the whole 2 s. A DELETE and a PUT are repeated as well, a POST and a
#   PATCH are not. kubernetes.aio, the same package's asynchronous client, asks once. With
#   `configuration.retries = False` the other one does, too.
# Why it matters: leader election, a liveness probe and a health check that give the API server 2 s need 8, at the moment at which it
#   matters; and an API server that is too slow for its lists is asked for each of them four times.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check kubernetes==37.0.2 urllib3==2.8.0 aiohttp==3.14.5

cat >ask.py <<'PYTHON'
import asyncio
import contextlib
import socket
import threading
import time

import kubernetes.aio.client
import urllib3
from kubernetes import client

SECONDS = 2
asked = []


def serve(listener):
    while True:
        connection, _ = listener.accept()
        asked.append(connection)  # open, and silent


def configured(configuration, **options):
    configuration.host = f"http://127.0.0.1:{listener.getsockname()[1]}"
    for name, value in options.items():
        setattr(configuration, name, value)
    return configuration


def look(name, call, seconds, requests):
    asked.clear()
    begin = time.monotonic()
    try:
        call()
    except (urllib3.exceptions.HTTPError, asyncio.TimeoutError, TimeoutError) as error:
        took = time.monotonic() - begin
        print(f"{name}: {type(error).__name__} after {took:.1f} s, {len(asked)} requests")
        assert (round(took), len(asked)) == (seconds, requests), (seconds, requests)
    else:
        raise AssertionError(name)


async def by_aio():
    async with kubernetes.aio.client.ApiClient(configured(kubernetes.aio.client.Configuration())) as api:
        await kubernetes.aio.client.CoreV1Api(api).list_node(_request_timeout=SECONDS)


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
api = client.CoreV1Api(client.ApiClient(configured(client.Configuration())))
node = {"metadata": {"name": "node-1"}}
look("list", lambda: api.list_node(_request_timeout=SECONDS), 8, 4)
look("delete", lambda: api.delete_node("node-1", _request_timeout=SECONDS), 8, 4)
look("put", lambda: api.replace_node("node-1", node, _request_timeout=SECONDS), 8, 4)
look("post", lambda: api.create_node(node, _request_timeout=SECONDS), 2, 1)
look("patch", lambda: api.patch_node("node-1", node, _request_timeout=SECONDS), 2, 1)
with contextlib.suppress(asyncio.TimeoutError):
    asyncio.run(by_aio())  # the first time it imports for seconds
look("list, kubernetes.aio", lambda: asyncio.run(by_aio()), 2, 1)
once = client.CoreV1Api(client.ApiClient(configured(client.Configuration(), retries=False)))
look("list, retries=False", lambda: once.list_node(_request_timeout=SECONDS), 2, 1)
PYTHON
env -u HTTP_PROXY -u http_proxy -u ALL_PROXY -u all_proxy venv/bin/python ask.py 2>warnings.txt
