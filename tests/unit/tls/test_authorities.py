"""authorities.py: files of certificates, and what is said of those that are broken."""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from verification.forms import broken, one_line, other_root, root

from kubenurse_otel.files import MAX_BYTES
from kubenurse_otel.tls.authorities import (
    AuthoritiesError,
    check_authorities,
    load_authorities,
)

if TYPE_CHECKING:
    from pathlib import Path

GOOD = root().pem
OTHER = other_root().pem
LINES = GOOD.count(b"\n")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ca.pem"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (GOOD + broken(OTHER), f"block 2 in line {LINES + 1} is not base64"),
        (b"# ours\n" + broken(OTHER) + GOOD, "block 1 in line 2 is not base64"),
        (GOOD.rstrip() + OTHER, "block 1 in line 1 does not end with its END line"),
        (GOOD[: len(GOOD) // 2], "block 1 in line 1 does not end with its END line"),
        (GOOD.replace(b"END CERT", b"END X509 CERT"), "block 1 in line 1 does not end with"),
        (GOOD + b" " + OTHER, f"block 2 in line {LINES + 1} does not have its BEGIN line for"),
        (b"x" + GOOD, "block 1 in line 1 does not have its BEGIN line for itself"),
        (
            b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            "block 1 in line 1 is no certificate",
        ),
        (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "block 1 in line 1 is no "),
        (b"", "there is no PEM certificate"),
        (b"apiVersion: v1\n", "there is no PEM certificate"),
        (root().key_pem, "there is no PEM certificate"),
        (GOOD.decode().encode("utf-16"), "there are zero bytes: UTF-16 is no PEM"),
        (root().der, "there is DER, not PEM"),
        (GOOD + b"\n" * MAX_BYTES, f"it is longer than {MAX_BYTES} bytes"),
    ],
)
def test_what_is_broken_is_named(file: Path, data: bytes, reason: str) -> None:
    """File, block and line; nothing of such a file is trusted."""
    file.write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    with pytest.raises(AuthoritiesError) as raised:
        load_authorities(context, file)

    assert raised.value.reason.startswith(reason)
    assert str(raised.value) == f"{file}: {raised.value.reason}"
    assert context.cert_store_stats()["x509"] == 0


@pytest.mark.parametrize(
    ("data", "certificates"),
    [
        (GOOD, 1),
        (GOOD + OTHER, 2),
        (b"\xef\xbb\xbf" + GOOD + OTHER, 2),
        ((GOOD + OTHER).replace(b"\n", b"\r\n"), 2),
        (GOOD.replace(b"\n", b" \n"), 1),
        (GOOD + b"\n\n" + OTHER.rstrip(), 2),
        (b"subject=CN = root\n" + GOOD + b"\nissuer=-----\n" + OTHER, 2),
        (one_line(GOOD), 1),
        (GOOD.replace(b" CERT", b" X509 CERT") + OTHER, 2),
        (root().key_pem + GOOD, 1),
    ],
)
def test_all_that_is_in_a_file_is_trusted(file: Path, data: bytes, certificates: int) -> None:
    """However it is written, and whatever stands around it."""
    file.write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    load_authorities(context, file)

    assert context.cert_store_stats()["x509"] == certificates


def test_a_missing_file_is_named(file: Path) -> None:
    """OpenSSL's own error has no name in it."""
    with pytest.raises(FileNotFoundError) as raised:
        check_authorities(file)
    assert raised.value.filename == str(file)


@given(
    data=st.lists(
        st.sampled_from(
            [GOOD, OTHER, GOOD[:300], GOOD[300:], b"-----BEGIN CERTIFICATE-----", b"-----END "]
        )
        | st.sampled_from([b"\n", b"\r\n", b" ", b"\x00", b"\xef\xbb\xbf", b"-----"])
        | st.binary(max_size=20),
        max_size=6,
    ).map(b"".join)
)
def test_what_passes_is_what_openssl_takes(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    """A file that has no fault is loaded, with as many certificates as it has BEGIN lines."""
    file = tmp_path_factory.mktemp("any") / "ca.pem"
    file.write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        check_authorities(file)
    except AuthoritiesError:
        return
    load_authorities(context, file)

    bodies = re.findall(rb"BEGIN CERTIFICATE-----(.*?)-----END", data, re.DOTALL)
    distinct = {b"".join(body.split()) for body in bodies}
    assert context.cert_store_stats()["x509"] == len(distinct)
