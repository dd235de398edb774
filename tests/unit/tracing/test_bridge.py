"""Bridge: spans of open checks, held until the root ends; then kept whole or dropped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from bridge_doubles import (
    MESSAGE,
    Asked,
    MeterRecorder,
    Queue,
    Script,
    check_provider,
    checker,
    failure,
    measured,
    provider,
    target,
)
from clock import Clock
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    TraceFlags,
    set_span_in_context,
)

from kubenurse_otel import semconv
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.model import Measurement, Split
from kubenurse_otel.tracing import bridge as bridge_module
from kubenurse_otel.tracing.bridge import Bridge
from kubenurse_otel.tracing.sampling import KeepPolicy, ServerSampler
from kubenurse_otel.tracing.server_spans import ServerSpanProcessor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubenurse_otel.model import CheckResult


class Rig:
    """Checker, instrumentation, SDK, bridge and instruments, all real; prober scripted."""

    def __init__(
        self, *, ratio: float = 0.0, max_per_minute: int = 60, exporting: bool = True
    ) -> None:
        self.recorder = MeterRecorder()
        self.queue = Queue()
        self.clock = Clock()
        keep = KeepPolicy(
            ratio=ratio,
            max_per_minute=max_per_minute,
            slow_threshold_seconds=1.0,
            clock=self.clock,
        )
        self.bridge = Bridge(
            self.recorder, keep=keep, export=self.queue.offer if exporting else None
        )
        self.provider = check_provider(self.bridge, ratio=ratio)
        self.checker, self.prober = checker(self.provider)

    async def check(self, script: Script | None = None, **changes: Any) -> CheckResult:
        self.prober.script = script or Script()
        one = target(**changes)
        return await self.checker.check(one, sample_reason=self.bridge.sample_reason(one.key))

    def dropped(self) -> dict[str, int]:
        points = self.recorder.points(semconv.SPANS_DROPPED)
        return {reason: value for (reason,), value in points.items()}


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.recorder.shutdown()


BAD = Script(
    measurement=Measurement(split=Split(own_delay=0.001)),
    offsets={"connect_start": 0.001},
    failure=failure(),
)


async def test_a_kept_trace_leaves_whole_and_sampled(rig: Rig) -> None:
    """Root last, every span with the SAMPLED flag and its parent's too, the reason on the root."""
    result = await rig.check()

    (spans,) = rig.queue.traces
    assert [span.name for span in spans] == ["socket connect"] * 2 + ["GET", "check path"]
    client, root = spans[-2:]
    assert (root.attributes or {})[semconv.KEPT] == "changed"
    for span in spans:
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == result.trace_id
        assert span.context.trace_flags.sampled
        assert span.parent is None or span.parent.trace_flags.sampled
    assert all(span.parent == client.context for span in spans[:2])
    assert client.parent == root.context
    assert root.parent is None
    assert all(semconv.KEPT not in (span.attributes or {}) for span in spans[:-1])


async def test_a_trace_that_is_not_worth_it_leaves_nothing_behind(rig: Rig) -> None:
    """The second good check is recorded, not exported, and no longer held."""
    await rig.check()
    await rig.check()

    assert len(rig.queue.traces) == 1
    assert rig.bridge._open == {}
    assert rig.recorder.points(semconv.HTTPCLIENT_REQUESTS) == {("path_b", "200", "GET"): 2}
    assert rig.dropped() == {}


async def test_a_failed_check_is_exported_in_our_words(rig: Rig) -> None:
    """Our error.type, our sentence, no stack trace and no URL of the exception."""
    await rig.check(BAD, url=parse_url("http://10.0.0.7:8080/alwayshappy?token=secret"))

    (spans,) = rig.queue.traces
    client, root = spans[-2:]
    for span in (client, root):
        assert (span.attributes or {})["error.type"] == "connection_refused"
        assert span.status.description == MESSAGE
        assert not span.status.is_ok
    assert [event.name for event in client.events] == ["connect_start"]
    assert (root.attributes or {})[semconv.KEPT] == "failed"
    assert not any("secret" in str(span.to_json()) for span in spans)
    assert not any("ConnectError" in str(span.to_json()) for span in spans)


