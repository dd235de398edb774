"""Sound answers of every shape, their bounds, and what is believed of an agent's own headers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from servers import BEHAVIOURS, answer, answer_bytes, redirect, speaks_first, tunnel
from waiting import until

from kubenurse_otel import semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import TargetKind
from kubenurse_otel.probe import verdict
from kubenurse_otel.probe.agent_headers import is_proxied, node_name, server_timing

if TYPE_CHECKING:
    from collections.abc import Callable

    from probing import Prober
    from servers import FaultServer

LENIENT = {
    "two spaces in the status line": b"HTTP/1.1  200 OK\r\nContent-Length: 3\r\n\r\nok\n",
    "a space after a name": b"HTTP/1.1 200 OK\r\nServer : x\r\nContent-Length: 3\r\n\r\nok\n",
    "a space before a later name": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: a\r\n Server: x\r\n\r\nok\n"
    ),
    "obs-fold": b"HTTP/1.1 200 OK\r\nX: a\r\n\tb\r\nContent-Length: 3\r\n\r\nok\n",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 3\n\nok\n",
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nok\n",
}
NODE = semconv.HEADER_NODE
TIMING = semconv.HEADER_SERVER_TIMING


@pytest.mark.parametrize("name", ["ok", "chunked", "http_1_0", "interim", "half_closed"])
async def test_sound_answers_of_every_shape(
    serve: Callable[..., FaultServer], prober: Prober, name: str
) -> None:
    """Framing by length, by chunks, by the connection's end, after 1xx: all are whole answers."""
    server = serve(BEHAVIOURS[name])

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.status_code == 200
    assert checked.attributes[semconv.DURATION] == pytest.approx(checked.measured.split.duration)


@pytest.mark.parametrize("status", [200, 204, 304, 404, 500, 599])
async def test_a_status_without_a_body(
    serve: Callable[..., FaultServer], prober: Prober, status: int
) -> None:
    """204 and 304 end with their head, whatever Content-Length says; others with their body."""
    headers = b"Content-Length: 0\r\n" if status not in {204, 304} else b""
    server = serve(answer_bytes(b"HTTP/1.1 %d X\r\n%s\r\n" % (status, headers)))

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.status_code == status


@pytest.mark.parametrize("name", ["big_body", "big_chunked_body"])
async def test_a_huge_body_is_not_read(
    serve: Callable[..., FaultServer], prober: Prober, name: str
) -> None:
    """Of 100 MB we take 64 KiB, hang up, and the check is good: the status is what counts."""
    server = serve(BEHAVIOURS[name])

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.status_code == 200


async def test_a_body_of_64_kib_is_whole(serve: Callable[..., FaultServer], prober: Prober) -> None:
    """The bound itself is still read, and its connection can be reused."""
    server = serve(answer(body=b"x" * 65_536))

    for _ in range(2):
        checked = await prober.check(server.url(), reuse_connection=True)
        assert checked.probe.failure is None

    assert server.accepted == 1


@pytest.mark.parametrize("size", [1_000, 20_000, 65_000])
@pytest.mark.parametrize("piece", [1_448, 100_000])
async def test_headers_of_a_usual_size_pass(
    serve: Callable[..., FaultServer], prober: Prober, size: int, piece: int
) -> None:
    """Cookies and policies of a real ingress fit, however TCP cuts them."""
    server = serve(answer(headers=[("X-Policy", "x" * size)], piece_bytes=piece))

    assert (await prober.check(server.url())).probe.failure is None


@pytest.mark.parametrize("size", [66_000, 1_000_000])
@pytest.mark.parametrize("piece", [1_448, 100_000])
async def test_a_header_that_is_too_large(
    serve: Callable[..., FaultServer], prober: Prober, size: int, piece: int
) -> None:
    """A head beyond the bound has a word of its own, and is not kept in memory."""
    server = serve(answer(headers=[("X-Policy", "x" * size)], piece_bytes=piece))

    checked = await prober.check(server.url())

    assert checked.probe.failure is not None
    assert checked.probe.failure.error_type == ErrorType.RESPONSE_HEAD_TOO_LARGE
    assert "too large (over 64 KiB)" in checked.probe.failure.message


