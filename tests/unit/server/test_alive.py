"""The document of /alive: kubenurse's shape, our details, and what it never shows."""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import replace
from typing import Any

import pytest
from check_results import REFUSED, TRACE, result, target

from kubenurse_otel.model import (
    CheckResult,
    Measurement,
    Neighbour,
    Neighbourhood,
    Outcome,
    Split,
    Target,
)
from kubenurse_otel.server.alive import MAX_NEIGHBOURS, Alive
from kubenurse_otel.server.message import Peer, Request
from kubenurse_otel.state.results import Results


def good(of: Target, measurement: Measurement | None = None) -> CheckResult:
    return result(of, 1.5, measurement=measurement, trace_id=TRACE)


def bad(of: Target, message: str = "connection refused") -> CheckResult:
    failure = replace(REFUSED, message=message)
    return result(of, 2.25, good=False, failure=failure, trace_id=TRACE)


def neighbours(count: int) -> tuple[Neighbour, ...]:
    return tuple(
        Neighbour(
            pod_name=f"kubenurse-{number}",
            node_name=f"node-{number}",
            pod_ip=f"10.0.{number // 256}.{number % 256}",
            host_ip="192.168.0.1",
        )
        for number in range(count)
    )


def ask(
    results: Results,
    neighbourhood: Neighbourhood | None = None,
    *,
    headers: list[tuple[bytes, bytes]] | None = None,
    address: str = "10.9.8.7",
    **options: Any,
) -> tuple[int, dict[str, Any]]:
    """Return /alive's status and document."""
    known = neighbourhood or Neighbourhood()
    alive = Alive(
        results=results, neighbourhood=lambda: known, node_name=lambda: "node-0", **options
    )
    peer = Peer(address, 4711, lambda: ("127.0.0.1", 8080), secure=False)
    response = alive(Request(peer, target=b"/alive?x=1", headers=headers or [], method=b"GET"))
    return response.status, json.loads(response.body + response.tail)


def test_the_shape_is_kubenurses() -> None:
    """Every key of kubenurse's document is there, with its words."""
    ingress, path = target("me_ingress"), target("path_node-1")
    results = Results()
    results.set_targets([ingress, path], ["me_service"])
    results.record(good(ingress))
    results.record(bad(path))
    known = neighbours(2)
    status, document = ask(
        results,
        Neighbourhood(known=known, chosen=known[:1], state="ok"),
        headers=[(b"user-agent", b"curl/8"), (b"accept", b"1"), (b"accept", b"2")],
    )
    assert status == 500
    assert document["hostname"] == socket.gethostname()
    assert document["headers"] == {"User-Agent": ["curl/8"], "Accept": ["1", "2"]}
    assert document["user_agent"] == "curl/8"
    assert document["request_uri"] == "/alive?x=1"
    assert document["remote_addr"] == "10.9.8.7:4711"
    last = document["last_check_result"]
    assert list(last) == sorted(last)
    assert last.pop("neighbourhood")[1] == {
        "PodName": "kubenurse-1",
        "PodIP": "10.0.0.1",
        "HostIP": "192.168.0.1",
        "NodeName": "node-1",
        "NodeHash": int.from_bytes(hashlib.sha256(b"node-1").digest()[:8], "big"),
    }
    assert last == {
        "me_ingress": "ok",
        "me_service": "skipped",
        "path_node-1": "connection refused",
        "neighbourhood_state": "ok",
    }


def test_details_tell_what_is_known_of_each_target() -> None:
    """Phases, error type, since, failures in a row, the last failure, node and trace are there."""
    path, new = (
        target("path_node-1", url="https://10.0.0.1:8443/alwayshappy?token=s"),
        target("path_node-2"),
    )
    results = Results()
    results.set_targets([path, new])
    results.record(bad(path))
    results.record(
        good(
            path,
            Measurement(
                split=Split(connect=0.0001, request=0.0002, own_delay=0.0000004),
                status_code=200,
                peer_address="10.0.0.1",
                peer_port=8443,
                answering_node="node-1",
                retransmits=0,
                certificate_expiry=86400.0,
            ),
        )
    )
    details = ask(results)[1]["details"]
    assert details["node_name"] == "node-0"
    assert details["targets"] == {
        "path_node-1": {
            "type": "path_node-1",
            "url": "https://10.0.0.1:8443/alwayshappy?...",
            "interval_seconds": 5,
            "outcome": "ok",
            "checked_at": "1970-01-01T00:00:01.500Z",
            "since": "1970-01-01T00:00:01.500Z",
            "consecutive_failures": 0,
            "trace_id": TRACE,
            "duration_seconds": 0.0003,
            "phases": {"connect": 0.0001, "request": 0.0002, "own_delay": 0.0},
            "timing_source": "kernel",
            "status_code": 200,
            "peer": "10.0.0.1:8443",
            "answering_node": "node-1",
            "intercepted": False,
            "retransmits": 0,
            "certificate_expiry": "1970-01-02T00:00:00.000Z",
            "last_failure": {
                "at": "1970-01-01T00:00:02.250Z",
                "error_type": "connection_refused",
                "phase": "connect",
                "event": "connect_done",
                "message": "connection refused",
                "trace_id": TRACE,
            },
        },
        "path_node-2": {
            "type": "path_node-2",
            "url": "http://10.0.0.2:8080/alwayshappy",
            "interval_seconds": 5,
            "outcome": None,
        },
    }
    past = [(failure["target"], failure["recovered_at"]) for failure in details["recent_failures"]]
    assert past == [("path_node-1", "1970-01-01T00:00:01.500Z")]