async def test_why_traces_are_kept(rig: Rig) -> None:
    """From bad to good and back, with the follow-ups sampled at both ends."""
    slow = Script(measurement=measured(split={"request": 2.999}))
    for script in (None, None, BAD, BAD, None, None, None, slow):
        await rig.check(script)

    assert rig.queue.reasons() == ["changed", "failed", "failed", "changed", "follow_up", "slow"]
    flags = [int(one.propagation["traceparent"][-2:], 16) & 1 for one in rig.prober.asked]
    assert flags == [0, 0, 0, 1, 1, 1, 0, 0]


async def test_the_ratios_traces_are_kept_as_such() -> None:
    """At ratio 1 everything is kept and sampled, also beyond the limit."""
    rig = Rig(ratio=1.0, max_per_minute=0)
    for script in (None, BAD, None):
        await rig.check(script)

    assert rig.queue.reasons() == ["ratio"] * 3
    assert rig.dropped() == {}
    rig.recorder.shutdown()


async def test_what_the_limits_hold_back_is_counted() -> None:
    """Spans of a trace that was worth keeping are counted as rate_limited."""
    rig = Rig(max_per_minute=1)
    await rig.check(key="path_a")
    await rig.check(BAD)

    assert len(rig.queue.traces) == 1
    assert rig.dropped() == {"rate_limited": 4}
    rig.recorder.shutdown()


async def test_a_bad_target_is_kept_once_a_minute(rig: Rig) -> None:
    """Three follow-ups, then one failed check a minute; the rest is counted."""
    for _ in range(16):
        await rig.check(BAD)
        rig.clock.now += 5

    assert rig.queue.reasons() == ["failed"] * 5
    forced = [(root.attributes or {}).get(semconv.FORCE_SAMPLE) for root in rig.queue.roots()]
    assert forced == [None, "follow_up", "follow_up", "follow_up", None]
    assert rig.dropped() == {"rate_limited": 11 * 4}


async def test_exemplars_point_at_exported_client_spans_only(rig: Rig) -> None:
    """A dropped or refused trace leaves no exemplar."""
    await rig.check()
    await rig.check()
    rig.queue.full = True
    await rig.check(BAD)

    client = rig.queue.traces[0][-2].context
    assert client is not None
    for metric in (
        semconv.HTTPCLIENT_REQUEST_DURATION,
        semconv.HTTPCLIENT_TRACE_REQUEST_DURATION,
        semconv.OWN_DELAY_TIME,
        semconv.HTTPCLIENT_REQUESTS,
    ):
        assert rig.recorder.exemplar_span_ids(metric) == {(client.trace_id, client.span_id)}
    assert rig.recorder.points(semconv.ERRORS) == {("path_b", "connect_done"): 1}


