#!/usr/bin/env bash
# Guess: what connects to a node of its own network that has died times out, or is told "no route to host", but one of both.
# Seen: Linux 6.18, defaults. For some 30 s (15 to 45 s that an address counts as reachable, which the kernel draws, 5 s of
#   delay and 3 s of probes) every connection waits until its own time-out. From then on each is told EHOSTUNREACH after
#   3.1 s: three questions by ARP, a second apart. While it waits for ARP no SYN has left the machine.
# Why it matters: the same dead node has two errors, and which one depends on when it is asked. A client with a time-out of
#   3 s never sees the second; with 5 s it does, half a minute later, as if something had changed. Behind a router
#   there are only time-outs, or the router's own ICMP 3 s late.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uname -r
cat >"$work/ask.py" <<'PYTHON'
import errno
import socket
import subprocess
import time

FAR = ["ip", "netns", "exec", "far"]


def run(*words, **options):
    subprocess.run([*words], check=True, **options)


def connect():
    """What came of it (0 is good), and after how many seconds."""
    with socket.socket() as client:
        client.settimeout(5)
        begin = time.monotonic()
        try:
            number = client.connect_ex(("10.9.0.2", 80))
        except TimeoutError:
            number = errno.ETIMEDOUT
        if number == errno.EAGAIN:  # our own time-out
            number = errno.ETIMEDOUT
        return number, time.monotonic() - begin


run("ip", "link", "set", "lo", "up")  # by which the kernel tells itself
run("ip", "netns", "add", "far")
run("ip", "link", "add", "here", "type", "veth", "peer", "name", "there", "netns", "far")
for words, device, host in (([], "here", 1), (FAR, "there", 2)):
    run(*words, "ip", "address", "add", f"10.9.0.{host}/24", "dev", device)
    run(*words, "ip", "link", "set", device, "up")
server = subprocess.Popen([*FAR, "python3", "-m", "http.server", "80"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
try:
    while connect()[0]:
        time.sleep(0.2)
    # It dies: the link stays up, as at a switch, and nothing comes from it any more, no ARP either.
    chains = (f"chain {way} {{ type filter hook {way} device there priority 0; drop; }}" for way in ("ingress", "egress"))
    run(*FAR, "nft", f"table netdev dead {{ {'; '.join(chains)}; }}")
    died = time.monotonic()
    seen = []
    while time.monotonic() - died < 75:
        number, took = connect()
        seen.append((time.monotonic() - died, number, took))
        print(f"{seen[-1][0]:5.1f} s later: {errno.errorcode[number]} after {took:.2f} s", flush=True)
        time.sleep(0.2)
finally:
    server.kill()
numbers = [number for _, number, _ in seen]
first = numbers.index(errno.EHOSTUNREACH)
assert set(numbers[:first]) == {errno.ETIMEDOUT}, "not a time-out at first"
assert 15 <= seen[first][0] <= 65, seen[first]
assert set(numbers[first:]) == {errno.EHOSTUNREACH}, "not unreachable from then on"
assert all(2.9 <= took < 4.5 for _, _, took in seen[first + 1 :]), "not after three questions"
PYTHON
# A folder of our own for the names of network namespaces.
unshare --net --mount sh -c 'mkdir -p /run/netns && mount -t tmpfs none /run/netns && exec python3 "$1"' sh "$work/ask.py"
