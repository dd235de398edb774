"""A whole agent with extra checks of every kind: what its users see from outside."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import pytest
from agents import environment, running, wait_for
from otlp_receiver import attributes, http_receiver
from ports import free_port
from servers import answer, silent
from servers.dns import Asked, NameServer
from servers.dns import answer as dns_answer

from kubenurse_otel import semconv

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from agents import Agent
    from servers import Certificates, FaultServer

KIND_CLIENT = 3
NXDOMAIN = 3


def behave(asked: Asked) -> Iterable[bytes]:
    gone = asked.name.startswith("gone")
    return [dns_answer(asked, *([] if gone else ["10.0.0.1"]), rcode=NXDOMAIN if gone else 0)]


def details(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = agent.alive()["details"]["targets"]
    return found


def test_every_kind_is_a_check_like_any_other(
    tmp_path: Path,
    serve: Callable[..., FaultServer],
    certificates: Certificates,
    closed_port: int,
) -> None:
    """/alive, metrics and traces of http, tcp, TLS and dns; each at its own interval and time."""
    web, idle = serve(answer(401)), serve(silent)
    tls = serve(silent, tls=certificates.context())
    (tmp_path / "neighbours.yaml").write_text("[]")
    with NameServer(behave) as names, http_receiver() as received:
        ns = f"dns://127.0.0.1:{names.port}"
        checks = {
            "head": f"{web.origin}/;expect=2xx,401;method=HEAD",
            "tcp": f"tcp://127.0.0.1:{idle.port}",
            "tls": f"tcp://127.0.0.1:{tls.port};tls;expect=localhost",
            "dns": f"{ns}/there.test;expect=10.0.0.1",
            "rare": f"{ns}/rare.test;interval=24h",
            "refused": f"tcp://127.0.0.1:{closed_port}",
            "hangs": f"tcp://127.0.0.1:{idle.port};tls;timeout=1s",
            "gone": f"{ns}/gone.test",
        }
        words = {
            **dict.fromkeys(("head", "tcp", "tls", "dns"), "ok"),
            "refused": "refused the connection (ECONNREFUSED)",
            "hangs": "did not finish the TLS handshake in time",
            "gone": "answered NXDOMAIN to A gone.test (expected an address)",
        }
        environ = environment(
            "127.0.4.7",
            "node-a",
            free_port(),
            KUBENURSE_NEIGHBOURS_FILE=str(tmp_path / "neighbours.yaml"),
            KUBENURSE_CHECK_INTERVAL="200ms",
            KUBENURSE_CHECK_TIMEOUT="30s",
            KUBENURSE_EXTRA_CA=str(certificates.ca_file),
            KUBENURSE_TRACE_RATIO="1",
            KUBENURSE_EXTRA_CHECKS="|".join(f"{name}:{check}" for name, check in checks.items()),
            # A proxy that nobody is behind: what went through it would fail.
            KUBENURSE_USE_PROXY="true",
            HTTP_PROXY=f"http://192.0.2.1:{closed_port}",
            OTEL_EXPORTER_OTLP_ENDPOINT=received.endpoint,
            OTEL_BSP_SCHEDULE_DELAY="200",
        )
        with running([environ], tmp_path) as (agent,):
            seen = set(words)  # "rare" may have its turn in hours

            def settled() -> bool:
                # On a busy machine a check may fail by our own fault first (own_timeout).
                found = agent.alive()["last_check_result"]
                return all(word in found.get(name, "") for name, word in words.items())

            wait_for(settled, seconds=60, what="every check")
            wait_for(
                lambda: seen <= {attributes(root)["kubenurse.type"] for root in roots(received)},
                seconds=60,
                what="a trace of each",
            )
            about, metrics = details(agent), agent.metrics()
    assert {request.line for request in web.requests} == {"HEAD / HTTP/1.1"}
    assert about["rare"]["interval_seconds"] == 86_400
    assert (about["dns"]["answer"], about["dns"]["addresses"]) == ("NOERROR", ["10.0.0.1"])
    assert about["tcp"]["answer"] == "connected"
    assert "certificate_expiry" in about["tls"]
    codes = {
        "head": ("401", "HEAD"),
        "tcp": ("connected", "tcp"),
        "tls": ("connected", "tcp"),
        "dns": ("NOERROR", "dns"),
        "refused": ("round_trip_error", "tcp"),
        "hangs": ("round_trip_error", "tcp"),
        "gone": ("NXDOMAIN", "dns"),
    }
    for name, (code, method) in codes.items():
        series = "kubenurse_httpclient_requests_total"
        assert metrics[f'{series}{{type="{name}",code="{code}",method="{method}"}}'] >= 1
        if name not in ("refused", "hangs"):
            series = "kubenurse_httpclient_request_duration_seconds_count"
            assert metrics[f'{series}{{type="{name}"}}'] >= 1
    failures = {
        re.sub(r'.*type="(\w+)",error_type="(\w+)",phase="(\w+)".*', r"\1 \2 \3", series)
        for series in metrics
        if series.startswith("kubenurse_check_failures_total")
    }
    assert failures >= {
        "refused connection_refused connect",
        "hangs tls_handshake_timeout tls",
        "gone unexpected_answer status",
    }
    clients = {}
    for root in roots(received):
        for span in received.spans():
            if span.trace_id == root.trace_id and span.kind == KIND_CLIENT:
                clients[attributes(root)["kubenurse.type"]] = span
    assert {name: clients[name].name for name in seen} == {
        "head": "HEAD",
        "tcp": "TCP connect",
        "tls": "TCP connect",
        "refused": "TCP connect",
        "hangs": "TCP connect",
        "dns": "DNS query",
        "gone": "DNS query",
    }
    assert attributes(clients["refused"])[semconv.ERROR_TYPE] == "connection_refused"
    assert attributes(clients["dns"])[semconv.DNS_RCODE] == "NOERROR"


def roots(received: Any) -> list[Any]:
    return [span for span in received.spans() if span.name == "check extra"]


@pytest.mark.parametrize("kind", ["tcp", "dns"])
def test_a_silent_one_delays_nobody(tmp_path: Path, kind: str) -> None:
    """A long time-out and a short interval cost the silent check its own ticks alone."""
    (tmp_path / "neighbours.yaml").write_text("[]")
    with socket.socket(type=socket.SOCK_DGRAM) as deaf, NameServer(behave) as names:
        deaf.bind(("127.0.0.1", 0))
        hanging = f"dns://127.0.0.1:{deaf.getsockname()[1]}/a.test"
        stack = socket.create_server(("127.0.0.1", 0))
        if kind == "tcp":
            hanging = f"tcp://127.0.0.1:{stack.getsockname()[1]};tls"
        environ = environment(
            "127.0.4.8",
            "node-a",
            free_port(),
            KUBENURSE_NEIGHBOURS_FILE=str(tmp_path / "neighbours.yaml"),
            KUBENURSE_CHECK_INTERVAL="100ms",
            KUBENURSE_EXTRA_CHECKS=f"good:dns://127.0.0.1:{names.port}/b.test|"
            f"hanging:{hanging};timeout=1h;interval=100ms",
        )
        with stack, running([environ], tmp_path) as (agent,):
            wait_for(lambda: len(names.asked) >= 10, seconds=60, what="ten checks of the good one")
            found = agent.alive()["last_check_result"]
            missed = agent.metrics().get('kubenurse_missed_checks_total{type="hanging"}', 0)
    assert found["good"] == "ok"
    assert "hanging" not in found
    assert missed >= 1
