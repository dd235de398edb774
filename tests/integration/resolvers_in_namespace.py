"""glibc's resolver and ours, each asked the same of logging servers; prints JSON (test_resolvers).

Run in a namespace where port 53 is free. glibc is asked in a process of its own, which has nothing
of a case before: its state of resolv.conf, of RES_OPTIONS and of servers that failed.

With GLIBC_ROOT, a directory with another Debian (debootstrap --variant=minbase
--include=python3-minimal), the C library that is asked is that one's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers.dns import Asked, Elsewhere, Later, NameServer, answer, fits

from kubenurse_otel.probe import kernel
from kubenurse_otel.probe.dns.resolver import OwnResolver
from kubenurse_otel.probe.resolve import DeadlineExceededError, LookUpError

FIRST, SECOND, THIRD = "127.0.0.53", "127.0.0.54", "127.0.0.55"
NAMES_OF_SERVERS = {FIRST: "1", SECOND: "2", THIRD: "3"}
A, AAAA = "10.77.0.9", "fd77::9"
Answers = Iterable[bytes | Elsewhere | Later]
Behaviour = Callable[[Asked], Answers]

ROOT = Path(os.environ.get("GLIBC_ROOT", "/"))
PYTHON = ["chroot", str(ROOT), "python3"] if ROOT != Path("/") else [sys.executable]
GLIBC = """
import json, socket, sys
try:
    found = socket.getaddrinfo(
        sys.argv[1], None, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
    )
    print(json.dumps([f"{at[0]}%{at[3]}" if any(at[3:]) else at[0] for *_, at in found]))
except socket.gaierror as error:
    print(json.dumps(error.errno))
"""


@dataclass
class Case:
    """``servers`` are the behaviours of the first, second and third server (None: nobody there)."""

    host: str = "web"
    conf: str = ""
    servers: tuple[Behaviour | None, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    hosts: str = ""


def good(asked: Asked) -> Answers:
    return [answer(asked, A, AAAA)]


def silent(_: Asked) -> Answers:
    return []


def says(rcode: int) -> Behaviour:
    return lambda asked: [answer(asked, rcode=rcode)]


def nodata(asked: Asked) -> Answers:
    return [answer(asked)]


def by_name(default: Behaviour, **others: Behaviour) -> Behaviour:
    """Behave as is said of the first label of the name's domain: web.one.test is ``one``."""
    return lambda asked: others.get(asked.name.split(".")[1], default)(asked)


def by_type(**behaviours: Behaviour) -> Behaviour:
    return lambda asked: behaviours[asked.type](asked)


def many(count: int) -> Behaviour:
    return lambda asked: [fits(asked, *(f"10.78.{n // 200}.{n % 200}" for n in range(count)))]


SERVFAIL, NXDOMAIN, REFUSED, FORMERR, NOTIMP = says(2), says(3), says(5), says(1), says(4)
ONE = f"nameserver {FIRST}\n"
TWO = f"{ONE}nameserver {SECOND}\n"
THREE = f"{TWO}nameserver {THIRD}\n"
SEARCH = "search one.test two.test three.test\n"
QUICK = "options timeout:1 attempts:2\n"
ROTATE = "options rotate ndots:5 timeout:1 attempts:1\n"
"""Each name is asked of the next server; the first one is anybody's, so `told` counts from it."""
CLUSTER = f"{ONE}{SEARCH}options ndots:5 timeout:1\n"


def in_search(behaviour: Behaviour) -> Case:
    """The first domain behaves so; the second has the name."""
    return Case(
        "web.a", CLUSTER, (lambda asked: (behaviour if "one" in asked.name else good)(asked),)
    )


def everywhere(behaviour: Behaviour) -> Case:
    return Case("web.a", CLUSTER, (behaviour,))


def at_first(behaviour: Behaviour) -> Case:
    return Case("web.test.", TWO + QUICK, (behaviour, good))


def alone(behaviour: Behaviour) -> Case:
    return Case("web.test.", ONE + QUICK, (behaviour,))


