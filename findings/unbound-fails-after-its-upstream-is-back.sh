#!/usr/bin/env bash
# Guess: a resolver that forwards to one other server asks that server again with the next query once it is back, or within seconds,
#   for it has nobody else to ask.
# Seen: unbound 1.17.1 (Debian 12), one forward-addr, all by default. The upstream is silent for two minutes while names are asked for,
#   and then well again. unbound answers SERVFAIL at once for all of the next 100 s, and sends the upstream no query: by then it
#   takes it for dead, for 15 minutes (infra-host-ttl) since it first saw it. (By hand: after an outage of 35 s 14 s more, of
#   60 s 36 to 42 s, of two minutes 13 minutes more.) With `infra-keep-probing: yes` it is about half a minute. dnsmasq 2.90 in
#   its place is well with the first query.
# Why it matters: a cluster's DNS that forwards outside names to such a resolver has an outage that goes on for minutes after its cause
#   is gone; the upstream answers whoever asks it directly, and gets no query from unbound that could be seen there.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check dnspython==2.9.2
apt-get download -qq unbound libunbound8 libhiredis0.14 libprotobuf-c1 libevent-2.1-7 libpython3.11 dnsmasq-base 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
dpkg-deb -f unbound_*.deb Version
dpkg-deb -f dnsmasq-base_*.deb Version

cat >run.py <<'PYTHON'
import contextlib
import itertools
import os
import pathlib
import socket
import subprocess
import threading
import time

import dns.exception
import dns.message
import dns.query
import dns.rcode
import dns.rrset

SILENT_SECONDS = 120
WATCHED_SECONDS = 100
WORK = pathlib.Path.cwd()
CONFIGURATION = f"""
server:
  interface: {{address}}
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: no
  do-daemonize: no
  use-syslog: no
  chroot: ""
  username: ""
  directory: "{WORK}"
  pidfile: ""
  module-config: "iterator"
  {{more}}
forward-zone:
  name: "."
  forward-addr: {{upstream}}
"""
SOFTWARE = {
    "unbound": ("127.0.0.11", "infra-keep-probing: no"),
    "unbound, infra-keep-probing": ("127.0.0.12", "infra-keep-probing: yes"),
    "dnsmasq": ("127.0.0.13", None),
}
asked = dict.fromkeys(SOFTWARE, 0)
"""Queries to the upstream of each since that is back."""
numbers = itertools.count()
is_silent = False


def upstream(address):
    return address.replace("127.0.0", "127.0.1")


def serve(server, name):
    while True:
        wire, client = server.recvfrom(4096)
        asked[name] += 1
        query = dns.message.from_wire(wire)
        answer = dns.message.make_response(query, recursion_available=True)
        answer.answer.append(dns.rrset.from_text(query.question[0].name, 1, "IN", "A", "127.0.0.1"))
        if not is_silent:
            server.sendto(answer.to_wire(), client)


def started(name):
    address, more = SOFTWARE[name]
    environment = os.environ | {"LD_LIBRARY_PATH": f"{WORK}/root/usr/lib/x86_64-linux-gnu"}
    if more is None:
        command = ["root/usr/sbin/dnsmasq", "--no-daemon", "--no-resolv", "--no-hosts", "--user=root", "--pid-file="]
        command += ["--bind-interfaces", f"--listen-address={address}", f"--server={upstream(address)}"]
    else:
        file = WORK / f"{address}.conf"
        file.write_text(CONFIGURATION.format(address=address, upstream=upstream(address), more=more))
        command = ["root/usr/sbin/unbound", "-c", file]
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def ask(address, seconds=1.0):
    """A name that nobody has asked for before."""
    query = dns.message.make_query(f"name-{next(numbers)}.example.com.", "A")
    with contextlib.suppress(dns.exception.Timeout):
        return dns.rcode.to_text(dns.query.udp(query, address, timeout=seconds).rcode())
    return "silence"


def seconds_until_well(address, found, name):
    begin, kinds = time.monotonic(), {}
    while (seen := ask(address)) != "NOERROR" and time.monotonic() - begin < WATCHED_SECONDS:
        kinds[seen] = kinds.get(seen, 0) + 1
        time.sleep(1)
    found[name] = time.monotonic() - begin
    print(f"{name}: after its upstream was back {seen} after {found[name]:.0f} s, {asked[name]} queries; before: {kinds}")


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
for name, (address, _) in SOFTWARE.items():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((upstream(address), 53))
    threading.Thread(target=serve, args=(server, name), daemon=True).start()
running = [started(name) for name in SOFTWARE]
try:
    time.sleep(2)
    for address, _ in SOFTWARE.values():
        assert ask(address, 5) == "NOERROR"
    is_silent = True
    begin = time.monotonic()
    while time.monotonic() - begin < SILENT_SECONDS:
        for address, _ in SOFTWARE.values():
            ask(address, 0.3)
    is_silent = False
    asked.update(dict.fromkeys(asked, 0))
    found = {}
    threads = [
        threading.Thread(target=seconds_until_well, args=(address, found, name))
        for name, (address, _) in SOFTWARE.items()
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
finally:
    for process in running:
        process.kill()
        process.wait()
assert found["unbound"] >= WATCHED_SECONDS and not asked["unbound"], found
assert found["dnsmasq"] < 3, found
assert found["unbound, infra-keep-probing"] < WATCHED_SECONDS, found
PYTHON
unshare --net venv/bin/python run.py
