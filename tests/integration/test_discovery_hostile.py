"""An API server that wants to end, fill or hold the agent: bounded, said, and followed again."""

from __future__ import annotations

import gzip
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from apiserver.following import QUICK, agent_of, following
from apiserver.objects import node, pod
from apiserver.stand_in import Handler, StandIn, stand_in
from memory import MEBIBYTE, peak

from kubenurse_otel.config import (
    Config,
)
from kubenurse_otel.discovery import bounded, informer
from kubenurse_otel.discovery.api import ApiError, ApiServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIST = b'{"kind":"PodList","metadata":{"resourceVersion":"5"},"items":[{"metadata":{'
CHUNK = 65536


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandIn]:
    """Nodes own and a with an agent each."""
    with stand_in(tmp_path) as server:
        for index, name in enumerate(("own", "a")):
            server.put(node(name), pod(name, f"10.0.0.{index}"))
        yield server


@pytest.fixture
def config(cluster: StandIn) -> Config:
    return agent_of(cluster, token_file=cluster.token_file)


class Endless:
    """Writes for as long as somebody reads, 600 MiB at most; ``sent`` when it is over."""

    def __init__(self, start: bytes, piece: bytes, *, pause_seconds: float = 0.0) -> None:
        self._start = start
        self._piece = piece
        self._pause_seconds = pause_seconds
        self.sent = 0
        self.ended = threading.Event()

    def __call__(self, handler: Handler) -> None:
        try:
            handler.wfile.write(self._start)
            while self.sent < 600 * MEBIBYTE and not handler.server.stopping:
                handler.wfile.write(self._piece)
                self.sent += len(self._piece)
                if self._pause_seconds:
                    time.sleep(self._pause_seconds)
        except OSError:
            pass
        finally:
            self.ended.set()
            handler.close_connection = True


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
ITEM = b'"name":"x"}},{"metadata":{' * 2000
HEADS: dict[str, tuple[bytes, bytes]] = {
    "headers": (HEAD, b"a: b\r\n"),
    "one header": (HEAD + b"a: ", b"x" * CHUNK),
    "interim answers": (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
}
BODIES: dict[str, tuple[bytes, bytes]] = {
    "an item": (HEAD + b"\r\n" + LIST + b'"name":"', b"x" * CHUNK),
    "no items": (HEAD + b'\r\n{"kind":"', b"x" * CHUNK),
    "a chunk's length": (CHUNKED, b"f" * CHUNK),
    "trailers": (CHUNKED + chunk(LIST + b'"name":"a"}}]}') + b"0\r\n", b"a: b\r\n" * 1000),
}


@pytest.mark.parametrize("kind", HEADS | BODIES)
async def test_an_answer_without_end_is_given_up(
    kind: str, cluster: StandIn, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither memory nor discovery ends with it: it is said, and the next answer is taken."""
    monkeypatch.setattr(informer, "MAX_LIST_BYTES", 32 * MEBIBYTE)
    attack = Endless(*(HEADS | BODIES)[kind])
    cluster.faults["list pods"].append(attack)
    with peak() as memory:
        async with following(config) as seen:
            await seen.until_chosen("a", seconds=60)
    assert attack.ended.wait(20)
    assert attack.sent < 64 * MEBIBYTE
    assert memory.grown_bytes < 64 * MEBIBYTE


async def test_a_list_of_ever_more_items_is_given_up(
    cluster: StandIn, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where each of its items is a good one."""
    monkeypatch.setattr(informer, "MAX_LIST_BYTES", MEBIBYTE)
    attack = Endless(HEAD + b"\r\n" + LIST, ITEM)
    cluster.always["list pods"] = attack
    async with following(config) as seen:
        await seen.until_state("list pods", f"more than {MEBIBYTE} bytes came", seconds=60)
        del cluster.always["list pods"]  # each list until now was such a one
        await seen.until_chosen("a", seconds=60)


@pytest.mark.parametrize("compressed", [True, False], ids=["bomb", "plain"])
async def test_a_list_counts_as_what_it_unpacks_to(
    compressed: bool, cluster: StandIn, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few KB of gzip are not megabytes of items."""
    monkeypatch.setattr(informer, "MAX_LIST_BYTES", MEBIBYTE)
    body = LIST + ITEM * 200
    assert len(body) > 8 * MEBIBYTE
    head = HEAD
    if compressed:
        body, head = gzip.compress(body), HEAD + b"Content-Encoding: gzip\r\n"
        assert len(body) < MEBIBYTE / 8

    def bomb(handler: Handler) -> None:
        handler.wfile.write(head + b"Content-Length: %d\r\n\r\n" % len(body))
        handler.close_connection = True
        handler.wfile.write(body)

    cluster.always["list pods"] = bomb
    async with following(config) as seen:
        await seen.until_state(f"more than {MEBIBYTE} bytes came", seconds=60)


@pytest.mark.parametrize(
    ("start", "piece"),
    [(HEAD, b"a"), (HEAD + b"\r\n" + LIST, b"x"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")],
    ids=["head", "body", "interim"],
)
async def test_a_list_that_trickles_is_given_up(
    start: bytes,
    piece: bytes,
    cluster: StandIn,
    config: Config,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A byte now and then is no progress: `list_read` is not begun anew with each."""
    cluster.faults["list pods"].append(Endless(start, piece, pause_seconds=0.02))
    timings = replace(QUICK, list_read=0.5)
    async with following(config, timings=timings) as seen:
        await seen.until_chosen("a", seconds=60)
    assert "was not over after" in caplog.text


async def test_a_watch_without_end_is_given_up(cluster: StandIn, config: Config) -> None:
    """One that says something all the time ends all the same, and neighbours are found again."""
    cluster.faults["watch pods"].append(Endless(CHUNKED, chunk(b"\n"), pause_seconds=0.02))
    timings = replace(QUICK, watch=0.1, watch_grace=0.1)
    async with following(config, timings=timings) as seen:
        await seen.until_chosen("a")
        cluster.put(node("b"), pod("b", "10.0.0.9"))
        await seen.until_chosen("a", "b", seconds=60)


def test_what_a_refused_answer_held_goes_with_it(config: Config) -> None:
    """A problem that is kept holds no frame of its reading, nor the megabytes in it."""
    pods = informer.ListWatch(name="pods", path="/", query={}, decode=lambda _: ("", None))
    one = informer.Informer(
        ApiServer(config), pods, QUICK, stopping=threading.Event(), on_change=lambda: None
    )
    try:
        raise one._not_understood("watch", "an event without end")
    except ApiError as error:
        one._failed(error)
    problem = one.snapshot().problem
    assert problem is not None
    assert problem.__traceback__ is None


async def test_a_watch_is_bounded_in_bytes(
    cluster: StandIn, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events as fast as they can be read end after so many bytes."""
    monkeypatch.setattr(informer, "MAX_WATCH_BYTES", MEBIBYTE)
    attack = Endless(CHUNKED, chunk(b"\n" * CHUNK))
    cluster.faults["watch pods"].append(attack)
    async with following(config) as seen:
        await seen.until_chosen("a")
        cluster.put(node("b"), pod("b", "10.0.0.9"))
        await seen.until_chosen("a", "b", seconds=60)
    assert attack.sent < 32 * MEBIBYTE


SMALL: dict[str, Callable[[int], bytes]] = {
    "items": lambda count: b'{"metadata":{},"items":[' + b",".join([b"{}"] * count) + b"]}",
    "taints": lambda count: LIST + b'},"spec":{"taints":[' + b",".join([b"{}"] * count) + b"]}}]}",
    "containers": lambda count: (
        LIST + b'},"spec":{"containers":[' + b",".join([b"{}"] * count) + b"]}}]}"
    ),
}


@pytest.mark.parametrize("resource", ["pods", "nodes"])
@pytest.mark.parametrize("kind", SMALL)
async def test_many_little_values_are_not_made_objects(
    kind: str, resource: str, cluster: StandIn, config: Config
) -> None:
    """`{},{},...` takes twenty times its bytes as objects; nobody has half a million taints."""
    body = SMALL[kind](2_500_000)

    def many(handler: Handler) -> None:
        handler.answer_bytes(body)

    cluster.faults[f"list {resource}"].append(many)
    with peak() as memory:
        async with following(config) as seen:
            await seen.until_chosen("a", seconds=60)
            await seen.until(lambda one: one.state == "ok", seconds=60)
    assert not cluster.faults[f"list {resource}"]
    assert memory.grown_bytes < 80 * MEBIBYTE


def test_the_limits_are_over_with_the_request() -> None:
    """What is asked outside has a small default, and nesting restores what was."""
    outer = bounded.Limits(max_bytes=1, seconds=1.0)
    with bounded.limited(outer):
        with bounded.limited(bounded.Limits(max_bytes=2, seconds=2.0)):
            assert bounded._limits.get().max_bytes == 2
        assert bounded._limits.get() is outer
    assert bounded._limits.get().max_bytes == bounded.HEAD_BYTES