async def test_a_current_span_is_no_exemplar(rig: Rig) -> None:
    """What runs around a check is not what its metrics belong to."""
    await rig.check()
    sampled = SpanContext(7, 7, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
    with trace.use_span(NonRecordingSpan(sampled)):
        await rig.check()

    ids = rig.recorder.exemplar_span_ids(semconv.OWN_DELAY_TIME)
    assert 7 not in {trace_id for trace_id, _ in ids}


async def test_without_an_exporter_nothing_is_held_or_judged() -> None:
    """Metrics are the same; there is no exemplar, no follow-up and nothing to drop."""
    rig = Rig(exporting=False)
    held = []

    async def look(_asked: Asked) -> None:
        held.extend(check.spans for check in rig.bridge._open.values())

    for script in (Script(before=look), BAD, None):
        await rig.check(script)

    assert held == [[]]
    assert rig.recorder.points(semconv.HTTPCLIENT_REQUESTS) == {
        ("path_b", "200", "GET"): 2,
        ("path_b", "round_trip_error", "GET"): 1,
    }
    assert rig.recorder.exemplar_span_ids(semconv.OWN_DELAY_TIME) == set()
    assert rig.bridge.sample_reason("path_b") is None
    assert rig.dropped() == {}
    Bridge(rig.recorder).retain({"path_b"})
    rig.recorder.shutdown()


async def test_a_cancelled_check_records_nothing(rig: Rig) -> None:
    """Shutdown is no failure of the network."""
    reached = asyncio.Event()

    async def hang(_asked: Asked) -> None:
        reached.set()
        await asyncio.get_running_loop().create_future()

    task = asyncio.create_task(rig.check(Script(before=hang)))
    await asyncio.wait_for(reached.wait(), 5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert rig.recorder.names() == set()
    assert rig.queue.traces == []
    assert rig.bridge._open == {}


async def test_checks_at_once_do_not_mix(rig: Rig) -> None:
    """Fifty interleaved checks are fifty whole traces, each with its own target's spans."""

    async def pause(_asked: Asked) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    rig.prober.script = Script(before=pause)
    targets = [target(f"path_{n}") for n in range(50)]
    results = await asyncio.gather(*(rig.checker.check(one) for one in targets))

    assert len(rig.queue.traces) == 50
    for result in results:
        (spans,) = [
            spans
            for spans in rig.queue.traces
            if (spans[-1].attributes or {})[semconv.TARGET_KEY] == result.target.key
        ]
        assert len(spans) == 4
        assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {
            result.trace_id
        }


@dataclass
class OurServer:
    """Our own SERVER spans, in a provider of their own."""

    queue: Queue
    tracer: trace.Tracer

    @classmethod
    def start(cls, rig: Rig) -> OurServer:
        queue = Queue()
        processor = ServerSpanProcessor(rig.recorder, queue.offer, slow_threshold_seconds=1.0)
        made = provider(processor, sampler=ServerSampler())
        return cls(queue, made.get_tracer("server"))

    def answer(self, asked: Asked) -> None:
        _, trace_id, span_id, flags = asked.propagation["traceparent"].split("-")
        caller = SpanContext(
            int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags))
        )
        with self.tracer.start_as_current_span(
            semconv.SPAN_SERVER,
            context=set_span_in_context(NonRecordingSpan(caller), Context()),
            kind=SpanKind.SERVER,
        ):
            pass


async def test_a_check_that_our_own_pod_answers_neither_mixes_nor_flushes(rig: Rig) -> None:
    """The SERVER span shares the open check's trace id, and leaves by its own way."""
    server = OurServer.start(rig)
    while_answering: list[int] = []

    async def answer(asked: Asked) -> None:
        server.answer(asked)
        while_answering.append(len(rig.queue.traces))
        assert [len(check.spans) for check in rig.bridge._open.values()] == [2]

    await rig.check(BAD)
    await rig.check(Script(before=answer))

    assert while_answering == [1]
    spans = rig.queue.traces[1]
    assert [span.kind for span in spans].count(SpanKind.SERVER) == 0
    assert len(spans) == 4
    ((served,),) = server.queue.traces
    assert served.context is not None
    assert spans[-1].context is not None
    assert served.context.trace_id == spans[-1].context.trace_id
    assert rig.recorder.points(semconv.HTTPCLIENT_REQUESTS)[("path_b", "200", "GET")] == 1
    assert rig.dropped() == {}


def test_a_client_span_deeper_in_the_trace_is_not_the_checks(rig: Rig) -> None:
    """A look-up's own CLIENT span below the request does not take its place."""
    tracer = rig.provider.get_tracer("t")
    attributes = {semconv.TYPE: "a", semconv.TARGET_KEY: "a", semconv.OUTCOME: "ok"}
    root = tracer.start_span("check path", context=Context(), attributes=attributes)
    client = tracer.start_span(
        "GET",
        context=set_span_in_context(root),
        kind=SpanKind.CLIENT,
        attributes={semconv.DURATION: 0.5},
    )
    query = tracer.start_span(
        "dns query",
        context=set_span_in_context(client),
        kind=SpanKind.CLIENT,
        attributes={semconv.DURATION: 99.0},
    )
    for span in (client, query, root):
        span.end()

    points = rig.recorder.points(semconv.HTTPCLIENT_REQUEST_DURATION)
    assert points == {("a",): (1, 0.5)}


