"""The queue of whole traces, with an exporter of the test's."""

from __future__ import annotations

import threading
import time
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan

from kubenurse_otel import semconv
from kubenurse_otel.telemetry.answers import Answer, Result, failure
from kubenurse_otel.telemetry.batches import BatchQueue
from kubenurse_otel.telemetry.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence


class Counts:
    """Instruments that keep sums, and a queue's word of what it dropped, by reason."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}

    def add(
        self, metric: semconv.Metric, value: float, attributes: Any, _context: Any = None
    ) -> None:
        assert metric is semconv.TELEMETRY_EXPORTS
        self.dropped(value, f"{attributes['signal']} {attributes['result']}")

    def dropped(self, count: float, reason: str) -> None:
        self.sums[reason] = self.sums.get(reason, 0) + count


Queue = BatchQueue[ReadableSpan]
TAKEN = Answer(result=Result.SUCCESS)
REFUSED = failure("HTTP 503", "HTTP 503 Service Unavailable", retryable=True)


class Exporter:
    """Answers as told; ``hold`` keeps an export hanging until `close`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.results: list[Answer] = []
        self.arrived = threading.Semaphore(0)
        self.hold = threading.Event()
        self.hold.set()
        self.closed = threading.Event()

    def export(self, spans: Sequence[ReadableSpan], *, deadline: float) -> Answer:  # noqa: ARG002 - an Exporter's
        self.batches.append([span.name for span in spans])
        self.arrived.release()
        self.hold.wait(30)
        return self.results.pop(0) if self.results else TAKEN

    def close(self) -> None:
        self.closed.set()
        self.hold.set()


@pytest.fixture
def exporter() -> Exporter:
    return Exporter()


@pytest.fixture
def counts() -> Counts:
    return Counts()


@pytest.fixture
def make_queue(exporter: Exporter, counts: Counts) -> Iterator[Callable[..., Queue]]:
    made: list[Queue] = []

    def make(make_exporter: Any = None, **options: Any) -> Queue:
        settings: dict[str, Any] = {"queue_size": 20, "batch_size": 6, "delay_seconds": 0.0}
        queue = Queue(
            Delivery(
                make_exporter or (lambda: exporter),
                signal="traces",
                otlp=None,
                instruments=counts,  # type: ignore[arg-type]
                backoff_seconds=(0.0, 0.0),
            ),
            name="otlp-traces",
            on_dropped=counts.dropped,
            **(settings | options),
        )
        made.append(queue)
        return queue

    yield make
    for queue in made:
        queue.stop(deadline=time.monotonic())
        exporter.hold.set()
        if queue.thread.ident is not None:
            queue.thread.join(10)
            assert not queue.thread.is_alive()


def trace(name: str, spans: int = 3) -> list[ReadableSpan]:
    return [ReadableSpan(f"{name}{number}", attributes={}) for number in range(spans)]


def end(queue: Queue, seconds: float = 10.0) -> None:
    queue.stop(deadline=time.monotonic() + seconds)
    queue.thread.join(seconds + 5)
    assert not queue.thread.is_alive()


def test_batches_hold_whole_traces(
    make_queue: Callable[..., Queue], exporter: Exporter, counts: Counts
) -> None:
    """Traces are never split over batches; a larger one goes alone."""
    queue = make_queue()
    for name, spans in (("a", 3), ("b", 3), ("c", 4), ("d", 9)):
        assert queue.offer(trace(name, spans))
    queue.start()
    end(queue)
    assert ["".join(name[0] for name in batch) for batch in exporter.batches] == [
        "aaabbb",
        "cccc",
        "ddddddddd",
    ]
    assert counts.sums == {"traces success": 3}
    assert exporter.closed.is_set()


def test_a_trace_that_does_not_fit_is_dropped_whole(
    make_queue: Callable[..., Queue], exporter: Exporter, counts: Counts
) -> None:
    """The queue is bounded in spans, and says no rather than keep a part."""
    queue = make_queue(queue_size=7)
    assert [
        queue.offer(trace("a")),
        queue.offer(trace("b")),
        queue.offer(trace("c", 2)),
        queue.offer(trace("d", 1)),
    ] == [True, True, False, True]
    queue.start()
    end(queue)
    assert list(chain(*exporter.batches)) == ["a0", "a1", "a2", "b0", "b1", "b2", "d0"]
    assert counts.sums["queue_full"] == 2


