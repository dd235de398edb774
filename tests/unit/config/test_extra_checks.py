"""kubenurse_otel.config.extra_checks: one string, every check and its options."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.config import ConfigError, ExtraCheck, load
from kubenurse_otel.config.extra_checks import (
    EXTRA_CHECKS,
    MAX_TOLD,
    RCODES,
    hidden_checks,
    parse_check,
)
from kubenurse_otel.config.urls import RECORD_TYPES, parse_url
from kubenurse_otel.config.values import InvalidTextError
from kubenurse_otel.model import DnsQuery, Url

NAMES = st.text(string.ascii_letters + string.digits + "_", min_size=1, max_size=20).filter(
    lambda name: not name.startswith("path_")
)


def parsed(text: str) -> tuple[ExtraCheck, ...] | None:
    try:
        return EXTRA_CHECKS.parse(text)
    except InvalidTextError:
        return None


def problems(text: str) -> str:
    with pytest.raises(InvalidTextError) as raised:
        EXTRA_CHECKS.parse(text)
    return str(raised.value)


def tcp(host: str, port: int, text: str = "") -> Url:
    return Url(
        scheme="tcp", host=host, port=port, request_target="", text=text or f"tcp://{host}:{port}"
    )


# --- as kubenurse has it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "checks"),
    [
        ("web:https://a/", (ExtraCheck(name="web", url=parse_url("https://a/")),)),
        (
            "six:http://fd00::5:8080/x",
            (ExtraCheck(name="six", url=parse_url("http://[fd00::5]:8080/x")),),
        ),
        (
            "web:https://a:8443/x?y=1|shop:http://b;expect=200-399",
            (
                ExtraCheck(name="web", url=parse_url("https://a:8443/x?y=1")),
                ExtraCheck(name="shop", url=parse_url("http://b"), expect=((200, 399),)),
            ),
        ),
        ("a:http://b/x;y", (ExtraCheck(name="a", url=parse_url("http://b/x;y")),)),
        (
            "a b:http://c|\nd:http://e",
            (
                ExtraCheck(name="a b", url=parse_url("http://c")),
                ExtraCheck(name="d", url=parse_url("http://e")),
            ),
        ),
        ("extra:http://b", (ExtraCheck(name="extra", url=parse_url("http://b")),)),
        ("a", None),
        ("a:", None),
        (":http://b", None),
        ("a:http://b|", None),
        ("a:http://b|a:http://c", None),
        ("me_service:http://b", None),
        ("api_server_dns:http://b", None),
        ("neighbourhood_state:http://b", None),
        ("path_node-1:http://b", None),
        ('a"b:http://b', None),
        ("a" * 64 + ":http://b", None),
        ("a:http://user:password@b", None),
        ("a:ftp://b", None),
        ("|".join(f"a{n}:http://b" for n in range(101)), None),
    ],
)
def test_extra_checks(text: str, checks: tuple[ExtraCheck, ...] | None) -> None:
    """name:url|name:url; names are bounded and collide with none."""
    assert parsed(text) == checks


@given(
    NAMES,
    st.text(string.ascii_letters + string.digits + "/?&=;:.,-_~%|", max_size=60),
)
def test_what_kubenurse_takes_for_a_url_is_the_url(name: str, rest: str) -> None:
    """kubenurse cuts at each '|' and at the first ':', at nothing else: ';' and '?' are a URL's."""
    first, *others = f"{name}:http://b/{rest}".split("|")
    _, _, url = first.partition(":")
    checks = parsed(first if not others else "|".join([first, *others]))
    if checks is None:
        return
    assert len(checks) == 1 + len(others)
    check = checks[0]
    without_options = check == ExtraCheck(name=check.name, url=check.url)
    assert check.url.text == url if without_options else url.startswith(check.url.text + ";")


@pytest.mark.parametrize(
    "url",
    [
        "http://b/?a=1;b=2",
        "http://b/x;version=2",
        "http://b/;expected=200",
        "http://b/x;tls",
        "http://b/;expect",
        "http://b/x%3Bexpect=500",
        "http://b/x;",
    ],
)
def test_a_semicolon_that_begins_no_option_is_the_urls(url: str) -> None:
    """Only a known word with '=' at the end is an option."""
    assert parsed(f"a:{url}") == (ExtraCheck(name="a", url=parse_url(url)),)


