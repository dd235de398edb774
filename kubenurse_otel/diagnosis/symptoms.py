"""What a check shows of its target, in one letter: the table from a CheckResult to a Symptom."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.errors import ErrorType

if TYPE_CHECKING:
    from kubenurse_otel.model import CheckResult


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

DNS: Final = frozenset(
    {
        Symptom.DNS_SILENT,
        Symptom.DNS_FAILING,
        Symptom.DNS_UNKNOWN,
        Symptom.DNS_PART,
        Symptom.DNS_LOSSY,
    }
)
"""Its name was not found: the target was not asked."""

SOFT: Final = frozenset({Symptom.CERTIFICATE, Symptom.BROKEN, Symptom.TOKEN, Symptom.SLOW})
"""The target answers, and not well."""

DEAD: Final = frozenset({Symptom.SILENT, Symptom.STALLED, Symptom.DNS_SILENT})
"""Nothing comes back, as where our own node is cut off."""

STALLS: Final = frozenset({Symptom.STALLED, Symptom.MUTE})
"""Connected, and no answer: so is TLS where large segments vanish, for its hello is one."""

KEPT_SHARE: Final = 0.5
"""Of the time-out, in our own node's network: what we sent did not leave it."""

_TIMED_OUT: Final = frozenset({ErrorType.RESPONSE_TIMEOUT, ErrorType.TLS_HANDSHAKE_TIMEOUT})

_BY_ERROR: Final = {
    ErrorType.CONNECT_TIMEOUT: Symptom.SILENT,
    ErrorType.HOST_UNREACHABLE: Symptom.SILENT,
    ErrorType.NETWORK_UNREACHABLE: Symptom.SILENT,
    ErrorType.CONNECTION_REFUSED: Symptom.REFUSED,
    ErrorType.CONNECTION_RESET: Symptom.CUT,
    ErrorType.CONNECTION_CLOSED_EARLY: Symptom.CUT,
    ErrorType.TLS_CERTIFICATE_EXPIRED: Symptom.CERTIFICATE,
    ErrorType.TLS_CERTIFICATE_NOT_YET_VALID: Symptom.CERTIFICATE,
    ErrorType.TLS_CERTIFICATE_UNTRUSTED: Symptom.CERTIFICATE,
    ErrorType.TLS_CERTIFICATE_INVALID: Symptom.CERTIFICATE,
    ErrorType.TLS_HOSTNAME_MISMATCH: Symptom.CERTIFICATE,
    ErrorType.TLS_HANDSHAKE_FAILED: Symptom.BROKEN,
    ErrorType.PROXY_ERROR: Symptom.BROKEN,
    ErrorType.MALFORMED_RESPONSE: Symptom.BROKEN,
    ErrorType.RESPONSE_HEAD_TOO_LARGE: Symptom.BROKEN,
    ErrorType.RESPONSE_TOO_COSTLY: Symptom.BROKEN,
    ErrorType.HTTP_STATUS: Symptom.BROKEN,
    ErrorType.FULL_SIZE_LOST: Symptom.FULL_SIZE,
    ErrorType.UNEXPECTED_ANSWER: Symptom.BROKEN,
    ErrorType.CREDENTIALS_REFUSED: Symptom.TOKEN,
    ErrorType.DNS_TIMEOUT: Symptom.DNS_SILENT,
    ErrorType.DNS_SERVER_FAILURE: Symptom.DNS_FAILING,
    ErrorType.HOST_NOT_FOUND: Symptom.DNS_UNKNOWN,
}
"""What is in neither table is no testimony: our own shortage, a bug of ours, another node's agent
(ours is asked elsewhere), an error without a word of its own."""


def symptom(result: CheckResult, *, slow_seconds: float) -> Symptom | None:
    """Return what ``result`` shows of its target; None: nothing.

    ``slow_seconds`` is how long a far end may take for a good answer.
    """
    measurement, failure = result.measurement, result.failure
    if failure is None:
        far_end = None if measurement is None else measurement.split.far_end
        return Symptom.SLOW if far_end is not None and far_end >= slow_seconds else Symptom.OK
    error = ErrorType(failure.error_type)
    if error in _TIMED_OUT and result.target.query is not None:
        return Symptom.SILENT  # a DNS server by UDP: there is no connection that stalls
    if error in _TIMED_OUT:
        return Symptom.MUTE if _was_acknowledged(result) else Symptom.STALLED
    return _BY_ERROR.get(error)


def _was_acknowledged(result: CheckResult) -> bool:
    """Whether the far end's kernel had all that we sent, as far as ours can tell.

    A repeat that the far end reports as needless (D-SACK, RFC 2883) was none of a loss. What a rule
    or a queue of our own node kept has no repeats either.
    """
    measurement = result.measurement
    if measurement is None or measurement.retransmits is None:
        return False
    kept = measurement.split.egress or 0.0
    was_kept = kept >= KEPT_SHARE * result.target.timeout_seconds
    return not was_kept and measurement.retransmits <= measurement.dsacks
