#!/usr/bin/env bash
# Guess: a gRPC client whose server is gone asks DNS at once and goes on asking: as soon as the name has the new address, it is
#   there. It has the old one from DNS for as long as some cache keeps it, 5 s with CoreDNS by default.
# Seen: grpcio 1.85.3. The server moves, and DNS follows 3 s later. gRPC asks DNS right when the connection is refused, gets the old
#   address, and asks again only 30 s after that: each call fails with UNAVAILABLE until then. OTLP by HTTP, and each other client
#   that asks anew for each connection, is there after 3 s. So is gRPC with grpc.dns_min_time_between_resolutions_ms = 1000.
# Why it matters: where an OTLP collector or a gRPC service behind a headless Service is replaced, whoever sends by gRPC is without it
#   for half a minute each time, though the new pod has been ready long before, and DNS has been right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check grpcio==1.85.3 dnspython==2.9.2

cat >run.py <<'PYTHON'
import http.client
import http.server
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import dns.message
import dns.rrset
import grpc

NAME, OLD, NEW = "collector.example", "127.0.0.2", "127.0.0.3"
CALL = "/collector/export"
DNS_SECONDS = 3.0
known = OLD


def serve_dns(server):
    while True:
        wire, client = server.recvfrom(4096)
        query = dns.message.from_wire(wire)
        answer = dns.message.make_response(query, recursion_available=True)
        if query.question[0].rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(query.question[0].name, 5, "IN", "A", known))
        server.sendto(answer.to_wire(), client)


class Web(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments):
        pass


class Collector:
    """Serves gRPC and HTTP."""

    def __init__(self, address):
        self.grpc = grpc.server(ThreadPoolExecutor(4))
        handler = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
        self.grpc.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("collector", {"export": handler}),))
        self.grpc.add_insecure_port(f"{address}:4317")
        self.grpc.start()
        self.web = http.server.ThreadingHTTPServer((address, 4318), Web)
        threading.Thread(target=self.web.serve_forever, daemon=True).start()

    def stop(self):
        self.web.shutdown()
        self.web.server_close()
        self.grpc.stop(0).wait()


def by_grpc(**options):
    channel = grpc.insecure_channel(f"{NAME}:4317", options=[("grpc.max_reconnect_backoff_ms", 1_000), *options.items()])
    call = channel.unary_unary(CALL)

    def is_taken():
        try:
            return call(b"", timeout=2) == b""
        except grpc.RpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE, error
            return False

    return is_taken


def by_http():
    connection = http.client.HTTPConnection(NAME, 4318, timeout=2)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def seconds_until(is_taken, name, found):
    begin = time.monotonic()
    while not is_taken():
        assert time.monotonic() - begin < 60
        time.sleep(0.2)
    found[name] = time.monotonic() - begin
    print(f"{name}: taken again {found[name]:.1f} s after the collector moved")


subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 53))
threading.Thread(target=serve_dns, args=(server,), daemon=True).start()
old = Collector(OLD)
clients = {
    "gRPC": by_grpc(),
    "gRPC, 1 s between look-ups": by_grpc(**{"grpc.dns_min_time_between_resolutions_ms": 1_000}),
    "HTTP": by_http,
}
for is_taken in clients.values():
    assert is_taken()
time.sleep(35)  # that first look-up is long ago
new = Collector(NEW)
old.stop()
threading.Timer(DNS_SECONDS, lambda: globals().update(known=NEW)).start()
found = {}
threads = [threading.Thread(target=seconds_until, args=(is_taken, name, found)) for name, is_taken in clients.items()]
for one in threads:
    one.start()
for one in threads:
    one.join()
new.stop()
assert found["gRPC"] > 25, found
assert found["HTTP"] < 6, found
assert found["gRPC, 1 s between look-ups"] < 8, found
PYTHON
echo 'nameserver 127.0.0.1' >resolv.conf
GRPC_VERBOSITY=NONE timeout 200 unshare --net --mount sh -c 'mount --bind resolv.conf /etc/resolv.conf && exec venv/bin/python run.py'
