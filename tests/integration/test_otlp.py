"""OTLP over real sockets: what a collector receives, and what a bad one does to us (nothing)."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import otlp_receiver
import otlp_telemetry
import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context
from otlp_receiver import Received
from otlp_telemetry import a_trace, exports, push
from servers.certificates import write_pair
from verification.forms import FORMS
from verification.showing import server_context
from waiting import wait_until

from kubenurse_otel import semconv
from kubenurse_otel.config import Config, OtlpConfig, OtlpProtocol, TelemetryConfig, Temporality
from kubenurse_otel.telemetry.providers import Telemetry

if TYPE_CHECKING:
    from pathlib import Path

    from servers import Certificates

DELTA, CUMULATIVE = 1, 2
DURATION = semconv.HTTPCLIENT_REQUEST_DURATION
MISSED = semconv.MISSED_CHECKS
RECEIVERS = {
    OtlpProtocol.HTTP_PROTOBUF: otlp_receiver.http_receiver,
    OtlpProtocol.GRPC: otlp_receiver.grpc_receiver,
}
START = Callable[..., Telemetry]


@pytest.fixture
def start() -> Iterator[START]:
    started: list[Telemetry] = []

    def start_one(*, gauges: Any = None, **fields: Any) -> Telemetry:
        fields = {"metric_interval_seconds": 600.0, "bsp_delay_seconds": 0.0} | fields
        telemetry = Telemetry.start(
            Config(telemetry=TelemetryConfig(**fields)), gauges=gauges or {}
        )
        started.append(telemetry)
        return telemetry

    yield start_one
    for telemetry in started:
        telemetry.shutdown(1.0)


@pytest.fixture(params=list(RECEIVERS), ids=str)
def protocol(request: pytest.FixtureRequest) -> OtlpProtocol:
    return request.param


class AtRoot(logging.Handler):
    """What reaches the root logger, as a process's own handler would see it."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def at_root() -> Iterator[AtRoot]:
    handler = AtRoot()
    logging.getLogger().addHandler(handler)
    yield handler
    logging.getLogger().removeHandler(handler)


def otlp(received: Received, protocol: OtlpProtocol, signal: str, **options: Any) -> OtlpConfig:
    return otlp_telemetry.otlp(received.endpoint, protocol, signal, **options)


def in_trace(trace_id: int) -> Any:
    context = SpanContext(trace_id, 7, is_remote=False, trace_flags=TraceFlags(1))
    return set_span_in_context(NonRecordingSpan(context))


def dropped(telemetry: Telemetry) -> dict[str, float]:
    telemetry._collection.collect_now()
    family = telemetry._store.families[semconv.SPANS_DROPPED.name]
    return {key[0]: series.value for key, series in family.series.items()}


def test_cumulative_metrics_arrive_with_their_start_times(
    start: START, protocol: OtlpProtocol
) -> None:
    """Sums, histograms and gauges arrive typed, labelled, with units, one start time a series."""
    with RECEIVERS[protocol]() as received:
        began_ns = time.time_ns()
        telemetry = start(
            otlp_metrics=otlp(received, protocol, "metrics"),
            gauges={semconv.CHECK_SUCCESS: lambda: [(1, ("path_a",))]},
            resource_attributes=(("service.name", "mine"),),
        )
        for count in (1, 2):
            telemetry.instruments.add(MISSED, 1, {"type": "path_a"})
            telemetry.instruments.record(DURATION, 0.2, {"type": "path_a"})
            push(telemetry)
            metric, point = received.points(MISSED.name)[-1]
            assert (count, CUMULATIVE, True) == (
                point.as_int,
                metric.sum.aggregation_temporality,
                metric.sum.is_monotonic,
            )
            assert otlp_receiver.attributes(point) == {"type": "path_a"}
            metric, point = received.points(DURATION.name)[-1]
            assert (metric.unit, metric.histogram.aggregation_temporality) == ("s", CUMULATIVE)
            assert DURATION.help == metric.description
            assert (count, 12, list(DURATION.bounds)) == (
                point.count,
                len(point.bucket_counts),
                list(point.explicit_bounds),
            )
            assert count == point.bucket_counts[5]
            assert not point.HasField("min")
        first, second = (point for _metric, point in received.points(DURATION.name))
        assert began_ns <= first.start_time_unix_nano <= first.time_unix_nano
        assert first.start_time_unix_nano == second.start_time_unix_nano
        assert first.time_unix_nano < second.time_unix_nano
        metric, point = received.points(semconv.CHECK_SUCCESS.name)[-1]
        assert (metric.WhichOneof("data"), point.as_int) == ("gauge", 1)
        metric, point = received.points(semconv.PROCESS_CPU.name)[-1]
        assert metric.sum.is_monotonic
        sender = received.metrics[0].resource_metrics[0]
        assert otlp_receiver.attributes(sender.resource)["service.name"] == "mine"
        assert {one.schema_url for one in (sender, *sender.scope_metrics)} == {semconv.SCHEMA_URL}
        assert "s" not in {m.unit for m, _p in received.points(semconv.CHECK_SUCCESS.name)}


