"""requirements*.lock, which image, demo and tests are made of, against pyproject.toml."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PIN = re.compile(
    r"^([a-z0-9.-]+)==(\S+)( ; .+)? \\\n((?: +--hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
LOCKS = {
    "requirements.lock": (),
    "requirements-demo.lock": ("demo",),
    "requirements-dev.lock": ("demo", "dev", "dashboards"),
    "requirements-page.lock": ("page",),
}
"""Each with the extras that are in it."""

each_lock = pytest.mark.parametrize("lock", LOCKS)


def pins(lock: str = "requirements.lock") -> dict[str, str]:
    return {match[1]: match[2] for match in PIN.finditer((ROOT / lock).read_text())}


def wanted(lock: str) -> list[str]:
    """What pyproject.toml asks for: of those who build it, also what it is built with."""
    project: dict[str, Any] = PYPROJECT["project"]
    extras = [one for name in LOCKS[lock] for one in project["optional-dependencies"][name]]
    build = PYPROJECT["dependency-groups"]["build"] if extras else []
    return [*project["dependencies"], *extras, *build]


@each_lock
def test_the_lock_satisfies_every_dependency(lock: str) -> None:
    """A dependency that was added or moved asks for `make lock`."""
    locked = pins(lock)
    for text in wanted(lock):
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{name} is not in {lock}: make lock"
        version = locked[name]
        assert requirement.specifier.contains(version, prereleases=True), (
            f"{requirement} is locked at {version}: make lock"
        )


@each_lock
def test_everything_locked_is_a_version_with_hashes(lock: str) -> None:
    """pip takes nothing by --require-hashes that is not in the file byte for byte."""
    text = (ROOT / lock).read_text()
    started = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert len(started) == len(PIN.findall(text)) > 20


def test_what_is_tested_is_what_is_shipped() -> None:
    """The tests' environment has each of the image's packages, in the image's version."""
    assert pins().items() <= pins("requirements-demo.lock").items()
    assert pins("requirements-demo.lock").items() <= pins("requirements-dev.lock").items()


def test_what_builds_the_package_is_locked() -> None:
    """Built without isolation, so that nothing comes from an index without a hash."""
    built_with = {
        canonicalize_name(Requirement(x).name) for x in PYPROJECT["build-system"]["requires"]
    }
    assert built_with <= pins("requirements-demo.lock").keys()


def test_make_installs_nothing_without_a_hash() -> None:
    """Each `pip install` of the Makefile is of a lock, or of this package alone."""
    makefile = (ROOT / "Makefile").read_text()
    assert makefile.count("pip install") == 1
    assert "--no-deps" in makefile[makefile.index("pip install") :].partition("\n")[0]
    assert "\nLOCKED := --require-hashes " in makefile
    installed = re.findall(r"\$\(INSTALL\) (.*)", makefile)
    assert {"--no-build-isolation --editable .", *(f"$(LOCKED) {x}" for x in [*LOCKS][1:])} == {
        *installed
    }


def test_the_image_has_no_tools_of_development() -> None:
    """What only demo and tests need is not locked into the image."""
    assert not {"rich", "trustme", "pytest", "cryptography"} & pins().keys()
