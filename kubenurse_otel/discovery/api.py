"""One API server: requests that answer with raw bytes, with the credentials that we have now.

Blocking: for threads only. Errors are ApiError, with a sentence for people that names what was
asked and holds no secret.
"""

from __future__ import annotations

import logging
import threading
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar
from urllib.parse import urlencode

import urllib3

from kubenurse_otel import __version__
from kubenurse_otel.discovery.bounded import LimitError, Limits, limited
from kubenurse_otel.discovery.service_account import in_cluster
from kubenurse_otel.probe.trust import NotATokenError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from kubenurse_otel.config import Config
    from kubenurse_otel.config.environment import KubectlProxies
    from kubenurse_otel.discovery.pools import Access

T = TypeVar("T")

CONNECT_SECONDS: Final = 5.0
PLUGIN_SECONDS: Final = 20.0
"""Seconds for the program that a kubeconfig runs to get credentials. The library would wait for
ever.
"""
CHUNK_BYTES: Final = 128 * 1024
MAX_RETRY_AFTER_SECONDS: Final = 60.0


class Problem(StrEnum):
    UNREACHABLE = "unreachable"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    EXISTS = "exists"
    """The object that we wanted to make exists already."""
    GONE = "gone"
    THROTTLED = "throttled"
    REFUSED = "refused"
    """Any other status."""
    INVALID = "invalid"
    """The answer is none that Kubernetes would give."""


class ApiError(Exception):
    """Why a request to the API server failed. ``str()`` is a sentence for people."""

    def __init__(
        self, problem: Problem, message: str, *, retry_after_seconds: float | None = None
    ) -> None:
        super().__init__(message)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds


class Answer:
    """A body on its way. ``abort`` may be called by another thread and ends ``chunks``."""

    def __init__(self, response: Any, asked: str, server: ApiServer, max_bytes: int) -> None:
        self._response = response
        self._asked = asked
        self._server = server
        self._max_bytes = max_bytes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Not handed back to the pool: what is left of a cut body must not answer the next request.
        self._server._ended(self)  # noqa: SLF001 - the two halves of one connection
        self._response.close()
        self._response.release_conn()

    def chunks(self) -> Iterator[bytes]:
        """Yield the decompressed body as it arrives.

        Raises ApiError when it breaks off, is over its limits, or unpacks to more than them.
        """
        left = self._max_bytes
        try:
            for chunk in self._response.stream(CHUNK_BYTES, decode_content=True):
                left -= len(chunk)
                if left < 0:
                    raise LimitError(f"more than {self._max_bytes} bytes came")
                yield chunk
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            # ValueError, AttributeError: the socket was shut down by abort in the middle of a read.
            raise ApiError(
                Problem.UNREACHABLE,
                f"the API server's answer to {self._asked} broke off: {_why(error)}",
            ) from None

    def read(self) -> bytes:
        """Return the whole body. Raises ApiError as `chunks` does."""
        return b"".join(self.chunks())

    def abort(self) -> None:
        # The errors are those of a response that is already over.
        with suppress(ValueError, RuntimeError, OSError, AttributeError):
            self._response.shutdown()


