"""kubenurse_otel.discovery.static: a real file, edited, swapped and broken."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.config import Config, DiscoveryConfig, DiscoverySource, IdentityConfig
from kubenurse_otel.discovery import static
from kubenurse_otel.discovery.static import FileError, StaticDiscovery, parse

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from kubenurse_otel.model import Neighbourhood


def entry(node: str, **more: Any) -> dict[str, Any]:
    return {"podName": f"agent-{node}", "nodeName": node, "podIP": "127.0.1.1"} | more


@pytest.mark.parametrize(
    "text",
    [
        json.dumps([entry("a", hostIP="10.0.0.1", port=9000, zone="z1", podIPs=["::1"])]),
        "- podName: agent-a\n  nodeName: a\n  podIP: 127.0.1.1\n  podIPs: ['::1']\n"
        "  hostIP: 10.0.0.1\n  port: 9000\n  zone: z1\n",
        "[{podName: agent-a, nodeName: a, podIP: 127.0.1.1, podIPs: ['::1'], hostIP: 10.0.0.1,"
        " port: 9000, zone: z1}]",
    ],
)
def test_every_field(text: str) -> None:
    """JSON, YAML and YAML's flow style say the same."""
    (neighbour,) = parse(text.encode())
    assert ("agent-a", "a", "127.0.1.1") == (
        neighbour.pod_name,
        neighbour.node_name,
        neighbour.pod_ip,
    )
    assert neighbour.pod_ips == ("127.0.1.1", "::1")
    assert (neighbour.host_ip, neighbour.port, neighbour.zone) == ("10.0.0.1", 9000, "z1")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- podName: [", "is neither YAML nor JSON at line 1: "),
        ("a: b: c", "is neither YAML nor JSON at line 1: "),
        ("\x00", "is neither YAML nor JSON"),
        ("", "is no list"),
        ("{}", "is no list"),
        ("[1]", "entry 1: Expected `object`"),
        (json.dumps([entry("a"), {"podName": "b"}]), "entry 2: Object missing required field"),
        (json.dumps([entry("a", podIp="127.0.0.1")]), "entry 1: Object contains unknown field"),
        (json.dumps([entry("a", podIP="nonsense")]), "entry 1: 'nonsense' is no IP address"),
        (json.dumps([entry("a", podIPs=["x" * 100])]), f"entry 1: '{'x' * 60}...' is no IP"),
        (json.dumps([entry("a", podIP="fe80::1%\u00e9")]), "is no IP address (without a zone)"),
        (json.dumps([entry("a", hostIP="x")]), "entry 1: 'x' is no IP address"),
        (json.dumps([entry("Node_A")]), "entry 1: podName 'agent-Node_A' is no DNS name"),
        (json.dumps([entry("a", nodeName="A")]), "entry 1: nodeName 'A' is no DNS name"),
        (json.dumps([entry("a", port=0)]), "entry 1: port 0 is not within 1 and 65535"),
        (json.dumps([entry("a", port="x")]), "entry 1: Expected `int | null`"),
        (json.dumps([entry("a", zone="z" * 64)]), "is no printable text of at most 63 characters"),
        (json.dumps([entry("a", zone="a\nb")]), r"entry 1: zone 'a\nb' is no printable text"),
        # PyYAML makes two characters of JSON's pair of escapes, which no UTF-8 can hold.
        ('- {"\\ud83d": 1}', "entry 1: the name of a field is no text"),
        (
            '- {podName: agent-a, nodeName: a, podIP: 127.0.1.1, zone: "\\ud83d\\ude00"}',
            r"entry 1: zone '\ud83d\ude00' is no printable text",
        ),
        (json.dumps([entry("a"), entry("a")]), "podName agent-a stands there twice"),
        (json.dumps([1] * 10_001), "has 10001 entries; at most 10000 are taken"),
        ("[" * 100_000, "is neither YAML nor JSON"),
        (" " * (static.MAX_BYTES + 1), "is larger than 4 MiB"),
    ],
)
def test_what_is_wrong_is_said(text: str, expected: str) -> None:
    """A file that cannot be used is refused with what and where."""
    with pytest.raises(FileError) as caught:
        parse(text.encode())
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 400


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_bytes(text: bytes) -> None:
    """Whatever stands in the file, it is neighbours or a FileError."""
    with suppress(FileError):
        parse(text)


# --- following a file ---------------------------------------------------------------------------


class Seen:
    """What on_change was called with, and a way to wait for it."""

    def __init__(self) -> None:
        self.all: list[Neighbourhood] = []
        self._arrived = asyncio.Condition()

    def __call__(self, neighbourhood: Neighbourhood) -> None:
        self.all.append(neighbourhood)

    @property
    def last(self) -> Neighbourhood:
        return self.all[-1]

    async def until(self, condition: Callable[[Neighbourhood], bool]) -> Neighbourhood:
        async with asyncio.timeout(10):
            while not self.all or not condition(self.last):
                await asyncio.sleep(0.005)
        return self.last


