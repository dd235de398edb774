"""The one parser of URLs: checks, collectors, proxies, the command line.

Pure. Stricter than urllib on purpose: every URL that passes can be requested. ``hidden`` is how a
URL that may hold a secret is shown.
"""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from typing import Final
from urllib.parse import SplitResult, unquote_to_bytes, urlsplit

from kubenurse_otel.config.values import HOST, PORT, InvalidTextError, Parser
from kubenurse_otel.model import DEFAULT_PORTS, DNS, TCP, Proxy, Url
from kubenurse_otel.text import bracketed, is_address

DNS_PORT: Final = 53
RECORD_TYPES: Final = ("A", "AAAA")
"""What a dns:// check can ask for: addresses."""
_LONGEST: Final = 2000
_UNSAFE_IN_A_PATH: Final = re.compile(r'["<>`{}]')
_UNSAFE_IN_A_QUERY: Final = re.compile(r'["<>]')
"""Characters that may be written here and must be encoded in a query (WHATWG URL, section 1.3,
"percent-encode set").
"""


def parse_url(text: str) -> Url:
    """Raise InvalidTextError for all that is no plain http(s) URL with a host."""
    parts = _parts(text)
    if parts.scheme not in DEFAULT_PORTS or not parts.netloc:
        raise InvalidTextError("that begins with http:// or https:// and a host")
    if "#" in text:
        raise InvalidTextError("without a #fragment")
    host, port = split_host_port(parts.netloc)
    return Url(
        scheme=parts.scheme,
        host=host.lower(),
        port=port or DEFAULT_PORTS[parts.scheme],
        request_target=_request_target(parts.path, parts.query, asks="?" in text),
        text=_text(text, parts, host, port),
    )


def parse_tcp(text: str) -> Url:
    """``tcp://host:port``. Raise InvalidTextError for all else."""
    parts = _parts(text)
    if parts.scheme != TCP or not parts.netloc:
        raise InvalidTextError("that begins with tcp:// and a host")
    host, port = split_host_port(parts.netloc)
    if port is None:
        raise InvalidTextError("with a port")
    if parts.path or parts.query or re.search(r"[?#]", text):
        raise InvalidTextError("without path, query and fragment")
    return Url(
        scheme=TCP,
        host=host.lower(),
        port=port,
        request_target="",
        text=_text(text, parts, host, port),
    )


def parse_dns(text: str) -> tuple[Url, str, str]:
    """``dns://server[:port]/name[?type=A]`` (RFC 4501) -> (URL, name, record type).

    Raise InvalidTextError for all else; of the class that the RFC knows there is only IN.
    """
    parts = _parts(text)
    if parts.scheme != DNS or not parts.netloc:
        raise InvalidTextError("that begins with dns:// and a server")
    host, port = split_host_port(parts.netloc)
    name, record_type = parts.path.removeprefix("/"), "A"
    if not _is_dns_name(name):
        raise InvalidTextError("with one name of letters, digits, '-' and '_' behind the server")
    if "?" in text or "#" in text:
        asked = re.fullmatch(r"type=([a-z]+)", parts.query, re.IGNORECASE)
        if "#" in text or asked is None or asked[1].upper() not in RECORD_TYPES:
            raise InvalidTextError(f"with ?type={' or ?type='.join(RECORD_TYPES)}, or without it")
        record_type = asked[1].upper()
    url = Url(
        scheme=DNS,
        host=host.lower(),
        port=port or DNS_PORT,
        request_target=f"/{name}?type={record_type}",
        text=_text(text, parts, host, port),
    )
    return url, name, record_type


def _is_dns_name(text: str) -> bool:
    """At most 253 characters without the root's dot, labels of 1 to 63 (RFC 1035 section 2.3.4)."""
    name = text.removesuffix(".")
    labels = (re.fullmatch(r"[A-Za-z0-9_-]{1,63}", label) for label in name.split("."))
    return len(name) <= 253 and all(labels)


def _parts(text: str) -> SplitResult:
    # urlsplit drops line breaks and tabs silently, so they are refused before it.
    if not re.fullmatch(r"[\x21-\x7e]*", text) or "\\" in text:
        raise InvalidTextError(
            "of printable ASCII, without spaces and backslashes (a host as xn--..., else %20)"
        )
    if len(text) > _LONGEST:
        raise InvalidTextError(f"of at most {_LONGEST} characters")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise InvalidTextError("with brackets around an IPv6 address, and only there") from None
    if "@" in parts.netloc:
        raise InvalidTextError("without user and password")
    return parts


def _text(text: str, parts: SplitResult, host: str, port: int | None) -> str:
    """Return the whole text, with brackets added to an address that had none."""
    authority = bracketed(host) if parts.netloc.count(":") > 1 else parts.netloc
    if port is not None and authority is not parts.netloc:
        authority += f":{port}"
    return parts.scheme + text[len(parts.scheme) :].replace(parts.netloc, authority, 1)


