"""Who is at fault, asked of agents: one by its URL, our own in a pod, or all of a cluster.

Owns whom to ask and how they are reached; asking within bounds is collect.py's, what the answers
say report/verdicts.py's.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from kubenurse_otel import collect
from kubenurse_otel.collect import Collected, NoAnswerError, Source
from kubenurse_otel.model import Trust, Url, is_dns_subdomain
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.report import verdicts
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kubenurse_otel.config import Config

VERDICTS: Final = "/api/v1/verdicts"
VIEW: Final = "/api/v1/view"
NOTHING, NAMED, SUSPICION, NO_ANSWER = 0, 1, 3, 4
"""Exit codes; 2 is bad usage."""
LOCALHOST: Final = "127.0.0.1"
MOST_OTHERS: Final = 5_000
"""Agents of one list; Kubernetes supports as many nodes."""


class NobodyToAskError(Exception):
    """There is no agent to ask, or none can be listed; the text is for people."""


class Way(Protocol):
    """How agents are reached."""

    async def ask(self) -> list[Collected]:
        """Ask all that are to be asked; who does not answer is among them, with the reason.

        Raises NobodyToAskError.
        """


def way(
    config: Config,
    *,
    url: Url | None,
    everybody: bool,
    namespace: str,
    selector: str,
    home: Path,
) -> Way:
    """Choose: the URL that was given, in a pod our own agent, else a kubeconfig's cluster.

    Raises NobodyToAskError where there is none of these.
    """
    if url is not None:
        return ByUrl(url, config, everybody=everybody)
    kubeconfig = config.discovery.kubeconfig
    if config.checks.api_server_host and not kubeconfig:
        return ByUrl(_own_agent(config), config, everybody=everybody)
    default = home / ".kube" / "config"
    kubeconfig = kubeconfig or (str(default) if default.is_file() else "")
    if not kubeconfig:
        raise NobodyToAskError(
            "no agent to ask: give the URL of one, or set KUBECONFIG to ask all of a cluster"
        )
    return ByApiServer(
        replace(config, discovery=replace(config.discovery, kubeconfig=kubeconfig)),
        namespace=namespace or config.identity.namespace,
        selector=selector or config.discovery.neighbour_filter,
    )


async def diagnose(asked: Way) -> verdicts.Summary:
    """Ask, and put the answers together. Raises NobodyToAskError."""
    reports: list[verdicts.Report] = []
    silent: list[tuple[str, str]] = []
    for answer in await asked.ask():
        report = None if answer.problem else verdicts.read(answer.document)
        if report is None:
            silent.append((answer.name, answer.problem or "its answer is no agent's"))
        else:
            reports.append(report)
    return verdicts.merge(reports, silent)


def exit_code(summary: verdicts.Summary) -> int:
    if not summary.heard:
        return NO_ANSWER
    if summary.named:
        return NAMED
    return SUSPICION if summary.suspected else NOTHING


def _own_agent(config: Config) -> Url:
    server = config.server
    return Url.of("http", server.listen_address or LOCALHOST, server.admin_port or server.port, "/")


@dataclass(frozen=True, slots=True)
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
        asked = [_source(name, self.base.below(VERDICTS), context)]
        if self.everybody:
            (view,) = await collect.collect([_source(name, self.base.below(VIEW), context)])
            server_name = self.config.checks.tls_server_name or None
            asked += [
                _source(node, url.below(VERDICTS), context, server_name)
                for node, url in self._others(view.document)
            ]
        return await collect.collect(asked)

    def _others(self, document: Any) -> Iterator[tuple[str, Url]]:
        """Yield (node, URL) of the agents that an agent's view lists."""
        listed = document.get("agents") if isinstance(document, dict) else None
        for one in listed[:MOST_OTHERS] if isinstance(listed, list) else []:
            told = one if isinstance(one, dict) else {}
            node, address, port = told.get("node"), told.get("address"), told.get("port")
            if not (isinstance(node, str) and is_dns_subdomain(node)):
                continue
            if isinstance(address, str) and is_address(address):
                own = port if isinstance(port, int) and 0 < port < 65_536 else self.base.port
                yield node, Url.of(self.base.scheme, address, own, "/")


def _source(
    name: str, url: Url, context: ssl.SSLContext | None, server_name: str | None = None
) -> Source:
    return Source(name, partial(collect.get, url, context=context, server_name=server_name))


@dataclass(frozen=True, slots=True)
class ByApiServer:
    """All agents of a cluster, by their pods' proxy at the API server of KUBECONFIG."""

    config: Config
    namespace: str = ""
    selector: str = ""

    async def ask(self) -> list[Collected]:
        # The Kubernetes client's weight is for who needs it.
        from kubenurse_otel.discovery import agents  # noqa: PLC0415
        from kubenurse_otel.discovery.api import ApiError  # noqa: PLC0415

        loop = asyncio.get_running_loop()
        proxied = agents.ProxiedAgents(self.config)
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
                            VERDICTS,
                            seconds=collect.EACH_SECONDS,
                            max_bytes=collect.MOST_BYTES,
                        ),
                    ),
                )
                for agent in listed
            ]
            return await collect.collect(asked)
        except NoAnswerError as error:
            raise NobodyToAskError(str(error)) from None
        finally:
            proxied.close()
            threads.shutdown(wait=False, cancel_futures=True)
