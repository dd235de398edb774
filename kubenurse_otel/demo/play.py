"""Join the demo's parts: run the cluster, play the story, show what is seen, sum it up."""

from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from rich.console import Console

from kubenurse_otel.config import take_environment
from kubenurse_otel.demo import view
from kubenurse_otel.demo.agents import CHECK_SECONDS, FIRST_ADDRESS, DemoError, choose_port
from kubenurse_otel.demo.cluster import START_SECONDS, Cluster
from kubenurse_otel.demo.patience import Patience
from kubenurse_otel.demo.screen import Picture, Screen, said, screen_for
from kubenurse_otel.demo.story import DOWN_NUMBER, SLOW_SECONDS, Fault, Scene, scenes

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from kubenurse_otel.report.verdicts import Named

LOOK_SECONDS: Final = 0.5
"""Seconds between two looks at the agents."""
START_POLL_SECONDS: Final = 5.0
"""Time for an answer while the agents start, because they answer late then."""
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143


class Starting(Protocol):
    """The part of Cluster that ``until_up`` uses."""

    def check_alive(self) -> None: ...

    async def poll(self, *, seconds: float) -> Mapping[str, Mapping[str, Any] | None]: ...

    def cpu_ticks(self, node: str) -> int: ...


def play(*, seconds: float | None, port: int) -> int:
    """Run the demo; returns the exit code."""
    environ = take_environment()
    try:
        chosen = choose_port(port)
        if chosen != port:
            print(f"Port {port} is taken; the agents listen on {chosen}.", flush=True)
        asyncio.run(_play(seconds=seconds, port=chosen, environ=environ))
    except DemoError as error:
        print(f"kubenurse-otel demo: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except asyncio.CancelledError:  # SIGTERM, SIGHUP
        return EXIT_TERMINATED
    return 0


async def _play(*, seconds: float | None, port: int, environ: Mapping[str, str]) -> None:
    _cancel_when_told()
    screen = screen_for(Console())
    print(f"The page, once the agents are up: http://{FIRST_ADDRESS}:{port}/", flush=True)
    print("Starting five agents, an API server and an ingress on loopback ...", flush=True)
    async with Cluster(port=port, environ=environ) as cluster:
        await until_up(cluster, patience=Patience(START_SECONDS))
        show = _Show(cluster, screen)
        screen.open(_header(cluster, environ))
        try:
            for scene, lasts in scenes(seconds):
                await show.play(scene, lasts)
        finally:
            screen.close()
            print("\n" + "\n".join(show.summary()), flush=True)


def _cancel_when_told() -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            loop.add_signal_handler(number, task.cancel)


async def until_up(
    cluster: Starting,
    *,
    patience: Patience,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Wait until every agent has made each of its regular checks once. Raises DemoError."""
    while True:
        cluster.check_alive()
        alive = await cluster.poll(seconds=START_POLL_SECONDS)
        silent = [node for node, document in alive.items() if document is None]
        seen = [row for row in view.rows(alive) if row.interval_seconds <= CHECK_SECONDS]
        waiting = {row.node for row in seen if not row.outcome}
        if seen and not silent and not waiting:
            return
        checked = sum(bool(row.outcome) for row in seen)
        if patience.is_over((silent, checked, sum(map(cluster.cpu_ticks, silent)))):
            problem = f"the agents are not up, and nothing moved for {patience.seconds:.0f} s"
            for nodes, what in ((silent, "did not answer"), (waiting, "had not checked all")):
                if nodes:
                    problem += f"; {', '.join(sorted(nodes))} {what}"
            raise DemoError(problem)
        await sleep(LOOK_SECONDS)


def _header(cluster: Cluster, environ: Mapping[str, str]) -> list[str]:
    first, last = cluster.agents[0], cluster.agents[-1]
    sent = environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or environ.get(
        "OTEL_EXPORTER_OTLP_ENDPOINT"
    )
    return [
        f"Look at the page: {first.url}/ (up to {last.address})",
        f"The same in words: {_command()} diagnose --watch --all {first.url}",
        f"As documents: {first.url}/alive, {first.url}/metrics",
        f"Traces go to {sent}"
        if sent
        else "Traces to a collector: OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 make demo",
        f"Logs: {cluster.folder}/node-*.log (while it runs). Ctrl-C ends it.",
    ]


def _command() -> str:
    """Return how the user can call us again: `make demo` puts nothing on the path."""
    return sys.argv[0] if Path(sys.argv[0]).name == "kubenurse-otel" else "kubenurse-otel"


@dataclass(slots=True)
class _Seen:
    """After how many seconds a scene's culprit was first named, and who named it in the end."""

    after_seconds: float
    named: Named


@dataclass
class _Show:
    """Plays scenes: breaks, heals, looks at the agents, and remembers what was seen."""

    cluster: Cluster
    screen: Screen
    _fault: Fault = Fault.NONE
    _began: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    _played: dict[Scene, _Seen | None] = field(default_factory=dict)

    async def play(self, scene: Scene, lasts: float) -> None:
        """Change what is broken, then show what is seen until the scene is over."""
        clock = asyncio.get_running_loop().time
        began = clock()
        await self._change(scene.fault)
        if scene.expected is not None:
            self._played.setdefault(scene, None)
        while True:
            await self._look(scene, began)
            left = began + lasts - clock()
            if left <= 0:
                return
            await asyncio.sleep(min(LOOK_SECONDS, left))

    async def _look(self, scene: Scene, began: float) -> None:
        self.cluster.check_alive()
        alive = await self.cluster.poll()
        rows = view.rows(alive)
        found = await self.cluster.conclusions()
        now = asyncio.get_running_loop().time()
        for one in found.summary.named:
            if (one.verdict.kind, one.verdict.culprit) == scene.expected:
                seen = self._played.get(scene)
                first = seen.after_seconds if seen is not None else now - began
                if seen is None or len(one.reporters) > len(seen.named.reporters):
                    self._played[scene] = _Seen(first, one)
        silent = [node for node, document in sorted(alive.items()) if document is None]
        self.screen.show(Picture(scene.announcement, rows, found, silent, now - self._began))

    async def _change(self, fault: Fault) -> None:
        """Heal what is broken, then break what ``fault`` says."""
        cluster = self.cluster
        down = cluster.agents[DOWN_NUMBER - 1]
        match self._fault:
            case Fault.SLOW_INGRESS:
                await cluster.set_ingress("delay 0")
            case Fault.NODE_DOWN:
                await cluster.start_agent(down)
            case Fault.EXPIRED_CERTIFICATE:
                await cluster.set_ingress(f"certificate {cluster.folder / 'ingress.pem'}")
        self._fault = fault
        match fault:
            case Fault.SLOW_INGRESS:
                await cluster.set_ingress(f"delay {SLOW_SECONDS}")
            case Fault.NODE_DOWN:
                await cluster.stop_agent(down)
            case Fault.EXPIRED_CERTIFICATE:
                await cluster.set_ingress(f"certificate {cluster.folder / 'expired.pem'}")

    def summary(self) -> list[str]:
        """Say for each fault whether, when and by whom it was named."""
        lines = ["What the agents concluded:"]
        for scene, seen in self._played.items():
            if seen is None:
                lines.append(f"  {scene.fault}: not named; the scene was too short, or cut off")
            else:
                lines.append(
                    f"  {scene.fault}: named after {seen.after_seconds:.1f} s. {said(seen.named)}"
                )
        return lines if self._played else ["Nothing was broken yet."]
