#!/usr/bin/env bash
# Guess: a wildcard certificate fits a name for every client or for none: RFC 6125 section 6.4.3 and
#   RFC 9525 section 6.3 say that * stands for the whole first label, and nothing about the others.
# Seen: a certificate for *.monitoring is good for kubenurse.monitoring in Go 1.26.8 (crypto/tls), and a
#   host name mismatch for CPython 3.11.7 (ssl) and curl 7.88.1, both on OpenSSL 3.0: OpenSSL wants two
#   dots in a name behind a wildcard. *.monitoring.svc is good for all three.
# Why it matters: <service>.<namespace> is how pods call each other, and a certificate for *.<namespace>
#   is how one covers it. kubectl, Prometheus and blackbox_exporter (Go) call such a Service healthy, which
#   its callers on OpenSSL (Python, Ruby, PHP, curl) refuse; a checker on OpenSSL is blamed for the reverse.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check trustme==1.2.1
go version | grep -q 'go1\.' && curl --version | grep -q OpenSSL/3

cat >"$work/client.go" <<'GO'
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

func main() {
	pem, _ := os.ReadFile(os.Args[1])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	_, err := tls.Dial("tcp", "127.0.0.1:"+os.Args[3], &tls.Config{RootCAs: pool, ServerName: os.Args[2]})
	if err != nil {
		fmt.Println("refused")
	} else {
		fmt.Println("good")
	}
}
GO
(cd "$work" && go build -o client client.go)

cat >"$work/ask.py" <<'PYTHON'
import http.server
import socket
import ssl
import subprocess
import sys
import threading

import trustme

work = sys.argv[1]
authority = trustme.CA()
authority.cert_pem.write_to_path(f"{work}/ca.pem")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # clients that refuse us


def python(name, port):
    context = ssl.create_default_context(cafile=f"{work}/ca.pem")
    try:
        with socket.create_connection(("127.0.0.1", port)) as sock:
            context.wrap_socket(sock, server_hostname=name).close()
    except ssl.SSLCertVerificationError:
        return "refused"
    return "good"


def curl(name, port):
    words = ["curl", "-sS", "--noproxy", "*", "--cacert", f"{work}/ca.pem"]
    words += ["--resolve", f"{name}:{port}:127.0.0.1", f"https://{name}:{port}/"]
    done = subprocess.run(words, capture_output=True)
    return {0: "good", 60: "refused"}[done.returncode]


def go(name, port):
    words = [f"{work}/client", f"{work}/ca.pem", name, str(port)]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


seen = {}
for shown, asked in (
    ("*.monitoring", "kubenurse.monitoring"),
    ("*.monitoring.svc", "kubenurse.monitoring.svc"),
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(shown).configure_cert(context)
    with Server(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        seen[shown] = [ask(asked, port) for ask in (go, python, curl)]
        server.shutdown()
    print(f"{shown} for {asked}: Go {seen[shown][0]}, Python {seen[shown][1]}, curl {seen[shown][2]}")
assert seen == {
    "*.monitoring": ["good", "refused", "refused"],
    "*.monitoring.svc": ["good", "good", "good"],
}, seen
PYTHON
"$work/venv/bin/python" "$work/ask.py" "$work"
