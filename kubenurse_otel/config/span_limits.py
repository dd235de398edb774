"""How much of a span is exported: OTEL_SPAN_*, OTEL_EVENT_* and OTEL_ATTRIBUTE_* limits.

After the OpenTelemetry specification 1.5x (sdk-environment-variables.md, "Attribute limits").
"""

from __future__ import annotations

from typing import Final

from kubenurse_otel.config.values import INT32_MAX, integer
from kubenurse_otel.config.variable import Variable, filled_by
from kubenurse_otel.record import record


def _limit(name: str, default: str | None, what: str, absent: str = "") -> Variable[int]:
    return Variable(
        name,
        integer(0, INT32_MAX),
        default,
        f"Most {what}. Applied to exported spans only.",
        absent=absent,
        example="16",
    )


_ATTRIBUTE_COUNT: Final = _limit(
    "OTEL_ATTRIBUTE_COUNT_LIMIT", "128", "attributes of a span or an event"
)
_ATTRIBUTE_LENGTH: Final = _limit(
    "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", None, "characters of an attribute's value", "no limit"
)


def _special(general: int | None, special: int | None) -> int | None:
    """The limit of spans or events, else the general one (specification, "Attribute limits")."""
    return general if special is None else special


@record(frozen=True, slots=True, kw_only=True)
class SpanLimitsConfig:
    """Limits of exported spans. They never apply to the spans that metrics are made from."""

    attribute_count: int | None = filled_by(
        _ATTRIBUTE_COUNT,
        _limit(
            "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", None, "attributes of a span", _ATTRIBUTE_COUNT.name
        ),
        make=_special,
    )
    attribute_value_length: int | None = filled_by(
        _ATTRIBUTE_LENGTH,
        _limit(
            "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
            None,
            "characters of a span attribute's value",
            _ATTRIBUTE_LENGTH.name,
        ),
        make=_special,
    )
    event_count: int | None = filled_by(
        _limit("OTEL_SPAN_EVENT_COUNT_LIMIT", "128", "events of a span"), make=int
    )
    event_attribute_count: int | None = filled_by(
        _ATTRIBUTE_COUNT,
        _limit(
            "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
            None,
            "attributes of an event",
            _ATTRIBUTE_COUNT.name,
        ),
        make=_special,
    )
