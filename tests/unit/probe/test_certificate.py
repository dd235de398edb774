"""certificate.py: notAfter out of bytes that nobody has verified."""

from __future__ import annotations

import functools
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st
from verification.forms import FORMS, issue

from kubenurse_otel.probe.certificate import not_after

LEAF = issue("leaf", names=["agent.test"]).der


@given(st.datetimes(datetime(1951, 1, 1), datetime(9999, 12, 31)))  # noqa: DTZ001 - hypothesis' way
def test_not_after_is_what_a_library_reads(moment: datetime) -> None:
    """UTCTime until 2049, GeneralizedTime from 2050 on, to the second."""
    moment = moment.replace(microsecond=0, tzinfo=UTC)
    der = with_not_after(moment)

    assert not_after(der) == moment.timestamp()


def with_not_after(moment: datetime) -> bytes:
    key = shared_key()
    name = x509.Name([])
    return (
        x509.CertificateBuilder(name, name, key.public_key(), 1)
        .not_valid_before(datetime(1950, 1, 1, tzinfo=UTC))
        .not_valid_after(moment)
        .sign(key, None)
        .public_bytes(serialization.Encoding.DER)
    )


@functools.cache
def shared_key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_certificate_is_read(name: str) -> None:
    """Whatever key, signature and extensions it has."""
    leaf = FORMS[name]().chain[0]

    assert not_after(leaf.der) == leaf.certificate.not_valid_after_utc.timestamp()


@given(st.binary(max_size=300))
def test_bytes_that_are_no_certificate_say_nothing(data: bytes) -> None:
    """And raise nothing."""
    assert not_after(data) is None


@given(
    cut=st.integers(0, len(LEAF)),
    at=st.integers(0, 200),
    byte=st.integers(0, 255),
)
def test_a_damaged_certificate_raises_nothing(cut: int, at: int, byte: int) -> None:
    """A length or a tag that is wrong leads nowhere; at worst another time stands in it."""
    damaged = bytearray(LEAF)
    damaged[at] = byte
    for data in (bytes(damaged), bytes(damaged[:cut])):
        seconds = not_after(data)
        assert seconds is None or -62_135_596_800 <= seconds <= 253_402_300_799


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        (0x17, b"490101000000Z", 2_493_072_000.0),
        (0x17, b"500101000000Z", -631_152_000.0),
        (0x18, b"99991231235959Z", 253_402_300_799.0),
        (0x18, b"20500101000000Z", 2_524_608_000.0),
        (0x17, b"20500101000000Z", None),
        (0x18, b"490101000000Z", None),
        (0x17, b"4901010000Z", None),
        (0x17, b"490101000000+0000", None),
        (0x18, b"20500101000000.5Z", None),
        (0x17, b"491301000000Z", None),
        (0x17, b"490230000000Z", None),
        (0x17, b"490101000060Z", None),
        (0x17, b"\xd9\xa9\xd9\xa90101000000Z", None),
        (0x04, b"490101000000Z", None),
        (0x17, b"", None),
    ],
)
def test_a_time_is_of_the_forms_that_rfc_5280_allows(
    tag: int, text: bytes, expected: float | None
) -> None:
    """Section 4.1.2.5: Zulu, with seconds, without fractions, the century by the fifties."""
    time = bytes((tag, len(text))) + text
    validity = element(0x30, element(0x17, b"490101000000Z") + time)
    body = element(0x02, b"\x01") + element(0x30, b"") + element(0x30, b"") + validity

    assert not_after(element(0x30, element(0x30, body))) == expected


def element(tag: int, content: bytes) -> bytes:
    assert len(content) < 128
    return bytes((tag, len(content))) + content
