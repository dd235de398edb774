"""A network and a resolv.conf of our own, for what a test may not do to the machine.

A script is run in a new network and mount namespace: as root at once, else as root of a new user
namespace. There loopback is up, port 53 is free, /etc/resolv.conf is ours, nft rules hurt nobody.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parent.parent
_SET_UP = """
set -e
ip link set lo up
printf '%s' "$2" > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift 2
exec "$@"
"""


def run_in_namespace(
    script: Path, *, directory: Path, resolv_conf: str, timeout_seconds: float = 60
) -> Any:
    """Run a Python script there; it prints one JSON document, which is returned.

    Raises AssertionError with everything that it said where it fails.
    """
    # A namespace of processes too: whatever was started there is gone with the script.
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        flags.append("--map-root-user")
    inner = [sys.executable, "-W", "error", "-X", "dev", str(script)]
    command = ["unshare", *flags, "sh", "-c", _SET_UP, "sh", str(directory), resolv_conf, *inner]
    environment = {**os.environ, "PYTHONPATH": f"{_TESTS.parent}:{_TESTS}"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, f"{script.name} failed:\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)
