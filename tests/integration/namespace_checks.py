"""The checks of test_dns.py and test_probe_network.py, run in a namespace; prints JSON.

Checks names of a real name server through glibc, and addresses behind routes and rules that fail.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from probing import Prober, block_event_loop_during
from servers import FaultServer, answer
from servers.dns import NameServer
from servers.dns import answer as dns_answer
from servers.nameserver import (
    BOTH,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    SILENT,
    SLOW,
    V4,
    name_server,
)

from kubenurse_otel.config.urls import parse_dns, parse_tcp
from kubenurse_otel.model import DnsQuery, Url
from kubenurse_otel.probe.dns.resolver import OwnResolver, SystemFiles

if TYPE_CHECKING:
    from probing import Checked

ROUTES = """
ip addr add 10.77.0.1/24 dev lo
ip addr add fd77::1/64 dev lo nodad
ip addr add fe80::77/64 dev lo nodad
ip route add blackhole 10.99.1.0/24
ip route add unreachable 10.99.2.0/24
ip route add prohibit 10.99.3.0/24
"""
"""Addresses that are not loopback's, so that AI_ADDRCONFIG sees both families."""

RULES = """
table inet faults {
  chain input {
    type filter hook input priority 0;
    tcp dport 9001 reject with tcp reset
    tcp dport 9002 reject with icmpx port-unreachable
    tcp dport 9003 reject with icmpx host-unreachable
    tcp dport 9004 reject with icmpx admin-prohibited
    tcp dport 9005 drop
    tcp dport 9006 tcp flags & (syn|ack) == syn numgen inc mod 1000000 0 drop
    tcp dport 9024 tcp flags & (syn|ack) == syn numgen inc mod 1000000 0 drop
    ip daddr 127.0.0.2 tcp dport 9025 drop
    tcp dport 9025 tcp flags & (syn|ack) == syn numgen inc mod 1000000 0 drop
    tcp dport 9007 tcp flags & psh == psh numgen inc mod 1000000 0 drop
    tcp dport 9008 tcp flags & psh == psh drop
    udp dport 9020 drop
    udp dport 9021 reject with icmpx port-unreachable
    udp dport 9022 reject with icmpx admin-prohibited
    udp dport 9023 numgen inc mod 1000000 0 drop
    ip protocol tcp tcp dport 9010 reject with icmp net-unreachable
    ip protocol tcp tcp dport 9011 reject with icmp prot-unreachable
    tcp dport 9009 tcp flags & (syn | psh) == 0 meta length > 1400 numgen inc mod 1000000 < 2 drop
  }
}
"""


def told(checked: Checked) -> dict[str, Any]:
    """Everything that the tests judge of one check."""
    failure, measured = checked.probe.failure, checked.measured
    split = measured.split
    return {
        "error_type": failure and failure.error_type,
        "phase": failure and failure.phase,
        "event": failure and failure.event,
        "message": failure and failure.message,
        "elapsed": checked.elapsed,
        "peer": measured.peer_address,
        "address_failures": measured.address_failures,
        "retransmits": measured.retransmits,
        "source": measured.timing_source,
        "round_trip_source": measured.round_trip_source,
        "events": checked.events,
        **{name: getattr(split, name) for name in type(split).__slots__},
    }


def own_resolver() -> OwnResolver:
    """Whatever else this machine asks for names."""
    nothing = Path("/nonexistent")
    return OwnResolver(paths=SystemFiles(nsswitch=nothing, gai_conf=nothing))


