#!/usr/bin/env bash
# Guess: a CA file with which kubectl reaches an API server will do for the Kubernetes client in Python.
# Seen: with kubernetes 37.0.2 (urllib3 2.8.0) on CPython 3.11.7 (OpenSSL 3.0) a file that holds only the
#   intermediate that issued the server's certificate is refused ("unable to get issuer certificate"); Go
#   1.26.8 (crypto/tls, as kubectl) and curl 7.88.1 take it. On CPython 3.13 urllib3 asks for partial
#   chains, and for VERIFY_X509_STRICT with them: there the intermediate is good, and a CA without key
#   usage or key identifiers, which 3.11, Go and curl take, is refused.
# Why it matters: where the control plane has a certificate of a company's CA, the CA file may be its
#   intermediate alone. kubectl works, an agent beside it sees a dead API server; and moving an image from
#   Python 3.11 to 3.13 turns around which clusters those are.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -c 'import sys; assert sys.version_info < (3, 13), "see Seen"'
"$work/venv/bin/pip" install --quiet --disable-pip-version-check \
  kubernetes==37.0.2 urllib3==2.8.0 trustme==1.2.1

cat >"$work/client.go" <<'GO'
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"os"
)

func main() {
	pem, _ := os.ReadFile(os.Args[1])
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	http.DefaultTransport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: pool}
	answer, err := http.Get(os.Args[2])
	if err != nil {
		fmt.Println(err)
	} else {
		fmt.Println(answer.StatusCode)
	}
}
GO
(cd "$work" && go build -o client client.go)

cat >"$work/ask.py" <<'PYTHON'
import http.server
import ssl
import subprocess
import sys
import threading

import trustme
import urllib3
from kubernetes import client

work = sys.argv[1]
root = trustme.CA()
intermediate = root.create_child_ca()
intermediate.cert_pem.write_to_path(f"{work}/intermediate.pem")
root.cert_pem.write_to_path(f"{work}/root.pem")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"major": "1", "minor": "34"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_):
        pass  # clients that refuse us


def kubernetes(ca_file, url):
    configuration = client.Configuration(host=url)
    configuration.ssl_ca_cert = ca_file
    configuration.retries = urllib3.Retry(0)
    pool = client.rest.RESTClientObject(configuration).pool_manager
    try:
        return str(pool.request("GET", f"{url}/version").status)
    except urllib3.exceptions.MaxRetryError as error:
        return str(error.reason)


def curl(ca_file, url):
    words = ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", "%{http_code}"]
    done = subprocess.run([*words, "--cacert", ca_file, f"{url}/version"], capture_output=True, text=True)
    return done.stdout


def go(ca_file, url):
    words = [f"{work}/client", ca_file, f"{url}/version"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.strip()


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
intermediate.issue_cert("127.0.0.1").configure_cert(context)
with Server(("127.0.0.1", 0), Handler) as server:
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = "https://127.0.0.1:%d" % server.server_address[1]
    for name in ("root", "intermediate"):
        seen = [ask(f"{work}/{name}.pem", url) for ask in (go, curl, kubernetes)]
        print(f"{name}.pem: Go {seen[0]}, curl {seen[1]}, kubernetes {seen[2]}")
        assert seen[:2] == ["200", "200"], seen
        assert (seen[2] == "200") == (name == "root"), seen
        assert name == "root" or "unable to get issuer certificate" in seen[2], seen
    server.shutdown()
PYTHON
"$work/venv/bin/python" "$work/ask.py" "$work"
