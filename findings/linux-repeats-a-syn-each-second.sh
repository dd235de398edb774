#!/usr/bin/env bash
# Guess: a SYN that is lost is sent again after 1, 3, 7 and 15 s (RFC 6298: each wait is twice the one before), and
#   net.ipv4.tcp_syn_retries=6 is six repeats: a connection that took 2 s lost no two SYNs.
# Seen: Linux 6.18 sends it again after 1, 2, 3, 4 and 5 s, and after 7, 11 and 19: net.ipv4.tcp_syn_linear_timeouts is 4 by
#   default, since Linux 6.5, and these four are no part of tcp_syn_retries. With 0 it is 1, 3, 7 and 15.
# Why it matters: a time-out of 5 s has five tries there, and three on a node with an older kernel (Debian 12 has 6.1). Where one
#   SYN in five is lost, one connection in 3,125 fails on the one and one in 125 on the other, and many take 2 or 4 s, which no
#   "1, 3, 7" explains. Of nodes with both kernels the older ones look worse, on the same network.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uname -r

cat >"$work/drop.nft" <<'NFT'
table ip lossy {
  chain out {
    type filter hook output priority 0;
    tcp dport 9 drop
  }
}
NFT
cat >"$work/connect.py" <<'PYTHON'
import pathlib
import socket
import struct
import time

SYSCTL = pathlib.Path("/proc/sys/net/ipv4/tcp_syn_linear_timeouts")
TOTAL_RETRANS = 100  # struct tcp_info, <linux/tcp.h>


def repeats(seconds):
    """When the SYN of one connection was sent again, by TCP_INFO."""
    with socket.socket() as client:
        client.setblocking(False)
        begin = time.monotonic()
        client.connect_ex(("127.0.0.1", 9))
        found = []
        while (now := time.monotonic() - begin) < seconds:
            info = client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
            if struct.unpack_from("I", info, TOTAL_RETRANS)[0] > len(found):
                found.append(now)
            time.sleep(0.005)
        return found


by_default = int(SYSCTL.read_text())
assert by_default == 4, by_default
for linear, expected in ((by_default, (1, 2, 3, 4, 5, 7, 11, 19)), (0, (1, 3, 7, 15))):
    SYSCTL.write_text(f"{linear}")
    seen = repeats(20.5)
    print(f"tcp_syn_linear_timeouts={linear}: sent again after", *(f"{one:.1f}" for one in seen), "s")
    assert len(seen) == len(expected), seen
    assert all(abs(one - due) < 0.8 for one, due in zip(seen, expected, strict=True)), seen
PYTHON
unshare --user --map-root-user --net bash -euc "
  ip link set lo up
  nft -f '$work/drop.nft'
  python3 '$work/connect.py'
"
