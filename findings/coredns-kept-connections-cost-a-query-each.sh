#!/usr/bin/env bash
# Guess: NodeLocal DNSCache (CoreDNS with `forward` and force_tcp to the Service of the cluster's DNS) rides out
#   the death of a DNS pod: the first query finds its connection dead, all others go over a new one, which the
#   Service sends to a pod that lives. One query is slow.
# Seen: CoreDNS 1.14.7 keeps as many connections to the upstream as were ever busy at once, each for 10 s after
#   its last use, and learns of each one's death by itself: 8 kept connections are 8 queries that wait for 2 s
#   (forward's read timeout), one after the other or at the same time, whichever client asks. What fails on a
#   kept connection closes none of the others, and the health check is content, as it has one of its own.
# Why it matters: a pod that is gone without a word (a node lost, conntrack cleared, a silent drop) leaves DNS of
#   2 s here and there for all pods of the node, with no error, while the upstream is healthy: the more queries
#   a node had at once, the more. A check by name shows it as slow DNS on single nodes, for seconds.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/coredns"
cd "$work/coredns"
cat >go.mod <<'GO'
module coredns

go 1.26
GO
cat >main.go <<'GO'
package main

import (
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
)

func main() {
	coremain.Run()
}
GO
go get github.com/coredns/coredns@v1.14.7 2>build.log && nice go build -o "$work/run" . 2>>build.log || { cat build.log; exit 1; }

cat >"$work/ask.py" <<'PYTHON'
import concurrent.futures
import itertools
import pathlib
import socket
import struct
import subprocess
import sys
import threading
import time

A = 1
work = pathlib.Path(sys.argv[1])
KEPT = 8
connections = []  # of the upstream: whether the pod behind each lives
numbers = itertools.count(1)


def answer(query):
    question = query[12 : query.index(0, 12) + 5]
    record = b"\xc0\x0c" + struct.pack("!HHIH4s", A, 1, 30, 4, bytes([10, 96, 0, 1]))
    return query[:2] + struct.pack("!HHHHH", 0x8180, 1, 1, 0, 0) + question + record


def serve(connection):
    """One connection of a pod that needs 0.1 s for an answer; a dead one is silent."""
    lives = [True]
    connections.append(lives)
    with connection, connection.makefile("rb") as stream:
        while size := stream.read(2):
            query = stream.read(struct.unpack("!H", size)[0])
            time.sleep(0.1)
            if lives[0]:
                reply = answer(query)
                connection.sendall(struct.pack("!H", len(reply)) + reply)


def accept(listener):
    while True:
        threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()


def ask():
    """Answer's code and seconds, of a name that is in no cache."""
    number = next(numbers)
    name = b"\x08" + b"pod%05d" % number + b"\x07cluster\x05local\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        begin = time.monotonic()
        client.send(struct.pack("!HHHHHH", number, 0x100, 1, 0, 0, 0) + name + struct.pack("!HH", A, 1))
        return client.recv(4096)[3] & 15, time.monotonic() - begin


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listener,), daemon=True).start()
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
(work / "Corefile").write_text(f"""
cluster.local:{port} {{
  bind 127.0.0.1
  errors
  cache {{
    success 9984 30
    denial 9984 5
  }}
  forward . 127.0.0.1:{listener.getsockname()[1]} {{
    force_tcp
  }}
}}
""")
log = work / "coredns.log"
with log.open("wb") as output:
    coredns = subprocess.Popen([work / "run", "-conf", work / "Corefile"], stdout=output, stderr=output)
try:
    for _ in range(200):
        try:
            ask()
            break
        except ConnectionRefusedError:  # not there yet
            time.sleep(0.05)
    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        assert all(one.result()[0] == 0 for one in [pool.submit(ask) for _ in range(KEPT)])
        print("connections kept:", len(connections))
        assert len(connections) == KEPT
        for lives in connections:
            lives[0] = False  # and whoever connects from now on reaches another pod
        begin = time.monotonic()
        asked = []
        while time.monotonic() - begin < 8:
            asked.append(pool.submit(ask))
            time.sleep(0.1)
        seen = [one.result() for one in asked]
finally:
    coredns.terminate()
    coredns.wait(20)
slow = [seconds for code, seconds in seen if seconds > 1]
print(f"of {len(seen)} queries in 8 s: {len(slow)} slow ({min(slow):.1f} to {max(slow):.1f} s)")
assert all(code == 0 for code, _ in seen), (seen, log.read_text())
assert len(slow) == KEPT and all(2 <= seconds < 3 for seconds in slow), slow
PYTHON
python3 "$work/ask.py" "$work"
