#!/usr/bin/env bash
# Guess: http://fd00::5:4318, which http://$(HOST_IP):4318 becomes on an IPv6 node, is no URL (RFC 3986
#   wants brackets), and every client refuses it; at least all programs of one Go version do the same.
# Seen: one toolchain (Go 1.26.8) does both. With "go 1.25" in the main module's go.mod, url.Parse reads
#   host fd00::5 and port 4318; with "go 1.26" it refuses ("invalid port"): the line sets the default of
#   GODEBUG's urlstrictcolons. Without a port it is worse: http://fd00::5 is host "fd00:" and port 5.
#   Python's urlsplit finds the host "fd00" and fails at the port; urllib3 2.5.0 and httpx 0.28.1 refuse.
# Why it matters: a template without brackets that has worked on IPv6 nodes for years stops working when a
#   collector, an SDK or a checker is rebuilt with a newer go line, with no change of its configuration
#   and none of the Go version. What a check of such a URL asks differs from what the workload asks.
set -euo pipefail

here=$(mktemp -d)
trap 'rm -rf "$here"' EXIT

case $(go env GOVERSION) in go1.26.*) ;; *) echo "wants Go 1.26, is $(go env GOVERSION)" >&2; exit 1 ;; esac

cat >"$here/main.go" <<'GO'
package main

import (
	"fmt"
	"net/url"
	"os"
)

func main() {
	for _, text := range os.Args[1:] {
		parsed, err := url.Parse(text)
		if err != nil {
			fmt.Println("refused")
			continue
		}
		fmt.Printf("host %s port %s\n", parsed.Hostname(), parsed.Port())
	}
}
GO

go_reads() { # LINE -> what a program with this go line reads, one line a URL
  printf 'module example.com/reads\n\ngo %s\n' "$1" >"$here/go.mod"
  (cd "$here" && GOTOOLCHAIN=local GODEBUG='' go run . http://fd00::5:4318 http://fd00::5)
}

python3 -m venv "$here/venv"
"$here/venv/bin/pip" install --quiet urllib3==2.5.0 httpx==0.28.1
python_reads() {
  "$here/venv/bin/python" - <<'PYTHON'
from urllib.parse import urlsplit

import httpx
import urllib3

TEXT = "http://fd00::5:4318"
print("urlsplit host", urlsplit(TEXT).hostname)
for name, read in (("urllib3", urllib3.util.parse_url), ("httpx", httpx.URL)):
    try:
        print(name, read(TEXT))
    except (ValueError, urllib3.exceptions.HTTPError, httpx.InvalidURL):
        print(name, "refused")
PYTHON
}

old=$(go_reads 1.25)
new=$(go_reads 1.26)
python=$(python_reads)
printf 'go 1.25 in go.mod:\n%s\ngo 1.26 in go.mod:\n%s\nPython:\n%s\n' "$old" "$new" "$python"
[ "$old" = $'host fd00::5 port 4318\nhost fd00: port 5' ]
[ "$new" = $'refused\nrefused' ]
[ "$python" = $'urlsplit host fd00\nurllib3 refused\nhttpx refused' ]