@pytest.mark.parametrize(
    ("temporality", "of_observable"),
    [(Temporality.DELTA, DELTA), (Temporality.LOW_MEMORY, CUMULATIVE)],
)
def test_deltas_follow_one_another(
    start: START, protocol: OtlpProtocol, temporality: Temporality, of_observable: int
) -> None:
    """Each delta starts where the one before ended; idle series send none."""
    with RECEIVERS[protocol]() as received:
        telemetry = start(otlp_metrics=otlp(received, protocol, "metrics"), temporality=temporality)
        for count in (3, 4, 0, 5):
            if count:
                telemetry.instruments.add(MISSED, count, {"type": "path_a"})
                telemetry.instruments.record(DURATION, count, {"type": "path_a"})
            push(telemetry)
        metrics, points = zip(*received.points(MISSED.name), strict=True)
        assert [point.as_int for point in points] == [3, 4, 5]
        assert {DELTA} == {metric.sum.aggregation_temporality for metric in metrics}
        assert points[0].time_unix_nano == points[1].start_time_unix_nano
        assert points[1].time_unix_nano <= points[2].start_time_unix_nano
        assert all(point.start_time_unix_nano < point.time_unix_nano for point in points)
        histograms = [point for _metric, point in received.points(DURATION.name)]
        assert [(p.count, p.sum) for p in histograms] == [(1, 3.0), (1, 4.0), (1, 5.0)]
        metric, _point = received.points(semconv.PROCESS_CPU.name)[-1]
        assert of_observable == metric.sum.aggregation_temporality


def test_a_delta_that_was_not_delivered_is_in_the_next(start: START) -> None:
    """A refusing collector costs no count: the next delta covers the whole time."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            temporality=Temporality.DELTA,
        )
        telemetry.instruments.add(MISSED, 1, {"type": "x"})
        push(telemetry)
        received.status = 400
        telemetry.instruments.add(MISSED, 2, {"type": "x"})
        push(telemetry)
        received.status = 200
        telemetry.instruments.add(MISSED, 4, {"type": "x"})
        push(telemetry)
        first, second = (point for _metric, point in received.points(MISSED.name))
        assert (first.as_int, second.as_int) == (1, 6)
        assert first.time_unix_nano == second.start_time_unix_nano


def test_deltas_of_forgotten_and_idle_series_cost_nothing(start: START) -> None:
    """What was sent of a forgotten series is forgotten too; a batch of idle series is not sent."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            temporality=Temporality.DELTA,
            series_ttl_seconds=1.0,
        )
        telemetry.retain(frozenset(str(number) for number in range(200)))
        for number in range(300):
            telemetry.instruments.add(MISSED, 1, {"type": str(number)})
        push(telemetry)
        requests = len(received.metrics)

        def forgotten() -> bool:
            telemetry._collection.collect_now()
            return len(telemetry._store.families[MISSED.name].series) == 200

        wait_until(forgotten)
        push(telemetry)
        assert len(received.points(MISSED.name)) == 300
        assert len(received.metrics) - requests < 3
        of_missed = [
            s for s in telemetry._pushes[0]._points._sent if s.label_values[:1] == ("250",)
        ]
        assert of_missed == []


