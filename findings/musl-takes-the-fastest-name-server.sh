#!/usr/bin/env bash
# Guess: whoever reads resolv.conf(5) asks the first name server, and the second when the first does not answer: so does glibc,
#   and musl, which promises the same file, where it matters.
# Seen: musl 1.2.3 (Debian 12; Alpine's libc) asks all of them at once, and the fastest answer decides, NXDOMAIN included. With
#   a first server that knows the name after 0.5 s, and a second that does not know it at once, musl says that there is no
#   such name, each time; glibc 2.36 has the address. SERVFAIL of the second is passed over.
# Why it matters: with a cluster's DNS first and the node's or a public server behind it, pods on Alpine miss cluster names
#   whenever the other is faster, and no other pod of the node does; each look-up is so many times as many queries.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq musl musl-dev 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" musl; done
cat >ask.c <<'C'
#include <netdb.h>
#include <stdio.h>

int main(int count, char **words) {
  struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
  int error = count > 1 ? getaddrinfo(words[1], 0, &hints, &found) : EAI_FAIL;
  puts(error ? gai_strerror(error) : "found");
  return 0;
}
C
lib=musl/usr/lib/x86_64-linux-musl
cc -o ask-glibc ask.c
cc -static -nostdinc -isystem musl/usr/include/x86_64-linux-musl -nostdlib -o ask-musl \
  "$lib/crt1.o" "$lib/crti.o" ask.c "$lib/libc.a" -lgcc "$lib/crtn.o"
dpkg-deb -f musl_*.deb Version

cat >ask.py <<'PYTHON'
import socket
import struct
import subprocess
import threading
import time

NXDOMAIN, SERVFAIL = 3, 2
FIRST, SECOND = "127.0.0.2", "127.0.0.3"
asked = {FIRST: 0, SECOND: 0}
second_says = NXDOMAIN


def serve(address, seconds):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 53))
        while True:
            query, client = server.recvfrom(4096)
            asked[address] += 1
            time.sleep(seconds)
            knows = address == FIRST
            head = query[:2] + struct.pack(">HHHHH", 0x8180 | (0 if knows else second_says), 1, knows, 0, 0)
            end = query.index(b"\0", 12) + 5
            record = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 5, 4) + bytes([10, 0, 0, 1])
            server.sendto(head + query[12:end] + (record if knows else b""), client)


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for address, seconds in ((FIRST, 0.5), (SECOND, 0.0)):
    threading.Thread(target=serve, args=(address, seconds), daemon=True).start()
time.sleep(0.5)
for second_says, expected in ((NXDOMAIN, {"glibc": "found", "musl": "Name does not resolve"}), (SERVFAIL, dict.fromkeys(("glibc", "musl"), "found"))):
    for libc, told in expected.items():
        asked.update({FIRST: 0, SECOND: 0})
        seen = {
            subprocess.run([f"./ask-{libc}", "kubernetes.test"], capture_output=True, text=True, check=True).stdout.strip()
            for _ in range(5)
        }
        time.sleep(0.6)
        print(f"{libc}, the second says {second_says}: {seen}, queries of five look-ups: {asked}")
        assert seen == {told}, seen
        assert (asked[SECOND] > 0) is (libc == "musl"), asked
PYTHON
printf 'nameserver 127.0.0.2\nnameserver 127.0.0.3\n' >resolv.conf
unshare --net --mount sh -c 'mount --bind resolv.conf /etc/resolv.conf && exec python3 ask.py'