CASES: dict[str, Case] = {
    "plain": Case("web.test", ONE, (good,)),
    "dot": Case("web.test.", ONE + SEARCH, (good,)),
    "dot_unknown": Case("web.test.", ONE + SEARCH, (NXDOMAIN,)),
    "no_dots": Case(
        "web", ONE + SEARCH, (lambda asked: (good if "two" in asked.name else NXDOMAIN)(asked),)
    ),
    "ndots": Case("web.a.b", ONE + SEARCH + "options ndots:3\n", (NXDOMAIN,)),
    "ndots_reached": Case("web.a.b.c", ONE + SEARCH + "options ndots:3\n", (NXDOMAIN,)),
    "ndots_0": Case("web", ONE + SEARCH + "options ndots:0\n", (NXDOMAIN,)),
    "ndots_99": Case("web.a", ONE + SEARCH + "options ndots:99\n", (NXDOMAIN,)),
    "search_nodata": in_search(nodata),
    "search_servfail": in_search(SERVFAIL),
    "search_refused": in_search(REFUSED),
    "search_nxdomain": in_search(NXDOMAIN),
    "search_formerr": in_search(FORMERR),
    "search_notimp": in_search(NOTIMP),
    "search_silent": in_search(silent),
    "nxdomain_then_silent": Case(
        "web.a", CLUSTER, (lambda asked: (NXDOMAIN if "one" in asked.name else silent)(asked),)
    ),
    "servfail_then_silent": Case(
        "web.a", CLUSTER, (lambda asked: (SERVFAIL if "one" in asked.name else silent)(asked),)
    ),
    "all_nodata": everywhere(nodata),
    "all_servfail": everywhere(SERVFAIL),
    "all_refused": everywhere(REFUSED),
    "all_nxdomain": everywhere(NXDOMAIN),
    "all_formerr": everywhere(FORMERR),
    "mixed": Case(
        "web.a",
        CLUSTER,
        (
            by_name(
                NXDOMAIN,
                a=lambda asked: {"one": nodata, "two": SERVFAIL, "three": NXDOMAIN}.get(
                    asked.name.split(".")[2], NXDOMAIN
                )(asked),
            ),
        ),
    ),
    "search_root": Case("web", ONE + "search one.test .\n", (NXDOMAIN,)),
    "search_last": Case("web", ONE + "search one.test\nsearch two.test\n", (NXDOMAIN,)),
    "domain": Case("web", ONE + "domain one.test\n", (NXDOMAIN,)),
    "no_tld_query": Case("web", ONE + "search one.test\noptions no-tld-query\n", (NXDOMAIN,)),
    "timeout": alone(silent),
    "timeout_2": Case("web.test.", ONE + "options timeout:2 attempts:1\n", (silent,)),
    "attempts_3": Case("web.test.", ONE + "options timeout:1 attempts:3\n", (silent,)),
    "attempts_0": Case("web.test.", ONE + "options timeout:1 attempts:0\n", (good,)),
    "timeouts_of_three": Case("web.test.", THREE + "options timeout:1 attempts:1\n", (silent,) * 3),
    "a_silent": alone(by_type(A=silent, AAAA=good)),
    "aaaa_silent": alone(by_type(A=good, AAAA=silent)),
    "a_servfail": alone(by_type(A=SERVFAIL, AAAA=good)),
    "aaaa_servfail": alone(by_type(A=good, AAAA=SERVFAIL)),
    "aaaa_nxdomain": alone(by_type(A=good, AAAA=NXDOMAIN)),
    "a_nodata": alone(by_type(A=nodata, AAAA=good)),
    "aaaa_nodata": alone(by_type(A=good, AAAA=nodata)),
    "aaaa_notimp": alone(by_type(A=good, AAAA=NOTIMP)),
    "nodata": alone(nodata),
    "first_silent": at_first(silent),
    "first_refuses_icmp": Case("web.test.", TWO + QUICK, (None, good)),
    "first_servfail": at_first(SERVFAIL),
    "first_refused": at_first(REFUSED),
    "first_nxdomain": at_first(NXDOMAIN),
    "first_lame": at_first(lambda asked: [answer(asked, lame=True)]),
    "nobody": Case("web.test.", ONE + QUICK, (None,)),
    "no_nameserver": Case("web.test.", QUICK, (None,)),
    "nobody_search": Case("web", ONE + SEARCH + QUICK, (None,)),
    "third": Case("web.test.", THREE + QUICK, (SERVFAIL, SERVFAIL, good)),
    "four_servers": Case("web.test.", THREE + "nameserver 127.0.0.56\n" + QUICK, (SERVFAIL,) * 3),
    "rotate": Case("web.a", THREE + SEARCH + ROTATE, (NXDOMAIN,) * 3),
    "rotate_servfail": Case("web.test.", THREE + ROTATE, (SERVFAIL,) * 3),
    "rotate_silent": Case("web.test.", THREE + ROTATE, (silent,) * 3),
    "rotate_two": Case("web.a", TWO + SEARCH + ROTATE, (NXDOMAIN,) * 2),
    "rotate_one": Case("web.a", ONE + SEARCH + ROTATE, (NXDOMAIN,)),
    "single_request": Case("web.test.", ONE + "options single-request\n", (good,)),
    "single_request_reopen": Case("web.test.", ONE + "options single-request-reopen\n", (good,)),
    "use_vc": Case("web.test.", ONE + "options use-vc\n", (good,)),
    "use_vc_nobody": Case("web.test.", TWO + "options use-vc\n", (None, good)),
    "no_aaaa": Case("web.test.", ONE + "options no-aaaa\n", (good,)),
    "edns0": Case("web.test.", ONE + "options edns0\n", (good,)),
    "trust_ad": Case("web.test.", ONE + "options trust-ad\n", (good,)),
    "records_60": alone(many(60)),
    "records_200": alone(many(200)),
    "alias": alone(lambda asked: [answer(asked, A, AAAA, aliases=["b.test.", "c.test."])]),
    "alias_of_nothing": alone(lambda asked: [answer(asked, aliases=["b.test."])]),
    "other_letters": alone(lambda asked: [answer(asked, A, AAAA).replace(b"web", b"WeB")]),
    "other_id": alone(
        lambda asked: [
            answer(asked, "10.9.9.9", ident=asked.message.id ^ 1),
            answer(asked, A, AAAA),
        ]
    ),
    "other_question": alone(
        lambda asked: [answer(asked, "10.9.9.9").replace(b"web", b"wob"), answer(asked, A, AAAA)]
    ),
    "other_address": alone(
        lambda asked: [Elsewhere(answer(asked, "10.9.9.9")), answer(asked, A, AAAA)]
    ),
    "twice": alone(lambda asked: [answer(asked, A, AAAA)] * 2),
    "late": alone(lambda asked: [Later(answer(asked, A, AAAA), 0.4)]),
    "too_late": alone(lambda asked: [Later(answer(asked, A, AAAA), 1.4)]),
    "res_options": Case("web.a", CLUSTER, (NXDOMAIN,), {"RES_OPTIONS": "ndots:1 single-request"}),
    "local_domain": Case("web", CLUSTER, (NXDOMAIN,), {"LOCALDOMAIN": "four.test five.test"}),
    "local_domain_empty": Case("web", CLUSTER, (NXDOMAIN,), {"LOCALDOMAIN": ""}),
    "hosts": Case("web", ONE, (good,), hosts="10.1.1.1 other web\n10.1.1.2 web # x\nfd01::1 WEB\n"),
    "hosts_case": Case("WEB", ONE, (good,), hosts="10.1.1.1 web\n"),
    "hosts_dot": Case("web.", ONE + QUICK, (NXDOMAIN,), hosts="10.1.1.1 web\n"),
    "hosts_loopback": Case("web", ONE, (good,), hosts="::1 web\n"),
    "hosts_mapped": Case("web", ONE, (good,), hosts="::ffff:10.1.1.3 web\n"),
    "localhost": Case(
        "localhost", ONE, (good,), hosts="127.0.0.1 localhost\n::1 localhost ip6-localhost\n"
    ),
    "localhost_unknown": Case("localhost", ONE + QUICK, (NXDOMAIN,)),
    "order_of_networks": alone(
        lambda asked: [
            answer(
                asked, "10.99.0.1", "10.77.0.200", "10.77.0.3", "fd99::1", "fd77::5", "2001:db8::1"
            )
        ]
    ),
    "order_of_scopes": alone(
        lambda asked: [
            answer(asked, "169.254.1.1", "127.0.0.1", "10.77.0.3", "fe80::5", "::1", "fd77::5")
        ]
    ),
    "literal": Case("127.1", ONE, (good,)),
    "zone": Case("fe80::1%lo", ONE, (good,)),
    "comments": Case(
        "web",
        f"# x\n; y\n nameserver 10.9.9.9\nnameserver {FIRST} # z\n"
        "search one.test two.test\t\noptions\tndots:2 \n",
        (NXDOMAIN,),
    ),
    "ipv6_server": Case("web.test.", "nameserver ::1\n" + QUICK, (), {}),
    "ipv6_zone": Case("web.test.", "nameserver fe80::77%lo\n" + QUICK, (), {}),
    "bad_server": Case("web.test.", f"nameserver nonsense\nnameserver 1.2.3.4.5\n{ONE}", (good,)),
    "long_domain": Case("web", ONE + f"search {'.'.join(['x' * 60] * 4)} one.test\n", (good,)),
}


