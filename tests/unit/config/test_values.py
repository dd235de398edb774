"""Every syntax of a variable: what is a value, and that all else is refused and nothing worse."""

from __future__ import annotations

import base64
import math
from fractions import Fraction
from ipaddress import IPv6Address
from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.config.lists import (
    BUCKETS,
    HEADERS,
    LABEL_SELECTOR,
    MAX_BUCKETS,
    RESOURCE_ATTRIBUTES,
    TAINTS,
    hidden_headers,
)
from kubenurse_otel.config.urls import BASE_URL, PROXY, hidden, link_template, parse_url
from kubenurse_otel.config.values import (
    ADDRESS,
    BOOLEAN,
    HOST,
    MILLISECONDS,
    OTEL_BOOLEAN,
    PORT,
    RATIO,
    TIMEOUT,
    InvalidTextError,
    Parser,
    duration,
    go_duration_ns,
    integer,
    word,
)
from kubenurse_otel.model import DEFAULT_PORTS, Url
from kubenurse_otel.tracing.httpx_adapter import request_url


def parsed(parser: Parser[object], text: str) -> object:
    """The value, or None where the text is refused."""
    try:
        return parser.parse(text)
    except InvalidTextError:
        return None


# --- durations ----------------------------------------------------------------------------------

GO = [  # What Go 1.26's time.ParseDuration returned, in nanoseconds; None for an error.
    ("0", 0),
    ("", None),
    ("5s", 5000000000),
    ("1m30s", 90000000000),
    ("500ms", 500000000),
    ("1.5h", 5400000000000),
    ("-1s", -1000000000),
    ("+5s", 5000000000),
    ("+0", 0),
    ("-0", 0),
    ("+", None),
    (".5s", 500000000),
    ("5.s", 5000000000),
    (".s", None),
    ("s", None),
    ("1", None),
    ("1h1", None),
    ("1us", 1000),
    ("1\u00b5s", 1000),
    ("1\u03bcs", 1000),
    ("1ns", 1),
    ("1.000000001s", 1000000001),
    ("9223372036854775807ns", 9223372036854775807),
    ("9223372036854775808ns", None),
    ("-9223372036854775808ns", -9223372036854775808),
    ("1d", None),
    (" 1s", None),
    ("1s ", None),
    ("1s\n", None),
    ("1S", None),
    ("1 s", None),
    ("1e3s", None),
    ("1h2m3s4ms5us6ns", 3723004005006),
    ("0.1ns", 0),
    ("3s1h", 3603000000000),
    ("00005s", 5000000000),
    ("1..5s", None),
    ("1_0s", None),
    ("\uff11s", None),
    ("2562047h47m16.854775807s", 9223372036854775807),
    ("2562048h", None),
    ("--1s", None),
    ("1.9ns", 1),
    ("0s", 0),
    ("1m-30s", None),
    ("0.3333333333333333333h", 1200000000000),
    ("0.9999999999999999999h", 3600000000000),
    ("1.12345678901234567890123456789ms", 1123456),
]


@pytest.mark.parametrize(("text", "nanoseconds"), GO)
def test_a_duration_is_what_go_makes_of_it(text: str, nanoseconds: int | None) -> None:
    """Every text gives Go's nanoseconds, or is refused where Go refuses it."""
    assert parsed(Parser(go_duration_ns, ""), text) == nanoseconds


UNITS = {"h": 3600 * 10**9, "m": 60 * 10**9, "s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**5), st.text("0123456789", max_size=6), st.sampled_from(sorted(UNITS))
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from(["", "+", "-"]),
)
def test_a_duration_is_the_sum_of_its_steps(steps: list[tuple[int, str, str]], sign: str) -> None:
    """Any number of steps, in any order, adds up to the same as exact fractions do."""
    text = sign + "".join(
        f"{whole}.{fraction}{unit}" if fraction else f"{whole}{unit}"
        for whole, fraction, unit in steps
    )
    exact = sum(
        Fraction(f"{whole}.{fraction or 0}") * UNITS[unit] for whole, fraction, unit in steps
    )
    exact = -exact if sign == "-" else exact
    assert abs(go_duration_ns(text) - exact) <= 2 * len(steps)


