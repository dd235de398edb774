"""Whom we trust and who we are: TLS contexts and the service account's token, fresh from files."""

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
    """The file that should hold a token holds something else, which nobody repeats."""


def read_token(path: Path) -> str:
    """Return a service account's token. Raises OSError or NotATokenError."""
    token = files.read(path, longest=MAX_TOKEN_BYTES).strip()
    if not re.fullmatch(rb"[\x21-\x7e]+", token):
        raise NotATokenError
    return token.decode("ascii")


class TrustStore:
    """TLS contexts by Trust and the bearer token, made anew when their files change."""

    def __init__(self, config: TrustConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._had_ca_file = files.is_there(config.ca_file)
        extra = (config.extra_ca,) if config.extra_ca is not None else ()
        bundle = (config.ca_file, *extra)
        self._contexts = {
            Trust.API_SERVER: _reread("the API server's CA", bundle, self._api_server, clock),
            Trust.WORKLOAD: _reread("the CA bundle", bundle, self._workload, clock),
        }
        # Without ALPN: whoever knows it and speaks no HTTP has to refuse "http/1.1" (RFC 7301).
        self._bare = _reread("the CA bundle", bundle, self._bare_workload, clock)
        self._token = _reread(
            "the token", (config.token_file,), lambda: read_token(config.token_file), clock
        )

    def context(self, trust: Trust, *, speaks_http: bool = True) -> ssl.SSLContext:
        """The context for a client connection: TLS 1.2 or newer, ALPN http/1.1 if it is for HTTP.

        Raises OSError or AuthoritiesError where the CA files never could be read, and
        CredentialsMissingError where nobody may vouch for the API server.
        """
        contexts = self._contexts if speaks_http else {Trust.WORKLOAD: self._bare}
        return contexts[trust].get()

    def load(self, targets: Iterable[Target]) -> None:
        """Have the contexts of ``targets`` ready: made in a check, the first held it up for 18 ms.

        What cannot be read is each check's to report.
        """
        for trust, speaks_http in {
            (target.trust, target.url.speaks_http) for target in targets if target.uses_tls
        }:
            with suppress(OSError, ValueError, CredentialsMissingError):
                self.context(trust, speaks_http=speaks_http)

    def authorization(self, target: Target) -> str | None:
        """The Authorization header for this target, None where it gets none.

        The token goes to the target it belongs to, over verified TLS. Raises
        CredentialsMissingError rather than send it anywhere else.
        """
        if target.auth is not Auth.SERVICE_ACCOUNT_TOKEN:
            return None
        if target.url.scheme != "https" or target.trust is not Trust.API_SERVER:
            raise CredentialsMissingError("the token goes over verified TLS only")
        try:
            token = self._token.get()
        except FileNotFoundError:
            return None  # no service account: /version usually answers anybody
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
        """List who alone vouches for the API server; empty, the system's: outside of a cluster.

        Once there was a ca.crt, never anybody wider: raises CredentialsMissingError without it.
        """
        authorities = self._files()
        if self._config.ca_file in authorities and not files.is_there(self._config.ca_file):
            raise CredentialsMissingError(f"{self._config.ca_file} is gone")
        return authorities

    def _files(self) -> list[Path]:
        """List ca.crt (where there is or was one) and EXTRA_CA (which must be)."""
        self._had_ca_file = self._had_ca_file or files.is_there(self._config.ca_file)
        cluster = [self._config.ca_file] if self._had_ca_file else []
        return cluster if self._config.extra_ca is None else [*cluster, self._config.extra_ca]


def _reread(
    what: str, paths: tuple[Path, ...], make: Callable[[], T], clock: Callable[[], float]
) -> files.Reread[T]:
    return files.Reread(paths, make, report=partial(_stays_in_use, what, paths), clock=clock)


def _stays_in_use(what: str, paths: tuple[Path, ...], error: OSError | ValueError) -> None:
    """Name the file and what is wrong; never what was read, which may be a token."""
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
    # As Go: what lets the far end make us compute. A finite-field prime of its own choice (TLS 1.2
    # has no bound below 10,000 bits: 175 ms in one call), and handshakes in an open connection.
    if names := _without_dhe(context):  # none: the system's policy is TLS 1.3 alone
        context.set_ciphers(":".join(names))
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _without_dhe(context: ssl.SSLContext) -> list[str]:
    """The names of its ciphers up to TLS 1.2 but those; TLS 1.3's are chosen elsewhere."""
    names = [cipher["name"] for cipher in context.get_ciphers()]
    return [name for name in names if not name.startswith(("DHE-", "TLS_"))]
