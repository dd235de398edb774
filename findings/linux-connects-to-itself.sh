#!/usr/bin/env bash
# Guess: a connection to a port of one's own host on which nobody listens is refused, each time.
# Seen: Linux 6.18, default port range. To 127.0.0.1:45000, where nobody listens, one connection in 10,000 to 40,000 succeeds
#   (the range has 14,116 even ports): the kernel lends the client the very port that it asks for, and TCP's simultaneous
#   open (RFC 9293 section 3.5) completes with itself. What is sent comes back as the answer. connect() takes even ports
#   first: an odd port was refused 150,000 times.
# Why it matters: a check by TCP of something dead on its own host (hostNetwork, a sidecar, a node's address) with a port
#   of 32768 and above is good now and then, and a client that waits for a port to open believes that it did.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uname -r
cat >"$work/ask.py" <<'PYTHON'
import pathlib
import socket
import subprocess

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
print("range:", pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())


def meets_itself(port, attempts):
    """The number of the first connection that does; None where none does."""
    for number in range(1, attempts + 1):
        with socket.socket() as client:
            try:
                client.connect(("127.0.0.1", port))
            except ConnectionRefusedError:
                continue
            assert client.getsockname() == client.getpeername() == ("127.0.0.1", port)
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert client.recv(100) == b"GET / HTTP/1.1\r\n\r\n", "what came back is not what was sent"
            return number
    return None


even, odd = meets_itself(45000, 600_000), meets_itself(45001, 150_000)
print(f"45000: connection {even} met itself; 45001: {odd or 'none of 150000'}")
assert even is not None, "it does not connect to itself any more"
assert odd is None, "odd ports are lent as well"
PYTHON
unshare --net python3 "$work/ask.py"
