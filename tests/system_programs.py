"""Programs of the system that the tests start: which, in which package, and what to do without.

Owns the list. `make` runs it before there is a virtual environment, so it imports the standard
library alone: as root on Debian it installs what lacks, else it says in one line what is not there.
Tests that need such a program ask here, too.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

ENSUREPIP: Final = "ensurepip"
"""Python's own, without which it makes no virtual environment; Debian has it in another package."""

PACKAGES: Final = {
    "chromium": "chromium",
    "curl": "curl",
    "dnsmasq": "dnsmasq-base",
    ENSUREPIP: f"python{sys.version_info[0]}.{sys.version_info[1]}-venv",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "nft": "nftables",
    "npm": "npm",
    "openssl": "openssl",
}
"""Each with Debian's package of it."""

NEEDED: Final = {
    "venv": (ENSUREPIP,),
    "test": ("dnsmasq", "ip", "nft", "openssl"),
    "test-apiserver": ("etcd",),
    "chart": ("etcd",),
    "dashboards": ("ip", "nft"),
    "collector": ("curl", "ip"),
    "page": ("chromium", "npm"),
}
"""By make's target; ``venv`` is what every target begins with."""

SKIPPING: Final = frozenset({"test", "chart", "page"})
"""Targets whose tests are skipped where a program is not there; of the others none can run."""

PATH: Final = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
"""Debian has most of these in /usr/sbin, which is not in everyone's path."""


def find(program: str) -> str | None:
    """Return where ``program`` is, or None."""
    if program == ENSUREPIP:
        found = importlib.util.find_spec(program)
        return found.origin if found is not None else None
    return shutil.which(program, path=PATH)


def lacking(programs: Iterable[str]) -> list[str]:
    """Return those that are not there."""
    return [program for program in programs if find(program) is None]


def not_installed(programs: Iterable[str]) -> str:
    """Name programs that are not there, each with its package."""
    return "not installed: " + ", ".join(f"{name} (Debian: {PACKAGES[name]})" for name in programs)


def install(programs: Iterable[str]) -> None:
    """Install by apt, where there is one and we are root; whether it did, ``lacking`` tells."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return
    packages = sorted({PACKAGES[program] for program in programs})
    print(f"installing {' '.join(packages)}", flush=True)
    apt = ["apt-get", "-qq", "-o=DPkg::Lock::Timeout=60"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", *packages]):
        subprocess.run([*apt, *words], env=environment, check=False, stdout=subprocess.DEVNULL)


def main(target: str) -> int:
    """Get what make's ``target`` needs; returns 1 where it cannot do without what is not there."""
    if wanted := lacking(NEEDED[target]):
        install(wanted)
        importlib.invalidate_caches()
    without = lacking(NEEDED[target])
    if not without:
        return 0
    told = not_installed(without)
    advice = f"as root: apt-get install {' '.join(sorted({PACKAGES[name] for name in without}))}"
    if target in SKIPPING:
        print(f"{told}; the tests that need it are skipped ({advice})", flush=True)
        return 0
    print(f"make: {told}; {advice}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
