"""Which ClientHello is taken: one with a curve of Mozilla's list, and no finite-field key.

Whoever offers a key of ffdhe8192 has us compute for up to 170 ms, in one call that holds every
other answer up, and Python before 3.15 cannot choose groups.
"""

from __future__ import annotations

from typing import Final

from kubenurse_otel.tls import client_hello

CURVES: Final = {0x001D: "X25519", 0x0017: "prime256v1", 0x0018: "secp384r1"}
"""Mozilla's tls_curves. X25519MLKEM768 comes before them where OpenSSL has it (3.5), and does not
make one of them needless: an older OpenSSL would choose among what is left."""
_FINITE_FIELDS: Final = range(0x0100, 0x0200)
"""RFC 7919, section 2."""


class Hello:
    """Holds a client's first bytes back until they say what it offers."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = b""

    def take(self, data: memoryview) -> bytes | None:
        """Return all that came once it may go to OpenSSL, None while more has to come.

        Raises ValueError for a hello that is refused. What is no hello is OpenSSL's to refuse.
        """
        self._held += data
        try:
            found = client_hello.message(self._held)
        except client_hello.NoHelloError:
            return self._held
        if found is None:
            return None
        offer = client_hello.offer(found)
        if offer.groups is not None and not CURVES.keys() & set(offer.groups):
            raise ValueError("no curve that we have")
        if any(group in _FINITE_FIELDS for group in offer.key_shares):
            raise ValueError("a key of a finite field")
        return self._held
