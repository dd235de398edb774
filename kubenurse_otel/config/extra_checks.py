"""KUBENURSE_EXTRA_CHECKS: kubenurse's ``name:url|name:url``, each URL with options behind it.

Pure. ``|`` and the first ``:`` divide as in kubenurse 1.15.3, whatever they stand in. Options are
``;word=value`` at the end of a URL; every one that is wrong is said, never with its value. A check
that is wrong has a number there and no name: that may be a part of a password which has a ``|``.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from kubenurse_otel.config.urls import hidden, parse_dns, parse_tcp, parse_url
from kubenurse_otel.config.values import (
    ADDRESS,
    HOST,
    InvalidTextError,
    Parser,
    comma_list,
    duration,
)
from kubenurse_otel.model import DNS, TCP, DnsQuery, Statuses, TargetKind, Url
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")

MAX_EXTRA_CHECKS: Final = 100
MAX_EXPECTED: Final = 20
MAX_TOLD: Final = 10
"""The most problems of this one variable that are listed. The rest are counted."""

RESERVED_TYPES: Final = frozenset(TargetKind) - {TargetKind.PATH, TargetKind.EXTRA} | {
    "neighbourhood",
    "neighbourhood_state",
}
"""Types of the built-in checks, and their other keys in /alive."""

RCODES: Final = ("NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED")
"""RFC 1035 section 4.1.1, by their names in IANA's registry."""


@record(frozen=True, slots=True, kw_only=True)
class ExtraCheck:
    """One entry, or a check on the command line, which has no name. A field that is None has the
    default of all checks.
    """

    name: str = ""
    url: Url
    method: str = "GET"
    expect: Statuses | None = None
    tls: bool = False
    server_name: str | None = None
    query: DnsQuery | None = None
    interval_seconds: float | None = None
    timeout_seconds: float | None = None


INTERVAL: Final = duration("100ms")
TIMEOUT: Final = duration("1ms")

# --- what may be expected -----------------------------------------------------------------------


def _range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-5])([0-9][0-9]|xx)(?:-([1-5][0-9][0-9]))?", text)
    if found is None or (found[2] == "xx" and found[3]):
        raise InvalidTextError
    if found[2] == "xx":
        return int(found[1]) * 100, int(found[1]) * 100 + 99
    lowest = int(found[1] + found[2])
    highest = int(found[3] or lowest)
    if lowest > highest:
        raise InvalidTextError
    return lowest, highest


def _statuses(text: str) -> Statuses:
    ranges = tuple(_range(item) for item in comma_list(text))
    if len(ranges) > MAX_EXPECTED:
        raise InvalidTextError
    return ranges


STATUSES: Final = Parser(_statuses, "status codes such as 200, 200-299,401 or 2xx")


def _expected(query: DnsQuery, text: str) -> DnsQuery:
    """Return ``query`` with the expected answer: a code, or addresses of the type that is asked
    for.
    """
    if text.upper() in RCODES:
        return replace(query, rcode=text.upper())
    addresses = frozenset(ADDRESS.parse(item) for item in comma_list(text))
    families = {"AAAA" if ":" in address else "A" for address in addresses}
    if families != {query.record_type} or len(addresses) > MAX_EXPECTED:
        raise InvalidTextError
    return replace(query, addresses=addresses)


_EXPECTED_OF_DNS: Final = f"one of {', '.join(RCODES)}, or addresses of the type that is asked for"

# --- one check ----------------------------------------------------------------------------------


def _method(text: str) -> str:
    if text not in ("GET", "HEAD"):
        raise InvalidTextError
    return text


METHOD: Final = Parser(_method, "GET or HEAD")
_SERVER_NAME: Final = Parser(HOST.parse, "the name in the far end's certificate")
_OF_HTTP: Final = ("expect", "interval", "timeout", "method")
_LAST_OPTION: Final = re.compile(rf"(.*);((?:{'|'.join(_OF_HTTP)})=[^;]*)", re.DOTALL)


class _Options:
    """The options behind one URL. Each is taken by its name. Mistakes are collected."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._left = [text.partition("=") for text in texts]
        self._known: list[str] = []
        self.problems: list[str] = []

    def parse(self, parse: Callable[[str], T], text: str, wants: str) -> T | None:
        """Return the parsed value, None if it is not valid."""
        try:
            return parse(text)
        except InvalidTextError as error:
            self.problems.append(f"{wants}, one {error}" if str(error) else wants)
            return None

    def take(self, word: str, parser: Parser[T]) -> T | None:
        """Return the option's value, None if it is not set."""
        self._known.append(f";{word}=")
        texts = self._pop(word, "=")
        if len(texts) > 1:
            self.problems.append(f";{word}= once")
        if len(texts) != 1:
            return None
        return self.parse(parser.parse, texts[0], f"{parser.wants} as ;{word}=")

    def flag(self, word: str) -> bool:
        self._known.append(f";{word}")
        return bool(self._pop(word, ""))

    def finish(self) -> None:
        """Raise InvalidTextError with all mistakes, including options that nobody took."""
        if self._left:
            self.problems.append(f"no options behind it but {', '.join(self._known)}")
        if self.problems:
            raise InvalidTextError(", and ".join(self.problems))

    def _pop(self, word: str, equals: str) -> list[str]:
        taken = [one for one in self._left if one[:2] == (word, equals)]
        self._left = [one for one in self._left if one[:2] != (word, equals)]
        return [value for _, _, value in taken]


