"""The checks of test_probe_loss.py, run in two namespaces with a cable; prints JSON.

Of each check one packet is lost where the other end would get it. The far ends are an agent, plain
and under TLS, and a server that tells nothing of itself; the far kernel is with and without SACK.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probing import Prober
from running_server import running
from servers import Certificates, FaultServer, answer
from servers.certificates import write_pair
from servers.far_end import FAR, FarEnd, nft, sysctl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from probing import Checked

AGENT, AGENT_TLS, FOREIGN, SLOW, LATE = 8001, 8443, 8003, 8004, 8005
"""LATE acknowledges with its answer, or after 40 ms."""
SYN, SYN_ACK = "tcp flags & (syn | ack) == syn", "tcp flags & (syn | ack) == (syn | ack)"
DATA, BARE_ACK = "tcp flags & psh == psh", "tcp flags & (syn | psh | fin | rst) == 0"
LOSES = {
    "nothing": None,
    "syn": ("far", SYN, 0),
    "syn_ack": ("near", SYN_ACK, 0),
    "request": ("far", DATA, 0),
    "acknowledgement": ("near", BARE_ACK, 0),
    "answer": ("near", DATA, 0),
}
TLS_LOSES = {
    "nothing": None,
    "syn": ("far", SYN, 0),
    "syn_ack": ("near", SYN_ACK, 0),
    "hello": ("far", DATA, 0),
    "request": ("far", DATA, 2),
    "answer": ("near", DATA, 2),
}
"""A hello, the client's Finished, a request; the server's flight, its tickets, an answer."""


@dataclass(frozen=True, slots=True)
class Far:
    """A far end, and how to lose one packet of a check of it."""

    end: FarEnd
    prober: Prober

    @contextlib.contextmanager
    def losing(self, port: int, lost: tuple[str, str, int] | None) -> Iterator[None]:
        rules = {"near": "flush ruleset\n", "far": "flush ruleset\n"}
        if lost is not None:
            where, which, number = lost
            way = "dport" if where == "far" else "sport"
            rules[where] += (
                "table inet lossy { chain input { type filter hook input priority 0;\n"
                f"tcp {way} {port} {which} numgen inc mod 1000000 {number} counter drop\n}}\n}}\n"
            )
        nft(rules["near"])
        with self.end.entered():
            nft(rules["far"])
        yield
        if lost is not None:
            with self.end.entered() if lost[0] == "far" else contextlib.nullcontext():
                said = subprocess.run(
                    ["nft", "list", "ruleset"], capture_output=True, text=True, check=True
                )
            assert "counter packets 1 " in said.stdout, said.stdout

    async def check(self, port: int, lost: tuple[str, str, int] | None, **target: Any) -> Any:
        scheme = "https" if port == AGENT_TLS else "http"
        with self.losing(port, lost):
            checked = await self.prober.check_path(
                f"{scheme}://{FAR}:{port}/alwayshappy", server_name="agent.test", **target
            )
        return told(checked)


def told(checked: Checked) -> dict[str, Any]:
    """Everything that the tests judge of one check."""
    measured, split = checked.measured, checked.measured.split
    return {
        "failure": checked.probe.failure and checked.probe.failure.message,
        "source": measured.timing_source,
        "round_trip_source": measured.round_trip_source,
        "retransmits": measured.retransmits,
        "dsacks": measured.dsacks,
        "synack": measured.synack_retransmits,
        "direction": split.loss_direction,
        **{name: getattr(split, name) for name in type(split).__slots__},
    }


async def checks(far: Far, kernel: str) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, port, losses in (
        ("agent", AGENT, LOSES),
        ("agent_tls", AGENT_TLS, TLS_LOSES),
        ("foreign", FOREIGN, LOSES),
    ):
        found[name] = {what: await far.check(port, lost) for what, lost in losses.items()}
    found["late"] = {
        what: await far.check(LATE, LOSES[what]) for what in ("nothing", "syn", "syn_ack")
    }
    found["slow"] = {
        what: await far.check(SLOW, LOSES[what]) for what in ("request", "acknowledgement")
    }
    # One connection for three checks: the second's answer is lost, the third's request.
    kept = {"reuse_connection": True, "key": f"kept {kernel}"}
    found["kept"] = {
        what: await far.check(AGENT, LOSES[lost], **kept)
        for what, lost in (("first", "nothing"), ("answer", "answer"), ("request", "request"))
    }
    return found


async def main() -> dict[str, Any]:
    found: dict[str, Any] = {}
    end = FarEnd()
    with tempfile.TemporaryDirectory() as directory, contextlib.ExitStack() as stack:
        certificates = Certificates(Path(directory))
        cert, key = write_pair(certificates.leaf(), Path(directory))
        async with contextlib.AsyncExitStack() as servers:
            with end.entered():
                await servers.enter_async_context(
                    running(
                        listen_address=FAR,
                        port=AGENT,
                        tls_port=AGENT_TLS,
                        use_tls=True,
                        cert_file=cert,
                        cert_key=key,
                    )
                )
                for port, delay, quick in (
                    (FOREIGN, 0, True),
                    (SLOW, 0.5, True),
                    (LATE, 0.06, False),
                ):
                    stack.enter_context(
                        FaultServer(
                            answer(delay_seconds=delay), host=FAR, port=port, quick_acks=quick
                        )
                    )
            async with Prober(ca_file=certificates.ca_file) as prober:
                far = Far(end, prober)
                await far.check(AGENT, None)  # what only the first check costs
                for kernel, off in (
                    ("sack", None),
                    ("no_sack", "tcp_sack"),
                    ("no_dsack", "tcp_dsack"),
                ):
                    with end.entered():
                        for name in ("tcp_sack", "tcp_dsack"):
                            sysctl(f"ipv4/{name}", "0" if name == off else "1")
                    found[kernel] = await checks(far, kernel)
    return found


if __name__ == "__main__":
    json.dump(asyncio.run(main()), sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # the namespace's threads, if one hangs
