"""The images that the cluster's nodes run, as archives for `ctr --namespace k8s.io images import`.

An archive is made once for what is in it: its name has a hash of that. Nodes reach no registry.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from image import building

from e2e.cluster import programs
from e2e.cluster.errors import ClusterError

TAG: Final = "e2e"
PAUSE: Final = f"localhost/pause:{TAG}"
COREDNS: Final = f"localhost/coredns:{TAG}"
COLLECTOR: Final = f"localhost/otelcol:{TAG}"
AGENT: Final = f"localhost/kubenurse-otel:{TAG}"
_AGENT_FILES: Final = ("Dockerfile", ".dockerignore", "LICENSE", "requirements.lock")


@dataclass(frozen=True, slots=True)
class _Image:
    name: str
    contents: str
    """Changes with everything that the image is made of."""
    build: Callable[[], object]


def archives() -> list[Path]:
    """Return the archives of all images, made where they are not there. Raises ClusterError."""
    with locked("archives"):
        return [_archive(image) for image in (_pause(), _coredns(), _collector(), _agent())]


@contextmanager
def locked(what: str) -> Iterator[Path]:
    """A folder beside the images', which one process at a time uses: clusters are many."""
    folder = building.storage() / what
    folder.mkdir(parents=True, exist_ok=True)
    with (building.storage() / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _archive(image: _Image) -> Path:
    stem = image.name.removeprefix("localhost/").replace(":", "-")
    how = Path(building.__file__).read_text()
    digest = hashlib.sha256(f"{image.name}\n{image.contents}\n{how}".encode()).hexdigest()
    folder = building.storage() / "archives"
    archive = folder / f"{stem}-{digest[:12]}.tar"
    if not archive.exists():
        for old in folder.glob(f"{stem}-*"):
            old.unlink()
        try:
            image.build()
            building.export(image.name, archive)
        # building asserts that buildah succeeds; the text is what it said.
        except (AssertionError, OSError, subprocess.SubprocessError) as error:
            raise ClusterError(f"{image.name} cannot be built: {error}") from error
    return archive


# --- one binary each ----------------------------------------------------------------------------


def _pause() -> _Image:
    return _of_binary(PAUSE, programs.pause(), "pause", user=65535)


def _coredns() -> _Image:
    # Root, for port 53; its pod keeps NET_BIND_SERVICE alone.
    return _of_binary(COREDNS, programs.coredns(), "coredns", user=0)


def _collector() -> _Image:
    # As the published image has it: the chart gives the arguments and must not run as root.
    return _of_binary(COLLECTOR, programs.collector(), "otelcol", user=10001)


def _of_binary(image: str, program: Path, name: str, *, user: int) -> _Image:
    status = program.stat()
    contents = f"{program} {status.st_size} {status.st_mtime_ns} {name} {user}"
    return _Image(
        image, contents, partial(building.build_of_binary, image, program, name, user=user)
    )


# --- the agent ----------------------------------------------------------------------------------


def _agent() -> _Image:
    contents = hashlib.sha256()
    for path in _agent_files():
        contents.update(f"{path.relative_to(building.ROOT)} {path.stat().st_size}\n".encode())
        contents.update(path.read_bytes())
    return _Image(AGENT, contents.hexdigest(), partial(building.build, TAG))


def _agent_files() -> Iterator[Path]:
    """The Dockerfile and what it copies: .dockerignore lets nothing else in."""
    yield from (building.ROOT / name for name in _AGENT_FILES)
    for folder, folders, files in os.walk(building.ROOT / "kubenurse_otel"):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        yield from (Path(folder) / name for name in sorted(files))
