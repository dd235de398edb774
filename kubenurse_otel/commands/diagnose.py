"""Asks agents who is at fault: one by its URL, our own in a pod, or all of a cluster.

Owns whom to ask and how they are reached; asking within bounds is collect.py's, what the answers
say report/'s.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from kubenurse_otel import collect
from kubenurse_otel.collect import Collected, NoAnswerError, Source
from kubenurse_otel.model import Trust, Url, is_dns_subdomain
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.record import record
from kubenurse_otel.report import seen
from kubenurse_otel.report.overview import overview
from kubenurse_otel.report.seen import Sight
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from kubenurse_otel.config import Config
    from kubenurse_otel.config.environment import KubectlProxies
    from kubenurse_otel.report.overview import Overview
    from kubenurse_otel.report.seen import Seen

REPORT: Final = "/api/v1/report"
VIEW: Final = "/api/v1/view"
NOTHING, NAMED, AMISS, NO_ANSWER = 0, 1, 3, 4
"""Exit codes; 2 is bad usage."""
LOCALHOST: Final = "127.0.0.1"
REPORT_BYTES: Final = 256 * 1024
"""Of one agent's report: a hundred verdicts, in words."""
MOST_OTHERS: Final = 5_000
"""Agents of one list; Kubernetes supports as many nodes."""


class NobodyToAskError(Exception):
    """There is no agent to ask, or none can be listed; the text is for people."""


class Way(Protocol):
    """How agents are reached."""

    async def ask(self) -> list[Collected]:
        """Ask all that are to be asked for what they see; who gives none is there with the reason.

        Raises NobodyToAskError.
        """


def way(
    config: Config,
    *,
    url: Url | None,
    everybody: bool,
    namespace: str,
    selector: str,
    home: Path | None,
    proxies: KubectlProxies,
) -> Way:
    """Choose: the URL that was given, in a pod our own agent, else a kubeconfig's cluster.

    ``proxies`` are on the way to its API server alone.

    Raises NobodyToAskError where there is none of these.
    """
    if url is not None:
        return ByUrl(url, config, everybody=everybody)
    kubeconfig = config.discovery.kubeconfig
    if config.checks.api_server_host and not kubeconfig:
        return ByUrl(_own_agent(config), config, everybody=everybody)
    default = home / ".kube" / "config" if home else None
    kubeconfig = kubeconfig or (str(default) if default and default.is_file() else "")
    if not kubeconfig:
        raise NobodyToAskError(
            "no agent to ask: give the URL of one, or set KUBECONFIG to ask all of a cluster"
        )
    return ByApiServer(
        replace(config, discovery=replace(config.discovery, kubeconfig=kubeconfig)),
        namespace=namespace or config.identity.namespace,
        selector=selector or config.discovery.neighbour_filter,
        proxies=proxies,
    )


async def diagnose(asked: Way) -> Overview:
    """Ask, and put the answers together. Raises NobodyToAskError."""
    heard: list[Seen] = []
    silent: list[tuple[str, str]] = []
    for answer in await asked.ask():
        if answer.document is None:
            silent.append((answer.name, answer.problem or "its answer is no agent's"))
        else:
            heard.append(answer.document)
    zones = {way.target: "" for one in heard for way in one.bad_ways}
    zones |= {one.node: one.zone for one in heard}
    return overview(Sight(seen=tuple(heard), silent=tuple(silent), zones=zones))


async def diagnose_again(asked: Way) -> Overview | str:
    """As ``diagnose``, and the reason in words while there is nobody to ask."""
    try:
        return await diagnose(asked)
    except NobodyToAskError as error:
        return str(error)


def exit_code(found: Overview) -> int:
    summary = found.summary
    if not summary.heard:
        return NO_ANSWER
    if summary.named:
        return NAMED
    return AMISS if summary.suspected or found.failing else NOTHING


def _reader(*, node: str = "", asked_as: str = "") -> Callable[[Any], Seen | None]:
    return partial(seen.read, node=node, known=seen.AnyNode(), asked_as=asked_as)