async def test_spans_of_one_check_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check with very many sub-spans loses some, counted, never its CLIENT span or metrics."""
    monkeypatch.setattr(bridge_module, "MAX_SPANS_PER_CHECK", 3)
    await rig.check(Script(sub_spans=10))

    (spans,) = rig.queue.traces
    assert [span.name for span in spans] == ["socket connect"] * 3 + ["GET", "check path"]
    assert rig.dropped() == {"span_limit": 7}


async def test_open_checks_are_bounded(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Roots that never end make room; their spans are counted."""
    monkeypatch.setattr(bridge_module, "MAX_OPEN_CHECKS", 2)
    tracer = rig.provider.get_tracer("t")
    roots = []
    for _ in range(3):
        root = tracer.start_span("check path", context=Context())
        tracer.start_span("child", context=set_span_in_context(root)).end()
        roots.append(root)

    assert len(rig.bridge._open) == 2
    assert rig.dropped() == {"evicted": 1}
    roots[0].end()  # evicted: late
    assert rig.dropped() == {"evicted": 1, "late": 1}
    rig.bridge.shutdown()
    assert rig.bridge._open == {}


async def test_a_span_that_ends_after_its_root_is_counted_and_not_held(rig: Rig) -> None:
    """It has missed its trace."""
    late: list[trace.Span] = []

    async def leave_open(_asked: Asked) -> None:
        late.append(rig.provider.get_tracer("t").start_span("late"))

    await rig.check(Script(before=leave_open))
    late[0].end()

    assert rig.bridge._open == {}
    assert rig.dropped() == {"late": 1}
    assert [span.name for span in rig.queue.traces[0]].count("late") == 0


async def test_a_late_span_is_nobodys_loss_without_traces() -> None:
    """Nothing was going to be exported."""
    rig = Rig(exporting=False)
    rig.provider.get_tracer("t").start_span("late", context=Context()).end()

    assert rig.dropped() == {}
    rig.recorder.shutdown()


async def test_other_roots_are_no_checks(rig: Rig) -> None:
    """Only "check ..." opens a check; a span without a context is nobody's."""
    tracer = rig.provider.get_tracer("t")
    with tracer.start_as_current_span("list pods", context=Context()):
        pass
    with tracer.start_as_current_span("check path", context=Context(), kind=SpanKind.CLIENT):
        pass
    rig.bridge.on_end(ReadableSpan("no context"))

    assert rig.queue.traces == []
    assert rig.recorder.names() <= {semconv.SPANS_DROPPED.name}
    assert rig.bridge.force_flush()


async def test_a_check_without_a_client_span_still_counts(rig: Rig) -> None:
    """If nothing was sent there is the root alone."""
    attributes = {
        semconv.TYPE: "path_b",
        semconv.TARGET_KEY: "path_b",
        semconv.OUTCOME: "ok",
        semconv.CODE: "200",
        semconv.METHOD: "GET",
    }
    with rig.provider.get_tracer("t").start_as_current_span(
        "check path", context=Context(), attributes=attributes
    ):
        pass

    assert rig.recorder.points(semconv.HTTPCLIENT_REQUESTS) == {("path_b", "200", "GET"): 1}
    assert [len(spans) for spans in rig.queue.traces] == [1]


async def test_gone_targets_are_forgotten(rig: Rig) -> None:
    """A target that comes back has a first good check again."""
    await rig.check()
    rig.bridge.retain(())
    rig.bridge.retain({"path_b"})
    await rig.check()

    assert rig.queue.reasons() == ["changed", "changed"]


async def test_the_random_flag_survives() -> None:
    """Rebuilt contexts keep the trace flags that they had, beside SAMPLED."""
    rig = Rig()
    checker_, prober = checker(check_provider(rig.bridge))
    prober.script = Script()
    await checker_.check(target())

    assert {int(span.context.trace_flags) for span in rig.queue.traces[0] if span.context} == {3}
    rig.recorder.shutdown()
