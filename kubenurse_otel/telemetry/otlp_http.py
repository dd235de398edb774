"""OTLP/HTTP: one POST on a blocking socket of ours, bounded in bytes and in time.

Owns the way there (addresses, TLS, the connection that is kept) and the sentence of each failure on
it. All steps of an export have one deadline together. What an answer means is answers.py's.
"""

from __future__ import annotations

import gzip
import ssl
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import h11

from kubenurse_otel import __version__, files
from kubenurse_otel.telemetry.answers import MAX_ANSWER_BYTES, Answer, failure, of_http
from kubenurse_otel.telemetry.exchange import Exchanges
from kubenurse_otel.telemetry.look_up import LookUp
from kubenurse_otel.telemetry.stream import Stream, TooLongError
from kubenurse_otel.tls.verification import client_context

if TYPE_CHECKING:
    from kubenurse_otel.config import OtlpConfig
    from kubenurse_otel.telemetry.signals import Signal

USER_AGENT: Final = f"kubenurse-otel/{__version__}"


class HttpWire:
    """Posts to one endpoint; for one thread, but `close` may be called from any.

    Raises OSError where a file of the configuration cannot be read.
    """

    def __init__(self, otlp: OtlpConfig, signal: Signal[Any]) -> None:
        parts = urlsplit(otlp.endpoint)
        self._otlp = otlp
        self._signal = signal
        self._tls = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._look_up = LookUp(self._host, parts.port or (443 if self._tls else 80))
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._headers = self._make_headers(parts.netloc.rpartition("@")[2])
        self._stream: Stream | None = None
        self._kept: Exchanges | None = None
        self._step = ""
        """The step that is under way, for the sentence of a failure."""
        self._closed = False
        if self._tls:
            self._context()  # a missing file is said by name, now

    def _make_headers(self, host: str) -> list[tuple[str, str]]:
        ours = {
            "host": host,
            "user-agent": USER_AGENT,
            "content-type": "application/x-protobuf",
            "accept-encoding": "identity",
        }
        if self._otlp.gzip:
            ours["content-encoding"] = "gzip"
        return list((ours | {name.lower(): value for name, value in self._otlp.headers}).items())

    def send(self, message: bytes, *, items: int, deadline: float) -> Answer:
        """Post one export; ``deadline`` is of time.monotonic. Raises nothing for a far end."""
        body = gzip.compress(message, 6) if self._otlp.gzip else message
        try:
            status, headers, answer = self._exchange(body, deadline)
        except TooLongError:
            limit = f"is it a collector? more came than the {MAX_ANSWER_BYTES} bytes of an answer"
            return failure("too long", limit)
        except h11.RemoteProtocolError as error:
            return failure("no HTTP", f"is it a collector? its answer is not HTTP: {error}")
        except h11.LocalProtocolError as error:
            return failure("headers", f"the configured headers cannot be sent: {error}")
        except ssl.SSLCertVerificationError as error:
            said = f"its certificate is not trusted: {error.verify_message}"
            return failure(said, said)
        except (OSError, ValueError) as error:  # ValueError: a name that TLS does not take
            said = self._said(error)
            return failure(said, said, retryable=True)
        return of_http(status, headers, answer, self._signal, sent=items, now=time.time())

    def _said(self, error: Exception) -> str:
        if isinstance(error, TimeoutError):
            return f"{self._step} took longer than {self._otlp.timeout_seconds:g} s"
        return f"{self._step}: {getattr(error, 'strerror', None) or error}"

    def close(self) -> None:
        """End what runs, from any thread; nothing is sent afterwards."""
        self._closed = True
        stream, kept, self._kept = self._stream, self._kept, None
        if kept is not None:  # in nobody's use
            kept.stream.close()
        elif stream is not None:
            stream.cut()

    def _exchange(self, body: bytes, deadline: float) -> tuple[int, dict[str, str], bytes]:
        kept, self._kept = self._kept, None
        if kept is not None and kept.stream.is_idle():
            try:
                return self._on(kept, body, deadline)
            except ConnectionError:
                pass  # closed in the same moment: that says nothing of the collector
        elif kept is not None:
            kept.stream.close()
        return self._on(Exchanges(self._connect(deadline)), body, deadline)

    def _on(
        self, exchanges: Exchanges, body: bytes, deadline: float
    ) -> tuple[int, dict[str, str], bytes]:
        self._step = "the request and its answer"
        try:
            answer = exchanges.post(self._target, self._headers, body, deadline)
            if exchanges.renew() and not self._closed:
                self._kept = exchanges
            return answer
        finally:
            if self._kept is None:
                exchanges.stream.close()

    def _connect(self, deadline: float) -> Stream:
        """Try each address, each with its share of the remaining time."""
        self._step = "the DNS look-up"
        addresses = self._look_up.addresses(deadline)
        last = OSError("no address")
        for number, (family, address) in enumerate(addresses):
            if self._closed:
                raise ConnectionAbortedError("shutting down")
            share = (deadline - time.monotonic()) / (len(addresses) - number)
            stream = self._stream = Stream(family)
            try:
                self._step = "connecting"
                stream.connect(address, time.monotonic() + share)
                if self._tls:
                    self._step = "the TLS handshake"
                    stream.start_tls(self._context(), self._host, deadline)
            except OSError as error:
                stream.close()
                last = error
            except BaseException:
                stream.close()
                raise
            else:
                return stream
        try:
            raise last
        finally:
            del last  # an error and the frame that holds it are a ring

    def _context(self) -> ssl.SSLContext:
        """Make a TLS context for each connection, since certificates are replaced while we run."""
        otlp = self._otlp
        for path in (otlp.client_certificate, otlp.client_key):
            if path is not None:
                files.read(path)  # OpenSSL's own error has no name in it
        trusted = [otlp.certificate] if otlp.certificate is not None else []
        context = client_context(*trusted, system=not trusted)
        context.set_alpn_protocols(["http/1.1"])
        if otlp.client_certificate is not None:
            context.load_cert_chain(otlp.client_certificate, otlp.client_key)
        return context
