#!/usr/bin/env bash
# Guess: a name for which dnsmasq has an IPv4 address of its own (`address=`, `host-record=`, a hosts file) has "no data" for AAAA, whether
#   dnsmasq has an upstream server or none, and each client finds its address.
# Seen: dnsmasq 2.90 (Debian 12) without an upstream server answers A with the address and AAAA with REFUSED; with `address=` and
#   `local=/example/` it is NXDOMAIN, of a name that it knows. glibc 2.36, Go 1.26 and c-ares (aiodns 4.0.4) take the address. musl
#   1.2.3 (Alpine's libc) throws it away: "Try again", or "Name does not resolve", each time. With an upstream that says NXDOMAIN, or
#   with `local=` and one of the other two, dnsmasq answers "no data", and musl finds the name.
# Why it matters: in a network without a way out, where a dnsmasq beside the cluster knows its few names, all that is built on Debian or in
#   Go works, a checker too, and no container on Alpine finds any name. It is a DNS failure in the application's log only.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiodns==4.0.4 pycares==5.2.1 dnspython==2.9.2
apt-get download -qq dnsmasq-base musl musl-dev 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >ask.c <<'C'
#include <netdb.h>
#include <stdio.h>

int main(void) {
  struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
  int error = getaddrinfo("api.example", "80", &hints, &found);
  puts(error ? gai_strerror(error) : "found");
  return 0;
}
C
lib=root/usr/lib/x86_64-linux-musl
cc -o ask-glibc ask.c
cc -static -nostdinc -isystem root/usr/include/x86_64-linux-musl -nostdlib -o ask-musl \
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
cat >ask-c-ares <<PYTHON
#!$work/venv/bin/python
import asyncio

import aiodns


async def main():
    await aiodns.DNSResolver().getaddrinfo("api.example", port=80)
    print("found")


asyncio.run(main())
PYTHON
chmod +x ask-c-ares
go version
dpkg-query -W libc6
for package in musl_*.deb dnsmasq-base_*.deb; do dpkg-deb -f "$package" Package Version; done

cat >run.py <<'PYTHON'
import socket
import subprocess
import threading
import time

import dns.message
import dns.query
import dns.rcode

UPSTREAM = "127.0.0.2"
CLIENTS = ("glibc", "go", "c-ares", "musl")
WAYS = {
    "address=": "--address=/api.example/127.0.0.7",
    "host-record=": "--host-record=api.example,127.0.0.7",
    "a hosts file": "--addn-hosts=hosts",
}
UPSTREAMS = {"none": [], "says NXDOMAIN": [f"--server={UPSTREAM}"], "none, but local=": ["--local=/example/"]}


def serve(server):
    while True:
        wire, client = server.recvfrom(4096)
        answer = dns.message.make_response(dns.message.from_wire(wire), recursion_available=True)
        answer.set_rcode(dns.rcode.NXDOMAIN)
        server.sendto(answer.to_wire(), client)


def said(kind):
    answer = dns.query.udp(dns.message.make_query("api.example.", kind), "127.0.0.1", timeout=3)
    return f"{dns.rcode.to_text(answer.rcode())} with {len(answer.answer)}"


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((UPSTREAM, 53))
threading.Thread(target=serve, args=(server,), daemon=True).start()
for upstream, more in UPSTREAMS.items():
    for way, flag in WAYS.items():
        command = ["root/usr/sbin/dnsmasq", "--no-daemon", "--no-hosts", "--no-resolv", "--user=root", "--pid-file="]
        command += ["--bind-interfaces", "--listen-address=127.0.0.1", flag, *more]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            answers = said("A"), said("AAAA")
            seen = {one: subprocess.run([f"./ask-{one}"], capture_output=True, text=True).stdout.strip() for one in CLIENTS}
        finally:
            process.terminate()
            process.wait()
        print(f"{way}, upstream: {upstream}: A {answers[0]}, AAAA {answers[1]}; {seen}")
        code, musl = {
            (way, "none"): ("REFUSED", "Try again"),
            ("address=", "none, but local="): ("NXDOMAIN", "Name does not resolve"),
        }.get((way, upstream), ("NOERROR", "found"))
        assert answers == ("NOERROR with 1", f"{code} with 0")
        assert seen == dict.fromkeys(CLIENTS, "found") | {"musl": musl}
PYTHON
echo '127.0.0.7 api.example' >hosts
echo 'nameserver 127.0.0.1' >resolv.conf
unshare --net --mount sh -c 'mount --bind resolv.conf /etc/resolv.conf && exec venv/bin/python run.py'
