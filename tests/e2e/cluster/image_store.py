"""containerd's disk with all images in it, made once; a node's is a copy of hard links.

An import takes six seconds and 650 MB a node. What is linked is never written to: containerd's
content and layers are only added and removed. The links share the page cache, too.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from e2e.cluster import images, programs
from e2e.cluster.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

NAMESPACE: Final = "k8s.io"
"""The namespace of kubelet's images in containerd."""
_START_SECONDS: Final = 20.0
_END_SECONDS: Final = 20.0
_CONFIG: Final = """
version = 2
root = "{root}"
state = "{state}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{state}/socket"
"""


def keep(kept: Path) -> None:
    """Build what is not built, and keep all images for a cluster: ``kept`` is what its nodes get.

    One that is added later has the same images, whatever has been edited meanwhile (and from within
    the cluster's network nothing can be built). Raises ClusterError.
    """
    with images.locked("containerd") as folder:
        _copy(_store(folder, images.archives()), kept)


def fill(disk: Path, kept: Path) -> None:
    """Put all images on a node's disk (its /var/lib/containerd), before its containerd starts.

    Does nothing to a disk that containerd has used. ``disk`` and ``kept`` are on one file system
    with the cache. Raises ClusterError.
    """
    if not disk.exists() or not any(disk.iterdir()):
        _copy(kept, disk)


def _copy(store: Path, disk: Path) -> None:
    fresh = disk.with_name(f"{disk.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.parent.mkdir(parents=True, exist_ok=True)
    _run("cp", "--archive", "--link", str(store), str(fresh))
    # Of all files, the databases alone are written in place.
    for database in fresh.glob("*/*.db"):
        own = database.with_suffix(".own")
        shutil.copy2(database, own)
        own.replace(database)
    fresh.replace(disk)


def _store(folder: Path, archives: Sequence[Path]) -> Path:
    """Return the disk that nodes are copied from, made if these images have none."""
    names = " ".join(archive.name for archive in archives)
    store = folder / hashlib.sha256(names.encode()).hexdigest()[:12]
    if not store.exists():
        for old in folder.iterdir():
            shutil.rmtree(old)
        fresh = store.with_suffix(".new")
        _import(archives, fresh)
        fresh.replace(store)
    return store


def _import(archives: Sequence[Path], root: Path) -> None:
    with _containerd(root) as socket:
        for archive in archives:
            arguments = ("--namespace", NAMESPACE, "images", "import", str(archive))
            _run(str(programs.system("ctr")), "--address", str(socket), *arguments)


@contextmanager
def _containerd(root: Path) -> Iterator[Path]:
    """A containerd for images alone, on ``root``; yields its socket."""
    # Not in the cache: a socket's path is short (unix(7)).
    with tempfile.TemporaryDirectory(prefix="containerd-") as folder:
        state = Path(folder)
        config = state / "config.toml"
        config.write_text(_CONFIG.format(root=root, state=state))
        # Its mounts are seen by nobody else, and it does not outlive us.
        alone = ("unshare", "--mount", "--net", "setpriv", "--pdeathsig=KILL")
        command = [*alone, str(programs.containerd()), f"--config={config}"]
        with (state / "log").open("wb") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not (state / "socket").exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    said = (state / "log").read_text(errors="replace")[-2000:]
                    raise ClusterError(f"containerd for the images does not start: {said}")
                time.sleep(0.02)
            yield state / "socket"
        finally:
            process.terminate()
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterError(f"{' '.join(command)}: {done.stderr or done.stdout}")
