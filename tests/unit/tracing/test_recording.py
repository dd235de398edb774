"""What one check's spans become in the kubenurse_* metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bridge_doubles import (
    OFFSETS,
    Asked,
    MeterRecorder,
    Script,
    checker,
    failure,
    measured,
    provider,
    target,
)
from opentelemetry import trace

from kubenurse_otel import semconv
from kubenurse_otel.model import (
    DnsEndpoint,
    FallbackReason,
    Measurement,
    Phase,
    Split,
    TimingSource,
)
from kubenurse_otel.probe.dns.health import Health, OfEndpoint
from kubenurse_otel.probe.dns.message import Question, Rcode, RecordType
from kubenurse_otel.probe.dns.reply import Ending, Reply, Server, Transport
from kubenurse_otel.semconv import MetricKind
from kubenurse_otel.tracing import dns_check
from kubenurse_otel.tracing.bridge import Bridge
from kubenurse_otel.tracing.recording import ROWS, Take, record

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def recorder() -> Iterator[MeterRecorder]:
    made = MeterRecorder()
    yield made
    made.shutdown()


async def check(recorder: MeterRecorder, script: Script, **changes: Any) -> None:
    """One check through the real instrumentation, SDK and bridge, without traces."""
    tracer_provider = provider(Bridge(recorder))
    made, prober = checker(tracer_provider)
    prober.script = script
    await made.check(target(**changes))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.attribute}-{row.metric.name}")
def test_a_row_fills_its_metrics_labels(row: Any) -> None:
    """Exactly the metric's labels come out, and a value goes to the right kind of instrument."""
    labels = {"type"} & set(row.metric.labels)
    assert labels | set(row.labels) | set(row.constants) == set(row.metric.labels)
    counted = row.metric.kind is MetricKind.COUNTER
    assert counted or row.take in {Take.VALUE, Take.POSITIVE}


async def test_a_good_check_is_recorded_once(recorder: MeterRecorder) -> None:
    """Every figure from its attribute, one observation an event, all labels in order."""
    await check(recorder, Script())

    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {("path_b", "200", "GET"): 1}
    assert recorder.points(semconv.HTTPCLIENT_REQUEST_DURATION) == {("path_b",): (1, 0.004)}
    assert recorder.points(semconv.HTTPCLIENT_TRACE_REQUEST_DURATION) == {
        ("path_b", event): (1, offset) for event, offset in OFFSETS.items()
    }
    assert recorder.points(semconv.CHECK_PHASE_DURATION) == {
        ("path_b", "connect"): (1, 0.001),
        ("path_b", "request"): (1, 0.003),
    }
    assert recorder.points(semconv.NETWORK_ROUND_TRIP_TIME) == {("path_b",): (1, 0.0005)}
    assert recorder.points(semconv.FAR_END_DURATION) == {("path_b",): (1, 0.0025)}
    assert recorder.points(semconv.OWN_DELAY_TIME) == {("path_b",): (1, 0.002)}
    assert recorder.points(semconv.RETRANSMITS) == {("path_b",): 0}
    assert recorder.points(semconv.CHECKS_TIMED) == {("path_b", "kernel", "none"): 1}
    for absent in (
        semconv.ERRORS,
        semconv.CHECK_FAILURES,
        semconv.LOSS_DELAY,
        semconv.LOSSY_CHECKS,
    ):
        assert recorder.points(absent) == {}


async def test_every_check_counts(recorder: MeterRecorder) -> None:
    """Three checks are three of everything, each type for itself."""
    tracer_provider = provider(Bridge(recorder))
    made, _ = checker(tracer_provider)
    for key in ("path_b", "path_b", "path_c"):
        await made.check(target(key))

    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {
        ("path_b", "200", "GET"): 2,
        ("path_c", "200", "GET"): 1,
    }
    counts = {k: n for k, (n, _) in recorder.points(semconv.OWN_DELAY_TIME).items()}
    assert counts == {("path_b",): 2, ("path_c",): 1}


