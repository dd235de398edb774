"""Which traces are sampled at their start, and which are kept at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from bridge_doubles import measured, provider
from clock import Clock
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import Decision, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from kubenurse_otel import semconv
from kubenurse_otel.semconv import Kept
from kubenurse_otel.tracing import sampling
from kubenurse_otel.tracing.sampling import (
    CheckSampler,
    KeepPolicy,
    ServerSampler,
    TokenBucket,
    Verdict,
)
from kubenurse_otel.tracing.spans import attributes

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.sampling import Sampler

TRACE_ID = (1 << 127) | (1 << 64) - 1
"""Taken by no ratio below 1."""


def parent(*, flags: int, remote: bool) -> Context:
    context = SpanContext(
        TRACE_ID, 5, is_remote=remote, trace_flags=TraceFlags(flags), trace_state=TraceState()
    )
    return set_span_in_context(NonRecordingSpan(context), Context())


@given(trace_id=st.integers(1, 2**128 - 1), ratio=st.floats(0, 1))
def test_the_ratio_is_opentelemetrys(trace_id: int, ratio: float) -> None:
    """A root is sampled exactly when TraceIdRatioBased samples it, and recorded in any case."""
    theirs = TraceIdRatioBased(ratio).should_sample(Context(), trace_id, "check path").decision

    ours = CheckSampler(ratio).should_sample(Context(), trace_id, "check path").decision

    assert ours is (Decision.RECORD_ONLY if theirs is Decision.DROP else theirs)


@pytest.mark.parametrize("sampler", [CheckSampler(0.0), CheckSampler(1.0), ServerSampler()])
@pytest.mark.parametrize("remote", [True, False])
@pytest.mark.parametrize(
    ("flags", "decision"),
    [
        (0, Decision.RECORD_ONLY),
        (1, Decision.RECORD_AND_SAMPLE),
        (2, Decision.RECORD_ONLY),  # the random flag alone
        (3, Decision.RECORD_AND_SAMPLE),
    ],
)
def test_a_child_copies_its_parents_decision(
    sampler: Sampler,
    remote: bool,
    flags: int,
    decision: Decision,
) -> None:
    """Bit 0 of the parent's flags decides, wherever the parent is; nothing is dropped."""
    result = sampler.should_sample(
        parent(flags=flags, remote=remote), TRACE_ID, "GET", attributes={"a": 1}
    )

    assert result.decision is decision
    assert dict(result.attributes) == {"a": 1}


def test_force_sample_samples_a_root() -> None:
    """What the bridge asks for is sampled whatever the trace id; its attributes stay."""
    attributes = {semconv.FORCE_SAMPLE: "follow_up", semconv.TYPE: "path_b"}

    result = CheckSampler(0.0).should_sample(Context(), TRACE_ID, "c", attributes=attributes)

    assert result.decision is Decision.RECORD_AND_SAMPLE
    assert dict(result.attributes) == attributes


def test_unsampled_spans_keep_their_attributes_and_children_record() -> None:
    """With a real provider at ratio 0, root and child record, unsampled, attributes and all."""
    tracer = provider(ratio=0.0).get_tracer("t")

    with (
        tracer.start_as_current_span("check path", context=Context(), attributes={"a": 1}) as root,
        tracer.start_as_current_span("GET", attributes={"b": 2}) as child,
    ):
        for span, attributes in ((root, {"a": 1}), (child, {"b": 2})):
            assert span.is_recording()
            assert not span.get_span_context().trace_flags.sampled
            assert dict(span.attributes) == attributes  # type: ignore[attr-defined]


def test_a_server_span_needs_a_caller() -> None:
    """Without a traceparent there is no SERVER span."""
    assert ServerSampler().should_sample(Context(), TRACE_ID, "GET").decision is Decision.DROP


@pytest.mark.parametrize("sampler", [CheckSampler(0.5), ServerSampler()])
def test_samplers_have_names(sampler: Sampler) -> None:
    """The SDK asks for them."""
    assert sampler.get_description() == type(sampler).__name__


