"""The page over real sockets: to whom it is shown, where, and what other agents add to it."""

from __future__ import annotations

import asyncio
import json
import socket
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from check_results import result as check_result
from check_results import target
from opentelemetry.trace import NoOpTracer
from running_server import LOOPBACK, PATIENCE_SECONDS, Answer, Surroundings, ask, client, get
from waiting import until

from kubenurse_otel.config import Config, IdentityConfig, PageConfig, ServerConfig
from kubenurse_otel.config.load import load
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.diagnosis.diagnosis import Diagnosis
from kubenurse_otel.model import (
    Measurement,
    Neighbour,
    Neighbourhood,
    Split,
    Target,
)
from kubenurse_otel.page.style import POLICY
from kubenurse_otel.rate import Rate
from kubenurse_otel.semconv import Refusal
from kubenurse_otel.server import Server
from kubenurse_otel.server.pages import FRONT, MOST_KEPT, Pages, View
from kubenurse_otel.state.history import History
from kubenurse_otel.state.judging import Judging
from kubenurse_otel.state.known_agents import KnownAgents

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BROWSER = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
INGRESS = "https://kubenurse.example.com"


class Agent:
    """A server with the parts behind it, on an address of its own."""

    def __init__(self, node: str, address: str = LOOPBACK, **about: Any) -> None:
        self.node = node
        self.around = Surroundings(neighbourhood=Neighbourhood(own_node_name=node, state="ok"))
        self.history = History()
        self.judging = Judging(
            lambda name: Diagnosis(
                node=name, interval_seconds=5.0, timeout_seconds=5.0, slow_seconds=1.0
            ),
            lambda: self.around.neighbourhood,
            interval_seconds=5.0,
        )
        server = ServerConfig(
            listen_address=address,
            port=about.pop("port", 0),
            admin_port=about.pop("admin_port", None),
            shutdown_seconds=0,
        )
        config = Config(
            identity=IdentityConfig(node_name=node, pod_name=f"kubenurse-{node}"),
            server=server,
            page=PageConfig(enabled=about.pop("page", True)),
        )
        ingress = about.pop("ingress", None)
        if ingress is not None:
            config = replace(config, checks=replace(config.checks, ingress_url=parse_url(ingress)))
        self.server = Server(
            config,
            results=self.around.results,
            incoming=self.around.incoming,
            refusals=self.around.refusals,
            neighbourhood=lambda: self.around.neighbourhood,
            render=self.around.render,
            tracer=NoOpTracer(),
            ready=lambda: None,
            agents=KnownAgents(lambda: self.around.neighbourhood),
            judging=self.judging if about.pop("diagnosis", True) else None,
            history=self.history,
        )

    def knows(self, *others: Neighbour) -> None:
        self.around.neighbourhood = replace(
            self.around.neighbourhood, agents=others, known=others, chosen=others
        )

    def checks(self, *targets: Target) -> None:
        self.around.results.set_targets(targets)
        self.judging.retain(targets)

    def found(self, target: Target, *, good: bool = True) -> None:
        """A check of ``target`` has ended, and it is time to judge."""
        result = check_result(
            target,
            1_800_000_000.0,
            good=good,
            measurement=Measurement(
                split=Split(connect=0.001, request=0.002, network_round_trip=0.001),
                offsets=(("connect_start", 0.0), ("connect_done", 0.001)),
                real_offsets=(0.0005, 0.0017),
                retransmits=2,
                status_code=200 if good else None,
            ),
            trace_id="ab" * 16,
        )
        self.around.results.record(result)
        self.history.record(result)
        self.judging.note(result)
        self.judging.judged_at = 0.0
        self.judging.judge()

    async def get(self, path: str, *lines: str, port: int | None = None) -> Answer:
        """Ask, and again while the page's code is being loaded."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                answer = await ask(port or self.server.ports.port, path, *lines)
                if answer.status != 503:
                    return answer
                await asyncio.sleep(0.01)

    def pages(self) -> Pages:
        """Its views, as if somebody had looked."""
        page = self.server._page
        assert page is not None
        page.pages = page.pages or page._make()
        return page.pages

    async def shown(self, path: str = "/") -> str:
        answer = await self.get(path, BROWSER)
        assert answer.status == 200, answer
        return answer.body.decode()


@asynccontextmanager
async def running(*agents: Agent) -> AsyncIterator[None]:
    try:
        for agent in agents:
            await agent.server.start()
        yield
    finally:
        for agent in agents:
            await agent.server.stop()


def path_to(node: str, key: str = "") -> Target:
    return target(key or f"path_{node}", f"path_{node}", neighbour=neighbour(node))


def neighbour(node: str, port: int = 1) -> Neighbour:
    return Neighbour(
        pod_name=f"kubenurse-{node}", node_name=node, pod_ip=LOOPBACK, port=port, zone="b"
    )


async def test_a_browser_gets_the_page_and_others_the_redirect() -> None:
    """By Accept; curl, kubelet and whatever names no HTML see kubenurse's answer."""
    agent = Agent("node-a")
    async with running(agent):
        answer = await agent.get("/", BROWSER)
        assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert answer.headers["content-security-policy"] == POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["vary"] == "Accept"
        for accept in (None, "*/*", "application/json", "text/html;q=0", "text/htmlx"):
            lines = [] if accept is None else [f"Accept: {accept}"]
            other = await agent.get("/", *lines)
            assert (other.status, other.headers["location"]) == (301, "/alive")


