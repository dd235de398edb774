#!/usr/bin/env bash
# Guess: a SERVFAIL that CoreDNS has from its upstream is one client's bad luck: the next query asks again. RFC 2308
#   section 7.1 makes caching it optional, and `cache 30` names what is cached: answers and denials.
# Seen: CoreDNS 1.14.7 with `cache 30` keeps a SERVFAIL for 5 s, by name and type, for all clients: the upstream
#   failed once and is good since, and each query of the next 5 s is answered SERVFAIL without asking it.
#   `servfail 0` in the cache's block switches that off: then one query fails.
# Why it matters: one hiccup of an upstream (a resolver's restart, a rate limit) is a failed look-up in all pods of
#   a cluster at the same moment: it looks like an outage of DNS, and each checker that looks up the name once
#   in 5 s or so sees it from everywhere. The upstream's own log has one line.
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
import pathlib
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time

A, SERVFAIL = 1, 2
NAME = b"\x07example\x04test\0"
work = pathlib.Path(sys.argv[1])
asked = []  # when the upstream was asked for NAME


class Upstream(socketserver.BaseRequestHandler):
    """Fails the first query for NAME and answers all others."""

    def handle(self):
        query, sock = self.request
        question = query[12 : query.index(0, 12) + 5]
        record = b"\xc0\x0c" + struct.pack("!HHIH4s", A, 1, 30, 4, bytes([192, 0, 2, 1]))
        failed = False
        if question.startswith(NAME):
            asked.append(time.monotonic())
            failed = len(asked) == 1
        flags = struct.pack("!HHHHH", 0x8180 | SERVFAIL * failed, 1, int(not failed), 0, 0)
        sock.sendto(query[:2] + flags + question + (b"" if failed else record), self.client_address)


def ask(port, name=NAME):
    """The answer's code."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.connect(("127.0.0.1", port))
        client.send(struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + name + struct.pack("!HH", A, 1))
        return client.recv(4096)[3] & 15


def failures(upstream, cache):
    """How many queries fail, 0.1 s apart, for how many seconds, and how often the upstream was asked."""
    asked.clear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (work / "Corefile").write_text(
        f".:{port} {{\n  bind 127.0.0.1\n  {cache}\n  forward . 127.0.0.1:{upstream}\n}}\n"
    )
    log = work / "coredns.log"
    with log.open("wb") as output:
        coredns = subprocess.Popen([work / "run", "-conf", work / "Corefile"], stdout=output, stderr=output)
    try:
        for _ in range(200):
            try:
                ask(port, b"\x05ready\x04test\0")
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
        begin = time.monotonic()
        failed = 0
        while ask(port) == SERVFAIL:
            failed += 1
            assert time.monotonic() - begin < 30, log.read_text()
            time.sleep(0.1)
        return failed, time.monotonic() - begin, len(asked)
    finally:
        coredns.terminate()
        coredns.wait(20)


server = socketserver.ThreadingUDPServer(("127.0.0.1", 0), Upstream)
threading.Thread(target=server.serve_forever, daemon=True).start()
upstream = server.server_address[1]
for cache in ("cache 30", "cache 30 {\n    servfail 0\n  }"):
    failed, seconds, queries = failures(upstream, cache)
    print(f"{' '.join(cache.split())}: {failed} failed within {seconds:.1f} s; the upstream was asked {queries} times")
    if "servfail" in cache:
        assert (failed, queries) == (1, 2)
    else:
        assert failed > 25 and 4 < seconds < 7 and queries == 2
PYTHON
python3 "$work/ask.py" "$work"
