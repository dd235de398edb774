#!/usr/bin/env bash
# Guess: a server that is told to listen on 0.0.0.0 takes IPv4 alone, as nginx, Python and bind(2)
#   mean it; on an IPv6 address its port is closed.
# Seen: not so in Go (1.26.8): net.Listen("tcp", "0.0.0.0:PORT") opens an IPv6 socket for both families
#   (net/ipsock_posix.go: any unspecified address is the wildcard, unless the network is "tcp4").
#   go-httpbin 2.18.3 with -host 0.0.0.0 answers at http://[::1]: 200; Python's http.server with
#   --bind 0.0.0.0 does not. The OpenTelemetry collector (0.162.0) does as Go does.
# Why it matters: a check by IPv6 of a port that "is bound to IPv4 only" is good, and a policy or
#   firewall rule that was written for IPv4 alone leaves such a port open. A collector whose
#   configuration says 0.0.0.0 needs no change for IPv6 nodes. Who replaces a Go server by one in
#   another language with the same address loses IPv6 in silence.
set -euo pipefail

here=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; rm -rf "$here"' EXIT

GOBIN="$here" go install github.com/mccutchen/go-httpbin/v2/cmd/go-httpbin@v2.18.3

free() { python3 -c 'import socket; s = socket.create_server(("::", 0), family=socket.AF_INET6); print(s.getsockname()[1])'; }
answers() { # URL -> status, 000 where nobody answers
  curl --globoff --silent --output /dev/null --max-time 5 --write-out '%{http_code}' "$1" || true
}
started() {
  for _ in $(seq 100); do
    [ "$(answers "http://127.0.0.1:$1/")" = 200 ] && return
    sleep 0.1
  done
  echo "nothing answers on port $1" >&2
  return 1
}

go_port=$(free)
"$here/go-httpbin" -host 0.0.0.0 -port "$go_port" >"$here/go.log" 2>&1 &
pids+=($!)
started "$go_port"
python_port=$(free)
mkdir "$here/empty"
python3 -m http.server --bind 0.0.0.0 --directory "$here/empty" "$python_port" >"$here/python.log" 2>&1 &
pids+=($!)
started "$python_port"

in_go=$(answers "http://[::1]:$go_port/")
in_python=$(answers "http://[::1]:$python_port/")
echo "listening on 0.0.0.0, asked at [::1]: Go $in_go, Python $in_python"
[ "$in_go" = 200 ] && [ "$in_python" = 000 ]