def _request_target(path: str, query: str, *, asks: bool) -> str:
    """Return path and query as they are sent. ``asks``: there is a query, maybe an empty one."""
    target = _encoded(_without_dots(path), _UNSAFE_IN_A_PATH) or "/"
    return f"{target}?{_encoded(query, _UNSAFE_IN_A_QUERY)}" if asks else target


def _without_dots(path: str) -> str:
    """Resolve . and .. (RFC 3986 section 5.2.4)."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == ".." and kept not in ([], [""]):
            kept.pop()
        elif segment not in (".", ".."):
            kept.append(segment)
    return "/".join(kept)


def _encoded(text: str, unsafe: re.Pattern[str]) -> str:
    return unsafe.sub(lambda found: f"%{ord(found[0]):02X}", text)


def split_host_port(text: str) -> tuple[str, int | None]:
    """Host (without brackets) and port of ``host:port``. Raises InvalidTextError.

    An IPv6 address may be without brackets where it can only be read in one way, as templates such
    as ``http://$(HOST_IP):4318`` make it.
    """
    authority = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::([^:\[\]]*))?", text)
    if authority is not None:
        return _host(authority[1]), _port(authority[2]) if authority[2] else None
    if "[" in text or "]" in text:
        raise InvalidTextError("with brackets around an IPv6 address, and only there")
    return _split_without_brackets(text)


def _split_without_brackets(text: str) -> tuple[str, int | None]:
    """``fd00::5:4318``: by its form either an address, or an address and a port.

    If only one reading is possible, that one counts. If both are, a last part of four or more
    digits, 80 and 443 count as a port, because people who leave out the brackets have put a port
    behind an address. Fewer digits are refused.
    """
    host, _, port = text.rpartition(":")
    if not is_address(host) or not re.fullmatch(r"[1-9][0-9]{0,4}", port) or int(port) > 65535:
        return _host(text), None
    if is_address(text) and len(port) < 4 and port not in ("80", "443"):
        raise InvalidTextError("with the IPv6 address in brackets")
    return _host(host), int(port)


def _host(text: str) -> str:
    if "%" in text:
        raise InvalidTextError("without a zone: what follows % belongs to one machine")
    try:
        return HOST.parse(text)
    except InvalidTextError:
        raise InvalidTextError(f"with {HOST.wants} as host") from None


def _port(text: str) -> int:
    try:
        return PORT.parse(text if text.isdigit() else "")
    except InvalidTextError:
        raise InvalidTextError(f"with {PORT.wants}") from None


def _base_url(text: str) -> Url:
    if "?" in text:
        raise InvalidTextError("without a ?query")
    url = parse_url(text)
    return replace(
        url, text=url.text.rstrip("/"), request_target=url.request_target.rstrip("/") or "/"
    )


BASE_URL: Final = Parser(
    _base_url, "a URL such as https://kubenurse.example.com, without user, query and fragment"
)
"""A path is appended to it; slashes at its end are dropped."""


def _proxy(text: str) -> Proxy:
    """http:// may be left out (as for Go and curl); user and password are percent-decoded."""
    scheme, colons, rest = text.partition("://")
    if not colons:
        scheme, rest = "http", text
    if scheme.lower().startswith("socks"):
        raise InvalidTextError("not a SOCKS proxy: only HTTP proxies (CONNECT) are spoken to")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    url = parse_url(f"{scheme}://{rest[len(user + at) :]}")
    if url.request_target != "/":
        raise InvalidTextError
    return Proxy(scheme=url.scheme, host=url.host, port=url.port, authorization=_basic(user))


def _basic(user: str) -> str:
    """The header's value (RFC 7617 section 2) for ``user:password`` of a URL; empty for none."""
    if not user:
        return ""
    name, _, password = user.partition(":")
    try:
        pair = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    except UnicodeError:  # A value that is no UTF-8 in the environment.
        raise InvalidTextError("with user and password percent-encoded") from None
    return f"Basic {base64.b64encode(pair).decode()}"


PROXY: Final = Parser(
    _proxy, "an http or https URL such as http://user:password@proxy.example.com:3128, without path"
)


def hidden(text: str) -> str:
    """The text with what may be a secret in a URL (user, password, query, fragment) masked.

    If an ``@`` follows a ``?`` or ``#``, the password may hold these characters, so nothing is
    shown.
    """
    before, at, after = text.rpartition("@")
    if re.search(r"[?#]", before):
        return "***"
    if at:
        text = "***@" + after
    return re.sub(r"([?#]).*", r"\1***", text, flags=re.DOTALL)


def link_template(placeholder: str) -> Parser[str]:
    """A link to elsewhere with ``placeholder`` in its path, query or fragment."""

    def parse(text: str) -> str:
        before, found, _ = text.partition(placeholder)
        if not found or before.count("/") < 3:
            raise InvalidTextError(f"with {placeholder} in its path, query or fragment")
        url, _, fragment = text.replace(placeholder, "0").partition("#")
        parse_url(url)
        if not re.fullmatch(r"[\x21-\x7e]{0,2000}", fragment):
            raise InvalidTextError("of printable ASCII, without spaces")
        return text

    return Parser(parse, f"a URL with {placeholder} in it")
