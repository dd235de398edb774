#!/usr/bin/env bash
# Guess: where gVisor has nothing to say beside a TCP stream's bytes, recvmsg() says so by msg_controllen 0, as on
#   Linux, at the stream's end as after data; and a socket option that setsockopt() takes can be read back.
# Seen: gVisor of 2026-09-05 (runsc, systrap). After data it is as guessed. At the end of the stream recvmsg() returns 0
#   and writes no header at all: msg_controllen and msg_namelen are what the caller put in, the room that it
#   offered. SO_TIMESTAMPING is taken (and no stamp ever comes), and getsockopt() of it is ENOPROTOOPT.
# Why it matters: whoever walks the control messages at the end of a connection reads what was in the buffer before:
#   CPython, which clears its buffer, warns "received malformed or improperly-truncated ancillary data" (an
#   exception with -W error), a C program meets the control messages of its last recvmsg() again. And a program
#   that believes setsockopt() waits for time stamps for ever; only the option read back tells.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "needs root"; exit 1; }
version=v0.0.0-20260905035102-160fafc42237
work=$(mktemp -d)
trap 'umount "$work/state/null-netns" 2>/dev/null || true; rm -rf "$work"' EXIT
mkdir -p "$work/build" "$work/bundle"
cd "$work/build"
printf 'module runsc\n\ngo 1.26\n' >go.mod
# Static: it starts itself again in an empty root.
export CGO_ENABLED=0
{ go get -tool "gvisor.dev/gvisor/runsc@$version" &&
  nice go build -trimpath -ldflags "-s -w" -o "$work/runsc" gvisor.dev/gvisor/runsc; } 2>build.log ||
  { cat build.log; exit 1; }

cat >"$work/read.py" <<'PYTHON'
import ctypes
import errno
import json
import socket
import warnings

SO_TIMESTAMPING, FLAGS, ROOM = 37, 1 << 3 | 1 << 4, 64


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


class Msghdr(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_void_p),
        ("namelen", ctypes.c_uint32),
        ("iov", ctypes.c_void_p),
        ("iovlen", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("controllen", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


libc = ctypes.CDLL(None, use_errno=True)


def receive(sock):
    """Bytes read, and msg_controllen."""
    data, control = ctypes.create_string_buffer(16), ctypes.create_string_buffer(ROOM)
    vector = Iovec(ctypes.addressof(data), 16)
    header = Msghdr(None, 0, ctypes.addressof(vector), 1, ctypes.addressof(control), ROOM, 0)
    return libc.recvmsg(sock.fileno(), ctypes.byref(header), 0), header.controllen


with socket.create_server(("127.0.0.1", 0)) as server:
    client = socket.create_connection(server.getsockname())
    accepted = server.accept()[0]
    client.sendall(b"data")
    after_data = receive(accepted)
    client.close()
    at_the_end = receive(accepted)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        accepted.recvmsg(16, ROOM)
    accepted.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, FLAGS)
    try:
        read_back = accepted.getsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING) == FLAGS
    except OSError as error:
        read_back = errno.errorcode[error.errno]
    accepted.close()
print(json.dumps([after_data, at_the_end, [str(one.message) for one in caught], read_back]))
PYTHON

python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
python3 - "$python" "$work/read.py" >"$work/bundle/config.json" <<'PYTHON'
import json
import sys

process = {"user": {"uid": 0, "gid": 0}, "args": sys.argv[1:], "env": ["PATH=/usr/bin:/bin"], "cwd": "/"}
spaces = [{"type": kind} for kind in ("pid", "mount", "ipc", "uts", "network")]
print(json.dumps({"ociVersion": "1.0.0", "process": process, "root": {"path": "/", "readonly": True},
                  "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
                  "linux": {"namespaces": spaces}}))
PYTHON

linux=$("$python" "$work/read.py")
gvisor=$("$work/runsc" --root="$work/state" --network=none --ignore-cgroups --platform=systrap --overlay2=none \
  run --bundle "$work/bundle" "finding-$$" 2>"$work/runsc.log" | cat) || { cat "$work/runsc.log"; exit 1; }
echo "[bytes, msg_controllen] after data and at the end, Python's warnings, SO_TIMESTAMPING read back"
echo "Linux $(uname -r): $linux"
echo "gVisor $version: $gvisor"
[ "$linux" = '[[4, 0], [0, 0], [], true]' ]
[ "$gvisor" = '[[4, 0], [0, 64], ["received malformed or improperly-truncated ancillary data"], "ENOPROTOOPT"]' ]