# --- options ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("http://b;expect=204", ExtraCheck(url=parse_url("http://b"), expect=((204, 204),))),
        (
            "http://b;expect=2xx,401, 500-503",
            ExtraCheck(url=parse_url("http://b"), expect=((200, 299), (401, 401), (500, 503))),
        ),
        (
            "https://b/?q=1;z=2;method=HEAD;interval=1m;timeout=1s",
            ExtraCheck(
                url=parse_url("https://b/?q=1;z=2"),
                method="HEAD",
                interval_seconds=60.0,
                timeout_seconds=1.0,
            ),
        ),
        ("tcp://db.example.com:5432", ExtraCheck(url=tcp("db.example.com", 5432))),
        ("TCP://DB:1", ExtraCheck(url=tcp("db", 1, "tcp://DB:1"))),
        ("tcp://[fd00::5]:6379", ExtraCheck(url=tcp("fd00::5", 6379, "tcp://[fd00::5]:6379"))),
        ("tcp://fd00::5:6379", ExtraCheck(url=tcp("fd00::5", 6379, "tcp://[fd00::5]:6379"))),
        (
            "tcp://10.0.0.1:465;tls;expect=mail.example.com;interval=30s",
            ExtraCheck(
                url=tcp("10.0.0.1", 465),
                tls=True,
                server_name="mail.example.com",
                interval_seconds=30.0,
            ),
        ),
        (
            "dns://10.96.0.10/kubernetes.default.svc.cluster.local",
            ExtraCheck(
                url=Url(
                    scheme="dns",
                    host="10.96.0.10",
                    port=53,
                    request_target="/kubernetes.default.svc.cluster.local?type=A",
                    text="dns://10.96.0.10/kubernetes.default.svc.cluster.local",
                ),
                query=DnsQuery(name="kubernetes.default.svc.cluster.local", record_type="A"),
            ),
        ),
        (
            "dns://[::1]:5353/_a-b.c.?TYPE=aaaa;expect=nxdomain;timeout=2s",
            ExtraCheck(
                url=Url(
                    scheme="dns",
                    host="::1",
                    port=5353,
                    request_target="/_a-b.c.?type=AAAA",
                    text="dns://[::1]:5353/_a-b.c.?TYPE=aaaa",
                ),
                query=DnsQuery(name="_a-b.c.", record_type="AAAA", rcode="NXDOMAIN"),
                timeout_seconds=2.0,
            ),
        ),
        (
            "dns://ns/a?type=AAAA;expect=fd00::1,FD00:0::2",
            ExtraCheck(
                url=Url(
                    scheme="dns",
                    host="ns",
                    port=53,
                    request_target="/a?type=AAAA",
                    text="dns://ns/a?type=AAAA",
                ),
                query=DnsQuery(
                    name="a", record_type="AAAA", addresses=frozenset({"fd00::1", "fd00::2"})
                ),
            ),
        ),
    ],
)
def test_each_kind_with_its_options(text: str, check: ExtraCheck) -> None:
    """What is asked, how, and what is good."""
    assert parse_check(text) == check


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://b;expect=", "status codes"),
        ("http://b;expect=399-200", "status codes"),
        ("http://b;expect=99", "status codes"),
        ("http://b;expect=200-", "status codes"),
        ("http://b;expect=2x", "status codes"),
        ("http://b;expect=2xx-3xx", "status codes"),
        ("http://b;expect=600", "status codes"),
        ("http://b;expect=" + ",".join(["200"] * 21), "status codes"),
        ("http://b;expect=200;expect=201", ";expect= once"),
        ("http://b;method=head", "GET or HEAD"),
        ("http://b;method=POST", "GET or HEAD"),
        ("http://b;interval=5", "a duration"),
        ("http://b;interval=10ms", "from 100ms"),
        ("http://b;timeout=0s", "from 1ms"),
        ("http://[fe80::1%25eth0]/", "without a zone: what follows % belongs to one machine"),
        ("tcp://[fe80::1%eth0]:80", "without a zone: what follows % belongs to one machine"),
        ("dns://[fe80::1%eth0]/a", "without a zone: what follows % belongs to one machine"),
        ("dns://a/b?type=AAAA;expect=fe80::1%eth0", "addresses of the type"),
        ("tcp://db", "with a port"),
        ("tcp://db:0", "with a port"),
        ("tcp://db:99999", "with a port"),
        ("tcp://:80", "with a host name"),
        ("tcp://db:80/", "without path"),
        ("tcp://db:80?x", "without path"),
        ("tcp://db:80#", "without path"),
        ("tcp://user@db:80", "without user"),
        ("tcp:db:80", "an http, https, tcp or dns URL"),
        ("tcp://db:80;expect=db", "only together with ;tls"),
        ("tcp://db:80;tls;expect=-", "the name in the far end's certificate"),
        ("tcp://db:80;tls=1", "no options behind it but ;tls, "),
        ("tcp://db:80;method=HEAD", "no options behind it but ;tls, "),
        ("tcp://db:80;", "no options behind it but ;tls, "),
        ("dns:///a", "and a server"),
        ("dns://ns", "one name"),
        ("dns://ns/", "one name"),
        ("dns://ns/a/b", "one name"),
        ("dns://ns/a..b", "one name"),
        ("dns://ns/" + "a" * 64, "one name"),
        ("dns://ns/" + ".".join(["a" * 60] * 5), "one name"),
        ("dns://ns/a?type=ANY", "?type=A or ?type=AAAA"),
        ("dns://ns/a?class=IN", "?type=A or ?type=AAAA"),
        ("dns://ns/a?", "?type=A or ?type=AAAA"),
        ("dns://ns/a?type=A;class=IN", "no options behind it but"),
        ("dns://ns/a#x", "?type=A or ?type=AAAA"),
        ("dns://ns/a;expect=BADVERS", "addresses of the type"),
        ("dns://ns/a;expect=fd00::1", "addresses of the type"),
        ("dns://ns/a?type=AAAA;expect=10.0.0.1", "addresses of the type"),
        ("dns://ns/a?type=TXT", "?type=A or ?type=AAAA"),
        ("dns://ns/.", "one name"),
        ("dns://ns/a;expect=", "addresses of the type"),
    ],
)
def test_what_is_refused_says_what_is_wanted(text: str, says: str) -> None:
    """A sentence for each mistake, under the check's number."""
    said = problems(f"mine:{text}")
    assert said.startswith("for check 1: ")
    assert says in said


