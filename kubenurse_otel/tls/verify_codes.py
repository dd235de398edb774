"""OpenSSL's verdicts on a certificate (X509_V_ERR_*, openssl/x509_vfy.h), and what would help.

Says which are about time, name or trust. Every other code, also one of a future version, means that
a certificate of the chain is not acceptable, whoever vouches for it.
"""

from __future__ import annotations

from typing import Final

NOT_YET_VALID: Final = frozenset({9})
HAS_EXPIRED: Final = frozenset({10})
NAME_MISMATCH: Final = frozenset({62, 64})
"""Of the host name, of the IP address."""
UNTRUSTED: Final = frozenset({2, 7, 18, 19, 20, 21, 27, 28, 29, 30, 31})
"""Another certificate in the CA files would help. 7 (the signature is wrong), 29, 30 and 31 come if
a CA was made anew under its old name.
"""
OWN_TROUBLE: Final = frozenset({17, 69, 70})
"""No memory, or a wrong call of ours. These say nothing about the certificate."""

_RENEWED_CA: Final = "a CA of that name with another key is trusted: was it renewed?"
_PURPOSE: Final = (
    "its and its CAs' extendedKeyUsage needs serverAuth, anyExtendedKeyUsage is not enough; its "
    "keyUsage digitalSignature"
)
_NO_CA: Final = "what issued it is no CA: basicConstraints, keyUsage"
_NAMES: Final = "its CA's name constraints"
_WEAK: Final = "RSA of 2048 bits and SHA-256 at least"
_SIGNATURE: Final = "its signature's algorithm"

ADVICE: Final[dict[int, str]] = {
    7: _RENEWED_CA,
    28: "the CA file rejects it for servers",
    29: _RENEWED_CA,
    30: _RENEWED_CA,
    31: _RENEWED_CA,
    4: _SIGNATURE,
    6: "the CA's public key",
    13: "its notBefore",
    14: "its notAfter",
    22: "fewer intermediates",
    23: "it was revoked",
    24: _NO_CA,
    25: "its CA's pathlen allows fewer intermediates",
    26: _PURPOSE,
    32: _NO_CA,
    37: "its basicConstraints",
    40: "a proxy certificate, RFC 3820",
    41: "one of its extensions is not sound",
    42: "its policies",
    43: "its policies",
    45: "one of its extensions is not supported",
    47: _NAMES,
    48: _NAMES,
    49: _NAMES,
    51: _NAMES,
    52: _NAMES,
    53: _NAMES,
    66: _WEAK,
    67: f"its CA's key: {_WEAK}",
    68: _WEAK,
    76: _SIGNATURE,
    77: _SIGNATURE,
    78: _SIGNATURE,
    79: _NO_CA,
    94: "its key: a named curve",
}
"""What to look at, in addition to OpenSSL's own text. A code is not here if that text says it all,
or if the code cannot occur (we ask for no CRL, OCSP, DANE, Suite B or strict mode).
"""
