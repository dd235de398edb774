"""probe/dns: what the system's files say. How glibc reads them is test_resolvers.py's to prove."""

from __future__ import annotations

import asyncio
import logging
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.probe.dns import hosts, interfaces, resolv_conf
from kubenurse_otel.probe.dns.destinations import ordered
from kubenurse_otel.probe.dns.interfaces import OwnAddress, own_addresses
from kubenurse_otel.probe.dns.reply import Server
from kubenurse_otel.probe.dns.resolver import OwnResolver, SystemFiles
from kubenurse_otel.probe.dns.sources import other_sources
from kubenurse_otel.probe.resolve import Answer, LookUpError


def test_a_pods_resolv_conf_is_read() -> None:
    """As kubelet writes it for dnsPolicy ClusterFirst."""
    read = resolv_conf.parse(
        "search ns.svc.cluster.local svc.cluster.local cluster.local\n"
        "nameserver 10.96.0.10\noptions ndots:5\n",
        host_name="pod",
    )
    assert read.servers == (Server("10.96.0.10"),)
    assert read.search == ("ns.svc.cluster.local", "svc.cluster.local", "cluster.local")
    assert (read.options.ndots, read.options.timeout_seconds, read.options.attempts) == (5, 5, 2)


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("options ndots:99 timeout:99 attempts:99", (15, 30, 5)),
        ("options ndots:x timeout:-3 attempts:", (0, 0, 0)),
        (" options ndots:3", (1, 5, 2)),
        ("options ndots:3\noptions timeout:1", (3, 1, 2)),
    ],
)
def test_numbers_have_their_bounds(text: str, options: tuple[int, int, int]) -> None:
    """Those of <resolv.h>; a line that begins with a blank says nothing."""
    read = resolv_conf.parse(text, host_name="").options
    assert (read.ndots, read.timeout_seconds, read.attempts) == options


def test_without_a_file_there_is_a_server_and_the_hosts_domain() -> None:
    """127.0.0.1, as glibc has it."""
    read = resolv_conf.parse("", host_name="node.example.com")
    assert (read.servers, read.search) == ((Server("127.0.0.1"),), ("example.com",))
    assert read.servers[0].is_default


@pytest.mark.parametrize(
    "text", ["10.0.0.\0", "\0", "fe80::1%\0", "\ufffd", "300.0.0.1", "ns.example.com"]
)
def test_what_is_no_address_is_no_server(text: str) -> None:
    """A crash of kubelet's node leaves files full of NULs."""
    lines = f"nameserver {text}\nnameserver 10.0.0.1\n"
    read = resolv_conf.parse(lines, host_name="")
    assert read.servers[-1:] == (Server("10.0.0.1"),)


def test_at_most_three_servers_and_an_interfaces_zone() -> None:
    """MAXNS; the zone is its number."""
    lines = ["fe80::1%lo", "::1", "10.0.0.1", "10.0.0.2"]
    read = resolv_conf.parse("".join(f"nameserver {one}\n" for one in lines), host_name="")
    zone = socket.if_nametoindex("lo")
    assert read.servers == (Server(f"fe80::1%{zone}"), Server("::1"), Server("10.0.0.1"))


@pytest.mark.parametrize("zone", ["4294967296", "99999999999999", "x", "\u0663", ""])
def test_a_zone_that_is_no_interfaces_number_is_none(zone: str) -> None:
    """What a socket would not take; a NUL byte is no address either."""
    read = resolv_conf.parse(f"nameserver fe80::1%{zone}\nnameserver \0\n", host_name="")
    assert read.servers == (Server("fe80::1"),)
    assert hosts.parse(f"fe80::1%{zone} web\n") == {"web": ("fe80::1",)}


