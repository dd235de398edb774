"""A server's TLS context that shows a form's chain, however weak."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from verification.forms import Form


def server_context(form: Form, folder: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    shown = folder / "shown.pem"
    shown.write_bytes(form.chain[0].key_pem + b"".join(one.pem for one in form.chain))
    context.load_cert_chain(shown)
    return context