@pytest.mark.parametrize("name", sorted(LENIENT))
async def test_what_go_reads_is_good(
    serve: Callable[..., FaultServer], prober: Prober, name: str
) -> None:
    """A server that Go's clients get on with is no failure of the network."""
    server = serve(answer_bytes(LENIENT[name]))

    checked = await prober.check(server.url())

    assert checked.probe.failure is None
    assert checked.measured.status_code == 200


async def test_switching_protocols_is_a_status(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A 101 that nobody asked for is the last answer, and its connection is not used again."""
    server = serve(answer_bytes(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n"))

    checked = await prober.check(server.url(), reuse_connection=True)

    assert checked.measured.status_code == 101
    assert server.accepted == 1
    await until(lambda: server.open_connections == 0)


async def test_what_is_no_answer_is_quoted(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """Whoever is on call sees what listens there, without its control characters."""
    server = serve(speaks_first(b"220 mail.example \x1b[31mESMTP\r\n"))

    checked = await prober.check(server.url())

    assert checked.probe.failure is not None
    assert r"it begins with '220 mail.example \x1b[31mESMTP\r\n'" in checked.probe.failure.message
    assert checked.probe.failure.message.isprintable()


async def test_a_compressed_body_is_not_unpacked(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """A body that claims to be gzip and is not (or is a bomb) does not matter to a check."""
    server = serve(answer(body=b"not gzip", headers=[("Content-Encoding", "gzip")]))

    checked = await prober.check(server.url())

    assert checked.probe.failure is None


# --- an agent's own headers ----------------------------------------------------------------------


async def test_an_agents_answer_splits_the_far_end(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """wait and app of Server-Timing, and the node's name, stand on span and measurement."""
    headers = [(NODE, "node-b"), (TIMING, "wait;dur=10, app;dur=5.5, synack;dur=2")]
    server = serve(answer(delay_seconds=0.03, headers=headers))

    checked = await prober.check_path(server.url())

    measured = checked.measured
    assert measured.answering_node == "node-b"
    assert not measured.intercepted
    assert measured.split.far_end_wait == pytest.approx(0.010)
    assert measured.split.far_end_app == pytest.approx(0.0055)
    assert measured.synack_retransmits == 2
    assert checked.attributes[semconv.FAR_END_WAIT] == pytest.approx(0.010)
    assert checked.attributes[semconv.ANSWERING_NODE] == "node-b"
    assert semconv.INTERCEPTED not in checked.attributes


async def test_who_is_not_an_agent_is_not_believed(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """An extra check's answer cannot name a node or split the far end."""
    server = serve(answer(headers=[(NODE, "node-b"), (TIMING, "wait;dur=0.001")]))

    checked = await prober.check(server.url())

    assert checked.measured.answering_node == ""
    assert checked.measured.split.far_end_wait is None
    assert not checked.measured.intercepted


@pytest.mark.parametrize(
    ("headers", "intercepted"),
    [
        ([(NODE, "node-b")], False),
        ([], True),
        ([(NODE, "not a name!")], True),
        ([(NODE, "node-b"), ("Via", "1.1 proxy")], True),
        ([(NODE, "node-b"), ("Server", "envoy")], True),
        ([(NODE, "node-b"), ("X-Envoy-Upstream-Service-Time", "1")], True),
        ([(NODE, "node-b"), ("Server", "aiohttp")], False),
    ],
)
async def test_an_intercepted_path_is_told(
    serve: Callable[..., FaultServer],
    prober: Prober,
    headers: list[tuple[str, str]],
    intercepted: bool,
) -> None:
    """A path answer without an agent's name, or with a proxy's marks, came from in between."""
    server = serve(answer(headers=headers))
    between = serve(tunnel((server.host, server.port)))

    checked = await prober.check_path(between.url())

    assert checked.measured.intercepted is intercepted
    assert checked.attributes.get(semconv.INTERCEPTED, False) is intercepted


@pytest.mark.parametrize(
    "name", ["n" * 254, "UPPER", "-a", "a-", "a b", "", "a\x7f", "..", "node_b", "\xe9"]
)
async def test_a_node_name_is_a_dns_name(
    serve: Callable[..., FaultServer], prober: Prober, name: str
) -> None:
    """What no node can be called reaches no span and no /alive."""
    server = serve(answer(headers=[(NODE, name)]))

    checked = await prober.check_path(server.url())

    assert checked.measured.answering_node == "" if checked.probe.failure is None else True


NUMBERS = st.one_of(
    st.floats(0, 1e7).map(repr),
    st.integers(-(10**12), 10**12).map(str),
    st.sampled_from(["", "nan", "inf", "1e300", "0x10", "1_0", "\u0661", "-0", "+1", " 1", '"1"']),
)
ENTRIES = st.builds(
    "{}{};{}={}".format,
    st.sampled_from(["", " ", "\t"]),
    st.sampled_from(["wait", "app", "synack", "port", "db", "", "WAIT"]),
    st.sampled_from(["dur", "desc", "DUR", ""]),
    NUMBERS,
)
HEADERS = st.lists(
    st.tuples(
        st.sampled_from([b"server-timing", b"x"]),
        st.one_of(
            st.lists(ENTRIES).map(lambda e: ",".join(e).encode("latin-1", "replace")),
            st.binary(max_size=600),
        ),
    ),
    max_size=5,
)


@given(headers=HEADERS, far_end=st.one_of(st.none(), st.floats(0, 10)))
def test_server_timing_is_always_within_the_far_end(
    headers: list[tuple[bytes, bytes]], far_end: float | None
) -> None:
    """Whatever a far end claims, wait and app are within 0 and far end, and their sum is too."""
    timing = server_timing(headers, far_end=far_end)

    if far_end is None:
        assert (timing.wait, timing.app) == (None, None)
    else:
        assert 0 <= (timing.wait or 0) <= far_end
        assert 0 <= (timing.app or 0) <= far_end
        assert (timing.wait or 0) + (timing.app or 0) <= far_end + 1e-12
    assert timing.synack_retransmits is None or 0 <= timing.synack_retransmits <= 100
    assert timing.asker_port is None or 1 <= timing.asker_port <= 65_535


@given(headers=st.lists(st.tuples(st.just(NODE.lower().encode()), st.binary(max_size=400))))
def test_a_node_name_is_bounded(headers: list[tuple[bytes, bytes]]) -> None:
    """Any bytes give a lower-case DNS name of at most 253 characters, or nothing."""
    name = node_name(headers)

    assert len(name) <= 253
    assert name == "" or (name.isascii() and name == name.lower() and name[0].isalnum())
    is_proxied(headers)


def test_server_timing_reads_256_bytes() -> None:
    """An entry beyond the bound is not seen, over one header or several."""
    filler = b"x;dur=1," * 31
    assert server_timing([(b"server-timing", filler + b"app;dur=1")], far_end=1).app is None
    assert server_timing([(b"server-timing", b"app;dur=1," + filler)], far_end=1).app == 0.001
    two = [(b"server-timing", b"y" * 250), (b"server-timing", b"app;dur=123456")]
    assert server_timing(two, far_end=1).app is None


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.binary(max_size=300), prefix=st.sampled_from([b"", b"HTTP/1.1 200 OK\r\n"]))
async def test_any_bytes_are_an_answer_or_a_failure(
    certificates: Any, data: bytes, prefix: bytes
) -> None:
    """Random bytes, with or without a sound start, never crash the transport."""
    from probing import Prober
    from servers import FaultServer

    with FaultServer(answer_bytes(prefix + data)) as server:
        async with Prober(ca_file=certificates.ca_file) as prober:
            checked = await prober.check_path(server.url(), timeout_seconds=5)

    failure = checked.probe.failure
    assert (failure is None) == (checked.probe.reply is not None)
    if failure is not None:
        assert failure.error_type in {
            ErrorType.MALFORMED_RESPONSE,
            ErrorType.CONNECTION_CLOSED_EARLY,
        }


# --- who is to be looked at when the status is bad ------------------------------------------------


@pytest.mark.parametrize(
    ("location", "says"),
    [
        ("https://login.example/in", "which leads to https://login.example/in: no check follows"),
        ("/in?token=hunter2#hunter2", "which leads to /in?***: no check"),
        ("https://me:hunter2@login.example/in", "leads to ***@login.example/in:"),
        ("https://login.example/\x9b2J", "leads to https://login.example/\\x9b2J:"),
        ("https://login.example/" + "a" * 5_000, "aaa...: no check"),
    ],
)
async def test_a_redirect_says_where_it_leads(
    serve: Callable[..., FaultServer], prober: Prober, location: str, says: str
) -> None:
    """Its log has nothing to say; no secret of the address is repeated, and nothing long."""
    server = serve(redirect(location, 302))

    found = verdict.failure((await prober.check(server.url())).probe)

    assert found is not None
    assert says in found.message
    assert "hunter2" not in found.message
    assert len(found.message) < 600


@pytest.mark.parametrize(
    ("bad", "of_backend"),
    [
        ((502, TargetKind.EXTRA, [("Server", "nginx")]), True),
        ((504, TargetKind.EXTRA, []), True),
        ((503, TargetKind.EXTRA, [("Server", "nginx")]), False),
        ((503, TargetKind.ME_INGRESS, [("Server", "nginx")]), True),
        ((503, TargetKind.ME_SERVICE, [("Server", "envoy")]), True),
        ((503, TargetKind.ME_SERVICE, [(NODE, "node-b")]), False),
        ((500, TargetKind.ME_INGRESS, [("Server", "nginx")]), False),
    ],
)
async def test_who_answers_for_a_backend_is_not_who_failed(
    serve: Callable[..., FaultServer],
    prober: Prober,
    bad: tuple[int, TargetKind, list[tuple[str, str]]],
    of_backend: bool,
) -> None:
    """502 and 504 are a gateway's words, and so is a 503 where an agent would name its node."""
    status, kind, headers = bad
    server = serve(answer(status, headers=headers))
    checked = await prober.check(
        server.url(), kind=kind, answered_by_agent=kind is not TargetKind.EXTRA
    )

    found = verdict.failure(checked.probe)

    assert found is not None
    assert f"status {status}" in found.message
    assert ("for a backend" in found.message) is of_backend
    assert ("look at its log" in found.message) is not of_backend
    if of_backend and headers:
        assert f"(Server: {headers[0][1]})" in found.message


@pytest.mark.parametrize(
    ("kind", "headers", "of_ingress"),
    [
        (TargetKind.ME_INGRESS, [], True),
        (TargetKind.ME_INGRESS, [("Server", "envoy")], True),
        (TargetKind.ME_SERVICE, [], False),
        (TargetKind.EXTRA, [], False),
    ],
)
async def test_a_404_of_the_ingress_is_about_its_routes(
    serve: Callable[..., FaultServer],
    prober: Prober,
    kind: TargetKind,
    headers: list[tuple[str, str]],
    of_ingress: bool,
) -> None:
    """It has no route to us, and endpoints may be all that is missing."""
    server = serve(answer(404, headers=headers))
    checked = await prober.check(
        server.url(), kind=kind, answered_by_agent=kind is not TargetKind.EXTRA
    )

    found = verdict.failure(checked.probe)

    assert found is not None
    assert found.event == "status_code_404"
    assert ("endpoints of its Service" in found.message) is of_ingress
    assert ("look at its log" in found.message) is not of_ingress


async def test_a_404_of_an_agent_is_about_the_path(
    serve: Callable[..., FaultServer], prober: Prober
) -> None:
    """The ingress has a route to us, and changes the path: the message says who answered."""
    server = serve(answer(404, headers=[("Server", "envoy"), (NODE, "node-b")]))
    checked = await prober.check(server.url(), kind=TargetKind.ME_INGRESS, answered_by_agent=True)

    found = verdict.failure(checked.probe)

    assert found is not None
    assert found.event == "status_code_404"
    assert "status 404 by the agent on node node-b, which has no such path" in found.message
    assert "rewrite rule" in found.message
    assert "endpoints of its Service" not in found.message
