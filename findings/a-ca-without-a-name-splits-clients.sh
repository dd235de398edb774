#!/usr/bin/env bash
# Guess: a certificate needs no commonName: names are subject alternative names, and a CA is found by its key. So clients that
#   trust a CA take what it issued, whether the two have a subject or not.
# Seen, of certificates that Go 1.26 issues (as cert-manager does, whose Certificate has no commonName unless one is written):
#   a leaf without a subject is good for all. A CA without one is good for Go, Node.js, OpenSSL and Python 3.12; Python 3.13's
#   default flags refuse it (Issuer name empty), curl 7.88 does, curl 8.23 does not, and Java 17 cannot read it. Where neither
#   has one it is good for Go alone: issuer and subject are the same, Go writes no subjectKeyIdentifier into a leaf,
#   and so OpenSSL takes the leaf for self-signed, whatever is trusted.
# Why it matters: in a cluster everything in Go is well (API server, ingress, checks), and the applications say "self-signed
#   certificate" with the right CA in hand. A commonName for the CA mends it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pycurl==7.49.0
go version
curl --version | sed -n 1p
node --version

cat >tool.go <<'GO'
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"time"
)

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func write(name, kind string, der []byte) {
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		panic(err)
	}
}

func issue(name, ca, leaf string) {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	of := func(serial int64, name string, usage x509.KeyUsage) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, KeyUsage: usage,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		}
	}
	top := of(1, ca, x509.KeyUsageDigitalSignature|x509.KeyUsageCertSign)
	top.IsCA = true
	der := must(x509.CreateCertificate(rand.Reader, top, top, key.Public(), key))
	write(name+".ca", "CERTIFICATE", der)
	bottom := of(2, leaf, x509.KeyUsageDigitalSignature)
	bottom.DNSNames = []string{"localhost"}
	own := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	parent := must(x509.ParseCertificate(der))
	write(name+".crt", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, bottom, parent, own.Public(), key)))
	write(name+".key", "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(own)))
}

func main() {
	if os.Args[1] == "issue" {
		issue("named", "ca", "leaf")
		issue("no-leaf-name", "ca", "")
		issue("no-ca-name", "", "leaf")
		issue("no-names", "", "")
		return
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(must(os.ReadFile(os.Args[1])))
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	fmt.Println("good:", must(client.Get(os.Args[2])).StatusCode)
}
GO
go build -o tool tool.go
./tool issue

cat >ask.py <<'PYTHON'
import http.server
import os
import ssl
import subprocess
import threading
import urllib.request

import pycurl

STRICT = ssl.VERIFY_X509_STRICT | getattr(ssl, "VERIFY_X509_PARTIAL_CHAIN", 0)


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *_arguments):
        pass


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


def ran(*command, **environ):
    done = subprocess.run(command, env=os.environ | environ, capture_output=True, text=True)
    text = (done.stdout + done.stderr).strip().partition("\n")[0]
    return done.returncode == 0, text


def python(ca, url, flags):
    context = ssl.create_default_context(cafile=ca)
    context.verify_flags = flags
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        return True, opener.open(url, timeout=20).status
    except OSError as error:
        return False, error


def newer_curl(ca, url):
    client = pycurl.Curl()
    for option, value in ((client.URL, url), (client.CAINFO, ca), (client.WRITEFUNCTION, len), (client.NOPROXY, "*")):
        client.setopt(option, value)
    try:
        client.perform()
    except pycurl.error as error:
        return False, error
    return True, client.getinfo(client.RESPONSE_CODE)


FETCH = "fetch(process.argv[1]).then(r => console.log(r.status), e => { console.log(e.cause.message); process.exit(1) })"
CLIENTS = {
    "Go": lambda ca, url: ran("./tool", ca, url),
    "Node.js": lambda ca, url: ran("node", "-e", FETCH, url, NODE_EXTRA_CA_CERTS=ca),
    "Python until 3.12": lambda ca, url: python(ca, url, ssl.VERIFY_X509_TRUSTED_FIRST),
    "Python from 3.13": lambda ca, url: python(ca, url, ssl.VERIFY_X509_TRUSTED_FIRST | STRICT),
    "curl": lambda ca, url: ran("curl", "--noproxy", "*", "-sS", "--cacert", ca, url),
    pycurl.version.split()[1]: newer_curl,
    "Java": lambda ca, _url: ran("keytool", "-J-Duser.language=en", "-printcert", "-file", ca),
}
NOT_NAMED = {"Python from 3.13", "curl", "Java"}
for name, bad in (
    ("named", set()),
    ("no-leaf-name", set()),
    ("no-ca-name", NOT_NAMED),
    ("no-names", CLIENTS.keys() - {"Go"}),
):
    server = Server(("127.0.0.1", 0), Answer)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{name}.crt", f"{name}.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://localhost:{server.server_port}/"
    print(f"{name}:")
    for client, ask in CLIENTS.items():
        good, says = ask(f"{name}.ca", url)
        print(f"  {client}: {'good' if good else says}")
        assert good == (client not in bad), (client, says)
PYTHON
venv/bin/python ask.py
