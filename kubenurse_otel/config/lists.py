"""The variables that hold lists: buckets, taints, headers, resource attributes.

Pure, and bounded: each list has a greatest length. No message repeats a header's value.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final
from urllib.parse import unquote_to_bytes

from kubenurse_otel.config.values import InvalidTextError, Parser, comma_list, decimal

MAX_BUCKETS: Final = 100
MAX_ITEMS: Final = 100


# --- histogram buckets --------------------------------------------------------------------------


def _buckets(text: str) -> tuple[float, ...]:
    bounds = tuple(decimal(item) for item in comma_list(text))
    if len(bounds) > MAX_BUCKETS:
        raise InvalidTextError(f"and at most {MAX_BUCKETS}")
    if any(low >= high for low, high in pairwise(bounds)) or bounds[0] < 0:
        raise InvalidTextError
    # Whole numbers as ints, so that they are written le="1" and not le="1.0".
    return tuple(int(bound) if bound.is_integer() else bound for bound in bounds)


BUCKETS: Final = Parser(
    _buckets, "upper bounds in seconds, strictly increasing, such as .005,.01,.1,1"
)

# --- Kubernetes: label keys, taints -------------------------------------------------------------

_LABEL_NAME: Final = r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?"
_LABEL_PREFIX: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
LABEL_KEY: Final = rf"(?:(?=[^/]{{1,253}}/){_LABEL_PREFIX}/)?{_LABEL_NAME}"
"""kubernetes.io/docs/concepts/overview/working-with-objects/labels, "Syntax and character set"."""
LABEL_VALUE: Final = rf"(?:{_LABEL_NAME})?"


def _taints(text: str) -> tuple[str, ...]:
    taints = comma_list(text)
    if len(taints) > MAX_ITEMS or not all(re.fullmatch(LABEL_KEY, taint) for taint in taints):
        raise InvalidTextError
    return tuple(dict.fromkeys(taints))


TAINTS: Final = Parser(_taints, "keys of taints, such as example.com/draining, with commas between")

_EQUALITY: Final = rf"{LABEL_KEY}\s*(?:==|=|!=)\s*{LABEL_VALUE}"
_SET: Final = rf"{LABEL_KEY}\s+(?:in|notin)\s*\(\s*{LABEL_VALUE}\s*(?:,\s*{LABEL_VALUE}\s*)*\)"
_ORDER: Final = rf"{LABEL_KEY}\s*[<>]\s*-?[0-9]+"
_EXISTS: Final = rf"!?\s*{LABEL_KEY}"
_REQUIREMENT: Final = rf"{_EQUALITY}|{_SET}|{_ORDER}|{_EXISTS}"
_COMMA_OUTSIDE_PARENTHESES: Final = re.compile(r",(?![^()]*\))")


def _label_selector(text: str) -> str:
    if len(text) > 1000:
        raise InvalidTextError
    for requirement in _COMMA_OUTSIDE_PARENTHESES.split(text):
        if not re.fullmatch(_REQUIREMENT, requirement.strip()):
            raise InvalidTextError
    return text


LABEL_SELECTOR: Final = Parser(
    _label_selector, "a label selector such as app=kubenurse or app in (a,b),!canary"
)

# --- OpenTelemetry: key=value lists -------------------------------------------------------------

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - RFC 9110, 5.6.2, a header's name


def _percent_decoded(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode("utf-8")
    except UnicodeError:  # Also of a value that is no UTF-8 in the environment.
        raise InvalidTextError("with values percent-encoded as UTF-8") from None


def key_values(text: str) -> dict[str, str]:
    """``key=value,key=value``, percent-decoded (W3C Baggage without properties); the last wins."""
    pairs: dict[str, str] = {}
    for item in comma_list(text):
        if not item:
            continue  # W3C Baggage allows none; every SDK does.
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise InvalidTextError("with a '=' in every entry")
        pairs[_percent_decoded(key.strip())] = _percent_decoded(value.strip())
    if len(pairs) > MAX_ITEMS:
        raise InvalidTextError(f"and at most {MAX_ITEMS}")
    return pairs


def _headers(text: str) -> tuple[tuple[str, str], ...]:
    headers: dict[str, str] = {}
    for key, value in key_values(text).items():
        if not re.fullmatch(_TOKEN, key):
            raise InvalidTextError("with names that are header names")
        if not re.fullmatch(r"[\x20-\x7e]*", value):
            raise InvalidTextError("with printable ASCII as values")
        headers[key.lower()] = value  # gRPC's metadata is lower case; HTTP does not care.
    return tuple(headers.items())


HEADERS: Final = Parser(_headers, "header=value,header=value, values percent-encoded")


def hidden_headers(text: str) -> str:
    """Return the headers' names with masked values. A name without a value is masked, too: it may
    be a secret.
    """
    try:
        return ",".join(f"{name}=***" if value else "***" for name, value in _headers(text))
    except InvalidTextError:
        return "***"


def _resource_attributes(text: str) -> tuple[tuple[str, str], ...]:
    attributes = key_values(text)
    if any(not key.isprintable() or len(key) > 255 for key in attributes):
        raise InvalidTextError("with keys of at most 255 printable characters")
    return tuple(attributes.items())


RESOURCE_ATTRIBUTES: Final = Parser(
    _resource_attributes, "key=value,key=value, values percent-encoded"
)
