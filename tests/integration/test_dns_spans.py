"""A look-up by our own resolver, as spans: a query each, below the look-up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.trace import StatusCode
from probing import Prober
from servers import FaultServer
from servers.behaviours import answer as http_answer
from servers.dns import Asked, NameServer, answer

from kubenurse_otel import semconv
from kubenurse_otel.probe.dns import resolver
from kubenurse_otel.probe.dns.reply import Server
from kubenurse_otel.probe.dns.resolv_conf import Options, ResolvConf
from kubenurse_otel.probe.dns.resolver import OwnResolver, SystemFiles


class ResolverOfPort(OwnResolver):
    """As resolv.conf has no port: the files' options, and these servers."""

    def __init__(self, directory: Path, *servers: Server, timeout_seconds: int = 1) -> None:
        nothing = directory / "nothing"
        files = SystemFiles(resolv_conf=nothing, hosts=nothing, nsswitch=nothing, gai_conf=nothing)
        super().__init__(paths=files)
        self._servers = servers
        self._timeout_seconds = timeout_seconds

    def _read(self) -> Any:
        options = Options(ndots=5, timeout_seconds=self._timeout_seconds, attempts=1)
        conf = ResolvConf(servers=self._servers, search=("one.test",), options=options)
        return resolver._System(conf, {}, "")


def found(asked: Asked) -> list[bytes]:
    known = "one" not in asked.name
    return [answer(asked, "127.0.0.1", "::1") if known else answer(asked, rcode=3)]


async def test_each_query_is_a_span_below_the_look_up(
    serve: Callable[..., FaultServer], tmp_path: Path
) -> None:
    """Server, name, type, place in the search path, outcome and size; lists on the CLIENT span."""
    web = serve(http_answer())
    with NameServer(found) as names:
        server = Server(names.address, names.port)
        async with Prober(resolve=ResolverOfPort(tmp_path, server)) as prober:
            checked = await prober.check(f"http://web.test:{web.port}/")

    (look_up,) = checked.named(semconv.SPAN_DNS_LOOKUP)
    queries = checked.named(semconv.SPAN_DNS_QUERY)
    assert {span.parent.span_id for span in queries if span.parent} == {look_up.context.span_id}
    told = {
        (
            span.attributes[semconv.DNS_QUESTION_NAME],
            span.attributes[semconv.DNS_PLACE],
            span.attributes[semconv.DNS_OUTCOME],
        )
        for span in queries
        if span.attributes
    }
    assert told == {("web.test.one.test", 0, "nxdomain"), ("web.test", 1, "noerror")}
    one = dict(queries[-1].attributes or {})
    assert one[semconv.SERVER_ADDRESS] == names.address
    assert one[semconv.SERVER_PORT] == names.port
    assert one[semconv.NETWORK_TRANSPORT] == "udp"
    assert one[semconv.DNS_BYTES] > 12
    assert checked.attributes[semconv.DNS_DETOURS] == 1
    assert checked.measured.look_up_queries == len(queries)
    in_vain = [one for one in checked.probe.marks.dns_queries if one.place == 0]
    assert checked.measured.detour >= max(one.seconds for one in in_vain) > 0
    assert set(checked.attributes[semconv.DNS_SERVERS]) == {server.text}
    assert len(checked.attributes[semconv.DNS_SECONDS]) == len(queries)


async def test_a_dead_server_is_named(tmp_path: Path) -> None:
    """In the sentence, and as a failed span."""
    with NameServer(lambda _: []) as names:
        server = Server(names.address, names.port)
        async with Prober(resolve=ResolverOfPort(tmp_path, server)) as prober:
            checked = await prober.check("http://web.test./", timeout_seconds=20.0)

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == "dns_timeout"
    assert f"{server.text} did not answer" in failure.message
    queries = checked.named(semconv.SPAN_DNS_QUERY)
    assert {span.status.status_code for span in queries} == {StatusCode.ERROR}
    assert {(span.attributes or {})["error.type"] for span in queries} == {"silent"}


async def test_a_server_that_answers_by_udp_alone_is_not_called_silent(tmp_path: Path) -> None:
    """A truncated answer is one: what is missing is TCP's."""
    with NameServer(
        lambda asked: [answer(asked, truncated=True)] if asked.transport == "udp" else []
    ) as names:
        server = Server(names.address, names.port)
        patient = ResolverOfPort(tmp_path, server, timeout_seconds=4)
        async with Prober(resolve=patient) as prober:
            checked = await prober.check("http://web.test./", timeout_seconds=20.0)

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == "dns_timeout"
    told = f"{server.text} gave a truncated answer by UDP to 1 of 3, did not answer by TCP 2 of 3"
    assert told in failure.message
    assert list(checked.attributes[semconv.DNS_OUTCOMES]) == ["truncated", "silent", "silent"]


@pytest.mark.parametrize("timeout_seconds", [0.4])
async def test_a_check_that_is_over_first_tells_its_queries_too(
    tmp_path: Path, timeout_seconds: float
) -> None:
    """What was still waited for is silent."""
    with NameServer(lambda _: []) as names:
        server = Server(names.address, names.port)
        async with Prober(resolve=ResolverOfPort(tmp_path, server)) as prober:
            checked = await prober.check("http://web.test./", timeout_seconds=timeout_seconds)

    failure = checked.probe.failure
    assert failure is not None
    assert failure.error_type == "dns_timeout"
    assert f"{server.text} did not answer" in failure.message
    assert set(checked.attributes[semconv.DNS_OUTCOMES]) == {"silent"}