class ApiServer:
    """The API server of our cluster, or of KUBECONFIG. Safe to use from several threads.

    ``proxies`` apply to the API server of KUBECONFIG only. None: only its own ``proxy-url`` counts.
    """

    def __init__(
        self,
        config: Config,
        *,
        plugin_seconds: float = PLUGIN_SECONDS,
        proxies: KubectlProxies | None = None,
    ) -> None:
        self._config = config
        self._proxies = proxies
        self._plugin_seconds = plugin_seconds
        self._plugin: threading.Thread | None = None
        self._connecting = threading.Lock()
        """Held while credentials are fetched. ``_lock`` is held only while a field is written."""
        self._lock = threading.Lock()
        self._access: Access | None = None
        self._open: set[Answer] = set()
        self._closed = threading.Event()

    def get(
        self,
        path: str,
        query: Mapping[str, str],
        *,
        asked: str,
        read_seconds: float,
        max_bytes: int,
        total_seconds: float | None = None,
        accept: str = "application/json",
        compressed: bool = False,
    ) -> Answer:
        """Ask, and return the answer to a status of 200. Raises ApiError.

        ``asked`` is verb and resource for people ("list pods in namespace x"). An answer is
        abandoned after ``read_seconds`` of silence, beyond ``max_bytes`` (on the wire, and
        unpacked), and after ``total_seconds``, or (without that) if its bytes come more slowly than
        bounded.py allows.
        """
        headers = {"accept": accept} | ({"accept-encoding": "gzip"} if compressed else {})
        limits = Limits(
            max_bytes=max_bytes,
            seconds=read_seconds if total_seconds is None else total_seconds,
            progressing=total_seconds is None,
        )
        return self._ask(
            "GET", path, query, asked=asked, read_seconds=read_seconds, limits=limits, more=headers
        )

    def post(
        self,
        path: str,
        query: Mapping[str, str],
        body: bytes,
        *,
        asked: str,
        seconds: float,
        max_bytes: int,
    ) -> None:
        """Make the object in ``body`` (JSON). Raises ApiError, with EXISTS if the object exists.

        The answer has ``seconds`` from its first byte to its last, and ``max_bytes``.
        """
        with self._ask(
            "POST",
            path,
            query,
            asked=asked,
            read_seconds=seconds,
            limits=Limits(max_bytes=max_bytes, seconds=seconds, progressing=False),
            more={"accept": "application/json", "content-type": "application/json"},
            body=body,
        ) as answer:
            for _ in answer.chunks():
                pass

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        asked: str,
        read_seconds: float,
        limits: Limits,
        more: Mapping[str, str],
        body: bytes | None = None,
    ) -> Answer:
        if self._closed.is_set():
            raise ApiError(Problem.UNREACHABLE, "discovery has stopped")
        access, headers = self._reach()
        url = access.host + path + (f"?{urlencode(query)}" if query else "")
        headers |= {"user-agent": f"kubenurse-otel/{__version__}", **more}
        try:
            with limited(limits):
                response = access.pools.request(
                    method,
                    url,
                    body=body,
                    headers=headers,
                    timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                    preload_content=False,
                    retries=False,
                    redirect=False,
                )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise ApiError(
                Problem.UNREACHABLE,
                f"the API server {access.host} cannot be reached: {_why(error)}",
            ) from None
        answer = Answer(response, asked, self, limits.max_bytes)
        if response.status != (200 if method == "GET" else 201):
            with answer:
                raise _refusal(response, asked)
        with self._lock:
            self._open.add(answer)
        if self._closed.is_set():
            answer.abort()
        return answer

    def renew(self) -> None:
        """Read address and credentials anew at the next request (a rotated token, a new CA)."""
        with self._lock:
            access, self._access = self._access, None
        if access is not None:
            access.pools.clear()

    def close(self) -> None:
        """End every open answer; later ones end at once."""
        self._closed.set()
        with self._lock:
            open_answers = list(self._open)
        for answer in open_answers:
            answer.abort()
        self.renew()

    @property
    def _credentials(self) -> str:
        """Return the file that holds our credentials, for error messages."""
        return self._config.discovery.kubeconfig or str(self._config.trust.token_file)

    def _ended(self, answer: Answer) -> None:
        with self._lock:
            self._open.discard(answer)

    def _reach(self) -> tuple[Access, dict[str, str]]:
        """Return how to reach the API server now, and the headers to send. Raises ApiError."""
        with self._connecting:
            with self._lock:
                kept = self._access

            def credentials() -> tuple[Access, dict[str, str]]:
                access = kept or _connect(self._config, self._proxies)
                return access, access.headers()

            try:
                access, headers = self._in_time(credentials)
            except ApiError:
                raise
            except NotATokenError:
                raise self._no_token() from None
            except Exception as error:  # noqa: BLE001 - plugins of kubeconfig raise what they like
                raise _no_credentials(error, self._credentials) from None
            if kept is None:
                with self._lock:
                    self._access = access
        # Stripped: a token file may end in a newline, and http.client would repeat it in an error.
        headers = {name: value.strip() for name, value in headers.items()}
        if not all(value.isascii() and value.isprintable() for value in headers.values()):
            raise self._no_token()
        return access, headers

    def _no_token(self) -> ApiError:
        return ApiError(
            Problem.UNAUTHORIZED,
            f"the API server cannot be asked: the token of {self._credentials} is no token",
        )

    def _in_time(self, ask: Callable[[], T]) -> T:
        """Return or raise what ``ask`` does, within PLUGIN_SECONDS. A kubeconfig's plugin may hang,
        so only one runs.
        """
        if not self._config.discovery.kubeconfig:
            return ask()
        late = f"a plugin of KUBECONFIG has not answered within {self._plugin_seconds:g} s"
        if self._plugin is not None and self._plugin.is_alive():
            raise ApiError(Problem.UNAUTHORIZED, f"the API server cannot be asked: {late}")
        outcome: list[T | Exception] = []

        def run() -> None:
            try:
                outcome.append(ask())
            except Exception as error:  # noqa: BLE001 - raised again by whoever waits
                outcome.append(error)

        self._plugin = threading.Thread(target=run, name="kubeconfig", daemon=True)
        self._plugin.start()
        self._plugin.join(self._plugin_seconds)
        if not outcome:
            raise ApiError(Problem.UNAUTHORIZED, f"the API server cannot be asked: {late}")
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]


