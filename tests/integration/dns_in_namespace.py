"""Run by test_dns_agent.py in a network of its own: an agent, a cluster's API server, and its DNS.

A name server is at resolv.conf's address, as a Service's; two more are the endpoints of a slice.
First one of these is silent; then it is well, and a domain of the search path is slow. Prints the
agent's verdicts of both times, and its series and log.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from agents import Agent, environment, running, wait_for
from apiserver.objects import NAMESPACE, dns_slice, node, pod
from apiserver.stand_in import stand_in
from servers import FaultServer
from servers import answer as http_answer
from servers.dns import Asked, Later, NameServer, answer

SERVICE, FIRST, SECOND = "127.0.0.53", "127.0.0.61", "127.0.0.62"
SLOW_SECONDS = 0.2


class Dns:
    """Knows every name but those below the search path's domains."""

    def __init__(self) -> None:
        self.second_is_silent = True
        self.path_is_slow = False

    def answers(self, asked: Asked) -> Iterable[bytes | Later]:
        if asked.server == SECOND and self.second_is_silent:
            return []
        if not asked.name.endswith(".corp.test."):
            return [answer(asked, "127.0.0.1")]
        gone = answer(asked, rcode=3)
        is_slow = self.path_is_slow and asked.transport == "udp"
        return [Later(gone, SLOW_SECONDS)] if is_slow else [gone]


def verdict(agent: Agent, kind: str) -> dict[str, Any] | None:
    told = agent.document("/api/v1/verdicts").json()["verdicts"]
    return next((one for one in told if one["kind"] == kind), None)


def main() -> None:
    dns = Dns()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for address in (SERVICE, FIRST, SECOND):
            stack.enter_context(NameServer(dns.answers, address, 53))
        web = stack.enter_context(FaultServer(http_answer()))
        api = stack.enter_context(stand_in(folder))
        api.always["get nodes"] = lambda handler: handler.answer({})  # /version, too
        api.put(node("own"), pod("own"), dns_slice((FIRST, "own"), (SECOND, "node-2")))
        (folder / "namespace").write_text(NAMESPACE)
        environ = environment(
            "127.0.1.1",
            "own",
            18080,
            KUBENURSE_DISCOVERY="kubernetes",
            KUBENURSE_DNS_NAMESPACE=NAMESPACE,
            KUBENURSE_SERVICE_ACCOUNT_DIR=str(folder),
            KUBENURSE_INSECURE="true",
            KUBERNETES_SERVICE_HOST="127.0.0.1",
            KUBERNETES_SERVICE_PORT=str(api.port),
            KUBENURSE_CHECK_API_SERVER_DNS="true",
            KUBENURSE_SERVICE_URL=f"http://web.test:{web.port}",
            KUBENURSE_CHECK_INTERVAL="2s",
        )
        (agent,) = stack.enter_context(running([environ], folder))
        replica = wait_for(
            lambda: verdict(agent, "dns_replica"), seconds=90, what="the silent endpoint"
        )
        series = [one for one in agent.metrics() if "dns_endpoint" in one]
        dns.second_is_silent, dns.path_is_slow = False, True
        path = wait_for(lambda: verdict(agent, "search_path"), seconds=90, what="the slow path")
        wait_for(lambda: verdict(agent, "dns_replica") is None, seconds=60, what="it is well again")
        found = {"replica": replica, "path": path, "series": series, "log": agent.log()}
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
