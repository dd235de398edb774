"""When an export is tried again, and what is counted and told; with an exporter of the test's."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import pytest

from kubenurse_otel import semconv, unhandled
from kubenurse_otel.config import OtlpConfig
from kubenurse_otel.telemetry.answers import Answer, Result, failure
from kubenurse_otel.telemetry.delivery import LONGEST_WAIT_SECONDS, QUIET_SECONDS, Delivery
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable

TAKEN = Answer(result=Result.SUCCESS)
REJECTED = Answer(result=Result.PARTIAL, cause="rejected", reason="it rejected 2 of 9", rejected=2)


class Waits(threading.Event):
    """Writes down how long a wait would have been, and waits not at all."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return self.is_set()


class Rig:
    """A delivery, its exporter, its clock and its counters."""

    def __init__(self, **otlp: Any) -> None:
        self.answers: list[Answer | Exception] = []
        self.sent = 0
        self.now = 1000.0
        self.sums: dict[str, float] = {}
        self.delivery: Delivery[str] = Delivery(
            lambda: self,
            signal="traces",
            otlp=OtlpConfig(endpoint="http://collector.example:4318/v1/traces", **otlp),
            instruments=self,  # type: ignore[arg-type]
            clock=lambda: self.now,
        )
        self.waits = self.delivery.stopping = Waits()

    def add(self, metric: semconv.Metric, value: float, labels: dict[str, str]) -> None:
        key = labels.get("result") or metric.name
        self.sums[key] = self.sums.get(key, 0) + value

    def export(self, _data: str, *, deadline: float) -> Answer:
        assert deadline > 0
        self.sent += 1
        answer = self.answers.pop(0) if self.answers else TAKEN
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self.sent = -1


def unavailable(retry_after: float | None = None) -> Answer:
    return failure("HTTP 503", "HTTP 503", retryable=True, retry_after=retry_after)


def test_a_retryable_failure_waits_longer_each_time() -> None:
    """One second, then four, each a fifth more or less; after the third the batch is given up."""
    rig = Rig()
    rig.answers = [unavailable(), unavailable(), unavailable()]
    assert not rig.delivery.deliver("batch")
    first, second = rig.waits.seconds
    assert 0.8 <= first <= 1.2
    assert 3.2 <= second <= 4.8
    assert rig.sums == {"failure": 3}


def test_a_far_end_that_asks_for_time_gets_it_within_reason() -> None:
    """Retry-After is kept, and "in a year" is a minute."""
    rig = Rig()
    rig.answers = [unavailable(30.0), unavailable(1e12), unavailable()]
    assert not rig.delivery.deliver("batch")
    assert rig.waits.seconds == [30.0, LONGEST_WAIT_SECONDS]
    rig.answers = [unavailable(0.0), TAKEN]
    assert rig.delivery.deliver("batch")
    assert 0.8 <= rig.waits.seconds[-1] <= 1.2  # not at once: others were refused as well


def test_a_wait_past_the_deadline_is_not_begun() -> None:
    """A round of metrics ends rather than wait beyond it: the next one has the figures."""
    rig = Rig()
    rig.answers = [unavailable(30.0)]
    assert not rig.delivery.deliver("batch", deadline=rig.now + 29)
    assert (rig.sent, rig.waits.seconds) == (1, [])


def test_once_told_to_stop_each_batch_is_tried_once() -> None:
    """A shutdown waits for no back-off."""
    rig = Rig()
    rig.answers = [unavailable(), unavailable()]
    rig.delivery.stop(deadline=rig.now + 2)
    assert not rig.delivery.deliver("batch")
    assert rig.sent == 1


@pytest.mark.parametrize("answer", [failure("HTTP 400", "HTTP 400"), REJECTED])
def test_what_would_be_refused_again_is_not_sent_again(answer: Answer) -> None:
    """A refusal for good, and a batch of which a part was taken."""
    rig = Rig()
    rig.answers = [answer]
    assert rig.delivery.deliver("batch") is (answer is REJECTED)
    assert (rig.sent, rig.waits.seconds) == (1, [])


@pytest.mark.makes_bugs
def test_a_bug_is_a_failure_and_counted_as_a_bug(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug or a value that cannot be encoded does not end the thread, nor pass in silence."""
    rig, before = Rig(), unhandled.counts()[Part.EXPORT]
    rig.answers = [RuntimeError("bug"), RuntimeError("bug")]
    assert not rig.delivery.deliver("batch")
    assert not rig.delivery.deliver("batch")
    assert rig.delivery.deliver("batch")
    assert rig.sums == {"failure": 2, "success": 1}
    assert unhandled.counts()[Part.EXPORT] == before + 2
    assert caplog.text.count("cannot export traces to") == 1
    assert caplog.messages[-1].endswith("works again")


def test_rejections_are_said_again_after_a_quiet_time(caplog: pytest.LogCaptureFixture) -> None:
    """Between them other batches are taken whole: that alone is no end of it."""
    rig = Rig()

    def reject(at: float) -> None:
        rig.now = at
        rig.answers = [REJECTED, TAKEN]
        assert rig.delivery.deliver("batch")
        assert rig.delivery.deliver("batch")

    for at in (0.0, 300.0, 700.0):
        reject(at)
    assert caplog.text.count("it rejected 2 of 9") == 1
    reject(700.0 + QUIET_SECONDS)
    assert caplog.text.count("it rejected 2 of 9") == 2
    assert rig.sums == {"partial": 4, "success": 4, semconv.TELEMETRY_REJECTED_ITEMS.name: 8}


def test_a_warning_is_no_rejection(caplog: pytest.LogCaptureFixture) -> None:
    """It names no counter that has not counted, and its control characters are escaped."""
    rig = Rig()
    rig.answers = [Answer(result=Result.SUCCESS, cause="warning", reason="old\x1b[2J client")]
    assert rig.delivery.deliver("batch")
    (said,) = caplog.messages
    assert "old\\x1b[2J client (said once while it goes on; nothing was rejected)" in said


def test_ever_new_reasons_do_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Each cause is said once, and so many at most until it works again."""
    rig = Rig()
    rig.answers = [failure(f"cause {number}", f"cause {number}") for number in range(1000)]
    for _ in range(1000):
        rig.delivery.deliver("batch")
    assert len(caplog.records) == 20


@pytest.mark.parametrize(
    ("reason", "said"),
    [
        ("to http://user:pw@x.example/a?token=abc", "to http://...x.example/a?..."),
        ("Bearer tok3n-tok3n and tok3n-tok3n", "*** and ***"),
        ("one\r\ntwo\x1b[2J\x9b", "one two\\x1b[2J\\x9b"),
        ("x" * 1000, "x" * 397 + "..."),
    ],
)
def test_text_of_the_far_end_is_one_short_line_without_secrets(
    reason: str, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    """No secret of a URL, no header of ours, no control character, no book."""
    caplog.set_level(logging.WARNING)
    rig = Rig(headers=(("authorization", "Bearer tok3n-tok3n"),))
    rig.answers = [failure("refused", reason)]
    rig.delivery.deliver("batch")
    start = "cannot export traces to http://collector.example:4318/v1/traces: "
    assert caplog.messages[0].startswith(f"{start}{said} (said once")


def test_closing_closes_the_exporter() -> None:
    """And where there never was one, nothing."""
    rig = Rig()
    close: Callable[[], None] = rig.delivery.close
    close()
    assert rig.sent == 0
    rig.delivery.deliver("batch")
    close()
    assert rig.sent == -1