@given(st.text(max_size=200))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    """No text makes the parser fail in another way, and a value is within int64."""
    value = parsed(Parser(go_duration_ns, ""), text)
    assert value is None or -(2**63) <= int(str(value)) < 2**63


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10ms", 0.01),
        ("24h", 86400.0),
        ("9.999ms", None),
        ("0", None),
        ("-5s", None),
        ("25h", None),
    ],
)
def test_a_duration_has_bounds(text: str, seconds: float | None) -> None:
    """Both bounds are values, what is beyond them is refused."""
    assert parsed(duration("10ms", "24h"), text) == seconds


@pytest.mark.parametrize(
    ("parser", "text", "seconds"),
    [
        (MILLISECONDS, "12000", 12.0),
        (MILLISECONDS, "0", None),
        (MILLISECONDS, "5s", None),
        (MILLISECONDS, "1.5", None),
        (MILLISECONDS, "-1", None),
        (MILLISECONDS, "2147483648", None),
        (TIMEOUT, "3000", 3.0),
        (TIMEOUT, "0", 2147483.647),
        (TIMEOUT, "-1", None),
    ],
)
def test_opentelemetrys_times_are_whole_milliseconds(
    parser: Parser[float], text: str, seconds: float | None
) -> None:
    """They become seconds; a timeout of 0 is the longest there is."""
    assert parsed(parser, text) == seconds


# --- words and numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (BOOLEAN, "true", True),
        (BOOLEAN, "false", False),
        (BOOLEAN, "True", None),
        (BOOLEAN, "1", None),
        (OTEL_BOOLEAN, "TRUE", True),
        (OTEL_BOOLEAN, "False", False),
        (OTEL_BOOLEAN, "yes", None),
        (integer(0, 10), "10", 10),
        (integer(0, 10), "+3", 3),
        (integer(0, 10), "11", None),
        (integer(0, 10), "-1", None),
        (integer(0, 10), "1_0", None),
        (integer(0, 10), "9" * 5000, None),
        (integer(0, 10), "\u0663", None),
        (PORT, "65535", 65535),
        (PORT, "0", None),
        (PORT, "tcp://10.0.0.1:8080", None),
        (RATIO, "0.25", 0.25),
        (RATIO, "1", 1.0),
        (RATIO, "1e-3", 0.001),
        (RATIO, "1.01", None),
        (RATIO, "nan", None),
        (RATIO, "inf", None),
        (word("gzip", "none"), "GZIP", "gzip"),
        (word("gzip", "none"), "zstd", None),
        (HOST, "kubernetes.default.svc.", "kubernetes.default.svc."),
        (HOST, "fd00::1", "fd00::1"),
        (HOST, "[fd00::1]", "fd00::1"),
        (HOST, "10.0.0.1", "10.0.0.1"),
        (HOST, "10.0.0.300", None),
        (HOST, "1.2.3", None),
        (HOST, "a..b", None),
        (HOST, "a b", None),
        (HOST, "a" * 64, None),
        (HOST, "fe80::1%eth0", None),
        (ADDRESS, "::", "::"),
        (ADDRESS, "127.0.0.1", "127.0.0.1"),
        (ADDRESS, "[127.0.0.1]", None),
        (ADDRESS, "fe80::1%eth0", None),
        (ADDRESS, "localhost", None),
    ],
)
def test_words_numbers_and_hosts(parser: Parser[object], text: str, value: object) -> None:
    """Exactly these texts are values; None stands for a refusal."""
    assert parsed(parser, text) == value


# --- URLs ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "https://kubenurse.example.com",
        "http://[fd00::1]:8080/a",
        "http://10.0.0.1/x?y=1",
        "HTTP://host:80/%2f",
        "http://XN--ls8h.localhost/",
        "http://kubenurse_x.svc",
    ],
)
def test_a_url_is_one_for_httpx_too(text: str) -> None:
    """What passes here is asked as httpx would ask it."""
    url = parse_url(text)
    assert_is_asked_alike(url, request_url(url.text))


@given(
    st.from_regex(r"(https?://)?[a-z0-9._@:\[\]%?#/\\-]{0,40}", fullmatch=True)
    | st.text(max_size=40).map("http://".__add__)
)
def test_any_text_is_a_url_for_httpx_or_refused(text: str) -> None:
    """Nothing passes that httpx would raise at, hours later, when the check begins."""
    try:
        url = parse_url(text)
    except InvalidTextError:
        return
    theirs = request_url(url.text)
    assert theirs.userinfo == b""
    assert_is_asked_alike(url, theirs)