async def test_all_nine_events_and_all_phases(recorder: MeterRecorder) -> None:
    """A check with DNS and TLS has four phases and nine events."""
    offsets = {event: 0.001 * n for n, event in enumerate(semconv.EVENTS)}

    figures = measured(split={"dns": 0.001, "tls": 0.002})
    await check(recorder, Script(measurement=figures, offsets=offsets))

    assert set(recorder.points(semconv.CHECK_PHASE_DURATION)) == {
        ("path_b", phase) for phase in ("dns", "connect", "tls", "request")
    }
    assert recorder.points(semconv.HTTPCLIENT_TRACE_REQUEST_DURATION) == {
        ("path_b", event): (1, offset) for event, offset in offsets.items()
    }


async def test_a_failed_connect_is_counted_once(recorder: MeterRecorder) -> None:
    """The events before it are recorded, the failing one is not, and there is no duration."""
    figures = Measurement(
        split=Split(own_delay=0.001),
        peer_address="10.0.0.7",
        timing_source=TimingSource.USER,
        fallback_reason=FallbackReason.NO_TCP_INFO,
    )

    await check(
        recorder,
        Script(measurement=figures, offsets={"connect_start": 0.001}, failure=failure()),
    )

    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {
        ("path_b", "round_trip_error", "GET"): 1
    }
    assert recorder.points(semconv.ERRORS) == {("path_b", "connect_done"): 1}
    assert recorder.points(semconv.CHECK_FAILURES) == {
        ("path_b", "connection_refused", "connect"): 1
    }
    assert recorder.points(semconv.HTTPCLIENT_TRACE_REQUEST_DURATION) == {
        ("path_b", "connect_start"): (1, 0.001)
    }
    assert recorder.points(semconv.HTTPCLIENT_REQUEST_DURATION) == {}
    assert recorder.points(semconv.CHECKS_TIMED) == {("path_b", "user", "no_tcp_info"): 1}


async def test_a_bad_status_has_a_duration_and_an_error(recorder: MeterRecorder) -> None:
    """A response came: its time counts, and so does its status."""
    await check(recorder, Script(status=503))

    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {("path_b", "503", "GET"): 1}
    assert recorder.points(semconv.ERRORS) == {("path_b", "status_code_503"): 1}
    assert recorder.points(semconv.CHECK_FAILURES) == {("path_b", "http_status", "status"): 1}
    assert recorder.points(semconv.HTTPCLIENT_REQUEST_DURATION) == {("path_b",): (1, 0.004)}


async def test_a_body_that_fails_after_a_200_is_an_error_without_duration(
    recorder: MeterRecorder,
) -> None:
    """It is a round_trip_error in both of kubenurse's counters."""
    found = failure("connection_closed_early", Phase.RECEIVE, "round_trip_error")

    await check(recorder, Script(measurement=measured(status_code=None), failure=found))

    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {
        ("path_b", "round_trip_error", "GET"): 1
    }
    assert recorder.points(semconv.ERRORS) == {("path_b", "round_trip_error"): 1}
    assert recorder.points(semconv.HTTPCLIENT_REQUEST_DURATION) == {}


@pytest.mark.parametrize(
    ("parts", "direction"),
    [
        ({"loss_out": 0.4}, "out"),
        ({"loss_in": 0.4}, "in"),
        ({"loss_out": 0.2, "loss_in": 0.2}, "both"),
        ({}, "unknown"),
    ],
)
async def test_a_check_that_lost_time_counts_once_whatever_its_direction(
    recorder: MeterRecorder, parts: dict[str, float], direction: str
) -> None:
    """Both ways, too: a sum over direction is the number of such checks."""
    await check(recorder, Script(measurement=measured(split={"loss": 0.4, **parts})))
    assert recorder.points(semconv.LOSSY_CHECKS) == {("path_b", direction): 1}
    assert recorder.points(semconv.LOSS_DELAY) == {("path_b", direction): (1, 0.4)}


