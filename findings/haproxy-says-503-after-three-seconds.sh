#!/usr/bin/env bash
# Guess: a proxy whose only backend refuses the connection says 502 or 503 at once: nginx and Envoy do, and Caddy.
# Seen: HAProxy 2.6.12 (Debian 12), all by default but its time-outs. It says 503 after 3.0 s: `retries 3`, and before each it
#   waits for a second as long as it is for the same server. With two backends that refuse it is 3 s as well, for only
#   `option redispatch` asks the other one (and then the last try alone). With `retries 0` it is at once.
# Why it matters: a check with a time-out of 2 s never sees that 503, but a backend that "does not answer", and with 5 s every
#   failure takes 3 s: in a histogram a dead backend looks like a slow one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1 2>/dev/null
for package in *.deb; do dpkg-deb -x "$package" debian; done
export LD_LIBRARY_PATH=$work/debian/usr/lib/x86_64-linux-gnu
debian/usr/sbin/haproxy -v | sed -n 1p

cat >ask.py <<'PYTHON'
import pathlib
import socket
import subprocess
import time


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def refused(servers, more=""):
    """Status and seconds of a request to a proxy of so many backends at which nobody listens."""
    port = free_port()
    lines = "".join(f"  server dead-{one} 127.0.0.1:{free_port()}\n" for one in range(servers))
    pathlib.Path("haproxy.cfg").write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend ingress
  bind 127.0.0.1:{port}
  default_backend agents
backend agents
  {more}
{lines}""")
    proxy = subprocess.Popen(["debian/usr/sbin/haproxy", "-q", "-f", "haproxy.cfg"])
    try:
        for _ in range(300):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
            status = int(client.makefile("rb").readline().split()[1])
        return status, time.monotonic() - begin
    finally:
        proxy.terminate()
        proxy.wait(20)


for words, least, most in (((1,), 2.9, 6), ((2,), 2.9, 6), ((1, "retries 0"), 0, 1.5)):
    status, took = refused(*words)
    print(f"backends and settings {words}: {status} after {took:.2f} s")
    assert status == 503
    assert least <= took < most, took
PYTHON
python3 ask.py
