"""A network and a resolv.conf of our own, for what a test may not do to the machine.

A script is run in a new network and mount namespace: as root at once, else as root of a new user
namespace. There loopback is up, port 53 is free, /etc/resolv.conf is ours, nft rules hurt nobody.
Where that cannot be had, who asked is skipped, and told why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import system_programs

if TYPE_CHECKING:
    from collections.abc import Sequence

_TESTS = Path(__file__).parent.parent
_SET_UP = """
set -e
ip link set lo up
printf '%s' "$2" > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
shift 2
exec "$@"
"""


class LackingError(pytest.skip.Exception):
    """This machine has not what a test needs: it is skipped; with --nothing-lacking it fails."""


def run_in_namespace(
    script: Path,
    *,
    directory: Path,
    resolv_conf: str,
    programs: Sequence[str] = ("ip", "nft"),
    timeout_seconds: float = 60,
    given: str = "",
) -> Any:
    """Run a Python script there, ``given`` on stdin; it prints one JSON document. Return it.

    Raises AssertionError with everything that it said where it fails, LackingError where one of
    ``programs`` is not installed or no namespace may be made.
    """
    if lacking := system_programs.lacking(programs):
        raise LackingError(system_programs.not_installed(lacking))
    # A namespace of processes too: whatever was started there is gone with the script.
    flags = ["--mount", "--net", "--pid", "--fork", "--kill-child"]
    if os.geteuid() != 0:
        flags.append("--map-root-user")
    environment = {
        **os.environ,
        "PATH": system_programs.PATH,
        "PYTHONPATH": f"{_TESTS.parent}:{_TESTS}",
    }
    tried = subprocess.run(
        ["unshare", *flags, "true"], capture_output=True, text=True, env=environment, check=False
    )
    if tried.returncode != 0:
        raise LackingError(f"no network namespace may be made here: {tried.stderr.strip()}")
    inner = [sys.executable, "-W", "error", "-X", "dev", str(script)]
    command = ["unshare", *flags, "sh", "-c", _SET_UP, "sh", str(directory), resolv_conf, *inner]
    done = subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        timeout=timeout_seconds,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, f"{script.name} failed:\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)