async def test_the_first_look_is_asked_to_come_again() -> None:
    """While a thread loads the page: in a second, by itself where the browser may refresh."""
    agent = Agent("node-a")
    async with running(agent):
        port = agent.server.ports.port
        first = await ask(port, "/", BROWSER)
        assert (first.status, first.headers["retry-after"]) == (503, "1")
        assert first.headers["content-type"] == "text/html; charset=utf-8"
        assert first.headers["content-security-policy"].startswith("default-src 'none';")
        assert b'<meta http-equiv="refresh" content="1">' in first.body
    agent = Agent("node-a")
    async with running(agent):
        still = await ask(agent.server.ports.port, "/?still=1", BROWSER)
        assert (still.status, b"refresh" in still.body) == (503, False)
        assert "node-a" in await agent.shown()


async def test_every_view_answers() -> None:
    """The first one, a target's, a pair's and the agent's; what is not checked is 404."""
    agent = Agent("node-a")
    agent.knows(neighbour("node-b"))
    agent.checks(path_to("node-b"))
    async with running(agent):
        agent.found(path_to("node-b"))
        assert "path_node-b" in await agent.shown("/")
        target = await agent.shown("/target?of=path_node-b")
        assert "connect_done" in target
        assert ">2<" in target  # segments sent again
        assert "Configuration" in await agent.shown("/agent")
        assert "From node-a to node-b" in await agent.shown("/pair?from=node-a&to=node-b")
        gone = await agent.get("/target?of=path_node-x", BROWSER)
        assert (gone.status, b"No such target" in gone.body) == (404, True)


async def test_a_target_as_json_has_its_last_half_hour() -> None:
    """The document that the view is made of."""
    agent = Agent("node-a")
    agent.checks(path_to("node-b"))
    async with running(agent):
        agent.found(path_to("node-b"), good=False)
        found = json.loads((await agent.get("/api/v1/target?of=path_node-b")).body)
        assert (found["node"], found["key"], found["outcome"]) == (
            "node-a",
            "path_node-b",
            "failed",
        )
        assert found["real_offsets"] == {"connect_start": 0.0005, "connect_done": 0.0017}
        assert found["last_30_minutes"]["outcomes"].endswith("nf")
        assert (await agent.get("/api/v1/target?of=x")).status == 404
        assert (await agent.get("/api/v1/target")).status == 404


async def test_the_page_can_be_switched_off() -> None:
    """KUBENURSE_PAGE=false: / is kubenurse's for browsers, too, and no view is there."""
    settings = load({"KUBENURSE_PAGE": "false", "KUBENURSE_NODE_NAME": "node-a"})
    assert not settings.config.page.enabled
    agent = Agent("node-a", page=settings.config.page.enabled)
    async with running(agent):
        for lines in ([], [BROWSER]):
            answer = await agent.get("/", *lines)
            assert (answer.status, answer.headers["location"]) == (301, "/alive")
            for path in ("/target?of=a", "/pair?from=a&to=b", "/agent", "/api/v1/target?of=a"):
                assert (await agent.get(path, *lines)).status == 404
        assert (await agent.get("/api/v1/report", BROWSER)).status == 200  # for others' pages
        assert not agent.server.quiet()