@given(st.text(max_size=200), st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_read(text: str, environment: str, host_name: str) -> None:
    """Nonsense is passed over, and nothing is raised."""
    read = resolv_conf.parse(
        f"{text}\noptions {text}\nsearch {text}\nnameserver {text}",
        host_name=host_name,
        local_domain=environment,
        res_options=environment,
    )
    assert 1 <= len(read.servers) <= 3
    hosts.parse(f"{text}\n10.0.0.1 {text}")
    other_sources(text, text)


@pytest.mark.parametrize(
    ("nsswitch", "gai_conf", "expected"),
    [
        ("", "", ""),
        ("hosts: files dns\n", "# only\n", ""),
        ("passwd: files\nhosts:\tfiles  dns # ours\n", "", ""),
        ("hosts: files myhostname dns\n", "", "nsswitch.conf has hosts: files myhostname dns"),
        ("hosts: dns files\n", "", "nsswitch.conf has hosts: dns files"),
        ("hosts: files\n", "", "nsswitch.conf has hosts: files"),
        ("hosts: files dns [NOTFOUND=return]\n", "", "nsswitch.conf has hosts: files dns [NO"),
        ("", "precedence ::ffff:0:0/96 100\n", "gai.conf has an order of its own"),
    ],
)
def test_other_sources_are_seen(nsswitch: str, gai_conf: str, expected: str) -> None:
    """Files, then DNS, is what we are; all else is the C library's."""
    found = other_sources(nsswitch, gai_conf)
    assert found.startswith(expected)
    assert bool(found) == bool(expected)


def test_addresses_are_ordered_by_scope_and_by_network() -> None:
    """A private IPv6 network after IPv4 where we have IPv4 alone; what is unreachable is last."""
    own = [OwnAddress("127.0.0.1", 8)]
    assert ordered(["127.0.0.9", "127.0.0.2"], own) == ("127.0.0.2", "127.0.0.9")
    assert ordered(["127.0.0.2", "::1"], own)[0] == "::1"
    assert ordered(["127.0.0.2"], ()) == ("127.0.0.2",)


def test_our_own_addresses_are_those_of_the_kernel() -> None:
    """Loopback's is among them, with its network."""
    assert OwnAddress("127.0.0.1", 8) in own_addresses()


@given(st.binary(max_size=300))
def test_any_netlink_message_is_read(data: bytes) -> None:
    """Nothing is raised, whatever the kernel says."""
    interfaces.parse(data, [])


def system_files(directory: Path, **texts: str) -> SystemFiles:
    paths = {name: directory / name for name in SystemFiles.__slots__}
    for name, text in texts.items():
        paths[name].write_text(text)
    return SystemFiles(**paths)


async def look_up(resolve: OwnResolver, host: str) -> tuple[str, ...]:
    loop = asyncio.get_running_loop()
    return (await resolve(host, deadline=loop.time() + 20)).addresses


async def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    """At the next look-up, without a start."""
    paths = system_files(tmp_path, hosts="127.1.0.1 web\n")
    resolve = OwnResolver(paths=paths)
    assert await look_up(resolve, "web") == ("127.1.0.1",)
    (tmp_path / "new").write_text("127.1.0.2 web\n")
    (tmp_path / "new").replace(paths.hosts)
    assert await look_up(resolve, "WEB") == ("127.1.0.2",)


async def test_other_sources_are_the_systems_and_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The C library is asked in our place."""

    async def system(host: str, *, deadline: float) -> Answer:
        return Answer((host,), 1, 2)

    paths = system_files(tmp_path, nsswitch="hosts: files mdns4 dns\n", hosts="127.1.0.1 web\n")
    resolve = OwnResolver(paths=paths, system=system)
    with caplog.at_level(logging.WARNING):
        assert [await look_up(resolve, "web") for _ in range(2)] == [("web",)] * 2
    (said,) = caplog.messages
    assert "mdns4" in said


@pytest.mark.parametrize("file", SystemFiles.__slots__)
@pytest.mark.parametrize("size", [300_000, 5_000_000])
async def test_a_file_that_is_too_long_for_us_is_the_systems(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, file: str, size: int
) -> None:
    """As a hosts file of an ad blocker is: the C library reads it."""

    async def system(host: str, *, deadline: float) -> Answer:
        return Answer((host,), 1, 2)

    paths = system_files(tmp_path, **{file: "#" * size})
    resolve = OwnResolver(paths=paths, system=system)
    with caplog.at_level(logging.WARNING):
        assert [await look_up(resolve, "web") for _ in range(2)] == [("web",)] * 2
    (said,) = caplog.messages
    assert f"{getattr(paths, file)} is longer than" in said


async def test_a_search_path_without_end_is_the_systems(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kubernetes gives a pod 32 domains at most; each is a query that is held and told."""

    async def system(host: str, *, deadline: float) -> Answer:
        return Answer((host,), 1, 2)

    domains = " ".join(f"d{number}.example" for number in range(33))
    paths = system_files(tmp_path, resolv_conf=f"search {domains}\n", hosts="127.1.0.1 web\n")
    with caplog.at_level(logging.WARNING):
        assert await look_up(OwnResolver(paths=paths, system=system), "web") == ("web",)
    (said,) = caplog.messages
    assert f"{paths.resolv_conf} searches 33 domains" in said


@pytest.mark.parametrize("host", ["a..b", "x" * 64])
async def test_a_name_that_is_none_ends_as_getaddrinfo_ends_it(tmp_path: Path, host: str) -> None:
    """A UnicodeError of the IDNA codec, in a LookUpError."""
    with pytest.raises(LookUpError) as caught:
        await look_up(OwnResolver(paths=system_files(tmp_path)), host)
    assert isinstance(caught.value.error, UnicodeError)