@given(
    st.from_regex(r"(/(\.{0,3}|[!-~]{0,6})){0,6}(\?[!-~]{0,12})?", fullmatch=True).filter(
        lambda path: not set(path) & set("#\\")
    )
)
def test_a_path_is_sent_as_httpx_would(path: str) -> None:
    """Dots resolved, what has no place there percent-encoded, the rest as it is written."""
    url = parse_url(f"http://a{path}")
    assert_is_asked_alike(url, httpx.URL(url.text))


def assert_is_asked_alike(url: Url, theirs: httpx.URL) -> None:
    assert unquote(theirs.raw_host.decode()) == url.host
    assert (theirs.scheme, theirs.port or DEFAULT_PORTS[url.scheme]) == (url.scheme, url.port)
    assert theirs.raw_path.decode() == url.request_target
    assert unquote(httpx.Request("GET", theirs).headers["host"]) == url.authority


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kubenurse.example.com",
        "ftp://x",
        "http://",
        "http:///path",
        "http://user:password@host",
        "http://host:99999",
        "http://host:port",
        "http://ho st",
        "http://host/a b",
        "http://[::1",
        "http://[10.0.0.1]",
        "http://h\nost",
        "http://h\u00f6st",
        "http://host/#fragment",
        "http://host\\@other",
        "//host",
        "http://300.1.1.1",
    ],
)
def test_what_is_no_url_is_refused(text: str) -> None:
    """No scheme, no host, a password, a line break: no URL."""
    assert parsed(Parser(parse_url, ""), text) is None


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        (BASE_URL, "https://x/", parse_url("https://x")),
        (BASE_URL, "https://x/sub//", parse_url("https://x/sub")),
        (BASE_URL, "https://x?token=1", None),
    ],
)
def test_a_base_takes_a_path_at_its_end(parser: Parser[str], text: str, value: str | None) -> None:
    """Slashes at its end are dropped, a query is refused."""
    assert parsed(parser, text) == value


@pytest.mark.parametrize(
    ("text", "scheme", "host", "port", "credentials"),
    [
        ("http://proxy:3128", "http", "proxy", 3128, ""),
        ("proxy:3128/", "http", "proxy", 3128, ""),
        ("HTTP://proxy", "http", "proxy", 80, ""),
        ("https://proxy", "https", "proxy", 443, ""),
        ("https://[fd00::1]:3129", "https", "fd00::1", 3129, ""),
        ("fd00::5:3128", "http", "fd00::5", 3128, ""),
        ("http://user:p%40ss:w%C3%B6rd@proxy", "http", "proxy", 80, "user:p@ss:wörd"),
        ("user@proxy:1", "http", "proxy", 1, "user:"),
        ("http://@proxy", "http", "proxy", 80, ""),
        ("http://us@er:a@b@proxy", "http", "proxy", 80, "us@er:a@b"),
    ],
)
def test_a_proxy(text: str, scheme: str, host: str, port: int, credentials: str) -> None:
    """Plain or over TLS; user and password are percent-decoded and shown nowhere."""
    proxy = PROXY.parse(text)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    kind, _, encoded = proxy.authorization.partition(" ")
    assert base64.b64decode(encoded).decode() == credentials
    assert kind == ("Basic" if credentials else "")
    assert "authorization" not in repr(proxy)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("socks5://user:hunter2@proxy:1080", "not a SOCKS proxy"),
        ("SOCKS4a://proxy", "not a SOCKS proxy"),
        ("ftp://proxy", ""),
        ("http://proxy/path", ""),
        ("http://proxy?x", ""),
        ("http://user:\udcff@proxy", "percent-encoded"),
        ("http://proxy:0", ""),
        ("http://", ""),
    ],
)
def test_what_is_no_proxy(text: str, says: str) -> None:
    """SOCKS is refused with a sentence of its own."""
    with pytest.raises(InvalidTextError) as refused:
        PROXY.parse(text)
    assert says in str(refused.value)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("http://fd00::5:4318", "fd00::5", 4318),
        ("http://fd00::5:80/x", "fd00::5", 80),
        ("https://fd00:10:244::1f:8443/x?y=1", "fd00:10:244::1f", 8443),
        ("http://2001:db8:0:0:0:0:0:5:80", "2001:db8::5", 80),
        ("http://2001:db8:0:0:0:0:0:5", "2001:db8::5", None),
        ("http://fd00::abcd", "fd00::abcd", None),
        ("http://fd00::5", "fd00::5", None),
        ("http://fd00::8080", "fd00::8080", None),
        ("http://fd00::5:10250", "fd00::5", 10250),
        (
            "http://::ffff:10.0.0.1:80",
            str(IPv6Address("::ffff:10.0.0.1")),
            80,
        ),
        ("http://::1:8080", "::1", 8080),
        ("http://fd00::5:0443", "fd00::5:443", None),
    ],
)
def test_an_ipv6_address_without_brackets(text: str, host: str, port: int | None) -> None:
    """As templates such as http://$(HOST_IP):4318 make it: asked with the brackets it lacks."""
    url = parse_url(text)
    assert (url.host, url.port) == (host, port or 80)
    assert_is_asked_alike(url, httpx.URL(url.text))


