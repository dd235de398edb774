"""The rules, a family a module. Each is a function from a Case to what it finds in it.

A threshold without a source beside it was found by simulation (tests/simulation), and held on a
real cluster (docs/diagnosis.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

SELF_ACCUSED: Final = 0.9
AGREED: Final = 0.9
"""Three and more see it."""
CONTRADICTED: Final = 0.8
"""I alone see it, and others see the contrary."""
ONE_WITNESS: Final = 0.7
ALONE: Final = 0.6
"""The only node there is."""
SUSPICION: Final = 0.4

MOST_AGREE: Final = 0.5
"""Of the witnesses: from here on it is everybody's."""
FEW_AGREE: Final = 0.2
"""Up to here it is mine."""


def agreed(seen_by: int) -> float:
    """The confidence where ``seen_by`` agents, I among them, see the same."""
    return AGREED if seen_by >= 3 else ONE_WITNESS


CAUSES: Final[Mapping[Symptom, Cause]] = {
    Symptom.SILENT: Cause.SILENT,
    Symptom.STALLED: Cause.STALLED,
    Symptom.MUTE: Cause.MUTE,
    Symptom.REFUSED: Cause.REFUSED,
    Symptom.CUT: Cause.CUT,
    Symptom.FULL_SIZE: Cause.FULL_SIZE,
    Symptom.CERTIFICATE: Cause.CERTIFICATE,
    Symptom.BROKEN: Cause.BROKEN,
    Symptom.TOKEN: Cause.TOKEN,
    Symptom.SLOW: Cause.SLOW,
    Symptom.DNS_SILENT: Cause.SILENT,
    Symptom.DNS_FAILING: Cause.FAILING,
    Symptom.DNS_UNKNOWN: Cause.UNKNOWN,
    Symptom.DNS_PART: Cause.PART,
    Symptom.DNS_LOSSY: Cause.LOSSY,
}
