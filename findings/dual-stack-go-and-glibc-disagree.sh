#!/usr/bin/env bash
# Guess: where a name has an IPv4 address and an IPv6 address of fd00::/8, as a dual-stack Service has them,
#   all clients of a pod try the same one first: RFC 6724 section 2.1 has a table for that, in which fc00::/7
#   (precedence 3) comes after IPv4 (35).
# Seen: Go 1.26.8 follows that table and connects by IPv4. glibc 2.36 has the table of RFC 3484 (fc00::/7 is
#   like any IPv6, precedence 40; IPv4 is 10) and no /etc/gai.conf as Debian ships it: getaddrinfo() has IPv6
#   first, and CPython 3.11 and curl connect by it. Both of the client's addresses are good, and both servers are there.
# Why it matters: on dual-stack clusters with ULA ranges a check written in Go tests IPv4 alone and the
#   applications in Python, C, Ruby or PHP use IPv6, or the reverse; when one family is broken, the one sees
#   nothing and the other everything. Whoever moves from a Go checker changes the family without a word.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
ldd --version | sed -n 1p
go version
cat >"$work/client.go" <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
)

func main() {
	answer, err := http.Get("http://kubenurse.test:8080/")
	if err != nil {
		panic(err)
	}
	text, _ := io.ReadAll(answer.Body)
	fmt.Print(string(text))
}
GO
(cd "$work" && CGO_ENABLED=0 go build -o client client.go)
printf '10.96.0.10 kubenurse.test\nfd00:96::10 kubenurse.test\n' >"$work/hosts"

cat >"$work/ask.py" <<'PYTHON'
import http.server
import socket
import subprocess
import sys
import threading
import urllib.request


class Family(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"IPv6" if ":" in self.server.server_address[0] else b"IPv4")

    def log_message(self, *_):
        pass


class Server6(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6


for server in (
    http.server.ThreadingHTTPServer(("10.96.0.10", 8080), Family),
    Server6(("fd00:96::10", 8080), Family),
):
    threading.Thread(target=server.serve_forever, daemon=True).start()

url = "http://kubenurse.test:8080/"
seen = {
    "Go": subprocess.run([f"{sys.argv[1]}/client"], capture_output=True, text=True, check=True).stdout,
    "CPython": urllib.request.urlopen(url, timeout=5).read().decode(),
    "curl": subprocess.run(["curl", "-sS", url], capture_output=True, text=True, check=True).stdout,
}
print("getaddrinfo:", [found[4][0] for found in socket.getaddrinfo("kubenurse.test", 8080, type=socket.SOCK_STREAM)])
print(seen)
assert seen == {"Go": "IPv4", "CPython": "IPv6", "curl": "IPv6"}, "they agree now"
PYTHON
# A network and a file system of its own, without root: one interface, both families, the name in /etc/hosts.
cat >"$work/inside.sh" <<'INSIDE'
set -euo pipefail
ip link set lo up
for address in 10.1.0.5/24 10.96.0.10/32 fd00:1::5/64 fd00:96::10/128; do ip address add "$address" dev lo; done
mount --bind "$1/hosts" /etc/hosts
if grep -sE '^(label|precedence)' /etc/gai.conf; then echo "/etc/gai.conf has a table of its own"; exit 1; fi
python3 "$1/ask.py" "$1"
INSIDE
env -u HTTP_PROXY -u http_proxy unshare --user --map-root-user --net --mount bash "$work/inside.sh" "$work"
