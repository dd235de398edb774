"""Run by test_half_open_connections.py: SYNs arrive here, and what answers them is dropped.

Prints what was found at each look, made at 1.0, 2.0 and so on.
"""

from __future__ import annotations

import json
import resource
import socket
import sys
from contextlib import ExitStack
from math import inf

from agents import wait_for
from servers.far_end import nft

from kubenurse_otel.probe.half_open import HalfOpen

ADDRESS = "127.0.0.1"
UNANSWERED = """
table inet faults {
  chain in {
    type filter hook input priority 0
    tcp sport 18080 tcp flags & (syn | ack) == syn | ack counter drop
  }
}
"""


def main() -> None:
    nft(UNANSWERED)
    found: dict[str, dict[str, float]] = {}
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server((ADDRESS, 18080)))
        half_open = HalfOpen(lambda: server.getsockname()[1])

        def syn() -> None:
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(server.getsockname())

        def look(now: float, *, after: float | None = None) -> dict[str, float]:
            """Return what is found once the SYN-ACK of the newest was sent again."""

            def is_found() -> bool:
                nonlocal seen
                seen = half_open.look([ADDRESS, "127.0.0.9"], now)
                return after is None or (ADDRESS in seen and seen[ADDRESS] >= after)

            seen: dict[str, float] = {}
            wait_for(is_found, seconds=30, what=f"a connection that came after {after}")
            return seen

        found["none yet"] = look(1.0)
        syn()
        found["one"] = look(2.0, after=1.0)
        found["the same"] = look(3.0)
        syn()
        found["a second one"] = look(4.0, after=3.0)

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        found["not to be asked"] = look(5.0)
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        found["seen once before"] = look(6.0, after=-inf)
        syn()
        found["a third one"] = look(7.0, after=6.0)
        nft("delete table inet faults")
    json.dump(found, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
