"""What a wire holds of what it sent."""

from __future__ import annotations

import socket

from kubenurse_otel.server.clients import Clients
from kubenurse_otel.server.wire import Wire


def test_a_document_that_was_sent_is_let_go() -> None:
    """A connection that is kept does not keep what others may have replaced meanwhile."""
    near, far = socket.socketpair()
    with near, far:
        wire = Wire(near, context=None, clients=Clients(limit=1, refusals={}))  # type: ignore[arg-type]
        document = bytearray(b"x" * 3_000)
        wire.put((b"head", document))
        assert wire.send()
        document.clear()  # BufferError while somebody looks at its bytes
        assert far.recv(3_004, socket.MSG_WAITALL) == b"head" + b"x" * 3_000
