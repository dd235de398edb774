"""How a variable's text becomes a value: one small parser for each syntax.

A parser returns the value or raises InvalidTextError with what is wrong (never with the text
itself, which may hold a secret); ``wants`` tells people what is valid. No parser looks at a file.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from kubenurse_otel.model import is_dns_subdomain
from kubenurse_otel.record import record
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    from collections.abc import Callable

T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")
E = TypeVar("E", bound=StrEnum)


class InvalidTextError(ValueError):
    """The text is not a value. The message completes "wants ...", and may be empty.

    ``known`` is the part of an OpenTelemetry list that the agent can follow anyway. None: nothing.
    """

    def __init__(self, wants: str = "", *, known: object = None) -> None:
        super().__init__(wants)
        self.known = known


@record(frozen=True, slots=True)
class Parser(Generic[T_co]):
    """One syntax: text -> value, and its description for messages and the reference."""

    parse: Callable[[str], T_co]
    wants: str

    def to(self, make: Callable[[T_co], R]) -> Parser[R]:
        """Return a parser of the same syntax that converts the value."""
        return Parser(lambda text: make(self.parse(text)), self.wants)


# --- words and numbers --------------------------------------------------------------------------


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidTextError
    return text == "true"


BOOLEAN: Final = Parser(_boolean, "true or false")
OTEL_BOOLEAN: Final = Parser(lambda text: _boolean(text.lower()), "true or false")
"""Case-insensitive (OpenTelemetry's environment variable specification, "Boolean")."""


def integer(minimum: int, maximum: int) -> Parser[int]:
    def parse(text: str) -> int:
        # Bounded before int(), which refuses thousands of digits with an error of its own.
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text):
            raise InvalidTextError
        if not minimum <= int(text) <= maximum:
            raise InvalidTextError
        return int(text)

    return Parser(parse, f"a whole number from {minimum} to {maximum}")


PORT: Final = Parser(integer(1, 65535).parse, "a port from 1 to 65535")


def decimal(text: str) -> float:
    """A finite decimal number, as Go's ParseFloat reads it (.5, 1e-3), without hexadecimal."""
    if not re.fullmatch(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?", text):
        raise InvalidTextError
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise InvalidTextError
    return value


def _ratio(text: str) -> float:
    value = decimal(text)
    if not 0 <= value <= 1:
        raise InvalidTextError
    return value


RATIO: Final = Parser(_ratio, "a number from 0 to 1")


def one_of(enum: type[E]) -> Parser[E]:
    def parse(text: str) -> E:
        try:
            return enum(text.lower())
        except ValueError:
            raise InvalidTextError from None

    return Parser(parse, " or ".join(enum))


def word(*words: str) -> Parser[str]:
    """One of a few words, in any case; the value is the word as it is written here."""

    def parse(text: str) -> str:
        if text.lower() not in words:
            raise InvalidTextError
        return text.lower()

    return Parser(parse, " or ".join(words))


# --- time ---------------------------------------------------------------------------------------

_NANOSECONDS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,  # U+00B5, the micro sign
    "μs": 1_000,  # U+03BC, the Greek letter: Go takes both
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
}
_UNITS: Final = "|".join(sorted(_NANOSECONDS, key=len, reverse=True))
_STEP: Final = re.compile(rf"([0-9]*)(?:\.([0-9]*))?({_UNITS})(?=[0-9.]|$)")


def go_duration_ns(text: str) -> int:
    """Nanoseconds of a duration as Go's time.ParseDuration reads it, its int64 limits included."""
    sign, rest = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if rest == "0":
        return 0
    if not rest or len(rest) > 100:
        raise InvalidTextError
    total = 0
    position = 0
    while position < len(rest):
        step = _STEP.match(rest, position)
        if step is None or not (step[1] or step[2]):
            raise InvalidTextError
        unit = _NANOSECONDS[step[3]]
        total += int(step[1] or "0") * unit
        fraction = (step[2] or "")[:19]
        if fraction:
            if int(fraction) > 2**63:
                fraction = fraction[:18]  # Go ignores the digits that do not fit.
            total += int(int(fraction) * (unit / 10 ** len(fraction)))
        position = step.end()
    if total > 2**63 - (sign > 0):
        raise InvalidTextError
    return sign * total


def duration(minimum: str = "1ms", maximum: str = "24h") -> Parser[float]:
    """Seconds, from Go's syntax, within bounds given in the same syntax."""
    lowest, highest = go_duration_ns(minimum), go_duration_ns(maximum)

    def parse(text: str) -> float:
        nanoseconds = go_duration_ns(text)
        if not lowest <= nanoseconds <= highest:
            raise InvalidTextError
        return nanoseconds / 1e9

    return Parser(parse, f"a duration such as 5s, 500ms or 1m30s, from {minimum} to {maximum}")


INT32_MAX: Final = 2**31 - 1


def _milliseconds(text: str) -> float:
    return integer(1, INT32_MAX).parse(text) / 1000


def _timeout(text: str) -> float:
    return (integer(0, INT32_MAX).parse(text) or INT32_MAX) / 1000


MILLISECONDS: Final = Parser(_milliseconds, f"whole milliseconds from 1 to {INT32_MAX}")
TIMEOUT: Final = Parser(_timeout, f"whole milliseconds up to {INT32_MAX}; 0 is no limit")
"""0 becomes the longest time that fits (the specification, "Timeout")."""

# --- names, hosts, files ------------------------------------------------------------------------


def _name(text: str) -> str:
    if not is_dns_subdomain(text):
        raise InvalidTextError
    return text


NAME: Final = Parser(_name, "a Kubernetes name: a-z, 0-9, '-' and '.', at most 253 characters")


def printable(longest: int) -> Parser[str]:
    def parse(text: str) -> str:
        if not text.isprintable() or len(text) > longest:
            raise InvalidTextError
        return text

    return Parser(parse, f"printable text of at most {longest} characters")


def _address(text: str) -> str:
    bracketed = re.fullmatch(r"\[([^\]]*:[^\]]*)\]", text)
    address = bracketed[1] if bracketed else text
    if not is_address(address):
        if "%" in address and is_address(address.partition("%")[0]):
            raise InvalidTextError("without a zone: what follows % belongs to one machine")
        raise InvalidTextError
    return str(ipaddress.ip_address(address))


ADDRESS: Final = Parser(_address, "an IPv4 or IPv6 address")


def _host(text: str) -> str:
    """Return a host: a name, or an address without brackets."""
    if ":" in text or "[" in text:
        return _address(text)
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})", text) or ".." in text:
        raise InvalidTextError
    if text.rstrip(".").rpartition(".")[2].isdigit():
        return _address(text)  # What ends in a number is an address or nothing (RFC 3696, 2).
    if any(len(label) > 63 for label in text.split(".")):
        raise InvalidTextError
    return text


HOST: Final = Parser(_host, "a host name or an IP address")


PATH: Final = Parser(Path, "the path of a file")


def comma_list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for item in text.split(","))