@pytest.mark.parametrize(
    "text",
    [
        "http://fd00::1:44",
        "http://fd00::5:123",
        "http://fd00::5:65536x",
        "http://fd00:::1:80",
        "http://1:2:3",
        "http://fe80::1%eth0:80",
        "http://[fd00::5:80",
        "http://fd00::5]:80",
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_refused(text: str) -> None:
    """A port or the address's last group: the message asks for brackets."""
    assert parsed(Parser(parse_url, ""), text) is None


@given(st.ip_addresses(v=6), st.sampled_from([80, 443]) | st.integers(1000, 65535))
def test_every_address_and_port_of_a_template_is_read(address: IPv6Address, port: int) -> None:
    """Any pod's or node's address before a port that servers have."""
    url = parse_url(f"http://{address}:{port}/x")
    assert (url.host, url.port, url.text) == (str(address), port, f"http://[{address}]:{port}/x")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://host/path", "https://host/path"),
        ("https://user:secret@host/path?key=secret#secret", "***@host/path?***"),
        ("https://secret@host@other", "***@other"),
        ("https://host/?key=a@secret", "***"),
        ("https://user:a?secret@host", "***"),
        ("https://user:a#b@secret@host", "***"),
        ("https://host/#secret", "https://host/#***"),
        ("user:secret@host?a\nsecret", "***@host?***"),
    ],
)
def test_a_url_is_shown_without_secrets(text: str, shown: str) -> None:
    """User, password, query and fragment are masked, also in what is no URL."""
    assert hidden(text) == shown


# --- lists --------------------------------------------------------------------------------------


@given(st.lists(st.floats(0, 1e6, width=32), min_size=1, max_size=20, unique=True).map(sorted))
def test_increasing_bounds_are_buckets(bounds: list[float]) -> None:
    """Strictly increasing bounds come back; whole ones are ints, so that le is "1"."""
    value = BUCKETS.parse(",".join(repr(bound) for bound in bounds))
    assert list(value) == bounds
    assert all(isinstance(bound, int) == float(bound).is_integer() for bound in value)


@given(st.text("0123456789.,-+eEinfNa ", max_size=40))
def test_any_text_is_buckets_or_refused(text: str) -> None:
    """Bounds are finite, strictly increasing and not negative, or refused."""
    bounds = parsed(BUCKETS, text)
    if bounds is not None:
        assert isinstance(bounds, tuple)
        assert all(math.isfinite(bound) and bound >= 0 for bound in bounds)
        assert list(bounds) == sorted(set(bounds))


@pytest.mark.parametrize(
    ("text", "bounds"),
    [
        (".005,.01,.1,1,10", (0.005, 0.01, 0.1, 1, 10)),
        ("0.1, 0.2", (0.1, 0.2)),
        ("0,1e1", (0, 10)),
        ("1,1", None),
        ("2,1", None),
        ("-1,1", None),
        ("1,,2", None),
        ("1,Inf", None),
        ("NaN", None),
        ("1e9999", None),
        ("a", None),
        (",".join(str(n) for n in range(MAX_BUCKETS + 1)), None),
    ],
)
def test_buckets(text: str, bounds: tuple[float, ...] | None) -> None:
    """A comma list of seconds, strictly increasing."""
    assert parsed(BUCKETS, text) == bounds


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("app=kubenurse", True),
        ("app.kubernetes.io/name==kubenurse,!canary", True),
        ("app in (a, b),tier notin (),x!=y,z", True),
        ("version > 3", True),
        ("a=", True),
        ("app in (a", False),
        ("app in a", False),
        ("=a", False),
        ("a=b=c", False),
        ("-a", False),
        ("a b", False),
        ("a,,b", False),
        ("/a=b", False),
        ("A_prefix/a", False),
        ("a=" + "b" * 64, False),
        ("a" * 1001, False),
        ("app=kubenurse\nx", False),
    ],
)
def test_label_selectors(text: str, valid: bool) -> None:
    """What the API server would refuse is refused at the start."""
    assert parsed(LABEL_SELECTOR, text) == (text if valid else None)


