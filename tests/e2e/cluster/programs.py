"""The programs that a cluster consists of: where each is, and what of them is not there.

Go builds most of them, once, into the cache ($KUBENURSE_TEST_CACHE or .cache of the work tree); the
others are the system's, and only looked for.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import go_programs
from apiserver import real
from chart import helm as chart_helm
from collector import binaries

from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable

KUBERNETES: Final = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
COREDNS_VERSION: Final = "1.12.4"
PACKAGES: Final = {
    "buildah": "buildah",
    "conntrack": "conntrack",
    "containerd": "containerd",
    "ctr": "containerd",
    "debootstrap": "debootstrap",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "nft": "nftables",
    "nginx": "nginx-light",
    "nsenter": "util-linux",
    "runc": "runc",
    "setpriv": "util-linux",
    "sysctl": "procps",
    "unshare": "util-linux",
}
"""The system's programs, each with Debian's package of it."""
CNI_FOLDER: Final = Path("/usr/lib/cni")
CNI_PACKAGE: Final = "containernetworking-plugins"
CNI_PLUGINS: Final = ("bridge", "host-local", "loopback")
_PAUSE: Final = Path(__file__).parent / "tools" / "pause"

# --- what Go builds -----------------------------------------------------------------------------


def kubernetes(program: str) -> Path:
    """Return one of ``KUBERNETES``."""
    return real.build(program).absolute()


def coredns() -> Path:
    """Return CoreDNS, static: its image has nothing else in it."""
    package = f"github.com/coredns/coredns@v{COREDNS_VERSION}"
    return go_programs.installed(
        coredns_target(), "-trimpath", "-ldflags=-s -w", package, CGO_ENABLED="0"
    )


def pause() -> Path:
    """Return the static program that holds a pod's namespaces (tools/pause)."""
    return go_programs.installed(
        _pause_target(), "-trimpath", "-ldflags=-s -w", cwd=_PAUSE, CGO_ENABLED="0"
    )


def collector() -> Path:
    return binaries.collector()


def jaeger() -> Path:
    return binaries.jaeger()


def prometheus() -> Path:
    return binaries.prometheus()


def helm() -> Path:
    return chart_helm.binary()


def build_all() -> None:
    """Build what is not in the cache, and say so on stderr. Raises ClusterError."""
    for target, build in _builders().items():
        if target.exists():
            continue
        sys.stderr.write(f"{target.name}: building\n")
        start = time.monotonic()
        try:
            build()
        except (OSError, subprocess.CalledProcessError) as error:
            raise ClusterError(f"{target.name} cannot be built: {error}") from error
        sys.stderr.write(f"{target.name}: built in {time.monotonic() - start:.0f} s\n")


def _builders() -> dict[Path, Callable[[], Path]]:
    """What Go builds, by where it is in the cache."""
    return {
        **{real.binary(name): partial(kubernetes, name) for name in KUBERNETES},
        coredns_target(): coredns,
        _pause_target(): pause,
        binaries.collector_target(): collector,
        binaries.jaeger_target(): jaeger,
        binaries.prometheus_target(): prometheus,
        chart_helm.target(): helm,
    }


def coredns_target() -> Path:
    """Where CoreDNS is, or would be."""
    return go_programs.cached("coredns", COREDNS_VERSION)


def _pause_target() -> Path:
    sources = b"".join((_PAUSE / name).read_bytes() for name in ("go.mod", "main.go"))
    return go_programs.cached("pause", hashlib.sha256(sources).hexdigest()[:12])


# --- what the system has ------------------------------------------------------------------------


def system(program: str) -> Path:
    """Return one of ``PACKAGES``' programs. Raises ClusterError where it is not installed."""
    found = _which(program)
    if found is None:
        raise ClusterError(f"not installed: {_named(program, PACKAGES[program])}")
    return Path(found)


def etcd() -> Path:
    return system("etcd")


def containerd() -> Path:
    return system("containerd")


def missing() -> list[str]:
    """What has to be installed first, each with the package's name; [] where nothing is."""
    found = [_named(name, package) for name, package in PACKAGES.items() if not _which(name)]
    if not all((CNI_FOLDER / plugin).exists() for plugin in CNI_PLUGINS):
        found.append(_named("CNI plugins", CNI_PACKAGE))
    if not _which("go") and not all(target.exists() for target in _builders()):
        found.append("go 1.26 or later (go.dev/dl; Debian's is older)")
    return found


def _named(program: str, package: str) -> str:
    return f"{program} (Debian: {package})"


def _which(program: str) -> str | None:
    # Debian has these in /usr/sbin, which is not in everyone's path.
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
