"""The checks of test_full_size.py, run in namespaces with a cable and a router; prints JSON.

The way loses what is large: a rule of either end drops it (no ICMP), or a router whose next link
carries less says so, or does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probing import Prober
from running_server import running
from servers import Certificates, FaultServer, answer
from servers.certificates import write_pair
from servers.far_end import BEHIND, FAR, NEAR, FarEnd, FarEndBehindRouter, nft

from kubenurse_otel import semconv
from kubenurse_otel.model import Neighbour, Neighbourhood, TargetKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from probing import Checked

AGENT, AGENT_TLS, OLD = 8001, 8443, 8003
ORIGIN = "kubenurse-near"
TIMEOUT_SECONDS = 2.0
DROPS = (
    "flush ruleset\ntable inet hole {{ chain input {{ type filter hook input priority 0;\n"
    "meta l4proto tcp meta length > {most} counter drop\n}}\n}}\n"
)
MUTE_ROUTER = (
    "table inet mute { chain output { type filter hook output priority 0;\n"
    "icmp type destination-unreachable drop\n}\n}\n"
)


async def check(prober: Prober, host: str, port: int, **target: Any) -> Any:
    scheme = "https" if port == AGENT_TLS else "http"
    fields: dict[str, Any] = {
        "key": "full_size_far",
        "type": "full_size",
        "kind": TargetKind.FULL_SIZE,
        "full_size": True,
        "headers": ((semconv.HEADER_ORIGIN, ORIGIN),),
        "server_name": "agent.test",
        "timeout_seconds": TIMEOUT_SECONDS,
    }
    return told(
        await prober.check_path(f"{scheme}://{host}:{port}/alwayshappy", **{**fields, **target})
    )


def told(checked: Checked) -> dict[str, Any]:
    measured, failure = checked.measured, checked.probe.failure
    return {
        "error": failure and failure.error_type,
        "message": failure and failure.message,
        "spans_error": checked.attributes.get(semconv.FAILURE_ERROR_TYPE),
        "padding": measured.padding,
        "answered": measured.answered_padding,
        "mss": measured.send_mss,
        "pmtu": measured.pmtu,
        "retransmits": measured.retransmits,
    }


@contextlib.contextmanager
def hole(end: FarEnd, *, way: str) -> Iterator[None]:
    """What is larger than 1,400 bytes vanishes where it would arrive."""
    there = end.entered() if way == "out" else contextlib.nullcontext()
    with there:
        nft(DROPS.format(most=1400))
    yield
    with end.entered() if way == "out" else contextlib.nullcontext():
        nft("flush ruleset\n")


@contextlib.asynccontextmanager
async def agent(address: str, cert: Path, key: Path) -> Any:
    """One that knows us as an agent."""
    async with running(
        listen_address=address,
        port=AGENT,
        tls_port=AGENT_TLS,
        use_tls=True,
        cert_file=cert,
        cert_key=key,
    ) as server:
        us = Neighbour(pod_name=ORIGIN, node_name="near", pod_ip=NEAR)
        server.around.neighbourhood = Neighbourhood(agents=(us,), known=(us,), state="ok")
        yield server


async def over_a_cable(prober: Prober, cert: Path, key: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    end = FarEnd()
    plain = {"full_size": False, "kind": TargetKind.PATH, "key": "path_far"}
    async with contextlib.AsyncExitStack() as servers:
        with end.entered():
            await servers.enter_async_context(agent(FAR, cert, key))
            servers.enter_context(
                FaultServer(answer(headers=[("KUBENURSE-NODE-NAME", "far")]), host=FAR, port=OLD)
            )
        found["sound"] = await check(prober, FAR, AGENT)
        found["sound, TLS"] = await check(prober, FAR, AGENT_TLS)
        found["older agent"] = await check(prober, FAR, OLD)
        found["a stranger"] = await check(
            prober, FAR, AGENT, headers=((semconv.HEADER_ORIGIN, "kubenurse-stranger"),)
        )
        for way in ("out", "in"):
            with hole(end, way=way):
                found[f"{way}, plain"] = await check(prober, FAR, AGENT, **plain)
                found[way] = await check(prober, FAR, AGENT)
                found[f"{way}, TLS"] = await check(prober, FAR, AGENT_TLS)
                found[f"{way}, older agent"] = await check(prober, FAR, OLD)
        with end.entered():  # whatever its size
            nft(DROPS.format(most="0 tcp flags & psh == psh"))
        found["all vanish"] = await check(prober, FAR, AGENT)
    return found


async def over_a_router(prober: Prober, cert: Path, key: Path, *, icmp: bool) -> dict[str, Any]:
    """An overlay of 1,450 bytes beside an Ethernet of 1,500."""
    end = FarEndBehindRouter()
    found: dict[str, Any] = {}
    if not icmp:
        with end.router.entered():
            nft(MUTE_ROUTER)
    async with contextlib.AsyncExitStack() as servers:
        with end.entered():
            await servers.enter_async_context(agent(BEHIND, cert, key))
        for way in ("out", "in"):
            end.narrow(1450, way=way)
            found[way] = await check(prober, BEHIND, AGENT, timeout_seconds=TIMEOUT_SECONDS)
            found[f"{way}, again"] = await check(prober, BEHIND, AGENT)
            end.narrow(1500, way=way)
    return found


async def main() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        certificates = Certificates(Path(directory))
        cert, key = write_pair(certificates.leaf(), Path(directory))
        async with Prober(ca_file=certificates.ca_file, compares_sizes=True) as prober:
            which = sys.argv[1] if len(sys.argv) > 1 else json.load(sys.stdin)
            if which == "cable":
                return await over_a_cable(prober, cert, key)
            return await over_a_router(prober, cert, key, icmp=which == "router")


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout, indent=1)
    sys.stdout.flush()
    os._exit(0)  # the namespaces' threads, if one hangs
