"""Hold the TLS contexts of checks and the service account's token, and read changed files again."""

from __future__ import annotations

import logging
import re
import ssl
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from kubenurse_otel import files
from kubenurse_otel.errors import CredentialsMissingError
from kubenurse_otel.model import Auth, Trust
from kubenurse_otel.tls.authorities import AuthoritiesError
from kubenurse_otel.tls.verification import client_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from kubenurse_otel.config import TrustConfig
    from kubenurse_otel.model import Target

_log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_TOKEN_BYTES: Final = 65_536


class NotATokenError(ValueError):
    """The token file holds something else. The text does not repeat what."""


def read_token(path: Path) -> str:
    """Return the service account's token in ``path``. Raises OSError or NotATokenError."""
    token = files.read(path, longest=MAX_TOKEN_BYTES).strip()
    if not re.fullmatch(rb"[\x21-\x7e]+", token):
        raise NotATokenError
    return token.decode("ascii")


class TrustStore:
    """The TLS contexts by Trust, and the bearer token. Each is made anew when its files change."""

    def __init__(self, config: TrustConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._had_ca_file = files.is_there(config.ca_file)
        extra = (config.extra_ca,) if config.extra_ca is not None else ()
        bundle = (config.ca_file, *extra)
        self._contexts = {
            Trust.API_SERVER: _reread("the API server's CA", bundle, self._api_server, clock),
            Trust.WORKLOAD: _reread("the CA bundle", bundle, self._workload, clock),
        }
        # Without ALPN: a server that knows ALPN and speaks no HTTP has to refuse "http/1.1"
        # (RFC 7301 section 3.2).
        self._bare = _reread("the CA bundle", bundle, self._bare_workload, clock)
        self._token = _reread(
            "the token", (config.token_file,), lambda: read_token(config.token_file), clock
        )

    def context(self, trust: Trust, *, speaks_http: bool = True) -> ssl.SSLContext:
        """Return the context for a connection: TLS 1.2 or newer; for HTTP with ALPN http/1.1.

        Raises OSError or AuthoritiesError if the CA files could never be read, and
        CredentialsMissingError if there is nobody who may vouch for the API server.
        """
        contexts = self._contexts if speaks_http else {Trust.WORKLOAD: self._bare}
        return contexts[trust].get()

    def load(self, targets: Iterable[Target]) -> None:
        """Make the contexts of ``targets`` ahead of their checks. Made in a check, the first one
        would hold it up for 18 ms. A file that cannot be read is reported by each check, not here.
        """
        for trust, speaks_http in {
            (target.trust, target.url.speaks_http) for target in targets if target.uses_tls
        }:
            with suppress(OSError, ValueError, CredentialsMissingError):
                self.context(trust, speaks_http=speaks_http)

    def authorization(self, target: Target) -> str | None:
        """Return the Authorization header for this target. None if it gets none.

        The token goes to the API server only, over verified TLS. Raises CredentialsMissingError if
        the target wants the token and this does not hold, or if the token cannot be read.
        """
        if target.auth is not Auth.SERVICE_ACCOUNT_TOKEN:
            return None
        if target.url.scheme != "https" or target.trust is not Trust.API_SERVER:
            raise CredentialsMissingError("the token goes over verified TLS only")
        try:
            token = self._token.get()
        except FileNotFoundError:
            return None  # no service account; /version usually answers without one
        except (OSError, ValueError):
            raise CredentialsMissingError("the token file cannot be read") from None
        if not self._cluster_files():
            raise CredentialsMissingError(
                f"{self._config.ca_file} is missing: the token stays here"
            )
        return f"Bearer {token}"

    def _api_server(self) -> ssl.SSLContext:
        authorities = self._cluster_files()
        return _http1(_sparing(client_context(*authorities, system=not authorities)))

    def _workload(self) -> ssl.SSLContext:
        return _http1(self._bare_workload())

    def _bare_workload(self) -> ssl.SSLContext:
        if self._config.insecure:
            context = client_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context = client_context(*self._files(), system=True)
        return _sparing(context)

    def _cluster_files(self) -> list[Path]:
        """List the only CA files that may vouch for the API server. Empty outside of a cluster:
        then the system's authorities do.

        Once there was a ca.crt, the system's authorities are never taken instead. Raises
        CredentialsMissingError if the ca.crt is gone.
        """
        authorities = self._files()
        if self._config.ca_file in authorities and not files.is_there(self._config.ca_file):
            raise CredentialsMissingError(f"{self._config.ca_file} is gone")
        return authorities

    def _files(self) -> list[Path]:
        """List ca.crt (if there is one or was one), and the configured extra CA file (which must
        exist).
        """
        self._had_ca_file = self._had_ca_file or files.is_there(self._config.ca_file)
        cluster = [self._config.ca_file] if self._had_ca_file else []
        return cluster if self._config.extra_ca is None else [*cluster, self._config.extra_ca]


def _reread(
    what: str, paths: tuple[Path, ...], make: Callable[[], T], clock: Callable[[], float]
) -> files.Reread[T]:
    return files.Reread(paths, make, report=partial(_stays_in_use, what, paths), clock=clock)


def _stays_in_use(what: str, paths: tuple[Path, ...], error: OSError | ValueError) -> None:
    """Log the file and what is wrong with it. Never log its content, which may be a token."""
    if isinstance(error, AuthoritiesError):
        reason = str(error)
    elif isinstance(error, OSError) and error.filename:
        reason = f"{error.filename}: {error.strerror or type(error).__name__}"
    else:
        of = getattr(error, "strerror", None) or type(error).__name__
        reason = f"{', '.join(map(str, paths))}: {of}"
    _log.warning("%s cannot be read (%s): the one before stays in use", what, reason)


def _http1(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["http/1.1"])
    return context


def _sparing(context: ssl.SSLContext) -> ssl.SSLContext:
    # Off, as in Go: two things by which a far end could make us compute for long. One is a
    # finite-field prime of its choice (TLS 1.2 allows up to 10,000 bits: 175 ms in one call). The
    # other is a new handshake in an open connection.
    if names := _without_dhe(context):  # none if the system's policy allows TLS 1.3 only
        context.set_ciphers(":".join(names))
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _without_dhe(context: ssl.SSLContext) -> list[str]:
    """Return the context's ciphers up to TLS 1.2 without those of finite-field Diffie-Hellman.

    Those of TLS 1.3 are not chosen by set_ciphers.
    """
    names = [cipher["name"] for cipher in context.get_ciphers()]
    return [name for name in names if not name.startswith(("DHE-", "TLS_"))]
