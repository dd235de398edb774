"""A transparent TCP proxy in a pod's network, as a mesh's sidecar is: TCP ends here, starts anew.

Owns the redirect and the proxy. Changes no byte; the far end sees the pod's own address.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import struct
from typing import TYPE_CHECKING, Final

from servers import Connection, FaultServer
from servers.proxies import splice

from e2e.misbehaving import program

if TYPE_CHECKING:
    from e2e.cluster.machine import Machine

OUTBOUND_PORT: Final = 15_001
INBOUND_PORT: Final = 15_006
_MARK: Final = 0x6B75
"""Of the proxy's own connections, which must not come back to it. Leaves the pod with no packet."""
_TABLE: Final = "misbehaving-proxy"
_SO_MARK: Final = 36
_SO_ORIGINAL_DST: Final = 80
"""linux/netfilter_ipv4.h"""
_SOCKADDR_IN: Final = struct.Struct("!2xH4s8x")
_CONNECT_SECONDS: Final = 10.0

_OUTBOUND: Final = f"""
chain output {{
  type nat hook output priority -100;
  meta mark {_MARK} return
  ip daddr 127.0.0.0/8 return
  meta l4proto tcp redirect to :{OUTBOUND_PORT}
}}
"""
_INBOUND: Final = """
chain prerouting {{
  type nat hook prerouting priority dstnat;
  tcp dport {port} redirect to :{proxy_port}
}}
"""


def insert(
    node: Machine, pid: int, *, outbound: bool = True, inbound_port: int | None = None
) -> None:
    """Proxy the pod that process ``pid`` (as seen from outside) belongs to.

    ``outbound``: every TCP connection that the pod opens from now on. ``inbound_port`` (the
    agent's 8080): those that come to it, also kubelet's probes. Open connections go on as they are.
    """
    remove(node, pid)
    program.start(node, _daemon(pid), "proxy", pid=pid)
    chains = _OUTBOUND if outbound else ""
    if inbound_port is not None:
        chains += _INBOUND.format(port=inbound_port, proxy_port=INBOUND_PORT)
    node.run(
        *(*program.in_network(pid), "nft", "-f", "-"), text=f"table ip {_TABLE} {{\n{chains}}}\n"
    )


def remove(node: Machine, pid: int) -> None:
    """Take it out again; what goes through it now is cut. A pod that has gone is no error."""
    with contextlib.suppress(FileNotFoundError):
        node.run(*program.in_network(pid), "nft", "delete", "table", "ip", _TABLE, check=False)
    if node.runs(_daemon(pid)):
        node.end(_daemon(pid))


def _daemon(pid: int) -> str:
    return f"proxy-{pid}"


def pass_on(connection: Connection) -> None:
    """The behaviour: connect to where the client wanted to go, and pass bytes both ways."""
    with socket.socket() as onward:
        onward.setsockopt(socket.SOL_SOCKET, _SO_MARK, _MARK)
        onward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        onward.settimeout(_CONNECT_SECONDS)
        try:
            onward.connect(original_destination(connection.socket))
        except OSError:  # The client was accepted already: all that is left is to cut it off.
            connection.reset()
            return
        onward.settimeout(None)
        splice(connection, onward)


def original_destination(accepted: socket.socket) -> tuple[str, int]:
    """Where a redirected connection was to go."""
    found = accepted.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size)
    port, address = _SOCKADDR_IN.unpack(found)
    return socket.inet_ntoa(address), port


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    program.end_at_signal()
    outbound = FaultServer(pass_on, host="0.0.0.0", port=OUTBOUND_PORT)
    inbound = FaultServer(pass_on, host="0.0.0.0", port=INBOUND_PORT)
    with outbound, inbound:
        program.say(program.READY)
        try:
            signal.pause()
        finally:
            program.say("report", outbound=outbound.accepted, inbound=inbound.accepted)


if __name__ == "__main__":
    main()