@pytest.mark.parametrize(
    ("text", "taints"),
    [
        ("a", ("a",)),
        ("karpenter.sh/disrupted, a ,a", ("karpenter.sh/disrupted", "a")),
        ("a:NoSchedule", None),
        ("a,", None),
        ("a=b", None),
    ],
)
def test_taints(text: str, taints: tuple[str, ...] | None) -> None:
    """A comma list of taint keys, each once."""
    assert parsed(TAINTS, text) == taints


KEYS = st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True)
ASCII = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=12)


@given(st.dictionaries(KEYS, ASCII.map(str.strip), min_size=1, max_size=5))
def test_headers_come_back(headers: dict[str, str]) -> None:
    """Percent-encoded values (also '=' and ',') are what was meant."""
    text = ",".join(
        f"{key}={''.join(f'%{byte:02x}' for byte in value.encode())}"
        for key, value in headers.items()
    )
    assert dict(HEADERS.parse(text)) == headers


@given(st.text(max_size=60))
def test_any_text_is_headers_or_refused(text: str) -> None:
    """No header can hold a line break or another header, however it was encoded."""
    headers = parsed(HEADERS, text)
    if headers is not None:
        assert isinstance(headers, tuple)
        assert all(name.islower() or not name.isalpha() for name, _ in headers)
        assert not any(set("\r\n\0") & set(name + value) for name, value in headers)


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("authorization=Bearer%20abc", (("authorization", "Bearer abc"),)),
        ("Authorization=Basic dXNlcg==", (("authorization", "Basic dXNlcg=="),)),
        (" a = b , c=d,", (("a", "b"), ("c", "d"))),
        ("a=1,a=2", (("a", "2"),)),
        ("a=%C3%A9", None),
        ("a=%ff", None),
        ("a=x%0d%0aevil: 1", None),
        ("a b=c", None),
        ("a", None),
        ("=a", None),
        (",".join(f"a{n}=b" for n in range(101)), None),
    ],
)
def test_headers(text: str, headers: tuple[tuple[str, str], ...] | None) -> None:
    """A list of key=value with percent-encoding, names in lower case, the last of two wins."""
    assert parsed(HEADERS, text) == headers


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a=secret,b=c", "a=***,b=***"), ("c2VjcmV0=", "***"), ("secret", "***"), ("a=%ff", "***")],
)
def test_headers_are_shown_without_values(text: str, shown: str) -> None:
    """Only the name of a header that has a value is shown."""
    assert hidden_headers(text) == shown


@pytest.mark.parametrize(
    ("text", "attributes"),
    [
        ("a.b=c,d=%C3%A9%2C", (("a.b", "c"), ("d", "\u00e9,"))),
        ("a=b=c", (("a", "b=c"),)),
        ("a", None),
        ("a=\udcff", None),
        ("a%0a=b", None),
        ("a" * 256 + "=b", None),
    ],
)
def test_resource_attributes(text: str, attributes: tuple[tuple[str, str], ...] | None) -> None:
    """key=value pairs with percent-encoding; bad ones are refused as a whole."""
    assert parsed(RESOURCE_ATTRIBUTES, text) == attributes


@pytest.mark.parametrize(
    "text",
    [
        "https://jaeger.example.com/trace/{trace_id}",
        "http://tempo:3000/explore?left={%22query%22:%22{trace_id}%22}",
        "https://ui.example.com/#/traces/{trace_id}?full=true",
    ],
)
def test_a_link_template_is_a_url_with_a_place_in_it(text: str) -> None:
    """In path, query or fragment."""
    assert link_template("{trace_id}").parse(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "https://jaeger.example.com/trace/",
        "https://{trace_id}.example.com/",
        "https://{trace_id}",
        "javascript:alert(1)//{trace_id}",
        "data:text/html,///{trace_id}",
        "https://user:password@jaeger/{trace_id}",
        "https://jaeger/ {trace_id}",
        "https://jaeger/#a b{trace_id}",
        "https://jaeger/{trace_id}#" + "a" * 2001,
        "",
    ],
)
def test_what_is_no_link_template_is_refused(text: str) -> None:
    """Whatever a browser would run, or that leads to a host of an agent's making."""
    with pytest.raises(InvalidTextError):
        link_template("{trace_id}").parse(text)
