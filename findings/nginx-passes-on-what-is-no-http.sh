#!/usr/bin/env bash
# Guess: a proxy for HTTP whose backend answers with something that is no HTTP says 502: HAProxy, Envoy and Caddy do.
# Seen: nginx 1.22.1 (Debian 12) takes it for HTTP/0.9 and passes the bytes on as they came, without a status line and without
#   a header of its own: a GET by HTTP/1.1 is answered "SSH-2.0-...". Its access log has status 009, its error log says "upstream
#   sent no valid HTTP/1.0 header", and `proxy_next_upstream invalid_header` does not apply.
# Why it matters: a Service or an ingress that leads to the wrong port (SSH, a database, TLS asked in clear text) has no 5xx in
#   nginx' log, and no alert on 5xx fires; the client says "malformed", and names the proxy.
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

BANNER = b"SSH-2.0-OpenSSH_9.2\r\n"
TLS_ALERT = bytes.fromhex("1503010002020a")  # what a server of TLS answers to a request in clear text
work = pathlib.Path.cwd()
answer = b""


class Backend(socketserver.StreamRequestHandler):
    def handle(self):
        while self.rfile.readline().strip():
            pass
        self.wfile.write(answer)


def ask(port):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: site.test\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b""))


good = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Backend)
other = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Backend)
for backend in (good, other):
    threading.Thread(target=backend.serve_forever, daemon=True).start()
with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
folders = "\n".join(f"{kind}_temp_path {work};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
servers = "".join(f"server 127.0.0.1:{backend.server_address[1]}; " for backend in (good, other))
(work / "nginx.conf").write_text(f"""
daemon off; master_process off; pid {work}/nginx.pid; error_log {work}/error.log info; events {{}}
http {{ log_format told "$request_method $status $upstream_addr"; access_log {work}/access.log told; {folders}
  upstream both {{ {servers} }}
  server {{ listen 127.0.0.1:{port}; location / {{
    proxy_pass http://both; proxy_next_upstream error timeout invalid_header http_502; }} }} }}
""")
proxy = subprocess.Popen(["debian/usr/sbin/nginx", "-e", "/dev/null", "-c", work / "nginx.conf"])
try:
    for _ in range(300):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    for answer in (BANNER, TLS_ALERT):
        seen = ask(port)
        print(f"backend: {answer!r}; client: {seen!r}")
        assert seen == answer, "it is not passed on as it came"
finally:
    proxy.terminate()
    proxy.wait(20)
log = [line for line in (work / "access.log").read_text().splitlines() if line.startswith("GET")]
print("its log:", log)
assert [line.split()[1] for line in log] == ["009", "009"]
assert all(line.count(":") == 1 for line in log), "the next backend is asked"
said = [line for line in (work / "error.log").read_text().splitlines() if "no valid HTTP" in line]
print("its error log:", said[:1])
assert said
PYTHON
python3 ask.py
