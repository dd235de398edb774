"""The system's authorities by SSL_CERT_FILE and SSL_CERT_DIR: files, never waited for."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import trustme

SCRIPT = """
from kubenurse_otel.tls.verification import client_context
try:
    print(len(client_context(system=True).get_ca_certs()))
except OSError as error:
    print(f"{error.filename}: {error.strerror}")
"""
SECONDS = 30


def trusted(**environ: Path) -> str:
    """What a new process says: OpenSSL reads its variables once."""
    names = {name: str(path) for name, path in environ.items()}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env=os.environ | names,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


def test_a_file_is_trusted(tmp_path: Path) -> None:
    """As OpenSSL does by itself."""
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    assert trusted(SSL_CERT_FILE=tmp_path / "ca.pem", SSL_CERT_DIR=tmp_path) == "1"


def test_a_pipe_is_passed_over_like_a_missing_file(tmp_path: Path, fifo: Path) -> None:
    """OpenSSL would wait for whoever writes to it, and the agent with it."""
    assert trusted(SSL_CERT_FILE=fifo, SSL_CERT_DIR=tmp_path) == "0"
    assert trusted(SSL_CERT_FILE=tmp_path / "missing", SSL_CERT_DIR=tmp_path) == "0"


def test_a_file_without_end_is_none(tmp_path: Path) -> None:
    """Nor a device."""
    assert trusted(SSL_CERT_FILE=Path("/dev/zero"), SSL_CERT_DIR=tmp_path) == "0"


def test_a_pipe_in_the_folder_is_named(tmp_path: Path, fifo: Path) -> None:
    """OpenSSL would open it in a handshake, if an issuer's name has that hash."""
    fifo.rename(tmp_path / "12345678.0")
    said = trusted(SSL_CERT_FILE=tmp_path / "missing", SSL_CERT_DIR=tmp_path)
    assert said == f"{tmp_path / '12345678.0'}: is no regular file"
