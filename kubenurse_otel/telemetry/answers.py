"""What a collector's answer to one export means: taken, taken in part, or not taken, and why.

Pure: no sockets, no clock. After the OTLP specification 1.9 ("Full Success", "Partial Success",
"Failures", for OTLP/HTTP and OTLP/gRPC) and RFC 9110. Nothing here trusts what came in.
"""

from __future__ import annotations

import zlib
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubenurse_otel.telemetry.signals import Signal

MAX_ANSWER_BYTES: Final = 65_536
"""Bytes of one answer, head and body, on the wire and unpacked. A real one has less than a hundred.
"""
_RETRYABLE_STATUS: Final = frozenset({429, 502, 503, 504})
"""OTLP specification, "Retryable Response Codes"; all others must not be sent again."""
_PROTOBUF: Final = "application/x-protobuf"
_JSON: Final = "application/json"


class Result(StrEnum):
    """The label `result` of kubenurse_telemetry_exports_total."""

    SUCCESS = "success"
    PARTIAL = "partial"
    FAILURE = "failure"


@record(frozen=True, slots=True, kw_only=True)
class Answer:
    """What became of one export.

    ``cause`` names the kind ("HTTP 302"), so that each kind is logged once. ``reason`` is the whole
    sentence, which may end with unchanged text of the far end. ``rejected`` counts the signal's
    items.
    """

    result: Result
    cause: str = ""
    reason: str = ""
    rejected: int = 0
    retryable: bool = False
    retry_after_seconds: float | None = None


class AnswerError(Exception):
    """What came back is no answer to an export. The text says what it is."""


def failure(
    cause: str, reason: str, *, retryable: bool = False, retry_after: float | None = None
) -> Answer:
    """An export that was not taken."""
    return Answer(
        result=Result.FAILURE,
        cause=cause,
        reason=reason,
        retryable=retryable,
        retry_after_seconds=retry_after,
    )


def of_message(message: bytes, signal: Signal[Any], *, sent: int, json: bool = False) -> Answer:
    """Read the signal's Export...ServiceResponse.

    ``sent`` is how many items were in the request; more cannot have been rejected. Raises
    AnswerError where it is no such message.
    """
    partial = _parse(message, signal.new_response(), json=json).partial_success
    rejected = min(max(getattr(partial, signal.rejected_field), 0), sent)
    said = partial.error_message
    if rejected:
        reason = f"it rejected {rejected} of {sent} {signal.items}: {said or 'no reason given'}"
        return Answer(result=Result.PARTIAL, cause="rejected", reason=reason, rejected=rejected)
    # Nothing rejected and yet a text: a warning ("Partial Success", last paragraph).
    return Answer(result=Result.SUCCESS, cause="warning" if said else "", reason=said)


def _parse(message: bytes, response: Any, *, json: bool) -> Any:
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - lazy: megabytes

    try:
        if json:
            return _parse_json(message, response)
        response.ParseFromString(message)
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise AnswerError("its body is no answer of OTLP's") from None
    return response


def _parse_json(message: bytes, response: Any) -> Any:
    from google.protobuf.json_format import (  # noqa: PLC0415 - only for who answers in JSON
        Parse,
        ParseError,
    )

    try:
        return Parse(message, response, ignore_unknown_fields=True)
    except ParseError:
        raise AnswerError("its body is no answer of OTLP's") from None


def of_http(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    signal: Signal[Any],
    *,
    sent: int,
    now: float,
) -> Answer:
    """Read an HTTP answer; header names are in lower case, ``now`` is Unix seconds."""
    name = _status_name(status)
    if 300 <= status < 400:
        to = headers.get("location", "")
        advice = (
            f"set the endpoint that it leads to: {to}" if to else "and this one names no Location"
        )
        return failure(f"HTTP {status}", f"{name}: redirects are not followed, {advice}")
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        body = _unpacked(body, headers.get("content-encoding", ""))
        if 200 <= status < 300:
            return _of_body(body, kind, signal, sent=sent)
    except AnswerError as error:
        return failure(f"HTTP {status}, no OTLP", f"{name}, is it a collector? {error}")
    said = _error_text(body, kind)
    retry_after = _retry_after(headers.get("retry-after", ""), now)
    wait = "" if retry_after is None else f", Retry-After {retry_after:.0f} s"
    return failure(
        f"HTTP {status}",
        f"{name}{wait}{said and ': ' + said}",
        retryable=status in _RETRYABLE_STATUS,
        retry_after=retry_after,
    )


def _of_body(body: bytes, kind: str, signal: Signal[Any], *, sent: int) -> Answer:
    # No body is an empty message, whatever its type: nothing was rejected.
    if body and kind not in (_PROTOBUF, _JSON):
        raise AnswerError(f"its body is not OTLP's but {kind or 'of no content type'}")
    return of_message(body, signal, sent=sent, json=bool(body) and kind == _JSON)


def _status_name(status: int) -> str:
    try:
        return f"HTTP {status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"HTTP {status}"


def _unpacked(body: bytes, coding: str) -> bytes:
    """Undo gzip or deflate, which we did not ask for, within MAX_ANSWER_BYTES."""
    coding = coding.strip().lower()
    if coding in ("", "identity") or not body:
        return body
    if coding not in ("gzip", "x-gzip", "deflate"):
        raise AnswerError(f"its body is coded as {coding}")
    unpacking = zlib.decompressobj(zlib.MAX_WBITS | 32)  # zlib's or gzip's header
    try:
        unpacked = unpacking.decompress(body, MAX_ANSWER_BYTES)
    except zlib.error:
        raise AnswerError(f"its body is no {coding}") from None
    if not unpacking.eof:
        raise AnswerError(
            f"its body unpacks to more than {MAX_ANSWER_BYTES} bytes"
            if len(unpacked) == MAX_ANSWER_BYTES
            else f"its {coding} body is cut off"
        )
    return unpacked


def _error_text(body: bytes, kind: str) -> str:
    """The sentence in an error's body: a google.rpc.Status ("Failures"), or plain text."""
    if kind == _PROTOBUF:
        from google.protobuf.message import DecodeError  # noqa: PLC0415 - lazy: megabytes
        from google.rpc.status_pb2 import Status  # noqa: PLC0415 - lazy: megabytes

        try:
            return str(Status.FromString(body).message)
        except DecodeError:
            return ""
    if kind in (_JSON, "text/plain"):
        return body.decode(errors="replace")
    return ""


def _retry_after(text: str, now: float) -> float | None:
    """Seconds, or an HTTP date as seconds from ``now`` (RFC 9110 section 10.2.3); else None."""
    text = text.strip()
    if text.isascii() and text.isdigit() and len(text) < 10:
        return float(text)
    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - lazy: a third of a megabyte

    try:
        return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None