def test_a_series_that_came_back_has_a_later_start(start: START) -> None:
    """After expiry the new series starts after the old one's end, and so is no reset."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            series_ttl_seconds=1.0,
        )
        telemetry.instruments.add(MISSED, 9, {"type": "gone"})
        push(telemetry)

        def forgotten() -> bool:
            telemetry._collection.collect_now()
            return not telemetry._store.families[MISSED.name].series

        wait_until(forgotten)
        push(telemetry)
        assert len(received.points(MISSED.name)) == 1
        telemetry.instruments.add(MISSED, 1, {"type": "gone"})
        push(telemetry)
        before, after = (point for _metric, point in received.points(MISSED.name))
        assert (before.as_int, after.as_int) == (9, 1)
        assert after.start_time_unix_nano > before.time_unix_nano


def test_a_clock_that_is_set_back_repeats_no_time(
    start: START, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For every series each round is later than the one before, by the time that went by."""
    ahead_ns = 0

    def wall_clock_ns() -> int:
        return time.clock_gettime_ns(time.CLOCK_REALTIME) + ahead_ns

    monkeypatch.setattr(time, "time_ns", wall_clock_ns)
    with otlp_receiver.http_receiver() as received:
        telemetry = start(
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            gauges={semconv.CHECK_SUCCESS: lambda: [(1, ("path_a",))]},
        )
        rounds: list[float] = []
        for number in range(4):
            telemetry.instruments.add(MISSED, 1, {"type": "path_a"})
            telemetry.instruments.add(MISSED, 1, {"type": f"path_{number}"})
            push(telemetry)
            rounds.append(time.monotonic())
            time.sleep(0.05)
            ahead_ns = -60_000_000_000
        for metric in (MISSED, semconv.CHECK_SUCCESS, semconv.PROCESS_CPU):
            sent: dict[str, list[int]] = {}
            for _metric, point in received.points(metric.name):
                assert point.start_time_unix_nano <= point.time_unix_nano
                key = str(otlp_receiver.attributes(point))
                sent.setdefault(key, []).append(point.time_unix_nano // 1_000_000)
            assert max(map(len, sent.values())) == 4
            for times in sent.values():
                assert times == sorted(set(times))
                assert times[-1] - times[0] <= (rounds[-1] - rounds[0]) * 1e3 + 10_000


def test_each_exemplar_is_sent_once(start: START, protocol: OtlpProtocol) -> None:
    """OTLP carries an exemplar in one export; one that was not delivered is sent again."""
    with RECEIVERS[protocol]() as received:
        telemetry = start(
            otlp_metrics=otlp(received, protocol, "metrics"),
            otlp_traces=otlp(received, protocol, "traces"),
        )
        telemetry.instruments.record(DURATION, 0.2, {"type": "x"}, in_trace(0xABC))
        received.status = 400
        push(telemetry)
        received.status = 200
        for _ in range(2):
            push(telemetry)
        telemetry.instruments.record(DURATION, 0.22, {"type": "x"}, in_trace(0xDEF))
        push(telemetry)
        sent = [
            [(int.from_bytes(e.trace_id), e.as_double) for e in point.exemplars]
            for _metric, point in received.points(DURATION.name)
        ]
        assert sent == [[(0xABC, 0.2)], [], [(0xDEF, 0.22)]]


def test_traces_arrive_whole(start: START, protocol: OtlpProtocol) -> None:
    """Spans arrive with parent, attributes, events and resource."""
    with RECEIVERS[protocol]() as received:
        telemetry = start(otlp_traces=otlp(received, protocol, "traces"))
        assert telemetry.exports_traces
        assert telemetry.offer(a_trace(telemetry))
        assert received.wait_for(lambda: len(received.spans()) == 2)
        client, root = received.spans()
        assert (client.name, root.name) == ("GET", "check path")
        assert client.parent_span_id == root.span_id
        assert otlp_receiver.attributes(client)[semconv.TYPE] == "path_node-1"
        assert client.events[0].name == semconv.EVENT_GOT_CONN
        wait_until(lambda: exports(telemetry) == {("traces", "success"): 1})


def test_headers_gzip_and_tls(
    start: START, protocol: OtlpProtocol, certificates: Certificates, tmp_path: Path
) -> None:
    """The configured CA vouches, our certificate is shown, headers are sent, bodies compressed."""
    leaf, client = certificates.leaf(), certificates.leaf()
    certificate, key = write_pair(client, tmp_path)
    with contextlib.ExitStack() as stack:
        if protocol is OtlpProtocol.HTTP_PROTOBUF:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf.configure_cert(context)
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(certificates.ca_file)
            received = stack.enter_context(otlp_receiver.http_receiver(tls=context))
        else:
            chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
            received = stack.enter_context(
                otlp_receiver.grpc_receiver(
                    key_and_chain=(leaf.private_key_pem.bytes(), chain),
                    client_ca=certificates.ca_file.read_bytes(),
                )
            )
        telemetry = start(
            otlp_traces=otlp(
                received,
                protocol,
                "traces",
                certificate=certificates.ca_file,
                client_key=key,
                client_certificate=certificate,
                gzip=True,
                headers=(("X-Tenant", "blue"),),
            )
        )
        telemetry.offer(a_trace(telemetry))
        assert received.wait_for(lambda: len(received.spans()) == 2)
        assert received.headers[0]["x-tenant"] == "blue"
        if protocol is OtlpProtocol.HTTP_PROTOBUF:
            assert received.headers[0]["content-encoding"] == "gzip"
            assert received.paths == ["/v1/traces"]


def test_an_intermediate_alone_vouches_for_a_collector(
    start: START, protocol: OtlpProtocol, tmp_path: Path
) -> None:
    """Of a CA file any certificate is an end of a chain, as for Go and curl."""
    form = FORMS["intermediate alone, IP address"]()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(form.ca_file)
    with contextlib.ExitStack() as stack:
        if protocol is OtlpProtocol.HTTP_PROTOBUF:
            context = server_context(form, tmp_path)
            received = stack.enter_context(otlp_receiver.http_receiver(tls=context))
        else:
            pair = form.chain[0].key_pem, b"".join(one.pem for one in form.chain)
            received = stack.enter_context(otlp_receiver.grpc_receiver(key_and_chain=pair))
        telemetry = start(otlp_traces=otlp(received, protocol, "traces", certificate=ca_file))
        telemetry.offer(a_trace(telemetry))
        assert received.wait_for(lambda: len(received.spans()) == 2)


def test_the_systems_authorities_vouch_for_a_collector(
    start: START,
    protocol: OtlpProtocol,
    certificates: Certificates,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a file of its own an export trusts whom the system trusts, by HTTP and by gRPC."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.ca_file))
    leaf = certificates.leaf()
    with contextlib.ExitStack() as stack:
        if protocol is OtlpProtocol.HTTP_PROTOBUF:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            leaf.configure_cert(context)
            received = stack.enter_context(otlp_receiver.http_receiver(tls=context))
        else:
            pair = (
                leaf.private_key_pem.bytes(),
                b"".join(pem.bytes() for pem in leaf.cert_chain_pems),
            )
            received = stack.enter_context(otlp_receiver.grpc_receiver(key_and_chain=pair))
        telemetry = start(otlp_traces=otlp(received, protocol, "traces"))
        telemetry.offer(a_trace(telemetry))
        assert received.wait_for(lambda: len(received.spans()) == 2)


def test_a_certificate_and_key_in_one_file_will_do(
    start: START, certificates: Certificates, tmp_path: Path
) -> None:
    """Without a key file the client certificate's own file holds the key."""
    client, both = certificates.leaf(), tmp_path / "both.pem"
    client.private_key_and_cert_chain_pem.write_to_path(both)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.leaf().configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(certificates.ca_file)
    with otlp_receiver.http_receiver(tls=context) as received:
        telemetry = start(
            otlp_metrics=otlp(
                received,
                OtlpProtocol.HTTP_PROTOBUF,
                "metrics",
                certificate=certificates.ca_file,
                client_certificate=both,
            )
        )
        push(telemetry)
        assert received.metrics


def test_the_environment_changes_no_exporter(
    start: START, protocol: OtlpProtocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Proxies, endpoints, headers and timeouts of the environment are not ours to read here."""
    for name, value in {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:9",
        "OTEL_EXPORTER_OTLP_COMPRESSION": "deflate",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "0.0001",
    }.items():
        if not (protocol is OtlpProtocol.GRPC and "COMPRESSION" in name):
            monkeypatch.setenv(name, value)
    with RECEIVERS[protocol]() as received:
        telemetry = start(otlp_traces=otlp(received, protocol, "traces"))
        telemetry.offer(a_trace(telemetry))
        assert received.wait_for(lambda: len(received.spans()) == 2)
        assert "content-encoding" not in received.headers[0]


def test_a_certificate_of_strangers_is_not_believed(
    start: START, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the right CA nothing is sent, and the log says what is wrong."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.leaf().configure_cert(context)
    with otlp_receiver.http_receiver(tls=context) as received:
        telemetry = start(
            otlp_metrics=otlp(
                received,
                OtlpProtocol.HTTP_PROTOBUF,
                "metrics",
                certificate=certificates.stranger_ca_file,
                timeout_seconds=0.5,
            )
        )
        push(telemetry)
        assert received.metrics == []
        assert exports(telemetry) == {("metrics", "failure"): 1}
        assert "cannot export metrics" in caplog.text


def test_a_missing_certificate_file_is_looked_for_again(
    start: START,
    protocol: OtlpProtocol,
    certificates: Certificates,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The agent starts without the file, says so once, and exports when it is there."""
    missing = tmp_path / "ca.crt"
    with RECEIVERS[OtlpProtocol.HTTP_PROTOBUF]() as received:
        endpoint = received.endpoint.replace("http:", "https:")
        telemetry = start(
            otlp_metrics=OtlpConfig(
                endpoint=endpoint, protocol=protocol, certificate=missing, timeout_seconds=0.2
            )
        )
        push(telemetry)
        push(telemetry)
        assert exports(telemetry) == {("metrics", "failure"): 2}
        assert caplog.text.count("cannot export metrics") == 1
        assert str(missing) in caplog.text
        missing.write_bytes(certificates.ca_file.read_bytes())
        push(telemetry)  # the file is there now; that the far end speaks no TLS is another matter
        assert str(missing) not in caplog.text.rpartition("cannot export metrics")[2]


@contextlib.contextmanager
def silent_listener() -> Iterator[str]:
    """Accepts connections (in its backlog) and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    """An address where every connection is refused."""
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{reserved.getsockname()[1]}"


@contextlib.contextmanager
def refusing(status: int) -> Iterator[str]:
    with otlp_receiver.http_receiver() as received:
        received.status = status
        yield received.endpoint


@contextlib.contextmanager
def refusing_grpc() -> Iterator[str]:
    with otlp_receiver.grpc_receiver() as received:
        received.status = 503
        yield received.endpoint


BAD_COLLECTORS: dict[str, tuple[Any, OtlpProtocol]] = {
    "dead": (nobody, OtlpProtocol.HTTP_PROTOBUF),
    "silent": (silent_listener, OtlpProtocol.HTTP_PROTOBUF),
    "refusing": (lambda: refusing(403), OtlpProtocol.HTTP_PROTOBUF),
    "unavailable": (lambda: refusing(503), OtlpProtocol.HTTP_PROTOBUF),
    "dead grpc": (nobody, OtlpProtocol.GRPC),
    "silent grpc": (silent_listener, OtlpProtocol.GRPC),
    "refusing grpc": (refusing_grpc, OtlpProtocol.GRPC),
}


@pytest.mark.parametrize("kind", BAD_COLLECTORS)
def test_a_bad_collector_costs_bounded_memory_and_time(
    start: START, kind: str, caplog: pytest.LogCaptureFixture, at_root: AtRoot
) -> None:
    """Offers never wait, the queue is bounded, all is counted, logs are few, shutdown is short."""
    make, protocol = BAD_COLLECTORS[kind]
    timeout = 0.3 if kind.startswith("silent") else 10.0
    caplog.set_level(logging.WARNING)
    with make() as endpoint:
        path = "/v1/" if protocol is OtlpProtocol.HTTP_PROTOBUF else ""
        telemetry = start(
            otlp_traces=OtlpConfig(
                endpoint=f"{endpoint}{path and path + 'traces'}",
                protocol=protocol,
                timeout_seconds=timeout,
            ),
            otlp_metrics=OtlpConfig(
                endpoint=f"{endpoint}{path and path + 'metrics'}",
                protocol=protocol,
                timeout_seconds=timeout,
            ),
            metric_interval_seconds=0.1,
            bsp_queue_size=20,
            bsp_batch_size=4,
        )
        trace = a_trace(telemetry)
        offered = taken = 0
        for _ in range(500):
            offered += len(trace)
            taken += len(trace) * telemetry.offer(trace)
            assert telemetry._queues[0]._waiting <= 20
        assert taken < 100
        assert dropped(telemetry)["queue_full"] == offered - taken
        telemetry.instruments.add(MISSED, 1, {"type": "x"})

        def failed() -> bool:
            counted = exports(telemetry)
            return {("traces", "failure"), ("metrics", "failure")} <= counted.keys()

        wait_until(failed, seconds=20)
        assert f'{MISSED.name}{{type="x"}} 1' in telemetry.render().body.decode()
        before = time.monotonic()
        telemetry.shutdown(1.0)
        assert time.monotonic() - before < 10  # a bound that a hang would break, no speed
        for signal in ("traces", "metrics"):
            assert caplog.text.count(f"cannot export {signal}") == 1
        # no library has lines of its own, which would repeat at every failure
        assert {"kubenurse_otel.telemetry.delivery", "kubenurse_otel.telemetry.providers"} >= {
            record.name for record in at_root.records
        }
        assert len(at_root.records) <= 3


def test_a_collector_that_comes_back_gets_what_waits(
    start: START, caplog: pytest.LogCaptureFixture
) -> None:
    """The batch that failed is tried again, and the log says that it works again."""
    with otlp_receiver.http_receiver() as received:
        received.status = 503
        telemetry = start(otlp_traces=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "traces"))
        telemetry.offer(a_trace(telemetry))
        assert received.wait_for(lambda: received.refused > 0)
        received.status = 200
        assert received.wait_for(lambda: len(received.spans()) == 2)
        wait_until(lambda: ("traces", "success") in exports(telemetry))
        wait_until(lambda: "exporting traces to" in caplog.text)


def test_a_slow_collector_delays_nobody(start: START) -> None:
    """While an export hangs, records, offers and scrapes go on."""
    with otlp_receiver.http_receiver() as received:
        received.release.clear()
        telemetry = start(
            otlp_traces=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "traces"),
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            metric_interval_seconds=0.05,
        )
        telemetry.offer(a_trace(telemetry))
        telemetry.instruments.add(MISSED, 1, {"type": "x"})
        done = threading.Event()

        def work() -> None:
            for _ in range(100):
                telemetry.offer(a_trace(telemetry))
                telemetry.refresh()
            telemetry.render()
            done.set()

        worker = threading.Thread(target=work)
        worker.start()
        assert done.wait(10)
        worker.join()
        received.release.set()
        assert received.wait_for(lambda: len(received.spans()) > 20)


def test_shutdown_flushes_traces_and_metrics(start: START, protocol: OtlpProtocol) -> None:
    """What was recorded last arrives, though neither the delay nor the interval had passed."""
    with RECEIVERS[protocol]() as received:
        telemetry = start(
            otlp_traces=otlp(received, protocol, "traces"),
            otlp_metrics=otlp(received, protocol, "metrics"),
            bsp_delay_seconds=600.0,
        )
        telemetry.offer(a_trace(telemetry))
        telemetry.instruments.add(MISSED, 1, {"type": "x"})
        telemetry.shutdown(10.0)
        assert len(received.spans()) == 2
        assert received.points(MISSED.name)[-1][1].as_int == 1
        telemetry.shutdown(10.0)  # a second one does nothing


def test_a_telemetry_that_never_exported_is_gone_at_once(start: START, tmp_path: Path) -> None:
    """Shutdown does not need an exporter that could never be made."""
    missing = OtlpConfig(endpoint="https://127.0.0.1:9", certificate=tmp_path / "missing.crt")
    telemetry = start(otlp_traces=missing, otlp_metrics=missing)
    telemetry.shutdown(10.0)
    assert [part.thread.is_alive() for part in (*telemetry._queues, *telemetry._pushes)] == [
        False,
        False,
    ]
    for part in (*telemetry._queues, *telemetry._pushes):
        part.abandon()


def test_the_interval_is_kept(start: START) -> None:
    """Metrics go out each interval by themselves, with what the refresh collected."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            metric_interval_seconds=0.05,
        )
        telemetry.instruments.add(MISSED, 1, {"type": "x"})

        def came() -> bool:
            telemetry.refresh()
            return len(received.points(MISSED.name)) >= 3

        wait_until(came)


def test_a_round_is_bounded_in_time(start: START, caplog: pytest.LogCaptureFixture) -> None:
    """Past OTEL_METRIC_EXPORT_TIMEOUT the rest of a round is left to the next one."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"))
        telemetry._collection.collect_now()
        telemetry._pushes[0]._push(time.monotonic() - 1)
        assert received.metrics == []
        assert "a round took longer than" in caplog.text


def test_many_points_go_in_small_requests(start: START) -> None:
    """No request holds more than 64 points, and together they hold all."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"))
        for number in range(300):
            telemetry.instruments.add(MISSED, 1, {"type": str(number)})
        push(telemetry)
        assert {str(n) for n in range(300)} == {
            otlp_receiver.attributes(point)["type"] for _m, point in received.points(MISSED.name)
        }
        sizes = [
            sum(
                len(getattr(metric, metric.WhichOneof("data")).data_points)
                for metric in request.resource_metrics[0].scope_metrics[0].metrics
            )
            for request in received.metrics
        ]
        assert max(sizes) <= 64