KERNEL_ONLY = {semconv.CHECK_PHASE_DURATION.name, semconv.EGRESS_DELAY.name}
NETWORK_ONLY = {
    semconv.NETWORK_ROUND_TRIP_TIME.name,
    semconv.FAR_END_DURATION.name,
    semconv.LOSS_DELAY.name,
    semconv.LOSSY_CHECKS.name,
}


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({}, set()),
        ({"timing_source": TimingSource.USER}, KERNEL_ONLY | NETWORK_ONLY),
        ({"intercepted": True}, NETWORK_ONLY),
        ({"split": {"loss": 0.0}}, {semconv.LOSS_DELAY.name, semconv.LOSSY_CHECKS.name}),
    ],
)
async def test_network_figures_need_the_kernel_and_the_target_itself(
    recorder: MeterRecorder, changes: dict[str, Any], missing: set[str]
) -> None:
    """The fallback's and an interceptor's figures stay out of the network's histograms."""
    figures = measured(**{"split": {"loss": 0.2}} | changes)
    await check(recorder, Script(measurement=figures))

    everything = {row.metric.name for row in ROWS} | {
        semconv.HTTPCLIENT_TRACE_REQUEST_DURATION.name
    }
    unconcerned = {
        semconv.ERRORS.name,
        semconv.CHECK_FAILURES.name,
        semconv.ADDRESS_FAILURES_COUNT.name,
        semconv.DNS_DETOURS_COUNT.name,
    }
    if not figures.intercepted:
        unconcerned.add(semconv.INTERCEPTED_CHECKS.name)
    assert recorder.names() == everything - unconcerned - missing


async def test_a_connect_to_an_interceptor_is_no_figure_of_the_path(
    recorder: MeterRecorder,
) -> None:
    """TCP's handshake with a proxy tells nothing of the way to the target."""
    await check(recorder, Script(measurement=measured(intercepted=True)))

    phases = {labels[1] for labels in recorder.points(semconv.CHECK_PHASE_DURATION)}
    assert "request" in phases
    assert "connect" not in phases
    assert recorder.points(semconv.INTERCEPTED_CHECKS) == {("path_b",): 1}


async def test_what_another_node_answers_is_no_figure_of_the_network(
    recorder: MeterRecorder,
) -> None:
    """It counts as one failure and has kubenurse's duration; the way to the node was not taken."""
    await check(recorder, Script(measurement=measured(answering_node="c")))

    assert not recorder.names() & NETWORK_ONLY
    assert {labels[1] for labels in recorder.points(semconv.CHECK_PHASE_DURATION)} == {"request"}
    assert recorder.points(semconv.CHECK_FAILURES) == {("path_b", "wrong_peer", "status"): 1}
    assert recorder.points(semconv.ERRORS) == {("path_b", "round_trip_error"): 1}
    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {("path_b", "200", "GET"): 1}


async def test_failed_addresses_and_retransmits_are_counted(recorder: MeterRecorder) -> None:
    """Each failed address by its family, each segment that was sent again."""
    figures = measured(address_failures=("ipv6", "ipv4", "ipv6"), retransmits=3)

    await check(recorder, Script(measurement=figures))

    assert recorder.points(semconv.ADDRESS_FAILURES_COUNT) == {
        ("path_b", "ipv6"): 2,
        ("path_b", "ipv4"): 1,
    }
    assert recorder.points(semconv.RETRANSMITS) == {("path_b",): 3}


async def test_only_known_events_count_and_each_once(recorder: MeterRecorder) -> None:
    """An event of another name, without an offset, or for the second time is not recorded."""

    async def more(_asked: Asked) -> None:
        span = trace.get_current_span()
        span.add_event("dns_done", {semconv.OFFSET: 0.5})
        span.add_event("dns_done", {semconv.OFFSET: 0.7})
        span.add_event("dns_start")
        span.add_event("connect_done", {semconv.OFFSET: "soon"})
        span.add_event("tea_time", {semconv.OFFSET: 0.5})

    await check(recorder, Script(offsets={}, before=more))

    assert recorder.points(semconv.HTTPCLIENT_TRACE_REQUEST_DURATION) == {
        ("path_b", "dns_done"): (1, 0.5)
    }