@pytest.mark.parametrize("ratio", [-0.1, 1.1])
def test_a_ratio_is_between_0_and_1(ratio: float) -> None:
    """Anything else is a bug of the configuration."""
    with pytest.raises(ValueError, match="Probability"):
        CheckSampler(ratio)


def test_the_bucket_gives_a_minutes_worth_at_once_and_refills() -> None:
    """60 a minute: 60 at once, then one a second, and never more than 60 saved up."""
    clock = Clock()
    bucket = TokenBucket(60, clock)

    assert [bucket.take() for _ in range(61)] == [True] * 60 + [False]
    clock.now += 0.5
    assert not bucket.take()
    clock.now += 0.5
    assert bucket.take()
    assert not bucket.take()
    clock.now += 10_000
    assert sum(bucket.take() for _ in range(100)) == 60


def test_a_bucket_of_none_gives_nothing() -> None:
    """KUBENURSE_TRACE_MAX_PER_MINUTE=0 leaves the ratio's traces."""
    clock = Clock()
    bucket = TokenBucket(0, clock)
    clock.now += 3600
    assert not bucket.take()


class Judge:
    """A policy, and its word over scripted checks."""

    def __init__(self, *, ratio: float = 0.01, max_per_minute: int = 60) -> None:
        self.clock = Clock()
        self.policy = KeepPolicy(
            ratio=ratio,
            max_per_minute=max_per_minute,
            slow_threshold_seconds=1.0,
            clock=self.clock,
        )

    def __call__(
        self,
        outcome: str = "ok",
        *,
        key: str = "path_b",
        sampled: bool = False,
        trace_id: int = TRACE_ID,
        **client: Any,
    ) -> Verdict:
        return self.policy.judge(
            trace_id,
            sampled=sampled,
            root={semconv.OUTCOME: outcome, semconv.TARGET_KEY: key},
            client=attributes("path_b", measured())
            | {getattr(semconv, name): value for name, value in client.items()},
        )


def test_the_first_good_check_of_a_target_is_kept() -> None:
    """It shows what good looks like; the ones after it are not worth a trace."""
    judge = Judge()

    assert judge() == Verdict(Kept.CHANGED, kept=True)
    assert judge() == Verdict(None, kept=False)
    assert judge(key="path_c") == Verdict(Kept.CHANGED, kept=True)


@pytest.mark.parametrize(
    ("client", "reason"),
    [
        ({"DURATION": 0.999}, None),
        ({"DURATION": 1.0}, Kept.SLOW),
        ({"LOSS": 0.2}, Kept.LOSS),
        ({"OWN_DELAY": 0.099}, None),
        ({"OWN_DELAY": 0.1}, Kept.OWN_DELAY),
        ({"DURATION": 2.0, "LOSS": 0.2, "OWN_DELAY": 1.0}, Kept.SLOW),
        ({"LOSS": 0.2, "OWN_DELAY": 1.0}, Kept.LOSS),
        ({"DURATION": "a long time"}, None),
    ],
)
def test_what_makes_a_good_check_worth_keeping(client: dict[str, Any], reason: Kept | None) -> None:
    """Slow, loss, much own delay; the first of them is the reason."""
    judge = Judge()
    judge()

    assert judge(**client) == Verdict(reason, kept=reason is not None)


def test_a_sampled_trace_is_kept_whatever_the_limits() -> None:
    """Both ends have it: it costs no token, and says ratio first, else the best reason."""
    judge = Judge(max_per_minute=0)

    assert judge(sampled=True, trace_id=1) == Verdict(Kept.RATIO, kept=True)
    assert judge("failed", sampled=True, trace_id=1) == Verdict(Kept.RATIO, kept=True)
    assert judge("failed", sampled=True) == Verdict(Kept.FAILED, kept=True)
    assert judge(sampled=True) == Verdict(Kept.CHANGED, kept=True)
    assert judge(sampled=True) == Verdict(Kept.FOLLOW_UP, kept=True)
    assert judge() == Verdict(None, kept=False)
    assert judge("failed") == Verdict(Kept.FAILED, kept=False)


