#!/usr/bin/env bash
# Guess: a proxy passes 103 Early Hints on or drops them, and then passes on the answer that follows (RFC 9110 section 15.2
#   asks for it; HAProxy, Envoy and Caddy do).
# Seen: nginx 1.22.1 (Debian 12), with `proxy_http_version 1.1` and `Connection ""`, as its manual has it for kept connections
#   (by HTTP/1.0, its default, no server may send 1xx). A backend that sends 103 and 50 ms later 200 is a request with status
#   103, by nginx' own log, too: the client is sent the 103 alone and waits for the rest until proxy_read_timeout (60 s by
#   default, 2 s here), then its connection is closed. The 200 that nginx has received goes nowhere; so does a 503.
# Why it matters: an application that begins to send Early Hints (frameworks do it by a switch) hangs behind nginx for a minute a
#   request, while whoever asks the pod itself is answered in milliseconds: it looks like the network between the two.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -qq nginx 2>/dev/null
dpkg-deb -x nginx_*.deb debian
debian/usr/sbin/nginx -v

cat >ask.py <<'PYTHON'
import pathlib
import socket
import socketserver
import subprocess
import threading
import time

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
SECONDS = 2
work = pathlib.Path.cwd()
answer = b""


class Backend(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline():  # of each request
            while self.rfile.readline().strip():
                pass
            self.wfile.write(HINTS)
            time.sleep(0.05)
            self.wfile.write(answer)


def ask(port):
    """All that comes, and after how many seconds the connection is closed."""
    begin = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
        seen = b"".join(iter(lambda: client.recv(65536), b""))
    return seen, time.monotonic() - begin


backend = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Backend)
threading.Thread(target=backend.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
folders = "\n".join(f"{kind}_temp_path {work};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
(work / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {work}/nginx.pid; error_log /dev/null; events {{}}
http {{ log_format told "$status $body_bytes_sent"; access_log {work}/access.log told; {folders}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://127.0.0.1:{backend.server_address[1]}; proxy_read_timeout {SECONDS}s;
    proxy_http_version 1.1; proxy_set_header Connection ""; }} }} }}
""")
proxy = subprocess.Popen(["debian/usr/sbin/nginx", "-e", "/dev/null", "-c", work / "nginx.conf"])
try:
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    for status in (b"200 OK", b"503 Busy"):
        answer = b"HTTP/1.1 " + status + b"\r\nContent-Length: 5\r\n\r\nwords"
        seen, took = ask(port)
        lines = [line for line in seen.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        print(f"backend: 103, then {status.decode()}; client: {lines}, closed after {took:.1f} s")
        assert lines == [b"HTTP/1.1 103 Early Hints"], "the answer arrives now"
        assert not seen.endswith(b"words")
        assert took >= SECONDS * 0.9, "it does not wait any more"
finally:
    proxy.terminate()
    proxy.wait(20)
log = [line for line in (work / "access.log").read_text().splitlines() if not line.startswith(("400", "000"))]
print("its log:", log)
assert [line.split()[0] for line in log] == ["103", "103"]
PYTHON
python3 ask.py
