"""system_programs.py: what `make` installs, or says is not there, before anything starts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import system_programs

ROOT = Path(__file__).parents[2]


@pytest.fixture
def nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a single program, apt included."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(system_programs, "PATH", str(tmp_path))


def test_what_is_skipped_is_said_in_one_line(
    nothing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each program that lacks is named with its package, and `make test` goes on."""
    assert system_programs.main("test") == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.startswith(
        "not installed: dnsmasq (Debian: dnsmasq-base), ip (Debian: iproute2), "
        "nft (Debian: nftables), openssl (Debian: openssl); the tests that need it are skipped"
    )


def test_what_cannot_be_done_without_is_one_line_and_the_end(
    nothing: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target none of whose tests can run does not start."""
    assert system_programs.main("test-apiserver") == 1
    assert (
        capsys.readouterr().err == "make: not installed: etcd (Debian: etcd-server); "
        "as root: apt-get install etcd-server\n"
    )


def test_make_asks_for_each_target_that_needs_something() -> None:
    """A list that no target of the Makefile asks for would be of no use."""
    asked = re.findall(
        r"^([a-z-]+):(?:.*\n)\t@.* tests/system_programs\.py \$@$",
        (ROOT / "Makefile").read_text(),
        re.MULTILINE,
    )
    assert {"venv", *asked} == set(system_programs.NEEDED)


def test_a_test_that_lacks_a_program_is_skipped_by_name_or_fails(tmp_path: Path) -> None:
    """Without: skipped, counted, and the reason names it; with --nothing-lacking: failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=-ra"]
    script = (
        "import system_programs\n"
        f"system_programs.PATH = {str(tmp_path)!r}\n"
        "import sys, pytest\n"
        "sys.exit(pytest.main(sys.argv[1:]))\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    for option, status, told in (
        ([], 0, "3 skipped"),
        (["--nothing-lacking"], 1, "3 errors"),
    ):
        words = ["tests/integration/test_interception.py", "-k", "nat_is_told", *option]
        done = subprocess.run(
            [command[0], "-c", script, *command[3:], *words],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout
        assert told in done.stdout
        assert "not installed: ip (Debian: iproute2), nft (Debian: nftables)" in done.stdout