def told(asked: list[Asked], case: Case) -> list[list[Any]]:
    """Every query in order; its port as a number of its own, counted from 0."""
    ports: dict[tuple[str, int], int] = {}
    found: list[list[Any]] = []
    names = NAMES_OF_SERVERS
    if "rotate" in case.conf:
        count = len(case.servers)
        addresses = [FIRST, SECOND, THIRD][:count]
        first = addresses.index(asked[0].server)
        names = {addresses[(first + n) % count]: f"{n + 1}." for n in range(count)}
    for one in asked:
        port = ports.setdefault((one.transport, one.port), len(ports))
        server = names.get(one.server, one.server)
        found.append([server, one.transport, one.name, one.type, port, one.ad, one.edns])
    return found


class Servers:
    """What listens on port 53, with a behaviour for each case, and one log."""

    def __init__(self, stack: contextlib.ExitStack, case: Case) -> None:
        self.asked: list[Asked] = []
        at = [*zip((FIRST, SECOND, THIRD), case.servers, strict=False)]
        if "ipv6" in case.conf or "::1" in case.conf:
            at.append(("::1", good))
        if "fe80" in case.conf:
            at.append((f"fe80::77%{1}", good))
        for address, behaviour in at:
            if behaviour is not None:
                stack.enter_context(NameServer(self._logged(behaviour), address, 53))

    def _logged(self, behaviour: Behaviour) -> Behaviour:
        def behave(asked: Asked) -> Answers:
            self.asked.append(asked)
            return behaviour(asked)

        return behave


