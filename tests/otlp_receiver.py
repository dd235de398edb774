"""A collector for tests: takes OTLP by http/protobuf or grpc on a real socket and decodes it.

Behaves as told: answers, takes a part, refuses with a status, is slow, or hangs. `with` closes
everything.
"""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator


@dataclass
class Received:
    """What came in, in order, and how the receiver behaves (may be changed while it runs)."""

    metrics: list[metrics_service_pb2.ExportMetricsServiceRequest] = field(default_factory=list)
    traces: list[trace_service_pb2.ExportTraceServiceRequest] = field(default_factory=list)
    logs: list[logs_service_pb2.ExportLogsServiceRequest] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    refused: int = 0
    endpoint: str = ""
    status: int = 200
    """Of http; for grpc anything but 200 is UNAVAILABLE (503), RESOURCE_EXHAUSTED
    (429) or PERMISSION_DENIED."""
    rejected: int = 0
    """In the answer's partial_success; what came is kept all the same."""
    message: str = ""
    """The answer's error_message."""
    answer_status: int = 200
    """Of http, where it takes what comes."""
    close_after_answer: bool = False
    """Of http: without a word of it before."""
    peers: list[tuple[str, int]] = field(default_factory=list)
    """Of http: where each request came from."""
    body: bytes | None = None
    """Of http: instead of the answer that is due."""
    answer_headers: dict[str, str] = field(default_factory=dict)
    """Of http: over those that are due; of grpc: trailing metadata where it refuses."""
    release: threading.Event = field(default_factory=threading.Event)
    """Answers wait for it; set unless the test hangs the receiver."""
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self.release.set()

    def take(self, kind: str, body: bytes, headers: dict[str, str], path: str) -> bool:
        self.release.wait(30)
        with self._changed:
            good = self.status == 200
            self.headers.append(headers)
            self.paths.append(path)
            if not good:
                self.refused += 1
            elif kind == "metrics":
                request = metrics_service_pb2.ExportMetricsServiceRequest()
                request.ParseFromString(body)
                self.metrics.append(request)
            elif kind == "logs":
                records = logs_service_pb2.ExportLogsServiceRequest()
                records.ParseFromString(body)
                self.logs.append(records)
            else:
                spans = trace_service_pb2.ExportTraceServiceRequest()
                spans.ParseFromString(body)
                self.traces.append(spans)
            self._changed.notify_all()
        return good

    def wait_for(self, condition: Callable[[], bool], seconds: float = 10.0) -> bool:
        """Wait until ``condition`` holds, looked at whenever something came in."""
        with self._changed:
            return self._changed.wait_for(condition, seconds)

    def answer(self, kind: str) -> Any:
        """The answer that is due, as a message."""
        response: Any
        if kind == "metrics":
            response = metrics_service_pb2.ExportMetricsServiceResponse()
            response.partial_success.rejected_data_points = self.rejected
        elif kind == "logs":
            response = logs_service_pb2.ExportLogsServiceResponse()
            response.partial_success.rejected_log_records = self.rejected
        else:
            response = trace_service_pb2.ExportTraceServiceResponse()
            response.partial_success.rejected_spans = self.rejected
        response.partial_success.error_message = self.message
        if not (self.rejected or self.message):
            response.ClearField("partial_success")
        return response

    # --- views of what came in

    def spans(self) -> list[Any]:
        return [
            span
            for request in list(self.traces)
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def log_records(self) -> list[Any]:
        return [
            record
            for request in list(self.logs)
            for resource in request.resource_logs
            for scope in resource.scope_logs
            for record in scope.log_records
        ]

    def points(self, name: str) -> list[tuple[Any, Any]]:
        """(metric, point) of every point of that metric, oldest first."""
        return [
            (metric, point)
            for request in list(self.metrics)
            for resource in request.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in getattr(metric, metric.WhichOneof("data")).data_points
        ]


def attributes(item: Any) -> dict[str, Any]:
    """A protobuf item's attributes as a dict."""
    return {
        pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in item.attributes
    }


@contextmanager
def http_receiver(
    *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1", port: int = 0
) -> Iterator[Received]:
    """OTLP http/protobuf; ``endpoint`` is the base URL."""
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 10

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            ending = self.path.rpartition("/")[2]
            kind = ending if ending in ("metrics", "logs") else "traces"
            headers = {name.lower(): value for name, value in self.headers.items()}
            good = received.take(kind, body, headers, self.path)
            answer = received.answer(kind).SerializeToString() if good else b""
            answer = answer if received.body is None else received.body
            due = {"Content-Length": str(len(answer)), "Content-Type": "application/x-protobuf"}
            received.peers.append(self.client_address)
            self.send_response(received.answer_status if good else received.status)
            for name, value in (due | received.answer_headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)
            self.close_connection |= received.close_after_answer

        def log_message(self, *_arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass  # a client that gave up is what some tests want

    server = Server((host, port), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    scheme = "https" if tls else "http"
    received.endpoint = f"{scheme}://{host}:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield received
    finally:
        received.release.set()
        server.shutdown()
        server.server_close()
        thread.join(5)


@contextmanager
def grpc_receiver(
    *,
    key_and_chain: tuple[bytes, bytes] | None = None,
    client_ca: bytes | None = None,
    compression: grpc.Compression | None = None,
) -> Iterator[Received]:
    """OTLP grpc; ``endpoint`` is http(s)://...:port. ``client_ca``: clients show theirs."""
    received = Received()

    def answer(kind: str, request: Any, context: grpc.ServicerContext) -> Any:
        headers = {pair.key: str(pair.value) for pair in context.invocation_metadata()}
        if not received.take(kind, request.SerializeToString(), headers, kind):
            code = {503: grpc.StatusCode.UNAVAILABLE, 429: grpc.StatusCode.RESOURCE_EXHAUSTED}.get(
                received.status, grpc.StatusCode.PERMISSION_DENIED
            )
            context.set_trailing_metadata(tuple(received.answer_headers.items()))
            context.abort(code, received.message or "refused by the test")
        return received.answer(kind)

    class Metrics(metrics_service_pb2_grpc.MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
            return answer("metrics", request, context)

    class Traces(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
            return answer("traces", request, context)

    class Logs(logs_service_pb2_grpc.LogsServiceServicer):
        def Export(self, request: Any, context: Any) -> Any:  # noqa: N802 - the service's name
            return answer("logs", request, context)

    server = grpc.server(ThreadPoolExecutor(4), compression=compression)
    metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(Metrics(), server)
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Traces(), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(Logs(), server)
    if key_and_chain is None:
        port = server.add_insecure_port("127.0.0.1:0")
        received.endpoint = f"http://127.0.0.1:{port}"
    else:
        credentials = grpc.ssl_server_credentials(
            [key_and_chain], client_ca, require_client_auth=client_ca is not None
        )
        port = server.add_secure_port("127.0.0.1:0", credentials)
        received.endpoint = f"https://localhost:{port}"
    server.start()
    try:
        yield received
    finally:
        received.release.set()
        server.stop(0).wait(5)
