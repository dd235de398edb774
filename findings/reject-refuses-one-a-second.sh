#!/usr/bin/env bash
# Guess: what a node's firewall rejects with ICMP, as kube-proxy does in iptables and in nftables mode for a Service
#   without endpoints, is refused at once, each time.
# Seen: Linux 6.18, by nft's `reject` and by iptables' REJECT, in the forward hook: six connections of a pod are
#   refused at once, then one a second. ICMP errors are limited for each client (net.ipv4.icmp_ratelimit, 1 s, with six
#   saved up), whatever was asked: the SYNs that get none are sent again after a second, and again. Of twenty connections
#   at once six are refused now, some after 1 to 5 s, the rest time out. `reject with tcp reset` is not limited. The
#   node's own processes are not limited either.
# Why it matters: a Service whose last endpoint went is "connection refused" to a checker that asks once in some
#   seconds and timeouts to an application that asks more often: one looks for lost packets or for a hanging server
#   where nothing listens. What one destination uses up of it lacks for all others of that pod on that node.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uname -r
nft --version
iptables --version

cat >"$work/ask.py" <<'PYTHON'
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

SERVICE = "10.96.0.1"


def ask(_=None):
    """The seconds until a connection was refused; None if that took too long."""
    begin = time.monotonic()
    try:
        socket.create_connection((SERVICE, 80), timeout=5.5).close()
    except ConnectionRefusedError:
        return time.monotonic() - begin
    except TimeoutError:
        return None


with ThreadPoolExecutor(20) as pool:
    seconds = list(pool.map(ask, range(20)))
print(sum(one is not None and one < 0.5 for one in seconds), sum(one is None for one in seconds))
PYTHON
# Two networks without root: a node that routes, and a pod behind a veth. The Service's address is nowhere.
cat >"$work/inside.sh" <<'INSIDE'
set -euo pipefail
mount -t tmpfs run /run
mkdir /run/netns
ip netns add pod
ip link add name node type veth peer name eth0 netns pod
ip link add name uplink type veth peer name nobody
ip address add 10.1.0.1/24 dev node
ip address add 10.9.0.1/24 dev uplink
for one in lo node uplink nobody; do ip link set "$one" up; done
ip route add default via 10.9.0.2
ip -n pod address add 10.1.0.2/24 dev eth0
ip -n pod link set lo up
ip -n pod link set eth0 up
ip -n pod route add default via 10.1.0.1
sysctl -q net.ipv4.ip_forward=1
sysctl net.ipv4.icmp_ratelimit net.ipv4.icmp_ratemask
asks() { # ASKED_BY WHAT EXPECTED...: how many of twenty are refused at once, and how many time out
  sleep 8 # six are saved up again
  local said
  said=$(eval "$1" python3 "$work/ask.py")
  echo "$2: of 20 at once, refused at once and timed out: $said"
  shift 2
  for expected in "$@"; do
    if [ "$said" = "$expected" ]; then return; fi
  done
  exit 1
}
work=$1
for hook in forward output; do
  nft "add table inet f; add chain inet f $hook { type filter hook $hook priority 0; }"
  nft "add rule inet f $hook ip daddr 10.96.0.1 reject"
done
asks "ip netns exec pod" "nft reject, a pod" "6 9" "6 8"
asks "" "nft reject, the node itself" "20 0"
nft "flush chain inet f forward; add rule inet f forward ip daddr 10.96.0.1 meta l4proto tcp reject with tcp reset"
asks "ip netns exec pod" "nft reject with tcp reset, a pod" "20 0"
nft "delete table inet f"
iptables-nft -A FORWARD -d 10.96.0.1 -j REJECT
asks "ip netns exec pod" "iptables REJECT, a pod" "6 9" "6 8"
INSIDE
timeout 120 unshare --user --map-root-user --net --mount bash "$work/inside.sh" "$work"
