#!/usr/bin/env bash
# Guess: a connection that the node's firewall rejects by ICMP, as kube-proxy does for a Service without
#   endpoints, fails at once, and alike by IPv4 and IPv6: "port unreachable" is ECONNREFUSED, and
#   "administratively prohibited" is EHOSTUNREACH ("No route to host").
# Seen: Linux 6.18, nftables. By IPv4 it is as guessed. By IPv6 each of them takes 1 s: the ICMPv6 error of the
#   first SYN comes back while connect() still holds the socket and is dropped (TcpExtLockDroppedIcmps); the one
#   that ends the connection is that of the SYN sent again. A TCP reset, and an ICMPv6 error that comes a few
#   milliseconds later from afar, end it at once. And "administratively prohibited" and "policy failed" are
#   EACCES ("Permission denied") by IPv6, which looks like a right that the process lacks.
# Why it matters: on IPv6 and dual-stack clusters a Service without endpoints costs each caller a second, which
#   looks like a lost SYN and not like a refusal; a client whose connect timeout is a second or less says
#   "timeout", and somebody looks for dropped packets. And whoever sorts failures by errno blames the client.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uname -r
nft --version

cat >"$work/rules.nft" <<'NFT'
table inet firewall {
  chain input {
    type filter hook input priority 0;
    tcp dport 81 reject with icmpx port-unreachable
    tcp dport 82 reject with icmpx admin-prohibited
    tcp dport 83 reject with tcp reset
  }
}
NFT
cat >"$work/ask.py" <<'PYTHON'
import errno
import fcntl
import os
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

work = pathlib.Path(sys.argv[1])


def ask(address, port):
    begin = time.monotonic()
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError as error:
        return errno.errorcode[error.errno], round(time.monotonic() - begin)


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def far_firewall():
    """A router 5 ms away that answers each TCP packet with "administratively prohibited"."""
    tunnel = os.open("/dev/net/tun", os.O_RDWR)
    no_packet_information, tun, set_interface = 0x1000, 0x0001, 0x400454CA
    fcntl.ioctl(tunnel, set_interface, struct.pack("16sH", b"far", tun | no_packet_information))
    subprocess.run(["ip", "address", "add", "fd00:2::1/64", "dev", "far", "nodad"], check=True)
    subprocess.run(["ip", "link", "set", "far", "up"], check=True)

    def route():
        while True:
            packet = os.read(tunnel, 2000)
            if packet[0] >> 4 != 6 or packet[6] != socket.IPPROTO_TCP:
                continue
            ends = packet[24:40] + packet[8:24]  # from its destination to its source
            body = struct.pack("!BBHI", 1, 1, 0, 0) + packet
            pseudo = ends + struct.pack("!II", len(body), socket.IPPROTO_ICMPV6)
            body = body[:2] + struct.pack("!H", checksum(pseudo + body)) + body[4:]
            head = struct.pack("!IHBB", 6 << 28, len(body), socket.IPPROTO_ICMPV6, 64)
            time.sleep(0.005)
            os.write(tunnel, head + ends + body)

    threading.Thread(target=route, daemon=True).start()


seen = {}
for address in ("10.1.0.1", "fd00:1::1"):
    while ask(address, 83) != ("ECONNREFUSED", 0):  # the interfaces are not up yet
        time.sleep(0.1)
for name, address in (("IPv4", "10.1.0.1"), ("IPv6", "fd00:1::1")):
    for what, port in (("port-unreachable", 81), ("admin-prohibited", 82), ("tcp reset", 83)):
        seen[name, what] = ask(address, port)
far_firewall()
seen["IPv6", "admin-prohibited, from afar"] = ask("fd00:2::2", 80)
for (name, what), (word, seconds) in seen.items():
    print(f"{name}, {what}: {word} after {seconds} s")
assert seen == {
    ("IPv4", "port-unreachable"): ("ECONNREFUSED", 0),
    ("IPv4", "admin-prohibited"): ("EHOSTUNREACH", 0),
    ("IPv4", "tcp reset"): ("ECONNREFUSED", 0),
    ("IPv6", "port-unreachable"): ("ECONNREFUSED", 1),
    ("IPv6", "admin-prohibited"): ("EACCES", 1),
    ("IPv6", "tcp reset"): ("ECONNREFUSED", 0),
    ("IPv6", "admin-prohibited, from afar"): ("EACCES", 0),
}
PYTHON
# Two networks without root: a node with a firewall, and a pod behind a veth.
cat >"$work/inside.sh" <<'INSIDE'
set -euo pipefail
mount -t tmpfs run /run
mkdir /run/netns
ip netns add pod
ip link add name node type veth peer name eth0 netns pod
ip address add 10.1.0.1/24 dev node
ip address add fd00:1::1/64 dev node nodad
ip link set node up
ip -n pod address add 10.1.0.2/24 dev eth0
ip -n pod address add fd00:1::2/64 dev eth0 nodad
ip -n pod link set lo up
ip -n pod link set eth0 up
nft -f "$1/rules.nft"
ip netns exec pod python3 "$1/ask.py" "$1"
INSIDE
timeout 60 unshare --user --map-root-user --net --mount bash "$work/inside.sh" "$work"
