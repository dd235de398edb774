"""(a), the whole agent: what its spans say against what the wire saw.

The agent runs in one namespace with every trace exported, its targets and the OTLP receiver in
the other; a capture of the agent's device is the truth.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import trustme
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from bench import wire
from bench.accuracy import Pair, errors_us, truth_seconds
from bench.agent import FAR_PORT, SINK_PORT, TLS_PORT, Place, agent, base_environment, neighbours
from bench.network import NEEDED, BenchError, Network, busy, require
from bench.tables import Table, number, quantile
from kubenurse_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PATHS: Final = 10
FIGURES: Final = {
    "connect": semconv.PHASE_CONNECT,
    "tls": semconv.PHASE_TLS,
    "network_round_trip": semconv.NETWORK_ROUND_TRIP,
    "request": semconv.PHASE_REQUEST,
}
_INTERVAL: Final = "500ms"


def measure(*, seconds: float) -> Table:
    require(*NEEDED)
    table = Table(
        f"The whole agent: {PATHS} paths, service, ingress (TLS) every {_INTERVAL}; error against "
        "the wire (microseconds)",
        ("case, figure", "checks", "wire p50", "error p50", "p99", "max"),
    )
    for loaded in (False, True):
        with Network(servers=PATHS) as network, _place(network) as where:
            pairs = _pairs(where, seconds, loaded=loaded)
        for figure in FIGURES:
            errors = errors_us(pairs, "span", figure)
            true = [t for p in pairs if (t := truth_seconds(p.exchange, figure)) is not None]
            if errors:
                table.rows.append(
                    (
                        f"{'busy' if loaded else 'idle'}: {figure.replace('_', ' ')}",
                        number(len(errors)),
                        number(quantile(true, 0.5) * 1e6),
                        *(number(quantile(errors, q)) for q in (0.5, 0.99, 1.0)),
                    )
                )
        by_user = sum(p.reported["source"] != "kernel" for p in pairs)
        if by_user:
            table.notes.append(f"{by_user} of {len(pairs)} were not timed by the kernel.")
    return table


@contextlib.contextmanager
def _place(network: Network) -> Iterator[Place]:
    with tempfile.TemporaryDirectory(prefix="kbench-") as name:
        directory = Path(name)
        (directory / "traces").mkdir()
        ca = trustme.CA()
        ca.cert_pem.write_to_path(directory / "ca.pem")
        issued = ca.issue_cert(network.server_address, key_type=trustme.KeyType.RSA)
        issued.private_key_and_cert_chain_pem.write_to_path(directory / "server.pem")
        (directory / "neighbours.json").write_text(neighbours(network.server_addresses))
        address = network.server_address
        far = network.start(
            network.b,
            [
                *(sys.executable, "-m", "bench.server"),
                *("--bind", *network.server_addresses, "--port", str(FAR_PORT)),
                *("--bind-tls", address, "--tls-port", str(TLS_PORT)),
                *("--certificate", str(directory / "server.pem")),
                *("--sink", f"{address}:{SINK_PORT}", "--keep", str(directory / "traces")),
            ],
        )
        assert far.stdout is not None
        if not far.stdout.readline():
            raise BenchError("the far ends did not start")
        environment = base_environment(directory) | {
            "KUBENURSE_INGRESS_URL": f"https://{address}:{TLS_PORT}",
            "KUBENURSE_SERVICE_URL": f"http://{address}:{FAR_PORT}",
            "KUBENURSE_CHECK_API_SERVER_DIRECT": "false",
            "KUBENURSE_CHECK_API_SERVER_DNS": "false",
            "KUBENURSE_CHECK_INTERVAL": _INTERVAL,
            "KUBENURSE_TRACE_RATIO": "1",
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"http://{address}:{SINK_PORT}/v1/traces",
            "OTEL_BSP_SCHEDULE_DELAY": "1000",
        }
        yield Place(network, network.a, network.client_address, directory, environment)


def _pairs(where: Place, seconds: float, *, loaded: bool) -> list[Pair]:
    network = where.network
    load = busy(2, at_most_seconds=seconds + 60) if loaded else contextlib.nullcontext()
    with network.capture() as segments, load, agent(where):
        time.sleep(seconds)
    exchanges = [
        exchange
        for port in (FAR_PORT, TLS_PORT)
        for exchange in wire.exchanges(segments, server_port=port)
    ]
    pairs: list[Pair] = []
    for span in client_spans(sorted((where.directory / "traces").iterdir())):
        said = _said(span)
        found = [
            e
            for e in exchanges
            if e.server == said["peer"]
            and span.start_time_unix_nano <= e.started_ns <= span.end_time_unix_nano
        ]
        if len(found) == 1:  # two at once to one address: whose is whose, nothing tells
            pairs.append(Pair(said, found[0]))
    if not pairs:
        raise BenchError("no span was found on the wire")
    return pairs


def client_spans(files: Sequence[Path]) -> Iterator[Span]:
    """The CLIENT spans in the bodies of OTLP requests."""
    for file in files:
        request = ExportTraceServiceRequest.FromString(file.read_bytes())
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                yield from (s for s in scope.spans if s.kind == Span.SPAN_KIND_CLIENT)


def _said(span: Span) -> dict[str, Any]:
    values = {a.key: a.value for a in span.attributes}
    figures = {
        figure: values[name].double_value for figure, name in FIGURES.items() if name in values
    }
    source = values.get(semconv.TIMING_SOURCE)
    peer = values.get(semconv.NETWORK_PEER_ADDRESS)
    return {
        "span": figures,
        "source": source.string_value if source is not None else "",
        "peer": peer.string_value if peer is not None else "",
    }
