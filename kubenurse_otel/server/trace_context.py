"""Turn a request's traceparent and tracestate into the context that it continues, within bounds.

Owns what is taken of the two headers (W3C Trace Context, 3.2 and 3.3). OpenTelemetry's propagator
would log a line with the sender's bytes for each request that it cannot read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from kubenurse_otel.semconv import Refusal

if TYPE_CHECKING:
    from collections import Counter

MAX_LENGTH: Final = 512
"""Of either header. W3C Trace Context, 3.3.1.5: what a vendor must at least pass on."""
MAX_MEMBERS: Final = 32
"""W3C Trace Context, 3.3.1.1."""
_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})"
    r"-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_KEY: Final = r"[a-z][-_0-9a-z*/]{0,255}|[a-z0-9][-_0-9a-z*/]{0,240}@[a-z][-_0-9a-z*/]{0,13}"
_VALUE: Final = r"[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]"
_MEMBER: Final = re.compile(f"({_KEY})=({_VALUE})")


def continued(
    traceparent: str | None, tracestate: str | None, refusals: Counter[Refusal]
) -> Context | None:
    """Return the caller's context, None where there is none to continue.

    What cannot be read is counted. A bad traceparent gives no context. A bad tracestate gives a
    context without it.
    """
    if traceparent is None:
        return None
    found = _TRACEPARENT.fullmatch(traceparent) if len(traceparent) <= MAX_LENGTH else None
    if (
        found is None
        or found["version"] == "ff"
        or (found["version"] == "00" and found["more"])
        or not (int(found["trace"], 16) and int(found["parent"], 16))
    ):
        refusals[Refusal.TRACEPARENT] += 1
        return None
    members = _members(tracestate) if tracestate else []
    if members is None:
        refusals[Refusal.TRACESTATE] += 1
    caller = SpanContext(
        trace_id=int(found["trace"], 16),
        span_id=int(found["parent"], 16),
        is_remote=True,
        trace_flags=TraceFlags(int(found["flags"], 16)),
        trace_state=TraceState(members or None),
    )
    return set_span_in_context(NonRecordingSpan(caller), Context())


def _members(tracestate: str) -> list[tuple[str, str]] | None:
    """Return the list's (key, value); None where any of it is malformed, or all too much."""
    if len(tracestate) > MAX_LENGTH:
        return None
    members: dict[str, str] = {}
    for text in tracestate.split(","):
        member = text.strip(" \t")
        if not member:
            continue  # 3.3.1.1: empty list-members are allowed
        found = _MEMBER.fullmatch(member)
        if found is None or found[1] in members:
            return None
        members[found[1]] = found[2]
    return list(members.items()) if len(members) <= MAX_MEMBERS else None