def of_glibc(case: Case) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        servers = Servers(stack, case)
        started = time.monotonic()
        done = subprocess.run(
            [*PYTHON, "-S", "-c", GLIBC, case.host],
            env={**os.environ, **case.environment},
            capture_output=True,
            check=True,
        )
        result = json.loads(done.stdout)
        if isinstance(result, list):
            result = list(dict.fromkeys(result))
    return {
        "result": result,
        "queries": told(servers.asked, case),
        "seconds": time.monotonic() - started,
    }


def of_ours(case: Case) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        servers = Servers(stack, case)
        started = time.monotonic()
        result = asyncio.run(ours(case))
    return {**result, "queries": told(servers.asked, case), "seconds": time.monotonic() - started}


async def ours(case: Case) -> dict[str, Any]:
    resolve = OwnResolver(
        host_name=os.uname().nodename,
        local_domain=case.environment.get("LOCALDOMAIN"),
        res_options=case.environment.get("RES_OPTIONS", ""),
    )
    deadline = asyncio.get_running_loop().time() + 60
    try:
        answered = await resolve(case.host, deadline=deadline)
    except LookUpError as failed:
        silent = isinstance(failed.error, TimeoutError)
        number = socket.EAI_AGAIN if silent else getattr(failed.error, "errno", None)
        return {"result": number, "told": str(failed.error), "silent": silent}
    except DeadlineExceededError:
        return {"result": "deadline"}
    ignored = [one.ignored.total for one in answered.queries]
    return {"result": list(answered.addresses), "ignored": ignored}


ADDRESSES = """
ip addr add 10.77.0.1/24 dev lo
ip addr add fd77::1/64 dev lo nodad
ip addr add fe80::77/64 dev lo nodad
ip route add default dev lo
ip -6 route add default dev lo
"""


def main() -> None:
    wanted = json.load(sys.stdin)
    subprocess.run(["sh", "-ec", ADDRESSES], check=True)
    directory = Path(wanted["directory"])
    for name in ("hosts", "nsswitch.conf"):
        (directory / name).write_text("hosts: files dns\n" if "." in name else "")
        subprocess.run(["mount", "--bind", str(directory / name), f"/etc/{name}"], check=True)
    for name in ("hosts", "nsswitch.conf", "resolv.conf") if ROOT != Path("/") else ():
        (ROOT / "etc" / name).touch()
        subprocess.run(["mount", "--bind", f"/etc/{name}", str(ROOT / "etc" / name)], check=True)
    found = {}
    with kernel.keep_receive_timestamps_on() or contextlib.nullcontext():
        for name in wanted["cases"] or CASES:
            case = CASES[name]
            Path("/etc/resolv.conf").write_text(case.conf)
            Path("/etc/hosts").write_text(case.hosts)
            found[name] = {"glibc": of_glibc(case), "ours": of_ours(case)}
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