def test_while_a_target_stays_bad_one_trace_a_minute_is_kept() -> None:
    """The first bad check at once, then one in 60 s, each target for itself; recovery at once."""
    judge = Judge()
    judge()
    kept = []
    for _ in range(25):  # two minutes of checks every 5 s
        kept.append(judge("failed").kept)
        judge.clock.now += 5

    assert [5 * index for index, was in enumerate(kept) if was] == [0, 60, 120]
    assert judge("failed", key="path_c").kept
    assert judge() == Verdict(Kept.CHANGED, kept=True)
    assert judge("failed") == Verdict(Kept.FAILED, kept=True)


def test_a_first_bad_check_without_a_token_leaves_the_next_one_its_chance() -> None:
    """What was not kept does not begin the minute."""
    judge = Judge(max_per_minute=1)
    judge(key="path_c")

    assert judge("failed") == Verdict(Kept.FAILED, kept=False)
    judge.clock.now += 60
    assert judge("failed") == Verdict(Kept.FAILED, kept=True)
    judge.clock.now += 59
    assert judge("failed") == Verdict(Kept.FAILED, kept=False)


def test_the_bucket_bounds_all_targets_together() -> None:
    """When everything changes at once, no more than the limit is kept."""
    judge = Judge(max_per_minute=5)

    assert sum(judge("failed", key=f"path_{n}").kept for n in range(100)) == 5


def test_three_checks_after_a_target_went_bad_are_sampled() -> None:
    """They are handed out once each, to that target, and again after the next good-to-bad."""
    judge = Judge()
    reasons = judge.policy.sample_reason
    assert reasons("path_b") is None
    judge()
    assert reasons("path_b") is None

    judge("failed")
    assert [reasons("path_b") for _ in range(4)] == ["follow_up"] * 3 + [None]
    judge("failed")
    assert reasons("path_b") is None
    assert reasons("path_c") is None

    judge()
    judge("failed")
    assert reasons("path_b") == "follow_up"


def test_follow_ups_take_their_tokens_when_handed_out() -> None:
    """Many targets going bad at once stay within the limit too."""
    judge = Judge(max_per_minute=2)
    judge("failed")

    assert [judge.policy.sample_reason("path_b") for _ in range(3)] == ["follow_up", None, None]


def test_gone_targets_are_forgotten() -> None:
    """Their state goes; a last check that ends afterwards is no change and leaves nothing."""
    judge = Judge()
    judge()
    judge("failed", key="path_c")
    judge.policy.retain({"path_b"})

    assert set(judge.policy._standings) == {"path_b"}
    assert judge(key="path_c") == Verdict(None, kept=False)
    assert judge("failed", key="path_c") == Verdict(Kept.FAILED, kept=True)
    assert judge.policy.sample_reason("path_c") is None
    assert set(judge.policy._standings) == {"path_b"}
    judge.policy.retain({"path_b", "path_c"})
    assert judge(key="path_c") == Verdict(Kept.CHANGED, kept=True)


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also before the app has said which targets there are."""
    monkeypatch.setattr(sampling, "MAX_STANDINGS", 3)
    judge = Judge()
    for number in range(10):
        judge(key=f"path_{number}")

    assert set(judge.policy._standings) == {"path_7", "path_8", "path_9"}


@given(
    checks=st.lists(
        st.tuples(
            st.sampled_from(["a", "b"]),
            st.sampled_from(["ok", "failed"]),
            st.floats(0, 30),
            st.booleans(),
        ),
        max_size=60,
    ),
    limit=st.integers(0, 5),
)
def test_never_more_than_the_bucket_allows(
    checks: list[tuple[str, str, float, bool]], limit: int
) -> None:
    """Whatever happens, unsampled traces and follow-ups fit a burst plus the refill."""
    judge = Judge(max_per_minute=limit)
    began, taken = judge.clock.now, 0
    for key, outcome, pause, ask in checks:
        judge.clock.now += pause
        forced = ask and judge.policy.sample_reason(key) is not None
        verdict = judge(outcome, key=key, sampled=forced)
        assert verdict.kept or not forced
        taken += verdict.kept
        assert taken <= limit + (judge.clock.now - began) * limit / 60 + 1e-6