def test_secrets_of_the_endpoint_stay_out_of_the_log(start: START, at_root: AtRoot) -> None:
    """User, password, query and headers of an endpoint are in no log line."""
    with nobody() as address:
        endpoint = address.replace("://", "://user:hunter2@") + "/v1/metrics?token=hunter3"
        telemetry = start(
            otlp_metrics=OtlpConfig(
                endpoint=endpoint, headers=(("authorization", "hunter4"),), timeout_seconds=1.5
            )
        )
        push(telemetry)
        said = " ".join(record.getMessage() for record in at_root.records)
        assert "Connection refused" in said  # the cause, which quotes the address
        assert "hunter" not in said


def test_sdk_disabled_stops_traces_and_otlp_alone(start: START) -> None:
    """No thread, no exporter; the scrape goes on."""
    telemetry = start(
        otlp_traces=OtlpConfig(endpoint="http://127.0.0.1:9"),
        otlp_metrics=OtlpConfig(endpoint="http://127.0.0.1:9"),
        console_traces=True,
        console_metrics=True,
        otlp_logs=OtlpConfig(endpoint="http://127.0.0.1:9"),
        console_logs=True,
        sdk_disabled=True,
    )
    telemetry.instruments.add(MISSED, 1, {"type": "x"})
    assert not telemetry.exports_traces
    assert telemetry.offer(a_trace(telemetry))
    assert (telemetry._queues, telemetry._pushes, telemetry._log_queues) == ((), (), ())
    assert MISSED.name in telemetry.render().body.decode()