async def test_the_page_is_on_the_admin_port_where_there_is_one() -> None:
    """And nowhere else."""
    with socket.create_server((LOOPBACK, 0)) as free:
        admin_port = free.getsockname()[1]
    agent = Agent("node-a", admin_port=admin_port)
    async with running(agent):
        assert (await agent.get("/", BROWSER, port=admin_port)).status == 200
        assert (await agent.get("/agent", BROWSER, port=admin_port)).status == 200
        for path in ("/", "/target", "/pair", "/agent", "/api/v1/target", "/api/v1/report"):
            assert (await agent.get(path, BROWSER)).status == 404


@pytest.mark.parametrize(
    "lines",
    [
        ["Host: kubenurse.example.com"],
        ["Host: KUBENURSE.example.com.:443"],
        ["Host: 10.0.0.1", "X-Forwarded-Host: kubenurse.example.com"],
        ["Host: 10.0.0.1", "X-Forwarded-Host: proxy, kubenurse.example.com:443"],
        ["Host: 10.0.0.1", 'Forwarded: for=1.2.3.4;host="kubenurse.example.com:443";proto=https'],
    ],
)
async def test_nothing_of_it_is_shown_by_the_ingress(lines: list[str]) -> None:
    """An Ingress that publishes every path: its name leads to what there was without the page."""
    agent = Agent("node-a", ingress=INGRESS)

    async def by_ingress(path: str) -> int:
        head = [f"GET {path} HTTP/1.1", *lines, BROWSER, "Connection: close", "", ""]
        reader, writer = await asyncio.open_connection(LOOPBACK, agent.server.ports.port)
        writer.write("\r\n".join(head).encode())
        answer = await reader.read()
        writer.close()
        return int(answer.split()[1])

    async with running(agent):
        assert await by_ingress("/") == 301
        for path in ("/target?of=a", "/pair?from=a&to=b", "/agent", "/api/v1/target?of=a"):
            assert await by_ingress(path) == 404
        assert (await agent.get("/", BROWSER)).status == 200


async def test_what_other_agents_say_is_on_the_page() -> None:
    """Asked when somebody looks: the first answer waits for nobody, the next one has it all."""
    agent, other = Agent("node-a"), Agent("node-b")
    async with running(agent, other):
        agent.knows(neighbour("node-b", other.server.ports.port), neighbour("node-c"))
        other.knows(neighbour("node-c"), neighbour("node-a"))
        other.checks(path_to("node-c"), path_to("node-a"))
        other.found(path_to("node-c"), good=False)
        other.found(path_to("node-a"))
        assert "2 answers to come" in await agent.shown()

        async def is_whole() -> bool:
            said = await agent.shown()
            return "1 way is amiss of 2 that are checked, between 3 nodes" in said

        for _ in range(200):
            if await is_whole():
                break
            await asyncio.sleep(0.1)
        said = await agent.shown()
        assert "node-b to node-c: refuses connections" in said
        assert "Heard 2 agents of 3" in said


async def test_a_silent_agent_never_hangs_the_page() -> None:
    """It takes the connection and says nothing: the page is there, and says who is silent."""
    agent = Agent("node-a")
    with socket.create_server((LOOPBACK, 0)) as silent:
        async with running(agent):
            agent.knows(neighbour("node-b", silent.getsockname()[1]))
            async with asyncio.timeout(20):
                assert "1 answer to come" in await agent.shown()
                while "node-b: no answer within 2 s" not in await agent.shown():
                    await asyncio.sleep(0.2)


async def test_a_pair_is_asked_of_both_its_nodes() -> None:
    """Our own side at once, the other's when it has answered; who is not there is said."""
    agent, other = Agent("node-a"), Agent("node-b")
    async with running(agent, other):
        agent.knows(neighbour("node-b", other.server.ports.port), neighbour("node-c"))
        other.checks(path_to("node-a"))
        other.found(path_to("node-a"), good=False)
        path = "/pair?from=node-b&to=node-a"
        assert "The agent on node node-b is asked" in await agent.shown(path)
        async with asyncio.timeout(20):
            while "it refused" not in await agent.shown(path):
                await asyncio.sleep(0.2)
        said = await agent.shown(path)
        assert "port-forward pod/kubenurse-node-b" in said
        assert "it does not check that one" in said
        unknown = await agent.shown("/pair?from=node-x&to=%3Cb%3E")
        assert "no such node is known" in unknown
        assert "<b>" not in unknown


