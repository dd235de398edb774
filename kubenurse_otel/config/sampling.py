"""Which share of traces is kept with both ends: our ratio, which wins over OTEL_TRACES_SAMPLER."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.config.values import RATIO, word
from kubenurse_otel.config.variable import Variable

if TYPE_CHECKING:
    from kubenurse_otel.config.reader import Reader

TRACE_RATIO: Final = Variable(
    "KUBENURSE_TRACE_RATIO",
    RATIO,
    "0.01",
    "Share of checks whose trace is kept with both ends, decided at the start. Wins over "
    "OTEL_TRACES_SAMPLER.",
    example="0.5",
)
SAMPLER: Final = Variable(
    "OTEL_TRACES_SAMPLER",
    word(
        "always_on",
        "always_off",
        "traceidratio",
        "parentbased_always_on",
        "parentbased_always_off",
        "parentbased_traceidratio",
    ),
    None,
    "always_on is KUBENURSE_TRACE_RATIO=1; always_off exports no trace at all; traceidratio is the "
    "ratio in OTEL_TRACES_SAMPLER_ARG. A check has no parent, so parentbased_ changes nothing. "
    "KUBENURSE_TRACE_RATIO wins. Metrics never depend on it.",
    absent="KUBENURSE_TRACE_RATIO",
    example="always_on",
)
SAMPLER_ARG: Final = Variable(
    "OTEL_TRACES_SAMPLER_ARG",
    RATIO,
    "1",
    "The ratio; read only with OTEL_TRACES_SAMPLER=traceidratio or parentbased_traceidratio.",
    example="0.25",
)


def read_sampling(reader: Reader) -> tuple[float, bool]:
    """The ratio, and whether any trace may be exported (always_off: none, whatever happened)."""
    ratio = reader.required(TRACE_RATIO)
    sampler = reader.optional(SAMPLER)
    kind = (sampler or "").removeprefix("parentbased_")
    argument = 1.0
    if kind == "traceidratio":
        argument = reader.required(SAMPLER_ARG)
    else:  # Other samplers have arguments of another form.
        reader.skip(SAMPLER_ARG, f"read only with {SAMPLER.name}=traceidratio")
    if sampler is None:
        return ratio, True
    if reader.is_set(TRACE_RATIO.name):
        reader.without_effect(SAMPLER.name, f"{TRACE_RATIO.name} wins")
        reader.without_effect(SAMPLER_ARG.name, f"{TRACE_RATIO.name} wins")
        return ratio, True
    ratio = {"always_on": 1.0, "always_off": 0.0}.get(kind, argument)
    reader.derived(TRACE_RATIO.name, f"{ratio:g}", f"from {SAMPLER.name}")
    return ratio, kind != "always_off"
