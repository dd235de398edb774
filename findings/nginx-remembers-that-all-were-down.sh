#!/usr/bin/env bash
# Guess: a proxy whose backends were all down for a moment asks them again with the next request, for it has nobody else to ask;
#   of one backend nginx does so.
# Seen: nginx 1.22.1 (Debian 12), two backends, all by default (max_fails=1, fail_timeout=10s). One request while both refuse is
#   enough: for 10 to 11 s every request is a 502 without a connection to any of them ("no live upstreams"), though both are back.
#   With one backend in the same upstream block the next request is good.
# Why it matters: a roll-out or a blink of the network that lasts a tenth of a second is ten seconds of failures behind such a
#   proxy, and of those that ask through it alone; the backends look perfect meanwhile, and have no request in their logs.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq nginx 2>/dev/null
dpkg-deb -x nginx_*.deb debian
debian/usr/sbin/nginx -v

cat >ask.py <<'PYTHON'
import http.server
import pathlib
import socket
import subprocess
import threading
import time

work = pathlib.Path.cwd()
asked = []


class Backend(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
        return int(client.makefile("rb").readline().split()[1])


def seconds_to_recover(count):
    """From the moment in which the backends listen (again) to the first 200."""
    asked.clear()
    port, ports = free_port(), [free_port() for _ in range(count)]
    folders = "\n".join(f"{kind}_temp_path {work};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    servers = "".join(f"server 127.0.0.1:{each}; " for each in ports)
    (work / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {work}/nginx.pid; error_log /dev/null; events {{}}
http {{ access_log off; {folders}
  upstream agents {{ {servers} }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://agents; }} }} }}
""")
    proxy = subprocess.Popen(["debian/usr/sbin/nginx", "-e", "/dev/null", "-c", work / "nginx.conf"])
    try:
        for _ in range(300):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        assert ask(port) == 502  # nobody listens
        for each in ports:
            backend = http.server.ThreadingHTTPServer(("127.0.0.1", each), Backend)
            threading.Thread(target=backend.serve_forever, daemon=True).start()
        begin = time.monotonic()
        while (status := ask(port)) != 200:
            assert status == 502, status
            assert not asked, "a backend was asked"
            assert time.monotonic() - begin < 60
            time.sleep(0.1)
        return time.monotonic() - begin
    finally:
        proxy.terminate()
        proxy.wait(20)


for count, least, most in ((1, 0, 5), (2, 8.5, 20)):
    took = seconds_to_recover(count)
    print(f"{count} of {count} backends are back: 200 after {took:.1f} s")
    assert least <= took < most, took
PYTHON
python3 ask.py