def _own_agent(config: Config) -> Url:
    server = config.server
    return Url.of("http", server.listen_address or LOCALHOST, server.admin_port or server.port, "/")


@record(frozen=True, slots=True)
class ByUrl:
    """The agent at ``base``; with ``everybody`` also all that it knows, at their addresses."""

    base: Url
    config: Config
    everybody: bool = False

    async def ask(self) -> list[Collected]:
        context = None
        if self.base.scheme == "https":
            context = TrustStore(self.config.trust).context(Trust.WORKLOAD)
        name = self.base.host_port
        asked = [Source(name, self._get(self.base, REPORT, context), _reader(asked_as=name))]
        unknown: list[Collected] = []
        if self.everybody:
            others = Source(name, self._get(self.base, VIEW, context), self._read_others)
            (view,) = await collect.collect([others])
            server_name = self.config.checks.tls_server_name or None
            asked += [
                Source(
                    node,
                    self._get(url, REPORT, context, server_name),
                    _reader(node=node),
                )
                for url, node in (view.document or {}).items()
            ]
            if view.problem:
                unknown = [Collected(f"all others, of whom {name} knows", problem=view.problem)]
        return [*await collect.collect(asked), *unknown]

    def _get(
        self, url: Url, path: str, context: ssl.SSLContext | None, server_name: str | None = None
    ) -> Callable[[], Awaitable[bytes]]:
        return partial(
            collect.get,
            url.below(path),
            context=context,
            server_name=server_name,
            max_bytes=REPORT_BYTES if path == REPORT else collect.MOST_BYTES,
        )

    def _read_others(self, document: Any) -> dict[Url, str]:
        """Return the agents that an agent's view lists, each once: their nodes by their URLs."""
        return dict(self._others(document))

    def _others(self, document: Any) -> Iterator[tuple[Url, str]]:
        listed = document.get("agents") if isinstance(document, dict) else None
        for one in listed[:MOST_OTHERS] if isinstance(listed, list) else []:
            told = one if isinstance(one, dict) else {}
            node, address, port = told.get("node"), told.get("address"), told.get("port")
            if not (isinstance(node, str) and is_dns_subdomain(node)):
                continue
            if isinstance(address, str) and is_address(address):
                own = port if isinstance(port, int) and 0 < port < 65_536 else self.base.port
                yield Url.of(self.base.scheme, address, own, "/"), node


@record(frozen=True, slots=True)
class ByApiServer:
    """All agents of a cluster, by their pods' proxy at the API server of KUBECONFIG."""

    config: Config
    namespace: str
    selector: str
    proxies: KubectlProxies

    async def ask(self) -> list[Collected]:
        # The Kubernetes client's weight is for who needs it.
        from kubenurse_otel.discovery import agents  # noqa: PLC0415
        from kubenurse_otel.discovery.api import ApiError  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        proxied = agents.ProxiedAgents(self.config, self.proxies)
        threads = ThreadPoolExecutor(collect.AT_ONCE, "agent")

        async def in_thread(ask: Callable[[], Any]) -> Any:
            try:
                return await loop.run_in_executor(threads, ask)
            except ApiError as error:
                raise NoAnswerError(str(error)) from None

        selector = self.selector or agents.DEFAULT_SELECTOR
        try:
            listed = await in_thread(partial(proxied.list, self.namespace, selector))
            if not listed:
                where = f"in namespace {self.namespace}" if self.namespace else "in any namespace"
                raise NobodyToAskError(f"no running pod has {selector} {where}: see --selector")
            asked = [
                Source(
                    agent.node,
                    partial(
                        in_thread,
                        partial(
                            proxied.get,
                            agent,
                            REPORT,
                            seconds=collect.EACH_SECONDS,
                            max_bytes=REPORT_BYTES,
                        ),
                    ),
                    _reader(node=agent.node),
                )
                for agent in listed
            ]
            return await collect.collect(asked)
        except NoAnswerError as error:
            raise NobodyToAskError(str(error)) from None
        finally:
            proxied.close()
            threads.shutdown(wait=False, cancel_futures=True)
