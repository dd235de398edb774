"""traceparent and tracestate: what is continued, what is counted, and that nothing is logged."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server.trace_context import continued

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GOOD = f"00-{TRACE}-{PARENT}-01"

Found = tuple[str, str, int, dict[str, str]]


def read(traceparent: str | None, tracestate: str | None) -> tuple[Found | None, list[Refusal]]:
    """Return (trace, parent, flags, state) and what was counted."""
    refusals = Counter[Refusal]()
    context = continued(traceparent, tracestate, refusals)
    counted = list(refusals.elements())
    if context is None:
        return None, counted
    caller = get_current_span(context).get_span_context()
    assert caller.is_remote
    ids = f"{caller.trace_id:032x}", f"{caller.span_id:016x}"
    return (*ids, int(caller.trace_flags), dict(caller.trace_state)), counted


@pytest.mark.parametrize(
    ("traceparent", "flags"),
    [
        (GOOD, 1),
        (f"00-{TRACE}-{PARENT}-02", 2),
        (f"01-{TRACE}-{PARENT}-01", 1),
        (f"cc-{TRACE}-{PARENT}-01-what-the-future-brings", 1),
    ],
)
def test_a_traceparent_is_continued(traceparent: str, flags: int) -> None:
    """Version 00 as it stands, later ones as far as they are alike."""
    assert read(traceparent, None) == ((TRACE, PARENT, flags, {}), [])


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "nonsense",
        f"{GOOD}-more",
        f"ff-{TRACE}-{PARENT}-01",
        f"01-{TRACE}-{PARENT}-01.more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"{GOOD}, {GOOD}",
        f"01-{TRACE}-{PARENT}-01-{'x' * 500}",
        GOOD + "\n",
        "\u0660" * 55,
    ],
)
def test_a_bad_traceparent_is_counted(traceparent: str) -> None:
    """What is none, or is longer than anything known, continues nothing and is counted once."""
    assert read(traceparent, "a=b") == (None, [Refusal.TRACEPARENT])


@pytest.mark.parametrize(
    ("tracestate", "state"),
    [
        ("", {}),
        ("a=b", {"a": "b"}),
        ("a=1, \t b=2,,c@d=3 4", {"a": "1", "b": "2", "c@d": "3 4"}),
        (",".join(f"k{n}=v" for n in range(32)), {f"k{n}": "v" for n in range(32)}),
    ],
)
def test_a_tracestate_goes_on(tracestate: str, state: dict[str, str]) -> None:
    """Members in order, blanks around them and empty ones left out."""
    assert read(GOOD, tracestate) == ((TRACE, PARENT, 1, state), [])


@pytest.mark.parametrize(
    "tracestate",
    [
        "a",
        "A=b",
        "a=b=c",
        "a=b,a=c",
        "a=\x9b31m",
        "a=\xe9",
        "a=" + "b" * 257,
        "a=b" + "," * 510,
        ",".join(f"k{n}=v" for n in range(33)),
    ],
)
def test_a_bad_tracestate_is_counted(tracestate: str) -> None:
    """Malformed or too long, the trace goes on without it."""
    assert read(GOOD, tracestate) == ((TRACE, PARENT, 1, {}), [Refusal.TRACESTATE])


def test_without_a_trace_nothing_is_counted() -> None:
    """Most requests have neither header; a tracestate alone means nothing (3.3.1)."""
    assert read(None, None) == (None, [])
    assert read(None, "nonsense") == (None, [])


PIECES = st.sampled_from(
    [GOOD, "00", "-", TRACE, PARENT, "01", "a", "=", "b", ",", "@", " ", "\t", "\x9b", "\n", "\xff"]
)
TEXTS = st.lists(st.one_of(PIECES, st.characters(max_codepoint=255)), max_size=12).map("".join)


@settings(suppress_health_check=list(HealthCheck))
@given(traceparent=st.one_of(st.just(GOOD), TEXTS), tracestate=st.one_of(st.none(), TEXTS))
def test_what_is_taken_is_what_opentelemetry_takes(
    caplog: pytest.LogCaptureFixture, traceparent: str, tracestate: str | None
) -> None:
    """Whatever is sent, nothing is logged, and what is continued the propagator continues too."""
    caplog.clear()
    found, _ = read(traceparent, tracestate)
    assert not caplog.records
    if found is not None:
        carrier = {"traceparent": traceparent} | ({"tracestate": tracestate} if tracestate else {})
        theirs = get_current_span(TraceContextTextMapPropagator().extract(carrier))
        context = theirs.get_span_context()
        assert (f"{context.trace_id:032x}", dict(context.trace_state)) == (found[0], found[3])
