"""What a check shows of its target, in one letter: the table from a CheckResult to a Symptom."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Symptom(StrEnum):
    """By its letter on the wire."""

    OK = "o"
    SILENT = "s"
    """No answer to a SYN, or no way to the network."""
    STALLED = "l"
    """Connected, then silent, and packets were lost."""
    MUTE = "m"
    """Connected, then silent, and nothing was lost: its kernel acknowledged."""
    REFUSED = "r"
    CUT = "c"
    """Reset, or closed before the answer was whole."""
    FULL_SIZE = "f"
    """Small segments pass and full ones do not."""
    CERTIFICATE = "x"
    BROKEN = "b"
    """An answer that is none: a bad status, malformed, TLS failed."""
    TOKEN = "t"  # noqa: S105 - a letter
    """The API server refuses our token (401, 403)."""
    SLOW = "w"
    """Good, and the far end took longer than SLOW_THRESHOLD."""
    DNS_SILENT = "d"
    DNS_FAILING = "e"
    DNS_UNKNOWN = "n"
    DNS_PART = "p"
    """One replica of several is silent."""
    DNS_LOSSY = "q"


HARD: Final = frozenset(
    {
        Symptom.SILENT,
        Symptom.STALLED,
        Symptom.MUTE,
        Symptom.REFUSED,
        Symptom.CUT,
        Symptom.FULL_SIZE,
    }
)
"""The target does not answer at all."""