def test_a_lonely_trace_leaves_after_the_delay(
    make_queue: Callable[..., Queue], exporter: Exporter
) -> None:
    """A batch need not be full to go; it waits for the delay at most."""
    queue = make_queue(delay_seconds=0.02)
    queue.start()
    for _ in range(2):
        queue.offer(trace("a", 1))
        assert exporter.arrived.acquire(timeout=10)


def test_a_full_batch_does_not_wait_for_the_delay(
    make_queue: Callable[..., Queue], exporter: Exporter
) -> None:
    """As many spans as a batch holds are sent at once."""
    queue = make_queue(delay_seconds=600)
    queue.start()
    queue.offer(trace("a"))
    queue.offer(trace("b"))
    assert exporter.arrived.acquire(timeout=10)


def test_a_failed_batch_is_tried_three_times(
    make_queue: Callable[..., Queue],
    exporter: Exporter,
    counts: Counts,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A collector that comes back loses nothing; one that does not, costs the batch and a count."""
    exporter.results = [REFUSED] * 5
    queue = make_queue()
    queue.start()
    queue.offer(trace("a", 6))
    for _ in range(3):
        assert exporter.arrived.acquire(timeout=10)
    queue.offer(trace("b", 6))
    for _ in range(3):
        assert exporter.arrived.acquire(timeout=10)
    end(queue)
    assert counts.sums == {"traces failure": 5, "traces success": 1, "export_failed": 6}
    assert "".join(batch[0][0] for batch in exporter.batches) == "aaabbb"
    assert caplog.text.count("cannot export traces to the console") == 1
    assert caplog.text.count("to the console works again") == 1


def test_an_exporter_that_cannot_be_made_counts_as_failing(
    make_queue: Callable[..., Queue],
    counts: Counts,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A missing certificate is a reason in the log and a failure, and is looked for again."""

    def missing() -> Exporter:
        raise FileNotFoundError(2, "No such file or directory", "/certs/ca.crt")

    queue = make_queue(missing)
    queue.start()
    queue.offer(trace("a"))
    end(queue)
    assert counts.sums["export_failed"] == 3
    assert "/certs/ca.crt" in caplog.text


def test_at_shutdown_a_dead_collector_is_tried_once(
    make_queue: Callable[..., Queue], exporter: Exporter, counts: Counts
) -> None:
    """After the first failure the rest is dropped at once, and counted."""
    exporter.results = [REFUSED] * 9
    queue = make_queue()
    queue.offer(trace("a", 6))
    queue.offer(trace("b", 6))
    queue.stop(deadline=time.monotonic() + 10)
    queue.start()
    queue.thread.join(10)
    assert len(exporter.batches) == 1
    assert counts.sums == {"traces failure": 1, "export_failed": 6, "shutdown": 6}


def test_no_time_left_means_no_export(
    make_queue: Callable[..., Queue], exporter: Exporter, counts: Counts
) -> None:
    """Past the deadline nothing more is sent, and a late offer is refused."""
    queue = make_queue()
    queue.offer(trace("a"))
    queue.stop(deadline=time.monotonic())
    queue.start()
    queue.thread.join(10)
    assert exporter.batches == []
    assert not queue.offer(trace("b", 1))
    assert counts.sums == {"shutdown": 3, "queue_full": 1}


def test_a_hanging_export_is_abandoned(
    make_queue: Callable[..., Queue], exporter: Exporter, counts: Counts
) -> None:
    """Abandoning shuts the exporter down under the hanging export and drops what waits."""
    exporter.hold.clear()
    queue = make_queue()
    queue.start()
    queue.offer(trace("a", 6))
    assert exporter.arrived.acquire(timeout=10)
    queue.offer(trace("b", 6))
    queue.stop(deadline=time.monotonic())
    queue.abandon()
    queue.thread.join(10)
    assert not queue.thread.is_alive()
    assert counts.sums["shutdown"] == 6
