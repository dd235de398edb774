"""Checks of dns:// targets: one server, one question, and what answer is a good one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from probing import Prober
from servers.dns import Asked, NameServer, answer

from kubenurse_otel import semconv
from kubenurse_otel.config.extra_checks import parse_check
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Phase
from kubenurse_otel.plan.targets import extra_target
from kubenurse_otel.probe import verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from probing import Checked

NXDOMAIN, SERVFAIL, NOTAUTH = 3, 2, 9


def behave(asked: Asked) -> Iterable[bytes]:
    """By the name's first label."""
    first = asked.name.partition(".")[0]
    if first == "silent":
        return []
    if first == "garbage":
        return [answer(asked, "10.0.0.1")[:-3]]
    if first in ("long", "cut") and asked.transport == "udp":
        return [answer(asked, truncated=True)]
    if first == "cut":
        return []
    code = {"none": NXDOMAIN, "broken": SERVFAIL, "strange": NOTAUTH}.get(first, 0)
    addresses = [] if code or first == "empty" else ["10.0.0.1", "10.0.0.2", "fd00::1"]
    return [answer(asked, *addresses, rcode=code)]


async def ask(prober: Prober, text: str, **more: Any) -> Checked:
    target = extra_target(parse_check(text), interval_seconds=5.0, timeout_seconds=10.0)
    return await prober.check(
        target.url, query=target.query, **{"timeout_seconds": target.timeout_seconds, **more}
    )


@pytest.mark.parametrize(
    ("question", "code", "addresses", "says"),
    [
        ("good.test", "NOERROR", ("10.0.0.1", "10.0.0.2"), None),
        ("good.test.?type=AAAA", "NOERROR", ("fd00::1",), None),
        ("good.test;expect=10.0.0.2,10.0.0.1,10.0.0.3", "NOERROR", None, None),
        ("good.test;expect=10.0.0.2", "NOERROR", None, "answered 10.0.0.1 to A good.test"),
        ("good.test;expect=NOERROR", "NOERROR", None, None),
        ("good.test;expect=NXDOMAIN", "NOERROR", None, "(expected NXDOMAIN)"),
        ("empty.test", "NOERROR", (), "answered no A record to A empty.test (expected an address)"),
        ("empty.test;expect=10.0.0.1", "NOERROR", (), "(expected 10.0.0.1)"),
        ("empty.test;expect=NOERROR", "NOERROR", (), None),
        ("none.test", "NXDOMAIN", (), "answered NXDOMAIN to A none.test (expected an address)"),
        ("none.test;expect=NXDOMAIN", "NXDOMAIN", (), None),
        ("broken.test", "SERVFAIL", (), "answered SERVFAIL"),
        ("broken.test;expect=servfail", "SERVFAIL", (), None),
        ("strange.test", "RCODE9", (), "answered RCODE9"),
        ("long.test", "NOERROR", ("10.0.0.1", "10.0.0.2"), None),
    ],
)
async def test_what_is_a_good_answer(
    prober: Prober,
    question: str,
    code: str,
    addresses: tuple[str, ...] | None,
    says: str | None,
) -> None:
    """An address, unless a code or certain addresses are expected."""
    with NameServer(behave) as server:
        checked = await ask(prober, f"dns://127.0.0.1:{server.port}/{question}")

    assert checked.probe.failure is None
    assert checked.measured.answer == code
    if addresses is not None:
        assert tuple(sorted(checked.measured.addresses)) == addresses
    failure = verdict.failure(checked.probe)
    if says is None:
        assert failure is None
    else:
        assert failure is not None
        assert (failure.error_type, failure.phase) == (ErrorType.UNEXPECTED_ANSWER, Phase.STATUS)
        assert failure.event == "round_trip_error"
        assert says in failure.message
    name, _, _ = question.replace("?", ";").partition(";")
    assert {one.name for one in server.asked} == {name.rstrip(".") + "."}