async def dns_checks(prober: Prober, port: int) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}

    async def check(case: str, host: str, **options: Any) -> None:
        url = Url.of("http", host, port, "/")  # also what no configuration takes
        results[case] = told(await prober.check(url, **options))

    with name_server():
        await check("good", V4)
        await check("absolute", f"{V4}.")
        await check("both", BOTH)
        await check("nxdomain", NXDOMAIN)
        await check("servfail", SERVFAIL)
        await check("refused", REFUSED)
        await check("slow", SLOW)
        await asyncio.gather(
            check("slow_blocked", SLOW),
            block_event_loop_during(0.4, after_seconds=0.02),
        )
        await asyncio.gather(
            check("servfail_blocked", SERVFAIL),
            block_event_loop_during(1.1, after_seconds=0.0),
        )
        await asyncio.gather(*(check(f"slow_together_{n}", SLOW) for n in range(5)))
        await check("silent", SILENT)
        await check("silent_short", SILENT, timeout_seconds=0.4)
        await check("too_long", "x" * 64 + ".test")
        await check("empty_label", "a..test")
        stuck = [asyncio.create_task(check(f"stuck_{n}", SILENT)) for n in range(20)]
        await asyncio.sleep(0.1)
        await check("beside_stuck", V4)
        await asyncio.gather(*stuck)
    await check("no_server", V4)
    return results


async def network_checks(prober: Prober) -> dict[str, dict[str, Any]]:
    results: dict[str, dict[str, Any]] = {}
    addresses = {
        "no_route": "10.98.0.1:80",
        "blackhole": "10.99.1.1:80",
        "unreachable": "10.99.2.1:80",
        "prohibit": "10.99.3.1:80",
        "no_route_ipv6": "[fd98::1]:80",
        "rejected_reset": "127.0.0.1:9001",
        "rejected_port": "127.0.0.1:9002",
        "rejected_host": "127.0.0.1:9003",
        "rejected_admin": "127.0.0.1:9004",
        "rejected_net": "127.0.0.1:9010",
        "rejected_protocol": "127.0.0.1:9011",
        "dropped": "127.0.0.1:9005",
    }
    for case, address in addresses.items():
        results[case] = told(await prober.check(f"http://{address}/", timeout_seconds=0.8))
    # Linux takes the ICMPv6 error of a SYN sent again alone where it comes back at once.
    results["rejected_admin_ipv6"] = told(await prober.check("http://[::1]:9004/"))
    with contextlib.ExitStack() as stack:
        for port in (9006, 9007, 9008):
            stack.enter_context(FaultServer(answer(), port=port))
        results["lost_syn"] = told(await prober.check("http://127.0.0.1:9006/"))
        results["lost_request"] = told(await prober.check("http://127.0.0.1:9007/"))
        results["lost_for_good"] = told(
            await prober.check("http://127.0.0.1:9008/", timeout_seconds=0.8)
        )
        results["after_loss"] = told(await prober.check("http://127.0.0.1:9007/"))
    with FaultServer(answer(), port=9025) as server:
        names = {"race.test": ["127.0.0.1", "127.0.0.2"]}
        async with Prober(names=names) as other:
            results["first_wins_late"] = told(await other.check(server.url(host="race.test")))
    return results


async def kind_checks(prober: Prober) -> dict[str, dict[str, Any]]:
    """The same walls, asked by TCP alone and by DNS."""
    results: dict[str, dict[str, Any]] = {}
    for case, port in (("dropped", 9005), ("reset", 9001), ("host", 9003), ("port", 9002)):
        url = parse_tcp(f"tcp://127.0.0.1:{port}")
        results[f"tcp_{case}"] = told(await prober.check(url, timeout_seconds=0.8))
    with FaultServer(answer(), port=9024):
        results["tcp_lost_syn"] = told(await prober.check(parse_tcp("tcp://127.0.0.1:9024")))
    query = DnsQuery(name="good.test", record_type="A")
    with NameServer(lambda asked: [dns_answer(asked, "10.0.0.1")], port=9023):
        for case, where, seconds in (
            ("dropped", "127.0.0.1:9020", 0.8),
            ("rejected", "127.0.0.1:9021", 5.0),
            ("rejected_ipv6", "[::1]:9021", 5.0),
            ("admin", "127.0.0.1:9022", 5.0),
            ("no_route", "10.98.0.1:53", 5.0),
            ("lost", "127.0.0.1:9023", 10.0),
        ):
            url, _, _ = parse_dns(f"dns://{where}/good.test")
            checked = await prober.check(url, query=query, timeout_seconds=seconds)
            results[f"dns_{case}"] = told(checked)
    return results


