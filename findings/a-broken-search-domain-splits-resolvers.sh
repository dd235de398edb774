#!/usr/bin/env bash
# Guess: a domain of resolv.conf's search path whose servers are broken costs time; the domains behind it, and the name as it was
#   written, are still tried, as resolv.conf(5) has it.
# Seen: the last domain of the path answers SERVFAIL, or REFUSED; the name itself exists. glibc 2.36 and Go 1.26 find it. musl 1.2.3
#   (Debian 12; Alpine's libc), c-ares as aiohttp 3.14.5 uses it where aiodns 4.0.4 is installed, grpcio 1.85.3 and dnspython 2.9.2
#   do not: they give up at that domain and never ask for the name itself. Where the domain answers NXDOMAIN all find it.
#   gRPC finds it with GRPC_DNS_RESOLVER=native. Node.js' dns.resolve has no search path at all.
# Why it matters: a pod inherits its node's search domains behind those of the cluster, and with ndots:5 each name outside of the
#   cluster goes through them first. When the company's DNS servers are down, what runs on Alpine, and asynchronous Python and
#   gRPC, loses every outside name; curl on Debian, and a checker in Go, call the same name good.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 aiodns==4.0.4 pycares==5.2.1 grpcio==1.85.3 dnspython==2.9.2
apt-get download -qq musl musl-dev 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" musl; done
cat >ask.c <<'C'
#include <netdb.h>
#include <stdio.h>

int main(void) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  int error = getaddrinfo("api.example", "80", &hints, &found);
  puts(error ? gai_strerror(error) : "found");
  return 0;
}
C
lib=musl/usr/lib/x86_64-linux-musl
cc -o ask-glibc ask.c
cc -static -nostdinc -isystem musl/usr/include/x86_64-linux-musl -nostdlib -o ask-musl \
  "$lib/crt1.o" "$lib/crti.o" ask.c "$lib/libc.a" -lgcc "$lib/crtn.o"
cat >ask.go <<'GO'
package main

import (
	"fmt"
	"net"
)

func main() {
	if _, err := net.LookupHost("api.example"); err != nil {
		fmt.Println(err)
	} else {
		fmt.Println("found")
	}
}
GO
CGO_ENABLED=0 go build -o ask-go ask.go
cat >ask-aiohttp <<'PYTHON'
import asyncio

import aiohttp


async def main():
    resolver = aiohttp.resolver.DefaultResolver()
    assert isinstance(resolver, aiohttp.AsyncResolver), resolver
    try:
        await resolver.resolve("api.example", 80)
        print("found")
    except OSError as error:
        print(error)


asyncio.run(main())
PYTHON
cat >ask-grpc <<'PYTHON'
import grpc

try:  # the address that is found refuses
    grpc.insecure_channel("api.example:1").unary_unary("/a/b")(b"", timeout=10)
except grpc.RpcError as error:
    found = "connect" in error.details()
    print("found" if found else error.details().rpartition(": ")[2])
PYTHON
cat >ask-dnspython <<'PYTHON'
import dns.exception
import dns.resolver

try:
    dns.resolver.resolve("api.example", "A", search=True)
    print("found")
except (dns.exception.DNSException) as error:
    print(type(error).__name__)
PYTHON
sed -i '1i #!'"$work/venv/bin/python" ask-aiohttp ask-grpc ask-dnspython
chmod +x ask-*
go version
dpkg-query -W libc6
dpkg-deb -f musl_*.deb Version

cat >run.py <<'PYTHON'
import os
import socket
import subprocess
import threading

import dns.message
import dns.rcode
import dns.rrset

says, asked = dns.rcode.NXDOMAIN, set()


def serve(server):
    while True:
        wire, client = server.recvfrom(4096)
        query = dns.message.from_wire(wire)
        answer = dns.message.make_response(query, recursion_available=True)
        name = query.question[0].name.to_text()
        asked.add(name)
        if name != "api.example.":
            answer.set_rcode(says if name.endswith(".corp.test.") else dns.rcode.NXDOMAIN)
        elif query.question[0].rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(name, 30, "IN", "A", "127.0.0.1"))
        server.sendto(answer.to_wire(), client)


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve, args=(server,), daemon=True).start()
FIND = {"glibc", "go", "grpc, native"}
for says in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL, dns.rcode.REFUSED):
    for client in ("glibc", "go", "musl", "aiohttp", "dnspython", "grpc", "grpc, native"):
        asked.clear()
        environment = os.environ | {"GRPC_VERBOSITY": "NONE", "GRPC_DNS_RESOLVER": client[6:] or "ares"}
        done = subprocess.run(["./ask-" + client.partition(",")[0]], env=environment, capture_output=True, text=True, timeout=60)
        seen = done.stdout.strip()
        print(f"{dns.rcode.to_text(says)}, {client}: {seen}")
        assert seen, done.stderr
        finds = client in FIND or says == dns.rcode.NXDOMAIN
        assert (seen == "found", "api.example." in asked) == (finds, finds), asked
        assert "api.example.corp.test." in asked, asked
PYTHON
printf 'nameserver 127.0.0.1\nsearch shop.svc.cluster.test svc.cluster.test cluster.test corp.test\noptions ndots:5\n' >resolv.conf
env -u HTTP_PROXY -u http_proxy -u HTTPS_PROXY -u https_proxy unshare --net --mount \
  sh -c 'mount --bind resolv.conf /etc/resolv.conf && exec venv/bin/python run.py'
