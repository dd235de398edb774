"""verify_codes.py: each of OpenSSL's verdicts has a word, and advice that would mend it."""

from __future__ import annotations

import _ssl
import ctypes
import ssl

import pytest

from kubenurse_otel.errors import ErrorType, failure
from kubenurse_otel.model import Phase
from kubenurse_otel.tls import verify_codes

CODES = range(1, 95)
OF_A_CA = "its CA must be in the system's bundle"


def said(code: int) -> tuple[str, str]:
    """What a check says that failed with this code; OpenSSL's words are its own."""
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code = code
    error.verify_message = words(code)
    found = failure(error, Phase.TLS, target="agent.test:443")
    return found.error_type, found.message


def words(code: int) -> str:
    library = ctypes.CDLL(getattr(_ssl, "__file__", None))
    library.X509_verify_cert_error_string.restype = ctypes.c_char_p
    library.X509_verify_cert_error_string.argtypes = [ctypes.c_long]
    found: bytes = library.X509_verify_cert_error_string(code)
    return found.decode()


def test_the_codes_are_openssls() -> None:
    """The numbers stand for what we take them for in the library that Python was linked with."""
    expected = {
        7: "certificate signature failure",
        9: "certificate is not yet valid",
        10: "certificate has expired",
        20: "unable to get local issuer certificate",
        26: "unsuitable certificate purpose",
        47: "permitted subtree violation",
        62: "hostname mismatch",
        64: "IP address mismatch",
        66: "EE certificate key too weak",
    }
    # OpenSSL 3.6 says more of some.
    assert {code: words(code)[: len(begin)] for code, begin in expected.items()} == expected


@pytest.mark.parametrize("code", CODES)
def test_only_where_a_ca_would_help_one_is_asked_for(code: int) -> None:
    """A purpose, a name constraint or a weak key is not mended by trusting somebody else."""
    error_type, message = said(code)

    assert (OF_A_CA in message) == (code in verify_codes.UNTRUSTED)
    assert (error_type == ErrorType.TLS_CERTIFICATE_UNTRUSTED) == (OF_A_CA in message)
    assert error_type.startswith("tls_") or code in verify_codes.OWN_TROUBLE
    assert words(code) in message


@pytest.mark.parametrize("code", verify_codes.ADVICE)
def test_advice_is_told_whole(code: int) -> None:
    """With OpenSSL's words it fits into a sentence."""
    assert verify_codes.ADVICE[code] in said(code)[1]


def test_no_code_has_two_words() -> None:
    """The sets are disjoint."""
    sets = [
        verify_codes.NOT_YET_VALID,
        verify_codes.HAS_EXPIRED,
        verify_codes.NAME_MISMATCH,
        verify_codes.UNTRUSTED,
        verify_codes.OWN_TROUBLE,
    ]
    assert len(frozenset().union(*sets)) == sum(map(len, sets))


def test_codes_of_versions_to_come_ask_for_no_ca() -> None:
    """OpenSSL 3.2 added one for raw public keys; the next are not known."""
    assert said(95)[0] == ErrorType.TLS_CERTIFICATE_INVALID
