#!/usr/bin/env bash
# Guess: a stub resolver waits some seconds for an answer (glibc 5 s, Go 5 s, c-ares 2 s), sends the query again then, and takes
#   whatever answer comes, also the one to the first query.
# Seen: c-ares learns how fast a server is. Once some names were answered at once, aiodns 4.0.4 (pycares 5.2.1), which is aiohttp
#   3.14.5's resolver where it is installed, waits 250 ms for the next name, sends the query again, and ignores the answer to the
#   one before. It sends three: a name whose answer takes 1.1 s is "Timeout while contacting DNS servers" after 1.1 to 1.8 s, each
#   time. glibc 2.36 beside it, by aiohttp's ThreadedResolver, has it after 1.1 s with one query, and so has a new c-ares, which
#   knows nothing yet. (Node.js 20, 24 and 26, dns.resolve4, by hand: answers of 1 s are found after 2 or 3 s, some at once.)
# Why it matters: cluster names are answered at once. An application that has asked for some of them no longer gets the outside
#   names that the cluster's DNS must fetch first and that take a second, and asks for each three times. curl and a check in the
#   same pod, and the application itself right after its start, call DNS good. aiohttp.ThreadedResolver helps.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check aiohttp==3.14.5 aiodns==4.0.4 pycares==5.2.1 dnspython==2.9.2
dpkg-query -W libc6

cat >run.py <<'PYTHON'
import asyncio
import socket
import subprocess
import threading
import time

import aiohttp
import dns.message
import dns.rrset

SECONDS = 1.1
asked = []


def serve(server):
    while True:
        wire, client = server.recvfrom(4096)
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text()
        asked.append(name)
        answer = dns.message.make_response(query, recursion_available=True)
        answer.answer.append(dns.rrset.from_text(name, 0, "IN", "A", "127.0.0.1"))
        seconds = SECONDS if name.startswith("far") else 0
        threading.Timer(seconds, server.sendto, (answer.to_wire(), client)).start()


async def ask(resolver, name):
    """The seconds that a look-up took, how it ended, and how many queries it was."""
    asked.clear()
    begin = time.monotonic()
    try:
        await resolver.resolve(name, 80, family=socket.AF_INET)
        end = "found"
    except OSError as error:
        end = error.args[-1]
    return time.monotonic() - begin, end, len(asked)


async def main():
    c_ares, glibc = aiohttp.resolver.DefaultResolver(), aiohttp.ThreadedResolver()
    assert isinstance(c_ares, aiohttp.AsyncResolver), c_ares
    for name, resolver in (("c-ares", c_ares), ("glibc", glibc)):
        seconds, end, queries = await ask(resolver, "far-0.example.")
        print(f"{name}, before all else: {end} after {seconds:.2f} s, {queries} queries")
        assert (end, queries) == ("found", 1)
        for number in range(20):
            assert (await ask(resolver, f"near-{number}.example."))[1] == "found"
        for number in range(1, 6):
            seconds, end, queries = await ask(resolver, f"far-{number}.example.")
            print(f"{name}, after twenty quick names: {end} after {seconds:.2f} s, {queries} queries")
            expected = ("Timeout while contacting DNS servers", 3) if resolver is c_ares else ("found", 1)
            assert (end, queries) == expected


# aiohttp asks with AI_ADDRCONFIG: there must be an address that is no loopback's.
subprocess.run("ip link set lo up && ip address add 10.1.0.1/32 dev lo", shell=True, check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve, args=(server,), daemon=True).start()
asyncio.run(main())
PYTHON
echo 'nameserver 127.0.0.1' >resolv.conf
unshare --net --mount sh -c 'mount --bind resolv.conf /etc/resolv.conf && exec venv/bin/python run.py'