def parse_check(text: str) -> ExtraCheck:
    """``url;option;option`` -> a check without a name.

    Raises InvalidTextError with all that is wrong with it.
    """
    scheme = text.partition("://")[0].lower()
    return {TCP: _tcp, DNS: _dns}.get(scheme, _http)(text)


def _http(text: str) -> ExtraCheck:
    """Parse an HTTP check. A URL may hold ``;`` itself: only valid options at its end count as
    options (``%3B`` begins none).
    """
    texts: list[str] = []
    while (found := _LAST_OPTION.fullmatch(text)) is not None:
        text = found[1]
        texts.append(found[2])
    options = _Options(texts)
    url = options.parse(_http_url, text, "an http, https, tcp or dns URL")
    expect = options.take("expect", STATUSES)
    method = options.take("method", METHOD) or "GET"
    return _finished(options, url, expect=expect, method=method)


def _http_url(text: str) -> Url:
    if not text.lower().startswith(("http://", "https://")):
        raise InvalidTextError("that begins with http://, https://, tcp:// or dns://")
    return parse_url(text)


def _tcp(text: str) -> ExtraCheck:
    text, *texts = text.split(";")
    options = _Options(texts)
    url = options.parse(parse_tcp, text, "a URL such as tcp://db.example.com:5432")
    tls = options.flag("tls")
    server_name = options.take("expect", _SERVER_NAME)
    if server_name is not None and not tls:
        options.problems.append(";expect= only together with ;tls")
    return _finished(options, url, tls=tls, server_name=server_name)


def _dns(text: str) -> ExtraCheck:
    text, *texts = text.split(";")
    options = _Options(texts)
    parsed = options.parse(
        parse_dns, text, "a URL such as dns://10.96.0.10/example.com or with ?type=AAAA"
    )
    url, name, record_type = parsed or (None, "", "")
    query = DnsQuery(name=name, record_type=record_type)
    # What may be expected depends on what is asked: unless that is known, it is not judged.
    answer = Parser(lambda text: _expected(query, text) if url else query, _EXPECTED_OF_DNS)
    expected = options.take("expect", answer)
    return _finished(options, url, query=expected or query)


def _finished(options: _Options, url: Url | None, **more: Any) -> ExtraCheck:
    """Add the options that every kind has. Raises InvalidTextError if anything is wrong."""
    interval, timeout = options.take("interval", INTERVAL), options.take("timeout", TIMEOUT)
    options.finish()
    assert url is not None
    return ExtraCheck(url=url, interval_seconds=interval, timeout_seconds=timeout, **more)


# --- all of them --------------------------------------------------------------------------------


def _entry(entry: str) -> ExtraCheck:
    name, colon, text = entry.partition(":")
    if not colon:
        raise InvalidTextError("with a ':' between name and URL")
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_./ -]{0,61}[A-Za-z0-9_./-])?", name):
        raise InvalidTextError(
            "with a name of at most 63 letters, digits, '_', '.', '/', '-' and spaces"
        )
    if name in RESERVED_TYPES or name.startswith("path_"):
        raise InvalidTextError("with a name that no built-in check has")
    return replace(parse_check(text), name=name)


def _extra_checks(text: str) -> tuple[ExtraCheck, ...]:
    checks: list[ExtraCheck] = []
    problems: list[str] = []
    for number, entry in enumerate(text.split("|"), 1):
        try:
            checks.append(_entry(entry.strip()))
        except InvalidTextError as error:
            problems.append(f"for check {number}: {error}")
    names = [check.name for check in checks]
    if len(set(names)) < len(names):
        problems.append("with each name once")
    if len(checks) > MAX_EXTRA_CHECKS:
        problems.append(f"and at most {MAX_EXTRA_CHECKS}")
    if len(problems) > MAX_TOLD:
        problems[MAX_TOLD:] = [f"and without {len(problems) - MAX_TOLD} more problems"]
    if problems:
        raise InvalidTextError("; ".join(problems))
    return tuple(checks)


EXTRA_CHECKS: Final = Parser(
    _extra_checks,
    "name:url|name:url with http, https, tcp or dns URLs, each with options such as "
    ";expect=200-399 behind it",
)


def hidden_checks(text: str) -> str:
    """Return the text with its queries masked, or nothing at all if it may hold a password."""
    if "@" in text:
        return "***"
    return "|".join(hidden(entry) for entry in text.split("|"))
