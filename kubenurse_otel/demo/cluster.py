"""Start the demo's processes, tell them what to do, and remove them and their files at the end.

Owns the processes and the temporary folder. Does not know the story.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from kubenurse_otel.collect import Collected, Source, collect, get
from kubenurse_otel.demo.agents import AGENTS, Agent, DemoError, agent_environment
from kubenurse_otel.demo.certificates import make_files
from kubenurse_otel.demo.patience import Patience, cpu_ticks
from kubenurse_otel.model import Url
from kubenurse_otel.report import seen
from kubenurse_otel.report.overview import overview
from kubenurse_otel.report.seen import Sight

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from kubenurse_otel.report.overview import Overview

START_SECONDS: Final = 60.0
"""The start is given up after so many seconds in which nothing moved."""
STOP_SECONDS: Final = 8.0
POLL_SECONDS: Final = 1.0


class Cluster:
    """An async context. Inside it the processes run. After it no process and no file is left."""

    def __init__(self, *, port: int, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.agents = [Agent(number, port) for number in range(1, AGENTS + 1)]
        self._processes: dict[str, asyncio.subprocess.Process] = {}
        self._ports: dict[str, int] = {}
        self._holder = tempfile.TemporaryDirectory(prefix="kubenurse-demo-")
        self.folder = Path(self._holder.name)

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end()

    async def _start(self) -> None:
        make_files(self.folder)
        neighbours = [
            {
                "podName": f"kubenurse-{agent.number}",
                "nodeName": agent.node,
                "podIP": agent.address,
                "zone": agent.zone,
            }
            for agent in self.agents
        ]
        (self.folder / "neighbours.json").write_text(json.dumps(neighbours))
        far_ends = await self._run(
            "stand-ins", "kubenurse_otel.demo.far_ends", str(self.folder), environ=self._environ
        )
        self._ports = json.loads(await self._first_line(far_ends))
        await self.set_ingress(
            "backends " + " ".join(f"{agent.address}:{agent.port}" for agent in self.agents)
        )
        for agent in self.agents:
            await self.start_agent(agent)

    async def _first_line(self, far_ends: asyncio.subprocess.Process) -> bytes:
        """Wait for the first line, as long as the process uses CPU time. Raises DemoError."""
        assert far_ends.stdout is not None
        line = asyncio.ensure_future(far_ends.stdout.readline())
        patience = Patience(START_SECONDS)
        while not patience.is_over(cpu_ticks(far_ends.pid)):
            done, _ = await asyncio.wait({line}, timeout=POLL_SECONDS)
            if done:
                break
        if not line.done() or not line.result():
            line.cancel()
            raise DemoError(f"the stand-ins did not start:\n{self.last_words('stand-ins')}")
        return line.result()

    async def start_agent(self, agent: Agent) -> None:
        """Start the agent's process. It answers a little later."""
        await self._run(
            agent.node,
            "kubenurse_otel",
            "run",
            environ=agent_environment(agent, self.folder, self._ports, self._environ),
        )

    async def stop_agent(self, agent: Agent) -> None:
        """End the agent as Kubernetes would (SIGTERM, later SIGKILL)."""
        await _stop(self._processes.pop(agent.node))

    async def set_ingress(self, command: str) -> None:
        """Give the stand-ins a command (far_ends.obey), and wait until it is done.

        Raises DemoError.
        """
        process = self._processes["stand-ins"]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{command}\n".encode())
        async with asyncio.timeout(STOP_SECONDS):
            done = await process.stdout.readline()
        if done.decode().strip() != command:
            raise DemoError(f"the stand-ins died:\n{self.last_words('stand-ins')}")

    def check_alive(self) -> None:
        """Raise DemoError if a process ended and nobody had stopped it."""
        for name, process in self._processes.items():
            if process.returncode is not None:
                raise DemoError(
                    f"{name} died with exit code {process.returncode}; its last words:\n"
                    + self.last_words(name)
                )

    def last_words(self, name: str) -> str:
        """Return the last lines of the process's log."""
        path = self.folder / f"{name}.log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-8:])

    def cpu_ticks(self, node: str) -> int:
        """Return the CPU time that an agent has used, in clock ticks."""
        return cpu_ticks(self._processes[node].pid)

    async def poll(self, *, seconds: float = POLL_SECONDS) -> dict[str, dict[str, Any] | None]:
        """Return each agent's /alive by node name. None for one that does not answer in time."""
        answers = await self._ask("/alive", seconds=seconds)
        return {
            one.name: one.document if isinstance(one.document, dict) else None for one in answers
        }

    async def conclusions(self) -> Overview:
        """Return the agents' reports put together, as the page and `diagnose` show them."""
        zones = {agent.node: agent.zone for agent in self.agents}
        answers = await self._ask(
            "/api/v1/report", read=lambda node: partial(seen.read, node=node, known=zones)
        )
        return overview(
            Sight(
                seen=tuple(one.document for one in answers if one.document is not None),
                silent=tuple((one.name, one.problem) for one in answers if one.problem),
                zones=zones,
            )
        )

    async def _ask(
        self,
        path: str,
        *,
        seconds: float = POLL_SECONDS,
        read: Callable[[str], Callable[[Any], Any]] = lambda _: lambda document: document,
    ) -> list[Collected]:
        sources = [
            Source(
                agent.node,
                partial(get, Url.of("http", agent.address, agent.port, path), context=None),
                read(agent.node),
            )
            for agent in self.agents
        ]
        return await collect(sources, each_seconds=seconds)

    async def _run(
        self, name: str, module: str, *words: str, environ: Mapping[str, str]
    ) -> asyncio.subprocess.Process:
        far_ends = name == "stand-ins"
        with (self.folder / f"{name}.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", module, *words),
                stdin=asyncio.subprocess.PIPE if far_ends else asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE if far_ends else log,
                stderr=log,
                env=environ,
            )
        self._processes[name] = process
        return process

    async def _end(self) -> None:
        processes, self._processes = self._processes, {}
        try:
            await asyncio.gather(*(_stop(process) for process in processes.values()))
        finally:
            # A second Ctrl-C does not wait for the processes, but they have had their signal.
            self._holder.cleanup()


async def _stop(process: asyncio.subprocess.Process) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(number)
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
            return
