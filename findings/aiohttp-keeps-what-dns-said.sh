#!/usr/bin/env bash
# Guess: aiohttp keeps an address for ten seconds (ttl_dns_cache) and a failed look-up not at all; its resolvers ask DNS each time.
# Seen: aiohttp 3.14.5 with aiodns 4.0.4 (pycares 5.2.1) installed, which `aiohttp[speedups]` brings: c-ares keeps each answer for
#   its TTL, and "no such name" for the zone's negative TTL. With 20 s for both, a name that is asked for before it is made is
#   found 20 s later, and a name that moves is asked for at its old address for 20 s. With ThreadedResolver (glibc 2.36)
#   it is found at once, and followed after 10 s. `use_dns_cache=False` does not change that, and pycares has no option for it.
# Why it matters: kubeadm's CoreDNS gives 30 s to each cluster name. For so long an application asks for the pod of a headless
#   Service that is gone, and does not see the Service that was just made, while curl in the same pod, a checker and each new
#   process do.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'aiohttp[speedups]==3.14.5' aiodns==4.0.4 pycares==5.2.1 dnspython==2.9.2

cat >run.py <<'PYTHON'
import asyncio
import socket
import subprocess
import threading
import time

import aiohttp
import dns.message
import dns.rcode
import dns.rrset
from aiohttp import web

TTL = 20
OLD, NEW = "127.0.0.2", "127.0.0.3"
addresses = {}
"""Of each name that exists."""


def serve(server):
    while True:
        wire, client = server.recvfrom(4096)
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text()
        answer = dns.message.make_response(query, recursion_available=True)
        if name not in addresses:
            answer.set_rcode(dns.rcode.NXDOMAIN)
        if name in addresses and query.question[0].rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(name, TTL, "IN", "A", addresses[name]))
        else:
            soa = f"ns.shop.example. root.shop.example. 1 7200 1800 86400 {TTL}"
            answer.authority.append(dns.rrset.from_text("shop.example.", TTL, "IN", "SOA", soa))
        server.sendto(answer.to_wire(), client)


async def answered_by(session, name):
    try:
        async with session.get(f"http://{name}:8080/") as response:
            return await response.text()
    except aiohttp.ClientConnectorDNSError:
        return None


async def seconds_until(session, name, address):
    begin = time.monotonic()
    while (await answered_by(session, name)) != address:
        assert time.monotonic() - begin < 60
        await asyncio.sleep(0.2)
    return time.monotonic() - begin


async def look(what, resolver, use_dns_cache):
    name = f"{what.replace(',', '').replace(' ', '-')}.shop.example."
    connector = aiohttp.TCPConnector(resolver=resolver, use_dns_cache=use_dns_cache, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        assert await answered_by(session, name) is None
        addresses[name] = OLD
        made = await seconds_until(session, name, OLD)
        addresses[name] = NEW
        moved = await seconds_until(session, name, NEW)
    print(f"{what}: found {made:.1f} s after it was made, followed {moved:.1f} s after it moved")
    return made, moved


async def main():
    async def answer(request):
        return web.Response(text=request.transport.get_extra_info("sockname")[0])

    runner = web.AppRunner(application := web.Application())
    application.router.add_get("/", answer)
    await runner.setup()
    for address in (OLD, NEW):
        await web.TCPSite(runner, address, 8080).start()
    default = aiohttp.resolver.DefaultResolver
    assert default is aiohttp.AsyncResolver, default
    found = await asyncio.gather(
        look("aiodns", default(), True),
        look("aiodns, no cache of aiohttp", default(), False),
        look("glibc", aiohttp.ThreadedResolver(), True),
        look("glibc, no cache of aiohttp", aiohttp.ThreadedResolver(), False),
    )
    await runner.cleanup()
    for (made, moved), (made_range, moved_range) in zip(
        found,
        [((19, 22), (19, 32)), ((19, 22), (19, 22)), ((0, 1), (9, 12)), ((0, 1), (0, 1))],
    ):
        assert made_range[0] <= made <= made_range[1], (made, made_range)
        assert moved_range[0] <= moved <= moved_range[1], (moved, moved_range)


# aiohttp asks with AI_ADDRCONFIG: there must be an address that is no loopback's.
subprocess.run("ip link set lo up && ip address add 10.1.0.1/32 dev lo", shell=True, check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve, args=(server,), daemon=True).start()
asyncio.run(main())
PYTHON
echo 'nameserver 127.0.0.1' >resolv.conf
unshare --net --mount sh -c 'mount --bind resolv.conf /etc/resolv.conf && exec venv/bin/python run.py'
