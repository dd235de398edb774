"""Builds the Dockerfile for real, on bases made by debootstrap: no image registry is needed.

Owns everything of buildah. Storage and the bases stay in the cache ($KUBENURSE_TEST_CACHE or .cache
of the work tree); a base is made once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
SUITE: Final = "bookworm"
MIRROR: Final = "http://deb.debian.org/debian"
RUNTIME: Final = f"localhost/kubenurse-otel-base:{SUITE}"
BUILD: Final = f"localhost/kubenurse-otel-base:{SUITE}-pip"
SLIM: Final = ("doc", "man", "locale")
"""What slim images leave out of /usr/share."""
NICE: Final = ("nice", "-n", "19")


def storage() -> Path:
    cache = Path(os.environ.get("KUBENURSE_TEST_CACHE", ROOT / ".cache")).absolute()
    return cache / "image"


def buildah(*arguments: str) -> str:
    """Run buildah without a daemon, user namespaces or anything of the system's storage."""
    here = storage()
    environ = os.environ | {
        "STORAGE_DRIVER": os.environ.get("STORAGE_DRIVER", "overlay"),
        "BUILDAH_ISOLATION": "chroot",
    }
    command = [*NICE, "buildah", f"--root={here / 'storage'}", f"--runroot={here / 'run'}"]
    done = subprocess.run(
        [*command, *arguments], env=environ, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"buildah {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
    return done.stdout.strip()


@contextmanager
def mounted(image: str) -> Iterator[Path]:
    """The image's root file system, in a container that is removed at the end."""
    container = buildah("from", "--pull-never", image)
    try:
        yield Path(buildah("mount", container))
    finally:
        buildah("umount", container)
        buildah("rm", container)


def make_bases() -> None:
    """Debian with python3 and ca-certificates; and the same with pip, which only builds."""
    storage().mkdir(parents=True, exist_ok=True)
    found = buildah("images", "--format", "{{.Name}}:{{.Tag}}").split()
    if RUNTIME not in found:
        _make_runtime_base()
    if BUILD not in found:
        _make_build_base()


def _make_runtime_base() -> None:
    folder = storage() / "base"
    shutil.rmtree(folder, ignore_errors=True)
    options = ("--variant=minbase", "--include=python3,ca-certificates")
    subprocess.run(
        [*NICE, "debootstrap", *options, SUITE, str(folder), MIRROR],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    for left_out in ("var/cache/apt", "var/lib/apt/lists", *(f"usr/share/{x}" for x in SLIM)):
        for path in (folder / left_out).iterdir():
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    container = buildah("from", "scratch")
    mount = buildah("mount", container)
    subprocess.run(["cp", "--archive", f"{folder}/.", mount], check=True)
    buildah("umount", container)
    buildah("commit", "--quiet", "--rm", container, RUNTIME)
    shutil.rmtree(folder)


def _make_build_base() -> None:
    container = buildah("from", "--pull-never", RUNTIME)
    install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends python3-pip"
    buildah("run", container, "--", "sh", "-c", install)
    mount = Path(buildah("mount", container))
    # Where the network has an authority of its own, this machine knows it.
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", mount / "etc/ssl/certs/of-this-machine.crt")
    (mount / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/of-this-machine.crt\n")
    buildah("umount", container)
    buildah("commit", "--quiet", "--rm", container, BUILD)


def _base_of(architecture: str) -> str:
    """The runtime base; for another architecture the same files under that one's name."""
    if architecture == "amd64":
        return RUNTIME
    container = buildah("from", "--pull-never", RUNTIME)
    buildah("config", f"--arch={architecture}", container)
    buildah("commit", "--quiet", "--rm", container, f"{RUNTIME}-{architecture}")
    return f"{RUNTIME}-{architecture}"


def build(tag: str, *, architecture: str = "amd64") -> str:
    """Build the Dockerfile for ``architecture``; returns the image's name."""
    make_bases()
    image = f"localhost/kubenurse-otel:{tag}"
    buildah(
        "bud",
        "--quiet",
        "--pull-never",
        f"--arch={architecture}",
        f"--build-context=python=container-image://{_base_of(architecture)}",
        f"--build-context=python-here=container-image://{BUILD}",
        # Debian's buildah (1.28) does not set these by itself.
        f"--build-arg=TARGETARCH={architecture}",
        "--build-arg=BUILDPLATFORM=linux/amd64",
        f"--tag={image}",
        ".",
    )
    buildah("rmi", "--prune")
    return image


def build_of_binary(image: str, program: Path, name: str, *, user: int) -> None:
    """Make an image of nothing but a static ``program`` at /``name``, which is its entry point."""
    container = buildah("from", "scratch")
    try:
        buildah("copy", "--quiet", "--chmod=0755", container, str(program), f"/{name}")
        entry_point = f'--entrypoint=["/{name}"]'
        buildah("config", entry_point, f"--user={user}:{user}", container)
        buildah("commit", "--quiet", container, image)
    finally:
        buildah("rm", container)
    buildah("rmi", "--prune")


def export(image: str, archive: Path) -> None:
    """Write an image into a docker-archive, its layers uncompressed, for `ctr images import`."""
    fresh = archive.with_name(f"{archive.name}.{os.getpid()}")
    try:
        buildah("push", "--quiet", image, f"docker-archive:{fresh}:{image}")
        fresh.replace(archive)
    finally:
        fresh.unlink(missing_ok=True)