async def test_nobody_is_asked_while_nobody_looks() -> None:
    """An agent's page makes no traffic by being there; its tasks end with the server."""
    agent, other = Agent("node-a"), Agent("node-b")
    async with running(agent, other):
        agent.knows(neighbour("node-b", other.server.ports.port))
        await asyncio.sleep(0)
        assert agent.server._page is not None
        assert agent.server._page.pages is None
        await agent.shown()
        others = agent.pages()._others
        assert others is not None
        assert others._tasks
    await until(lambda: not others._tasks)


async def test_without_diagnosis_others_are_not_asked() -> None:
    """There is nothing that they would say."""
    agent = Agent("node-a", diagnosis=False)
    agent.checks(path_to("node-b"))
    async with running(agent):
        agent.knows(neighbour("node-b"))
        assert "KUBENURSE_DIAGNOSIS" in await agent.shown()
        assert "KUBENURSE_DIAGNOSIS is false" in await agent.shown("/pair?from=node-b&to=node-a")
        assert agent.pages()._others is None


async def test_a_greedy_client_keeps_the_page_from_nobody() -> None:
    """Who asks for many pairs waits; the first view is for all, and another client has a share."""
    agent = Agent("node-a")
    pages = agent.pages()
    pages._of_one = Rate(per_second=0.0, burst=2.0)
    pages._of_all = Rate(per_second=0.0, burst=3.0)

    async def status(path: str, source: str) -> int:
        async with client(agent.server.ports.port, source=source) as asking:
            asking.send(get(path, BROWSER))
            return (await asking.answer()).status

    async with running(agent):
        greedy, other, third = "127.0.0.2", "127.0.0.3", "127.0.0.4"
        asked = [await status(f"/pair?from=a&to={n}", greedy) for n in range(4)]
        assert asked == [200, 200, 429, 429]
        assert await status("/pair?from=a&to=4", other) == 200
        assert await status("/pair?from=a&to=5", third) == 429  # the last of all was taken
        assert [await status(path, third) for path in ("/", "/agent", "/?still=1")] == [200] * 3
        for made in pages._made.values():
            made.at -= 60.0
        assert await status("/pair?from=a&to=4", third) == 200  # an old one, rather than none
        assert agent.around.refusals == {Refusal.RATE: 3}


async def test_what_is_for_all_is_kept_whatever_else_is_asked_for() -> None:
    """Many targets of one client do not push the first view out."""
    agent = Agent("node-a")
    pages = agent.pages()
    pages._of_one = pages._of_all = Rate(per_second=0.0, burst=100.0)
    async with running(agent):
        await agent.shown("/")
        await agent.shown("/agent")
        for number in range(MOST_KEPT + 4):
            await agent.get(f"/target?of={number}", BROWSER)
        assert len(pages._made) == MOST_KEPT
        assert {View(FRONT), View("agent")} <= pages._made.keys()


async def test_a_browser_that_asks_too_often_gets_a_page_that_comes_again() -> None:
    """A small document with Retry-After, the same for all; others get a line of text."""
    agent = Agent("node-a")
    async with running(agent), client(agent.server.ports.port) as eager:
        await agent.shown()
        refused = None
        while refused is None or refused.status != 429:
            eager.send(get("/", BROWSER))
            refused = await eager.answer()
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "text/html; charset=utf-8"
        assert refused.headers["content-security-policy"] == POLICY
        assert b'<meta http-equiv="refresh" content="2">' in refused.body
        assert b"node-a" not in refused.body
        assert len(refused.body) < 8 * 1024
        pages = agent.pages()
        pages._of_one = Rate(per_second=0.0, burst=0.0)
        still = await agent.get("/pair?from=a&to=b&still=1", BROWSER)
        assert (still.status, b"refresh" in still.body) == (429, False)
        plain = await agent.get("/pair?from=a&to=b", "Accept: application/json")
        assert plain.headers["content-type"].startswith("text/plain")
        assert (plain.status, plain.headers["retry-after"]) == (429, "1")


async def test_what_is_watched_is_made_in_quiet_moments() -> None:
    """Who looks again finds a document that was made between checks, and not for him."""
    agent = Agent("node-a")
    async with running(agent):
        pages = agent.pages()
        now = pages._clock()
        pages._clock = lambda: now
        await agent.shown()
        assert not agent.server.quiet()
        (made,) = pages._made.values()
        made.at -= 3.0
        agent.checks(path_to("node-new"))
        assert not agent.server.quiet()
        (made,) = pages._made.values()
        assert "path_node-new" in await agent.shown()
        assert list(pages._made.values()) == [made]
