"""KubernetesDiscovery run for a test: what it told, and waiting for what is expected."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from apiserver.objects import NAMESPACE
from kubenurse_otel.config import ChecksConfig, Config, IdentityConfig, TrustConfig
from kubenurse_otel.discovery.kubernetes import KubernetesDiscovery
from kubenurse_otel.discovery.timings import Timings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from kubenurse_otel.model import Neighbourhood

QUICK = Timings(
    jitter=0.1,
    least_jitter=0.02,
    backoff=0.02,
    max_backoff=0.1,
    settle=0.01,
    tick=0.05,
    poll=0.3,
    hurried_poll=0.1,
    own_pod_grace=0.3,
    node_cache=0.05,
    leaving_cache=0.3,
    not_ready_cache=0.2,
    forbidden=0.2,
    patience=0.0,
)


class Cluster(Protocol):
    """A stand-in's or a real API server, on loopback."""

    @property
    def port(self) -> int: ...

    @property
    def ca_file(self) -> Path: ...


def agent_of(cluster: Cluster, *, token_file: Path, **discovery: object) -> Config:
    """The configuration of an agent on node ``own``, as in a pod of ``cluster``."""
    config = Config(
        identity=IdentityConfig(node_name="own", pod_name="kubenurse-own", namespace=NAMESPACE),
        checks=ChecksConfig(api_server_host="127.0.0.1", api_server_port=cluster.port),
        trust=TrustConfig(token_file=token_file, ca_file=cluster.ca_file),
    )
    return with_discovery(config, neighbour_filter="app.kubernetes.io/name=kubenurse", **discovery)


class Seen:
    """What on_change was called with."""

    def __init__(self) -> None:
        self.all: list[Neighbourhood] = []
        self.discovery: KubernetesDiscovery | None = None

    def __call__(self, neighbourhood: Neighbourhood) -> None:
        assert asyncio.get_running_loop() is not None  # On the loop, in its thread.
        self.all.append(neighbourhood)

    @property
    def last(self) -> Neighbourhood:
        return self.all[-1]

    def fail(self, node_name: str) -> None:
        assert self.discovery is not None
        self.discovery.target_failed(node_name)

    async def until(
        self, condition: Callable[[Neighbourhood], bool], *, seconds: float = 15.0
    ) -> Neighbourhood:
        """Wait until what is known now fulfils the condition."""
        deadline = time.monotonic() + seconds
        while not self.all or not condition(self.last):
            if time.monotonic() > deadline:
                raise AssertionError(f"not reached; told {len(self.all)} times, {self._told()}")
            await asyncio.sleep(0.005)
        return self.last

    def _told(self) -> str:
        if not self.all:
            return "nothing"
        one = self.last
        return f"{one.state!r}, {len(one.known)} known, chosen {one.chosen[:5]}"

    async def until_chosen(self, *nodes: str, seconds: float = 15.0) -> Neighbourhood:
        return await self.until(lambda one: chosen(one) == set(nodes), seconds=seconds)

    async def until_state(self, *parts: str, seconds: float = 15.0) -> Neighbourhood:
        return await self.until(
            lambda one: all(part in one.state for part in parts), seconds=seconds
        )


def chosen(neighbourhood: Neighbourhood) -> set[str]:
    return {neighbour.node_name for neighbour in neighbourhood.chosen}


@asynccontextmanager
async def following(config: Config, timings: Timings = QUICK) -> AsyncIterator[Seen]:
    seen = Seen()
    seen.discovery = KubernetesDiscovery(config, on_change=seen, timings=timings)
    task = asyncio.create_task(seen.discovery.run())
    try:
        yield seen
        assert not task.done()
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def with_discovery(config: Config, **changes: object) -> Config:
    return replace(config, discovery=replace(config.discovery, **changes))  # type: ignore[arg-type]


def with_identity(config: Config, **changes: str) -> Config:
    return replace(config, identity=replace(config.identity, **changes))
