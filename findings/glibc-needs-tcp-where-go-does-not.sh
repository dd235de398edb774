#!/usr/bin/env bash
# Guess: where TCP port 53 is closed (a NetworkPolicy with UDP alone, a firewall), look-ups behave alike for
#   all programs of a pod: resolvers use EDNS today, so that 1,232 bytes fit into a datagram.
# Seen: glibc 2.36 asks without EDNS unless resolv.conf has `options edns0`, which kubelet does not write. 28
#   addresses of pods.monitoring.svc.cluster.local fit into its 512 bytes; with 29 the answer is truncated, TCP
#   is tried, and the look-up fails as a whole ("Temporary failure in name resolution"): what was in the
#   truncated answer is not used. Go 1.26.8 asks with EDNS for 1,232 bytes and finds up to 73.
# Why it matters: a headless Service works until its 29th pod, and then fails for C, Python, Ruby and PHP at
#   once, while Go programs (checkers, most exporters, DNS tools of the cluster) see nothing. Small names, as
#   a Service with a ClusterIP, do not show it from any of them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ldd --version | sed -n 1p
go version
cat >"$work/client.go" <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
)

func main() {
	resolver := net.Resolver{PreferGo: true}
	found, err := resolver.LookupIP(context.Background(), "ip4", "pods.monitoring.svc.cluster.local.")
	if err != nil {
		fmt.Println(err)
	} else {
		fmt.Println(len(found))
	}
}
GO
(cd "$work" && CGO_ENABLED=0 go build -o client client.go)

cat >"$work/ask.py" <<'PYTHON'
import socket
import socketserver
import struct
import subprocess
import sys
import threading

A = 1
pods = 0


class Resolver(socketserver.BaseRequestHandler):
    """Compresses names and truncates at what the client takes, as CoreDNS does."""

    def handle(self):
        query, sock = self.request
        end = query.index(0, 12)
        kind = struct.unpack_from("!H", query, end + 1)[0]
        edns = query[11] == 1
        takes = struct.unpack_from("!H", query, end + 8)[0] if edns else 512  # the class of OPT is a size
        option = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 0) if edns else b""
        record = b"\xc0\x0c" + struct.pack("!HHIH", A, 1, 30, 4)
        records = [record + bytes([10, 0, 0, pod]) for pod in range(pods)] if kind == A else []
        question = query[12 : end + 5]
        room = (takes - 12 - len(question) - len(option)) // len(record + bytes(4))
        truncated = 0x200 if len(records) > room else 0
        records = records[:room]
        head = struct.pack("!HHHHH", 0x8180 | truncated, 1, len(records), 0, int(edns))
        sock.sendto(query[:2] + head + question + b"".join(records) + option, self.client_address)


def glibc():
    name = "pods.monitoring.svc.cluster.local."
    try:
        return str(len(socket.getaddrinfo(name, 80, socket.AF_INET, socket.SOCK_STREAM)))
    except socket.gaierror as error:
        return str(error)


def go():
    words = [f"{sys.argv[1]}/client"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


server = socketserver.ThreadingUDPServer(("127.0.0.1", 53), Resolver)  # and nobody at TCP
threading.Thread(target=server.serve_forever, daemon=True).start()
for pods, expected in ((28, True), (29, False), (73, False)):
    seen = glibc(), go()
    print(f"{pods} addresses: glibc {seen[0]}; Go {seen[1]}")
    assert seen[1] == str(pods), "Go needs TCP now"
    assert (seen[0] == str(pods)) == expected, "glibc needs TCP at another size now"
    assert expected or "Temporary failure" in seen[0]
pods = 74
assert "refused" in go()
PYTHON
cat >"$work/inside.sh" <<'INSIDE'
set -euo pipefail
ip link set lo up
printf 'nameserver 127.0.0.1\noptions ndots:5\n' >"$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
python3 "$1/ask.py" "$1"
INSIDE
unshare --user --map-root-user --net --mount bash "$work/inside.sh" "$work"