_OUTSIDE: Final = (
    "the API server cannot be asked: KUBERNETES_SERVICE_HOST is not set, as it is in every pod; "
    "outside of a cluster set KUBECONFIG, or KUBENURSE_DISCOVERY=static"
)


def _connect(config: Config, proxies: KubectlProxies | None) -> Access:
    if config.discovery.kubeconfig:
        from kubenurse_otel.discovery.kubeconfig import by_kubeconfig  # noqa: PLC0415 - its cost

        return by_kubeconfig(config.discovery.kubeconfig, proxies)
    if not config.checks.api_server_host:
        raise ApiError(Problem.UNREACHABLE, _OUTSIDE)
    return in_cluster(config)


def _no_credentials(error: Exception, file: str) -> ApiError:
    """``file`` is named where the error does not: a loader's "Token file exists but empty."."""
    logging.getLogger(__name__).debug("credentials", exc_info=error)
    why = " ".join(_why(error).split())  # of a mistake in YAML it is five lines
    text = why if file in why or isinstance(error, OSError) else f"{why.rstrip('.')} ({file})"
    return ApiError(Problem.UNREACHABLE, f"the API server cannot be asked: {text}")


def _refusal(response: Any, asked: str) -> ApiError:
    status = response.status
    retry_after = response.headers.get("retry-after", "")
    seconds = min(float(retry_after), MAX_RETRY_AFTER_SECONDS) if retry_after.isdigit() else None
    match status:
        case 401:
            problem = Problem.UNAUTHORIZED
            message = f"the API server does not accept our token (401), asked to {asked}"
        case 403:
            problem = Problem.FORBIDDEN
            message = f"the API server forbids us to {asked} (403): our role lacks it"
        case 404:
            problem, message = Problem.NOT_FOUND, f"the API server has nothing (404) to {asked}"
        case 409:
            problem, message = Problem.EXISTS, f"the API server has it (409), asked to {asked}"
        case 410:
            problem, message = Problem.GONE, f"the API server has forgotten (410), asked to {asked}"
        case 429 | 503 | 504:
            problem = Problem.THROTTLED
            message = f"the API server has no time for us ({status}), asked to {asked}"
        case _:
            problem = Problem.REFUSED
            message = f"the API server answered {status}, asked to {asked}"
    return ApiError(problem, message, retry_after_seconds=seconds)


def _why(error: Exception) -> str:
    """Say an error in at most 200 characters, without urllib3's pools and object addresses."""
    reason: object = error
    for _ in range(3):  # urllib3 wraps what happened.
        inner = getattr(reason, "reason", None)
        inner = inner if isinstance(inner, Exception) else getattr(reason, "__cause__", None)
        if not isinstance(inner, Exception):
            break
        reason = inner
    if isinstance(reason, OSError) and reason.strerror:
        text = f"{reason.filename}: {reason.strerror}" if reason.filename else reason.strerror
    else:
        text = str(reason).rpartition("object at 0x")[2].partition(">: ")[2] or str(reason)
    return (text or type(reason).__name__)[:200]
