"""A stand-in for an API server: real TLS and HTTP on loopback, list and watch, and faults.

Serves pods, nodes and EndpointSlices to the requests that discovery makes (selectors,
resourceVersion, bookmarks, 410) and whatever is put into ``faults``. Compared with the real one in
tests/e2e.
"""

from __future__ import annotations

import copy
import gzip
import itertools
import json
import ssl
import threading
from collections import defaultdict, deque
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import trustme

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

Object = dict[str, Any]
RESOURCES = {"Pod": "pods", "EndpointSlice": "endpointslices", "Node": "nodes"}
FIELDS = ("metadata", "spec", "status", "addressType", "endpoints", "ports")


class StandIn:
    """The state of the little cluster. ``put`` and ``delete`` make watch events."""

    def __init__(self, directory: Path) -> None:
        authority = trustme.CA()
        self.ca_file = directory / "ca.crt"
        self.token_file = directory / "token"
        authority.cert_pem.write_to_path(str(self.ca_file))
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(self._tls)
        self.tokens = {"good"}
        self.token_file.write_text("good")
        self.changed = threading.Condition()
        self.objects: dict[str, dict[str, Object]] = {one: {} for one in RESOURCES.values()}
        self.log: list[tuple[int, str, Object | None, Object | None]] = []
        self.version = 100
        self.oldest = 0
        self.requests: deque[str] = deque(maxlen=1000)
        """VERB RESOURCE, such as "watch pods"."""
        self.queries: deque[dict[str, str]] = deque(maxlen=1000)
        self.faults: dict[str, deque[Callable[[Handler], None]]] = defaultdict(deque)
        """By VERB RESOURCE: taken one a request, before it is served."""
        self.always: dict[str, Callable[[Handler], None]] = {}
        self.cuts = 0
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self.port = 0
        self._uids = itertools.count()

    def start(self) -> None:
        self._server = Server(("127.0.0.1", self.port), self, self._tls)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def stop(self) -> None:
        """Refuse connections and end all watches, as a restart would."""
        if self._server is not None:
            self._server.stopping = True
            self.cut_watches()
            self._server.shutdown()
            self._server.end_all()
            self._server.server_close()
            assert self._thread is not None
            self._thread.join()
            self._server = None

    def put(self, *objects: Object) -> None:
        for one in objects:
            resource = RESOURCES[one["kind"]]
            name = one["metadata"]["name"]
            with self.changed:
                old = self.objects[resource].get(name)
                new = copy.deepcopy(one)
                self.version += 1
                uid = old["metadata"]["uid"] if old else f"uid-{next(self._uids)}"
                new["metadata"] |= {"resourceVersion": str(self.version), "uid": uid}
                self.objects[resource][name] = new
                self.log.append((self.version, resource, old, new))
                self.changed.notify_all()

    def delete(self, resource: str, name: str) -> None:
        with self.changed:
            self.version += 1
            old = self.objects[resource].pop(name)
            self.log.append((self.version, resource, old, None))
            self.changed.notify_all()

    def forget_history(self) -> None:
        """Make every resource version so far too old to watch from."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.log.clear()
        self.cut_watches()

    def cut_watches(self) -> None:
        with self.changed:
            self.cuts += 1
            self.changed.notify_all()

    def count(self, request: str) -> int:
        return sum(one == request for one in self.requests)


class Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = True
    request_queue_size = 100

    def __init__(self, address: tuple[str, int], state: StandIn, tls: ssl.SSLContext) -> None:
        super().__init__(address, Handler)
        self.state = state
        self.stopping = False
        self._tls = tls
        self._connections: set[Any] = set()

    def get_request(self) -> Any:
        connection, address = super().get_request()
        wrapped = self._tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        self._connections.add(wrapped)
        return wrapped, address

    def end_all(self) -> None:
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(2)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        with suppress(OSError, ValueError):
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients leave as they like."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Say nothing."""

    def do_GET(self) -> None:
        state = self.server.state
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        parts = url.path.strip("/").split("/")
        name = None
        resource = next((one for one in RESOURCES.values() if one in parts), "nodes")
        if parts[-1] != resource:
            name = parts[-1]
        verb = "watch" if "watch" in self.query else "get" if name else "list"
        if "proxy" in parts:
            verb, name = "proxy", parts[parts.index(resource) + 1]
        if "limit" in self.query:
            verb = "count"
        asked = f"{verb} {resource}"
        state.requests.append(asked)
        state.queries.append(self.query | {"path": url.path})
        scheme, _, token = self.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in state.tokens:
            self.refuse(401)
            return
        if state.faults[asked]:
            state.faults[asked].popleft()(self)
            return
        if asked in state.always:
            state.always[asked](self)
            return
        if verb in ("get", "proxy"):
            one = state.objects[resource].get(name or "")
            self.answer(one) if one else self.refuse(404)
        elif verb == "watch":
            self.watch(resource)
        else:
            self.list(resource)

    def list(self, resource: str) -> None:
        state = self.server.state
        with state.changed:
            items = [one for one in state.objects[resource].values() if self.matches(one)]
            version = str(state.version)
        metadata: Object = {"resourceVersion": version}
        if "as=Table;" in self.headers.get("accept", ""):
            self.answer(a_table(items, metadata))
            return
        if "limit" in self.query:
            metadata["remainingItemCount"] = max(0, len(items) - 1)
            items = items[:1]
        kind = next(kind for kind, of in RESOURCES.items() if of == resource) + "List"
        # As the real one: no kind in an item, metadata first.
        items = [{key: one[key] for key in FIELDS if key in one} for one in items]
        self.answer({"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items})

    def watch(self, resource: str) -> None:
        state = self.server.state
        at = int(self.query["resourceVersion"])
        cuts = state.cuts
        self.start_stream()
        with suppress(OSError):
            if at < state.oldest:
                self.send_event("ERROR", {"kind": "Status", "code": 410, "reason": "Expired"})
            while at >= state.oldest:
                with state.changed:
                    while (
                        state.cuts == cuts
                        and not self.server.stopping
                        and not any(one[0] > at for one in state.log)
                    ):
                        state.changed.wait(5)
                    events = [one for one in state.log if one[0] > at]
                    if state.cuts != cuts or self.server.stopping:
                        break
                    at = max([at, *(one[0] for one in events)])
                for version, of, old, new in events:
                    if of == resource:
                        self.send_change(version, old, new)
            self.end_stream()

    def send_change(self, version: int, old: Object | None, new: Object | None) -> None:
        was = old is not None and self.matches(old)
        now = new is not None and self.matches(new)
        if now:
            self.send_event("MODIFIED" if was else "ADDED", new)
        elif was:
            assert old is not None
            last = copy.deepcopy(new or old)
            last["metadata"]["resourceVersion"] = str(version)
            self.send_event("DELETED", last)

    def matches(self, one: Object) -> bool:
        labels = one["metadata"].get("labels", {})
        for requirement in filter(None, self.query.get("labelSelector", "").split(",")):
            key, _, value = requirement.partition("=")
            if labels.get(key) != value:
                return False
        fields = {
            "metadata.name": one["metadata"]["name"],
            "status.phase": one.get("status", {}).get("phase", ""),
            "status.podIP": one.get("status", {}).get("podIP", ""),
            "spec.unschedulable": str(one.get("spec", {}).get("unschedulable", False)).lower(),
        }
        for requirement in filter(None, self.query.get("fieldSelector", "").split(",")):
            key, operator, value = requirement.partition("!=" if "!=" in requirement else "=")
            if (fields[key] == value) != (operator == "="):
                return False
        return True

    # --- answers --------------------------------------------------------------------------------

    def answer(self, content: object, status: int = 200) -> None:
        self.answer_bytes(json.dumps(content, separators=(",", ":")).encode() + b"\n", status)

    def answer_bytes(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        if self.headers.get("accept-encoding") == "gzip" and status == 200:
            body = gzip.compress(body, 1)
            self.send_header("content-encoding", "gzip")
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def refuse(self, status: int, **headers: str) -> None:
        body = json.dumps({"kind": "Status", "code": status, "reason": "No"}).encode()
        self.answer_bytes(body, status, **headers)

    def start_stream(self) -> None:
        self.send_response(200)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def send_event(self, kind: str, one: Object | None) -> None:
        self.send_chunk(json.dumps({"type": kind, "object": one}).encode() + b"\n")

    def send_chunk(self, content: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
        self.wfile.flush()

    def end_stream(self) -> None:
        self.wfile.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(2)


COLUMNS = ("Name", "Ready", "Status", "Restarts", "Age", "IP", "Node")


def a_table(pods: list[Object], metadata: Object) -> Object:
    """Pods as `kubectl get pods -o wide` shows them."""
    rows = []
    for pod in pods:
        terminating = "deletionTimestamp" in pod["metadata"]
        status = "Terminating" if terminating else pod["status"]["phase"]
        address = pod["status"].get("podIP") or "<none>"
        cells = [pod["metadata"]["name"], "1/1", status, 0, "5d", address, pod["spec"]["nodeName"]]
        rows.append({"cells": cells, "object": None})
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [{"name": name, "type": "string"} for name in COLUMNS],
        "rows": rows,
    }


@contextmanager
def stand_in(directory: Path) -> Iterator[StandIn]:
    server = StandIn(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()