async def test_a_query_is_a_span_without_http(prober: Prober) -> None:
    """CLIENT, with the conventions' names; the kernel's time is the request's."""
    with NameServer(behave) as server:
        checked = await ask(prober, f"dns://127.0.0.1:{server.port}/good.test")

    assert [span.name for span in checked.spans] == ["DNS query", "check"]
    attributes = checked.attributes
    assert not [name for name in attributes if name.startswith(("http.", "url."))]
    wanted = {
        semconv.SERVER_ADDRESS: "127.0.0.1",
        semconv.SERVER_PORT: server.port,
        semconv.NETWORK_TRANSPORT: "udp",
        semconv.NETWORK_PEER_ADDRESS: "127.0.0.1",
        semconv.NETWORK_PEER_PORT: server.port,
        semconv.DNS_QUESTION_NAME: "good.test",
        semconv.DNS_QUESTION_TYPE: "A",
        semconv.DNS_RCODE: "NOERROR",
        semconv.DNS_TRIES: 1,
        semconv.DNS_ANSWERS: ("10.0.0.1", "10.0.0.2"),
        semconv.TIMING_SOURCE: "kernel",
    }
    assert wanted == {name: attributes.get(name) for name in wanted}
    split = checked.measured.split
    assert split.request is not None
    assert split.duration == split.request == attributes[semconv.DURATION]
    assert split.own_delay is not None
    assert split.loss == 0
    assert checked.events == ["wrote_request", "got_first_resp_byte"]


async def test_an_answer_cut_short_comes_by_tcp(prober: Prober) -> None:
    """The span says so; the time is from the first query on."""
    with NameServer(behave) as server:
        checked = await ask(prober, f"dns://127.0.0.1:{server.port}/long.test")
    assert checked.attributes[semconv.NETWORK_TRANSPORT] == "tcp"
    assert [one.transport for one in server.asked] == ["udp", "tcp"]
    assert checked.measured.split.request is not None


async def test_a_query_that_got_lost_is_loss(prober: Prober) -> None:
    """It is sent again after a second, and the time until then is lost, and part of the request."""

    def second(asked: Asked) -> Iterable[bytes]:
        return behave(asked) if len(server.asked) > 1 else []

    with NameServer(second) as server:
        checked = await ask(prober, f"dns://127.0.0.1:{server.port}/good.test")
    assert verdict.failure(checked.probe) is None
    assert checked.measured.dns_tries >= 2
    split = checked.measured.split
    assert split.loss is not None
    assert split.loss >= 0.9
    assert split.request is not None
    assert split.request >= split.loss


async def test_ipv6_and_names(prober: Prober) -> None:
    """A server by IPv6 address, and one by name, whose own look-up is a span."""
    with NameServer(behave, "::1") as server:
        six = await ask(prober, f"dns://[::1]:{server.port}/good.test")
        assert six.measured.peer_address == "::1"
        async with Prober(names={"ns.test": ["::1"]}) as by_name:
            named = await ask(by_name, f"dns://ns.test:{server.port}/good.test")
    assert verdict.failure(six.probe) is None
    assert verdict.failure(named.probe) is None
    assert [span.name for span in named.spans] == ["DNS lookup", "DNS query", "check"]
    assert named.measured.split.dns is not None


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("silent.test", "did not answer the query in time"),
        ("cut.test", "answers by UDP, truncated, and is silent by TCP"),
    ],
)
async def test_a_silent_server(prober: Prober, name: str, says: str) -> None:
    """Its own sentence; nothing was timed, and nobody's look-up has failed."""
    with NameServer(behave) as server:
        text = f"dns://127.0.0.1:{server.port}/{name}"
        for _ in range(5):
            checked = await ask(prober, text, timeout_seconds=0.5)
            failure = checked.probe.failure
            if failure is not None and failure.error_type != ErrorType.OWN_TIMEOUT:
                break
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.RESPONSE_TIMEOUT, Phase.REQUEST)
    assert says in failure.message
    assert semconv.TIMING_SOURCE not in checked.attributes
    assert checked.measured.word == ""


async def test_nobody_is_there(prober: Prober) -> None:
    """ICMP says so at once."""
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    checked = await ask(prober, f"dns://127.0.0.1:{port}/good.test")
    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.CONNECTION_REFUSED, Phase.CONNECT)


async def test_a_name_of_the_server_that_is_not_found() -> None:
    """That is a look-up that failed, as everywhere."""
    error = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    async with Prober(names={"ns.test": error}) as prober:
        checked = await ask(prober, "dns://ns.test/good.test")
    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.HOST_NOT_FOUND, Phase.DNS)


async def test_what_is_no_dns_message(prober: Prober) -> None:
    """An answer whose records cannot be read has DNS's sentence, and not HTTP's."""
    with NameServer(behave) as server:
        checked = await ask(prober, f"dns://127.0.0.1:{server.port}/garbage.test")
    failure = checked.probe.failure
    assert failure is not None
    assert (failure.error_type, failure.phase) == (ErrorType.MALFORMED_RESPONSE, Phase.REQUEST)
    assert "no sound DNS message" in failure.message