async def test_two_addresses_of_a_node_share_a_type(recorder: MeterRecorder) -> None:
    """The label is the target's type, not its key."""
    await check(recorder, Script(), key="path_b ipv6", type="path_b")

    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {("path_b", "200", "GET"): 1}


def test_a_figure_of_the_wrong_type_is_left_out(recorder: MeterRecorder) -> None:
    """The table takes numbers only."""
    client = {semconv.DURATION: "long", semconv.ADDRESS_FAILURES: 5}

    record(recorder, {semconv.TYPE: "path_b"}, client, (), None)

    assert recorder.points(semconv.HTTPCLIENT_REQUEST_DURATION) == {}
    assert recorder.points(semconv.ADDRESS_FAILURES_COUNT) == {}


def test_every_query_is_counted_by_its_server(recorder: MeterRecorder) -> None:
    """What was answered has a time; what was lost has none."""
    client = {
        semconv.DNS_SERVERS: ("10.96.0.10", "10.96.0.10", "10.96.0.11"),
        semconv.DNS_OUTCOMES: ("nxdomain", "noerror", "silent"),
        semconv.DNS_SECONDS: (0.25, 0.5, 5.0),
        semconv.DNS_DETOURS: 1,
    }

    record(recorder, {semconv.TYPE: "me_service"}, client, (), None)

    assert recorder.points(semconv.DNS_QUERIES) == {
        ("10.96.0.10", "nxdomain"): 1,
        ("10.96.0.10", "noerror"): 1,
        ("10.96.0.11", "silent"): 1,
    }
    assert recorder.points(semconv.DNS_QUERY_DURATION) == {("10.96.0.10",): (2, 0.75)}
    assert recorder.points(semconv.DNS_DETOURS_COUNT) == {("me_service",): 1}


def test_a_check_of_name_servers_is_its_queries_and_ports_alone(recorder: MeterRecorder) -> None:
    """It is none of kubenurse's requests."""

    def reply(ending: Ending, tries: int) -> Reply:
        return Reply(
            server=Server("10.96.0.10"),
            question=Question("kubernetes.default.svc.cluster.local.", RecordType.A),
            ending=ending,
            started_ns=1_000_000_000,
            ended_ns=1_250_000_000,
            tries=tries,
            rcode=Rcode.NXDOMAIN if ending is Ending.ANSWERED else None,
        )

    replies = (
        reply(Ending.ANSWERED, 1),
        reply(Ending.ANSWERED, 2),
        reply(Ending.SILENT, 2),
        reply(Ending.UNREACHABLE, 1),
    )
    tracer_provider = provider(Bridge(recorder))
    server = DnsEndpoint(address="10.91.1.2", udp_port=53, tcp_port=53, node_name="node-1")
    endpoints = (
        OfEndpoint(server, Transport.UDP, reply(Ending.ANSWERED, 1)),
        OfEndpoint(server, Transport.TCP, reply(Ending.SILENT, 1)),
    )
    checked = Health(replies, endpoints)
    dns_check.tell(tracer_provider.get_tracer("tests"), checked, sub_spans=True)

    assert recorder.points(semconv.DNS_PORTS_COUNT) == {
        ("10.96.0.10", "sound"): 1,
        ("10.96.0.10", "half"): 1,
        ("10.96.0.10", "silent"): 2,
    }
    assert recorder.points(semconv.DNS_ENDPOINT_QUERIES) == {
        ("10.91.1.2", "udp", "nxdomain"): 1,
        ("10.91.1.2", "tcp", "silent"): 1,
    }
    assert recorder.points(semconv.DNS_QUERY_DURATION) == {("10.96.0.10",): (2, 0.5)}
    assert sum(recorder.points(semconv.DNS_QUERIES).values()) == len(replies)
    assert recorder.points(semconv.HTTPCLIENT_REQUESTS) == {}
    assert recorder.points(semconv.ERRORS) == {}