async def local_port_checks(prober: Prober) -> dict[str, dict[str, Any]]:
    """Two local ports and both taken; a port lent to itself; no IPv6 address to connect from."""
    results: dict[str, dict[str, Any]] = {}
    with FaultServer(answer()) as server, contextlib.ExitStack() as stack:
        set_sysctl("ipv4/ip_local_port_range", "40000 40001")
        for _ in range(2):
            taken = stack.enter_context(socket.socket())
            taken.connect((server.host, server.port))
        results["no_port"] = told(await prober.check(server.url()))
        set_sysctl("ipv4/ip_local_port_range", "32768 60999")
        results["port_again"] = told(await prober.check(server.url()))
        # connect() takes the even ports first: the one that is asked for.
        for case, port, url in (
            ("itself_tcp", 40_010, parse_tcp("tcp://127.0.0.1:40010")),
            ("itself_tcp_ipv6", 40_012, parse_tcp("tcp://[::1]:40012")),
            ("itself_http", 40_014, "http://127.0.0.1:40014/"),
        ):
            set_sysctl("ipv4/ip_local_port_range", f"{port} {port + 1}")
            results[case] = told(await prober.check(url))
        set_sysctl("ipv4/ip_local_port_range", "32768 60999")
        set_sysctl("ipv6/conf/lo/disable_ipv6", "1")
        results["no_ipv6_address"] = told(await prober.check("http://[::1]:80/"))
    return results


def set_sysctl(name: str, value: str) -> None:
    Path("/proc/sys/net", name).write_text(value)


async def segment_checks(prober: Prober) -> dict[str, dict[str, Any]]:
    """The first of a request's two segments is lost, its repair too, and nothing of the next."""
    small = "link set lo mtu 1500 gso_max_segs 1"  # what is sent is a segment, not 64 KiB
    subprocess.run(["ip", *small.split()], check=True)  # noqa: ASYNC221 - before anything runs
    results: dict[str, dict[str, Any]] = {}
    with FaultServer(answer(delay_seconds=0.05), port=9009) as server:
        for case in ("first_segment_lost", "no_segment_lost"):
            results[case] = told(await prober.check(server.url("/" + "x" * 1_700)))
    return results


async def zone_checks() -> dict[str, dict[str, Any]]:
    with FaultServer(answer(), host="::") as server:
        names = {"zoned.test": ["fe80::77%1"], "unzoned.test": ["fe80::77"]}  # lo is 1
        async with Prober(names=names) as prober:
            return {
                name: told(await prober.check(f"http://{name}.test:{server.port}/"))
                for name in ("zoned", "unzoned")
            }


async def main() -> None:
    subprocess.run(["sh", "-ec", ROUTES], check=True)  # noqa: ASYNC221 - before anything runs
    subprocess.run(["nft", "-f", "-"], input=RULES, text=True, check=True)  # noqa: ASYNC221 - as above
    with FaultServer(answer()) as server:
        async with Prober() as prober:
            await prober.check(server.url())  # what only the first check costs
            dns = await dns_checks(prober, server.port)
            async with Prober(resolve=own_resolver()) as other:
                own = await dns_checks(other, server.port)
            network = await network_checks(prober)
            network |= await kind_checks(prober)
            network |= await zone_checks()
            network |= await segment_checks(prober)
            network |= await local_port_checks(prober)
    json.dump({"dns": {"system": dns, "own": own}, "network": network}, sys.stdout)


if __name__ == "__main__":
    started = time.monotonic()
    asyncio.run(main())
