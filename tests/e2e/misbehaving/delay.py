"""A wire that is slow, lossy or out of order in one direction: two devices joined in user space.

Owns the forwarder, and its place between a node's port and the fabric's bridge. Every frame goes
through this process, at 0 ms too, which costs some 0.1 ms a frame: ``report`` says how much.
"""

from __future__ import annotations

import argparse
import heapq
import itertools
import json
import os
import random
import select
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from e2e.misbehaving import program

if TYPE_CHECKING:
    from e2e.cluster.machine import Machine

MAX_QUEUED: Final = 4096
"""Frames a direction; what comes when as many wait is dropped, and counted."""
_SOL_PACKET: Final = 263
_PACKET_STATISTICS: Final = 6
_PACKET_VNET_HDR: Final = 15
_PACKET_IGNORE_OUTGOING: Final = 23
_ETH_P_ALL: Final = 3
_SO_RCVBUFFORCE: Final = 33
_BUFFER_BYTES: Final = 16 * 1024 * 1024
_FRAME_BYTES: Final = 10 + 18 + 65_536
"""virtio_net_hdr, Ethernet with a VLAN tag, and what the kernel has not cut into segments yet."""
_FRAMES_AT_ONCE: Final = 64
_NS: Final = 1_000_000_000


# --- the place of the forwarder -------------------------------------------------------------------


def insert(
    control: Machine,
    port: str,
    *,
    to_node_ms: float = 0,
    from_node_ms: float = 0,
    to_node_drop: float = 0,
    from_node_drop: float = 0,
    to_node_late: float = 0,
    from_node_late: float = 0,
    late_ms: float = 5,
) -> None:
    """Put the forwarder between ``port`` (`p-node-1`) and its bridge, in control's network.

    ``drop`` is the share of frames that are lost, ``late`` that of frames held ``late_ms`` longer
    than the others (which overtake them). One that is there already is replaced.
    """
    remove(control, port)
    inner, outer = _pair(port)
    bridge = _link(control, port)["master"]
    bridge_address, mtu = _link(control, bridge)["address"], _link(control, port)["mtu"]
    # A bridge takes over the lowest address of its ports unless it was given one of its own.
    control.run("ip", "link", "set", bridge, "address", bridge_address)
    control.run(
        *("ip", "link", "add", inner, "mtu", str(mtu)),
        *("type", "veth", "peer", "name", outer, "mtu", str(mtu)),
    )
    for device in (inner, outer):
        control.run("ip", "link", "set", device, "addrgenmode", "none", "up")
    program.start(
        control,
        _daemon(port),
        "delay",
        *(f"--node={port}", f"--fabric={inner}", f"--late-ms={late_ms}"),
        *(f"--to-node-ms={to_node_ms}", f"--from-node-ms={from_node_ms}"),
        *(f"--to-node-drop={to_node_drop}", f"--from-node-drop={from_node_drop}"),
        *(f"--to-node-late={to_node_late}", f"--from-node-late={from_node_late}"),
    )
    # The forwarder's sockets see a frame before this hook; control's own stack must not answer
    # (an ARP request for control, say) on devices that stand for a wire.
    hooks = "".join(
        f"chain {device} {{ type filter hook ingress device {device} priority 0; drop; }}\n"
        for device in (port, inner)
    )
    control.run("nft", "-f", "-", text=f"table netdev {_table(port)} {{\n{hooks}}}\n")
    change_over = f"link set {port} nomaster\nlink set {outer} master {bridge}\n"
    control.run("ip", "-batch", "-", text=change_over)


def remove(control: Machine, port: str) -> dict[str, Any]:
    """Make it a plain port again; return the forwarder's report ({}: there was none)."""
    inner, outer = _pair(port)
    report: dict[str, Any] = {}
    if not _exists(control, outer):
        return report
    master = _link(control, outer).get("master")
    if master is not None:
        control.run("ip", "link", "set", outer, "nomaster")
    if control.runs(_daemon(port)):
        report = program.end(control, _daemon(port), event="report")
    control.run("nft", "delete", "table", "netdev", _table(port), check=False)
    control.run("ip", "link", "del", inner)
    if master is not None:
        control.run("ip", "link", "set", port, "master", master)
    return report