@asynccontextmanager
async def following(path: Path | None, **identity: str) -> AsyncIterator[Seen]:
    config = Config(
        identity=IdentityConfig(**identity),
        discovery=DiscoveryConfig(
            source=DiscoverySource.STATIC, neighbours_file=path, neighbour_limit=2
        ),
    )
    seen = Seen()
    discovery = StaticDiscovery(config, on_change=seen, poll_seconds=0.01)
    task = asyncio.create_task(discovery.run())
    try:
        discovery.target_failed("a")
        yield seen
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def replace_file(path: Path, text: str) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)


def chosen(neighbourhood: Neighbourhood) -> set[str]:
    return {neighbour.node_name for neighbour in neighbourhood.chosen}


async def test_ring_and_own_node(tmp_path: Path) -> None:
    """Our own entry gives our node and zone; of the others the ring's limit is chosen."""
    path = tmp_path / "neighbours.json"
    path.write_text(json.dumps([entry(node, zone=f"z-{node}") for node in "abcde"]))
    async with following(path, pod_name="agent-c") as seen:
        neighbourhood = await seen.until(lambda one: one.state == "ok")
    assert (neighbourhood.own_node_name, neighbourhood.own_zone) == ("c", "z-c")
    assert len(neighbourhood.chosen) == 2
    assert {neighbour.node_name for neighbour in neighbourhood.known} == set("abde")
    assert neighbourhood.listed_at is not None


async def test_edits_are_seen_and_broken_ones_change_nothing(tmp_path: Path) -> None:
    """A new list replaces the old; a broken one leaves it and says so; a repaired one is taken."""
    path = tmp_path / "neighbours.yaml"
    path.write_text(json.dumps([entry("a")]))
    async with following(path, node_name="own", pod_name="agent-own") as seen:
        await seen.until(lambda one: chosen(one) == {"a"})
        replace_file(path, json.dumps([entry("b")]))
        listed_at = (await seen.until(lambda one: chosen(one) == {"b"})).listed_at
        replace_file(path, "- podName: [")
        broken = await seen.until(lambda one: one.state != "ok")
        assert chosen(broken) == {"b"}
        assert "line 1" in broken.state
        assert broken.state.endswith("the last good list stays")
        assert broken.listed_at == listed_at
        path.unlink()
        gone = await seen.until(lambda one: "cannot be read" in one.state)
        assert chosen(gone) == {"b"}
        replace_file(path, json.dumps([entry("c")]))
        await seen.until(lambda one: one.state == "ok" and chosen(one) == {"c"})


@pytest.mark.parametrize(
    ("text", "identity", "expected"),
    [
        (json.dumps([entry("a")]), {}, "our own node is unknown"),
        (json.dumps([entry("a")]), {"node_name": "a"}, "no neighbour on another node"),
        ("[]", {"node_name": "a"}, "no neighbour on another node"),
        (None, {"node_name": "a"}, "cannot be read: No such file"),
    ],
)
async def test_state(
    tmp_path: Path, text: str | None, identity: dict[str, str], expected: str
) -> None:
    """Whatever keeps us from having neighbours is said in a sentence."""
    path = tmp_path / "neighbours"
    if text is not None:
        path.write_text(text)
    async with following(path, **identity) as seen:
        await seen.until(lambda one: expected in one.state)


async def test_a_problem_is_text(tmp_path: Path) -> None:
    """What is no text in the file's path (JSON cannot hold it) or a field's name is escaped."""
    path = tmp_path / "neighbours-\udcff"
    path.write_text(json.dumps([entry("a", **{"a\nb": 1})]))
    async with following(path, node_name="own") as seen:
        neighbourhood = await seen.until(lambda one: "unknown field" in one.state)
    assert neighbourhood.state.isprintable()
    assert r"neighbours-\udcff entry 1" in neighbourhood.state
    assert r"`a\nb`" in neighbourhood.state


async def test_without_a_file() -> None:
    """A missing setting is said and nothing is looked for."""
    async with following(None) as seen:
        neighbourhood = await seen.until(lambda one: "is not set" in one.state)
    assert neighbourhood.listed_at is None


async def test_quiet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unchanged file calls nobody but to move listed_at, and a state is logged once."""
    monkeypatch.setattr(static, "HEARD_SECONDS", 0.05)
    path = tmp_path / "neighbours"
    path.write_text(json.dumps([entry("a")]))
    with caplog.at_level(logging.INFO):
        async with following(path, node_name="own") as seen:
            await seen.until(lambda _: len(seen.all) >= 3)
    assert len({neighbourhood.listed_at for neighbourhood in seen.all}) == len(seen.all)
    assert ["neighbourhood: ok"] == [record.message for record in caplog.records]