def test_the_direction_of_what_was_lost_is_shown() -> None:
    """Beside the seconds, for whoever asks all agents."""
    results = Results()
    split = Split(connect=0.0001, request=0.2, loss=0.2, loss_out=0.0, loss_in=0.2)
    neighbour = target("path_node-1")
    results.set_targets([neighbour])
    results.record(good(neighbour, Measurement(split=split, status_code=200)))
    shown = ask(results)[1]["details"]["targets"]["path_node-1"]
    assert shown["loss_direction"] == "in"
    assert (shown["phases"]["loss"], shown["phases"]["loss_in"]) == (0.2, 0.2)


@pytest.mark.parametrize(
    ("outcomes", "options", "status"),
    [
        ([], {}, 500),
        ([True, True], {}, 200),
        ([True], {}, 200),
        ([True, False], {}, 500),
        ([True, False], {"bad_status": 200}, 200),
    ],
)
def test_the_status_follows_the_last_checks(
    outcomes: list[bool], options: dict[str, Any], status: int
) -> None:
    """200 when checks have run and all are good, else 500, or what the configuration says."""
    both = [target("a"), target("b")]
    results = Results()
    results.set_targets(both)
    for of, outcome in zip(both, outcomes, strict=False):
        results.record(good(of) if outcome else bad(of))
    assert ask(results, **options)[0] == status


def test_the_bad_address_of_a_node_is_the_one_told() -> None:
    """Where two addresses share a type, one bad one is what the type's word says."""
    for order in ([good, bad], [bad, good]):
        both = [target("path_a", "path_a"), target("path_a ipv6", "path_a")]
        results = Results()
        results.set_targets(both)
        for of, make in zip(both, order, strict=True):
            results.record(make(of))
        assert ask(results)[1]["last_check_result"]["path_a"] == "connection refused"


def test_a_failure_without_a_sentence_still_says_failed() -> None:
    """A result that lacks its failure is not told as good."""
    of = target("a")
    results = Results()
    results.set_targets([of])
    results.record(CheckResult(target=of, outcome=Outcome.FAILED, started_at=0))
    document = ask(results)[1]
    assert document["last_check_result"]["a"] == "failed"
    assert document["details"]["targets"]["a"]["checked_at"] == "1970-01-01T00:00:00.000Z"


def test_a_skipped_neighbourhood_has_no_list() -> None:
    """As kubenurse: neighbourhood_state is skipped and the list is left out."""
    results = Results()
    results.set_targets([], ["neighbourhood"])
    assert ask(results)[1]["last_check_result"] == {"neighbourhood_state": "skipped"}


def test_the_list_of_neighbours_is_bounded_and_counted() -> None:
    """At most 1,000 neighbours are shown; their number is told."""
    document = ask(Results(), Neighbourhood(known=neighbours(MAX_NEIGHBOURS + 7)))[1]
    assert len(document["last_check_result"]["neighbourhood"]) == MAX_NEIGHBOURS
    assert document["details"]["neighbours"] == {
        "known": MAX_NEIGHBOURS + 7,
        "shown": MAX_NEIGHBOURS,
        "chosen": [],
    }


def test_a_new_neighbourhood_is_shown_at_once() -> None:
    """What is kept of the list is dropped when discovery says something else."""
    known = [Neighbourhood(known=neighbours(1))]
    alive = Alive(results=Results(), neighbourhood=lambda: known[0], node_name=str)
    peer = Peer("::1", 1, lambda: ("::1", 2), secure=False)

    def listed() -> int:
        response = alive(Request(peer, target=b"/alive"))
        body = json.loads(response.body + response.tail)
        assert body["remote_addr"] == "[::1]:1"
        return len(body["last_check_result"]["neighbourhood"])

    assert (listed(), listed()) == (1, 1)
    known[0] = Neighbourhood(known=neighbours(3))
    assert listed() == 3


SECRETS = (
    *("authorization", "proxy-authorization", "cookie", "x-auth-token", "x-api-key", "api-key"),
    *("x-amz-security-token", "x-vault-token", "private-token", "x-csrf-token", "cf-access-jwt"),
    *("x-auth-request-access-token", "x-forwarded-access-token", "x-forwarded-user", "referer"),
    *("x-forwarded-client-cert", "ssl-client-cert", "x-goog-iap-jwt-assertion", "x-unheard-of"),
)


def test_what_proves_who_somebody_is_is_never_echoed() -> None:
    """What is not on the list of harmless ones is left out, whoever made it up."""
    headers = [(name.encode(), b"sesame") for name in SECRETS]
    document = ask(Results(), headers=[*headers, (b"host", b"agent"), (b"accept", b"*/*")])[1]
    assert document["headers"] == {"Accept": ["*/*"]}
    assert "sesame" not in json.dumps(document)


def test_the_way_of_a_request_is_echoed() -> None:
    """What ingress controllers and tracers add; long values are cut, and the number is bounded."""
    ways = [b"x-forwarded-for", b"x-real-ip", b"via", b"x-request-id", b"traceparent"]
    document = ask(
        Results(),
        headers=[
            (b"user-agent", b"x" * 9_000),
            (b"kubenurse-neighbour-origin", b"kubenurse-x"),
            *((way, b"\xff<script>") for way in ways),
            *((b"accept", b"%d" % number) for number in range(200)),
        ],
    )[1]
    echoed = document["headers"]
    assert len(echoed["User-Agent"][0]) == 1_024
    assert echoed["Kubenurse-Neighbour-Origin"] == ["kubenurse-x"]
    assert all(echoed[way.decode().title()] == ["\xff<script>"] for way in ways)
    assert sum(map(len, echoed.values())) == 64