def test_everything_that_is_wrong_is_said_at_once() -> None:
    """Each bad option of each bad check, in the one message, which repeats no value."""
    said = problems(
        "web:http://b/;expect=hunter2;interval=5|good:http://c|db:tcp://d;method=HEAD;timeout=x|"
        "name:dns://ns/a;expect=hunter2|:http://e|f"
    )
    for part in (
        "for check 1: status codes",
        "a duration such as 5s, 500ms or 1m30s, from 100ms to 24h as ;interval=",
        "for check 3: a URL such as tcp://db.example.com:5432, one with a port",
        "no options behind it but ;tls, ;expect=, ;interval=, ;timeout=",
        "from 1ms to 24h as ;timeout=",
        "for check 4: one of NOERROR",
        "for check 5: with a name of at most 63",
        "for check 6: with a ':' between name and URL",
    ):
        assert part in said
    assert "good" not in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "url",
    [
        "https://user:hunter2@host/",
        "https://user:a|hunter2:b@host/",
        "https://user:a|hunter2|b@host/",
        "https://user:a|path_hunter2:b@host/",
        "https://us;er:a;hunter2@host/",
        "https://user:hunter2;timeout=1s@host/",
        "https://host/?token=a|hunter2:b",
        "https://host/?token=hunter2 b",
        "https://host/?token=a;timeout=hunter2",
        "https://host:hunter2/",
        "tcp://user:hunter2@host:1",
        "tcp://host:1?hunter2",
        "tcp://host:1;hunter2",
        "dns://user:a|hunter2:b@host/x",
        "dns://host/a?type=hunter2",
    ],
)
def test_no_piece_of_a_secret_is_said(url: str) -> None:
    """A '|' or a ':' in a password or a token makes another check of what follows."""
    assert "hunter2" not in problems(f"mine:{url}")


def test_many_problems_are_counted() -> None:
    """A hundred bad checks make no message of a hundred lines."""
    said = problems("|".join(f"a{n}:tcp://h" for n in range(50)))
    assert said.count("for check") == MAX_TOLD
    assert f"without {50 - MAX_TOLD} more problems" in said


def test_a_bad_option_stands_beside_every_other_problem() -> None:
    """One ConfigError has them all."""
    with pytest.raises(ConfigError) as raised:
        load(
            {
                "KUBENURSE_EXTRA_CHECKS": "db:tcp://d:1;timeout=x|ns:dns://n/a?type=B",
                "KUBENURSE_CHECK_TIMEOUT": "x",
            }
        )
    checks, timeout = sorted(raised.value.problems, reverse=True)
    assert "for check 1: a duration" in checks
    assert "for check 2: a URL such as dns://" in checks
    assert timeout.startswith("KUBENURSE_CHECK_TIMEOUT")


