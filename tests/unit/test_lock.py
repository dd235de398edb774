"""requirements.lock, which the image is made from, against pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PIN = re.compile(
    r"^([a-z0-9.-]+)==(\S+)( ; .+)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)


def pins() -> dict[str, str]:
    text = (ROOT / "requirements.lock").read_text()
    return {match[1]: match[2] for match in PIN.finditer(text)}


def test_the_lock_satisfies_every_dependency() -> None:
    """A dependency that was added or moved asks for `make lock`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = pins()
    for text in project["dependencies"]:
        wanted = Requirement(text)
        name = canonicalize_name(wanted.name)
        assert name in locked, f"{name} is not in requirements.lock: make lock"
        version = locked[name]
        assert wanted.specifier.contains(version, prereleases=True), (
            f"{wanted} is locked at {version}: make lock"
        )


def test_everything_locked_is_one_version_with_hashes() -> None:
    """pip takes nothing by --require-hashes that is not in the file byte for byte."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    started = [line for line in lines if line and not line.startswith((" ", "#"))]
    assert len(started) == len(pins()) > 20


def test_the_image_has_no_tools_of_development() -> None:
    """What only demo and tests need is not locked into the image."""
    assert not {"rich", "trustme", "pytest", "cryptography"} & pins().keys()
