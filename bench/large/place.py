"""Namespaces of our own (network, mounts, processes) with a cluster's addresses on loopback.

Everything ends and vanishes with the first process, whatever happened to it. Needs root.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.network import ROOT, require

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

API_SERVER: Final = "10.90.0.2"
"""The API server itself: api_server_direct and discovery."""
API_SERVICE: Final = "10.96.0.1"
"""Its Service, which its name leads to: api_server_dns."""
API_PORT: Final = 6443
INGRESS: Final = "10.90.0.3"
INGRESS_HOST: Final = "kubenurse.example.test"
DNS: Final = "10.96.0.10"
SERVICE: Final = "10.96.0.20"
ADDRESSES: Final = (API_SERVER, API_SERVICE, INGRESS, DNS, SERVICE)
_INSIDE: Final = "KUBENURSE_BENCH_LARGE"
MTU: Final = 1500


def enter(arguments: Sequence[str]) -> int | None:
    """Run ``python -m bench.large ARGUMENTS`` again in the namespaces; None where we are there."""
    if os.environ.get(_INSIDE):  # noqa: TID251 - the bench's own mark
        return None
    require("ip", "nft", "unshare", "nginx", "etcd")
    flags = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
    command = (
        "unshare",
        *flags,
        sys.executable,
        "-m",
        "bench.large",
        *arguments,
    )
    environment = {**os.environ, _INSIDE: "1"}  # noqa: TID251 - passed on
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def furnish(directory: Path) -> None:
    """Addresses on loopback, a pod's MTU and link-local address, a resolv.conf of ours."""
    _ip("link", "set", "lo", "mtu", str(MTU), "up")
    # Packets as on a wire: none that is larger than the MTU is counted as one.
    subprocess.run(["ethtool", "-K", "lo", "tso", "off", "gso", "off", "gro", "off"], check=True)
    add_addresses(ADDRESSES)
    # glibc asks for AAAA where any address of IPv6 is there, as at every pod's eth0.
    _ip("-6", "address", "add", "fe80::1/64", "dev", "lo", "nodad")
    resolv_conf(directory, ndots=1)
    subprocess.run(
        ["mount", "--bind", str(directory / "resolv.conf"), "/etc/resolv.conf"], check=True
    )


def add_addresses(addresses: Iterable[str]) -> None:
    for address in addresses:
        _ip("address", "add", f"{address}/32", "dev", "lo")


def resolv_conf(directory: Path, *, ndots: int, namespace: str = "kube-system") -> None:
    """Write what a kubelet writes for a pod with the chart's options, into the same file."""
    domains = f"{namespace}.svc.cluster.local svc.cluster.local cluster.local"
    (directory / "resolv.conf").write_text(
        f"search {domains}\nnameserver {DNS}\noptions ndots:{ndots} timeout:1 attempts:3\n"
    )


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=20)


@contextlib.contextmanager
def daemon(
    command: Sequence[str],
    log: Path,
    *,
    environment: dict[str, str] | None = None,
    group: int | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A process for as long as the block runs; its output is in ``log``."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, cwd=ROOT, group=group
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_seconds(process: int) -> float:
    """User and system time of a process and of its children that still run."""
    spent = 0.0
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for one in (process, *map(int, children)):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(") ")[2].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return spent