# --- any text -----------------------------------------------------------------------------------

SECONDS = st.integers(1, 86_400)
SCHEDULES = st.fixed_dictionaries({}, optional={"interval": SECONDS, "timeout": SECONDS})
STATUS = st.integers(100, 599)
OCTET = st.integers(0, 255)
ADDRESSES = st.tuples(OCTET, OCTET, OCTET, OCTET).map(lambda octets: ".".join(map(str, octets)))


@given(
    st.lists(
        st.tuples(
            NAMES,
            st.one_of(
                st.tuples(
                    st.just("http"),
                    st.sampled_from(["http://b/", "https://b/x?y=1;z", "http://[::1]:80"]),
                    st.lists(STATUS, max_size=3),
                ),
                st.tuples(
                    st.just("tcp"),
                    st.sampled_from(["tcp://h:1", "tcp://[::1]:2"]),
                    NAMES.map("h{}".format),
                ),
                st.tuples(
                    st.just("dns"),
                    st.sampled_from(["dns://n/a", "dns://[::1]:53/a.?type=A"]),
                    st.lists(ADDRESSES, max_size=3) | st.sampled_from(RCODES),
                ),
            ),
            SCHEDULES,
            st.randoms(use_true_random=False),
        ),
        min_size=1,
        max_size=5,
        unique_by=lambda one: one[0],
    )
)
def test_options_stand_in_any_order(checks: list[tuple]) -> None:  # type: ignore[type-arg]
    """What is written is what is read, of any number of checks."""
    entries = []
    for name, (kind, url, expect), schedule, random in checks:
        options = [f"{word}={seconds}s" for word, seconds in schedule.items()]
        if kind == "tcp":
            options += ["tls", f"expect={expect}"]
        elif expect:
            texts = [expect] if isinstance(expect, str) else list(map(str, expect))
            options.append(f"expect={','.join(texts)}")
        random.shuffle(options)
        entries.append(";".join([f"{name}:{url}", *options]))
    read = EXTRA_CHECKS.parse("|".join(entries))
    for check, (name, (kind, url, expect), schedule, _) in zip(read, checks, strict=True):
        assert (check.name, check.url.text) == (name, url)
        assert check.interval_seconds == schedule.get("interval")
        assert check.timeout_seconds == schedule.get("timeout")
        if kind == "http":
            assert check.expect == (tuple((one, one) for one in expect) or None)
        elif kind == "tcp":
            assert (check.tls, check.server_name) == (True, expect)
        else:
            assert check.query is not None
            is_code = isinstance(expect, str)
            assert check.query.rcode == (expect if is_code else "")
            assert check.query.addresses == (frozenset() if is_code else frozenset(expect))


@given(
    st.text('abc:|;=/0123456789-expctlsdnhmowrk.@?" []%', max_size=80)
    | st.builds(
        "{}:{}://{}{}".format,
        NAMES,
        st.sampled_from(["http", "https", "tcp", "dns", "ftp", "TCP"]),
        st.text("abc.:[]%0123456789/-_", max_size=20),
        st.text("abc;=,?/0123456789tylsxpintrvamoeuh.-", max_size=40),
    )
)
def test_any_text_is_extra_checks_or_refused(text: str) -> None:
    """What passes is unique, bounded, and can be asked; nothing else is raised."""
    checks = parsed(text)
    if checks is None:
        assert problems(text).isprintable() or "\n" not in problems(text)
        return
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    for check in checks:
        assert check.url.host
        assert 1 <= check.url.port <= 65535
        assert "%" not in check.url.host
        assert (check.query is not None) == (check.url.scheme == "dns")
        if check.query is not None:
            assert check.query.record_type in RECORD_TYPES
        assert not check.tls or check.url.scheme == "tcp"
        assert all(100 <= low <= high <= 599 for low, high in check.expect or ())


def test_extra_checks_are_shown_without_secrets() -> None:
    """Queries are masked; where a password may stand, nothing is shown."""
    assert hidden_checks("a:https://b/?key=secret|c:http://d") == "a:https://b/?***|c:http://d"
    assert hidden_checks("a:https://u:se|cret@b") == "***"