def _pair(port: str) -> tuple[str, str]:
    name = port.removeprefix("p-")
    return f"d-{name}", f"e-{name}"


def _daemon(port: str) -> str:
    return f"delay-{port}"


def _table(port: str) -> str:
    return f"delay-{port}"


def _exists(control: Machine, device: str) -> bool:
    return bool(control.run("ip", "-j", "link", "show", device, check=False))


def _link(control: Machine, device: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(control.run("ip", "-j", "link", "show", device))[0]
    return found


# --- the forwarder --------------------------------------------------------------------------------


@dataclass
class Way:
    """One direction. A frame keeps its virtio_net_hdr: checksums and segments stay to be made."""

    source: socket.socket
    destination: socket.socket
    delay_ms: float
    drop: float
    late: float
    late_ms: float
    counts: dict[str, int] = field(
        default_factory=lambda: {"passed": 0, "dropped": 0, "late": 0, "overflowed": 0, "errors": 0}
    )
    worst_ns: int = 0
    """The longest that a frame left after its time."""
    _queue: list[tuple[int, int, bytes]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def take(self) -> None:
        """Read what has come, and decide what becomes of it."""
        for _ in range(_FRAMES_AT_ONCE):
            try:
                frame = self.source.recv(_FRAME_BYTES, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            if random.random() < self.drop:
                self.counts["dropped"] += 1
                continue
            if len(self._queue) >= MAX_QUEUED:
                self.counts["overflowed"] += 1
                continue
            wait_ms = self.delay_ms
            if random.random() < self.late:
                self.counts["late"] += 1
                wait_ms += self.late_ms
            due = time.monotonic_ns() + int(wait_ms * 1e6)
            heapq.heappush(self._queue, (due, next(self._numbers), frame))

    def pass_on(self) -> None:
        """Send what is due."""
        while self._queue and self._queue[0][0] <= (now := time.monotonic_ns()):
            due, _, frame = heapq.heappop(self._queue)
            try:
                self.destination.send(frame)
            except OSError:  # The device is down, or a frame that no device could send.
                self.counts["errors"] += 1
            else:
                self.counts["passed"] += 1
                self.worst_ns = max(self.worst_ns, now - due)

    def due_ns(self) -> int | None:
        return self._queue[0][0] if self._queue else None

    def report(self) -> dict[str, float]:
        statistics = self.source.getsockopt(_SOL_PACKET, _PACKET_STATISTICS, 8)
        return {
            **self.counts,
            "lost_before_us": struct.unpack("=II", statistics)[1],
            "worst_late_ms": round(self.worst_ns / 1e6, 3),
        }


def forward(ways: list[Way]) -> None:
    """Pass frames on for ever."""
    sources = [way.source for way in ways]
    while True:
        due = min((at for way in ways if (at := way.due_ns()) is not None), default=None)
        wait = None if due is None else max(0, due - time.monotonic_ns()) / _NS
        # Of Python's waits, select's alone knows parts of a millisecond.
        readable, _, _ = select.select(sources, [], [], wait)
        for way in ways:
            if way.source in readable:
                way.take()
            way.pass_on()


def _open(device: str) -> socket.socket:
    """packet(7): every frame that comes in at ``device``, and none that we send there."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sock.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_BYTES)
    sock.bind((device, _ETH_P_ALL))
    return sock


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node", required=True, help="the device on the node's side")
    parser.add_argument("--fabric", required=True, help="the device on the bridge's side")
    for name in ("to-node-ms", "from-node-ms", "to-node-drop", "from-node-drop"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    for name in ("to-node-late", "from-node-late", "late-ms"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    asked = parser.parse_args()
    program.end_at_signal()
    os.nice(-20)  # A machine's cgroup has no share of real time.
    node, fabric = _open(asked.node), _open(asked.fabric)
    ways = {
        "to_node": Way(
            *(fabric, node, asked.to_node_ms, asked.to_node_drop),
            *(asked.to_node_late, asked.late_ms),
        ),
        "from_node": Way(
            *(node, fabric, asked.from_node_ms, asked.from_node_drop),
            *(asked.from_node_late, asked.late_ms),
        ),
    }
    program.say(program.READY)
    try:
        forward(list(ways.values()))
    finally:
        program.say("report", **{name: way.report() for name, way in ways.items()})


if __name__ == "__main__":
    main()