def test_the_console_shows_both_signals(start: START, capsys: pytest.CaptureFixture[str]) -> None:
    """The console exporters print spans and points as JSON."""
    telemetry = start(console_traces=True, console_metrics=True)
    telemetry.offer(a_trace(telemetry))
    telemetry.instruments.add(MISSED, 1, {"type": "x"})
    telemetry.shutdown(10.0)
    printed = capsys.readouterr().out
    assert '"name": "check path"' in printed
    assert MISSED.name in printed


@pytest.mark.makes_bugs
def test_what_no_request_can_hold_ends_one_round(start: START) -> None:
    """A label that is no text: each round is a failure, and the next one is tried."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            metric_interval_seconds=0.2,
        )
        telemetry.instruments.add(MISSED, 1, {"type": "\udcff"})
        wait_until(lambda: exports(telemetry).get(("metrics", "failure"), 0) >= 2)
        assert telemetry._pushes[0].thread.is_alive()


def test_every_point_of_a_round_has_one_time(start: START) -> None:
    """Over several requests: Prometheus refuses a request that goes back in time."""
    with otlp_receiver.http_receiver() as received:
        telemetry = start(
            otlp_metrics=otlp(received, OtlpProtocol.HTTP_PROTOBUF, "metrics"),
            metric_interval_seconds=0.2,
        )
        for number in range(200):  # more series than one request holds
            telemetry.instruments.add(
                semconv.HTTPCLIENT_REQUESTS,
                1,
                {"type": f"path_{number}", "code": "200", "method": "GET"},
            )
        assert received.wait_for(lambda: len(received.metrics) >= 6)
        times = [
            {
                point.time_unix_nano
                for resource in request.resource_metrics
                for scope in resource.scope_metrics
                for metric in scope.metrics
                for point in getattr(metric, metric.WhichOneof("data")).data_points
            }
            for request in received.metrics
        ]
        assert all(len(one) == 1 for one in times)
        in_order = [next(iter(one)) for one in times]
        assert in_order == sorted(in_order)
