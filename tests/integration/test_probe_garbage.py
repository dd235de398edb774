"""What a check leaves behind when it is over: nothing that waits for the garbage collector.

An error that is kept keeps the frames it went through, and these keep the error: a ring that only a
collection frees. At twenty failing checks a second that is memory that grows until one comes.
"""

from __future__ import annotations

import gc
import socket
from collections import Counter
from typing import TYPE_CHECKING

import httpx
import pytest
from opentelemetry.sdk.trace import TracerProvider
from probing import FakeResolver
from servers import BEHAVIOURS, Kind, full_backlog

from kubenurse_otel.config import TrustConfig
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import Auth, Outcome, Target, TargetKind, Trust
from kubenurse_otel.probe.marks import Attempt
from kubenurse_otel.probe.prober import Probed, Prober
from kubenurse_otel.probe.resolve import LookUpError, ThreadResolver
from kubenurse_otel.probe.sockets import Connection
from kubenurse_otel.probe.trust import TrustStore
from kubenurse_otel.tracing.check import Checker
from kubenurse_otel.tracing.httpx_adapter import InstrumentedProber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from servers import Certificates, FaultServer

OF_A_CHECK = (
    Probed,
    Attempt,
    Connection,
    httpx.Request,
    httpx.TransportError,
    LookUpError,
    socket.gaierror,
)
SOON = 0.3


@pytest.fixture
def uncollected() -> Iterator[Callable[[], Counter[str]]]:
    """Switch the collector off; tell which objects of checks are alive that were not before."""
    gc.collect()
    gc.disable()
    gc.freeze()  # get_objects() leaves out what is there already

    def alive() -> Counter[str]:
        return Counter(
            type(one).__name__ for one in gc.get_objects() if isinstance(one, OF_A_CHECK)
        )

    try:
        yield alive
    finally:
        gc.unfreeze()
        gc.enable()


@pytest.fixture
async def checker(certificates: Certificates, tmp_path: Path) -> AsyncIterator[Checker]:
    """As the agent has it, over the real prober and the system's resolver."""
    trust = TrustConfig(ca_file=certificates.ca_file, token_file=tmp_path)  # cannot be read
    provider = TracerProvider(shutdown_on_exit=False)
    resolve = ThreadResolver()
    fakes = FakeResolver({"two.test": ("127.0.0.1", "127.0.0.2")})

    async def look_up(host: str, *, deadline: float) -> object:
        return await (fakes if host in fakes.names else resolve)(host, deadline=deadline)

    prober = Prober(
        trust=TrustStore(trust),
        resolve=look_up,  # type: ignore[arg-type] # an Answer, of one of the two
    )
    yield Checker(InstrumentedProber(prober, provider), provider.get_tracer("tests"))
    prober.close()
    provider.shutdown()


def extra(url: str, **more: object) -> Target:
    fields = {
        "key": "extra",
        "type": "extra",
        "kind": TargetKind.EXTRA,
        "interval_seconds": 5.0,
        "timeout_seconds": 10.0,
    }
    return Target(url=parse_url(url), **{**fields, **more})  # type: ignore[arg-type] # fields of many types


async def test_a_good_check_leaves_no_garbage(
    serve: Callable[..., FaultServer],
    checker: Checker,
    uncollected: Callable[[], Counter[str]],
) -> None:
    """With a new connection and with a kept one."""
    server = serve(BEHAVIOURS["ok"])
    for reuse in (False, True, True, False):  # the last one ends the kept connection
        result = await checker.check(extra(server.url(), reuse_connection=reuse))
        assert result.outcome is Outcome.OK
    assert not uncollected()


@pytest.mark.parametrize("name", sorted(BEHAVIOURS))
async def test_no_fault_of_a_server_leaves_garbage(
    serve: Callable[..., FaultServer],
    checker: Checker,
    uncollected: Callable[[], Counter[str]],
    name: str,
) -> None:
    """Whatever it does, and the client does not speak TLS as it should either."""
    server = serve(BEHAVIOURS[name])
    await checker.check(extra(server.url(), timeout_seconds=SOON))
    await checker.check(extra(server.url(scheme="https"), timeout_seconds=SOON))
    assert not uncollected()


async def test_no_failure_to_connect_leaves_garbage(
    closed_port: int,
    checker: Checker,
    serve: Callable[..., FaultServer],
    certificates: Certificates,
    uncollected: Callable[[], Counter[str]],
) -> None:
    """Refused, unanswered, unknown, by two addresses, without a token, not trusted."""
    expired = serve(BEHAVIOURS["ok"], tls=certificates.context(Kind.EXPIRED))
    with full_backlog() as (host, port):
        found = [
            (await checker.check(target)).failure
            for target in (
                extra(f"http://127.0.0.1:{closed_port}/"),
                extra(f"http://two.test:{closed_port}/"),
                extra(f"http://{host}:{port}/", timeout_seconds=1.0),
                extra("http://no-such-name.invalid/"),
                extra(expired.url(scheme="https")),
                extra(
                    expired.url(scheme="https"),
                    kind=TargetKind.API_SERVER_DIRECT,
                    trust=Trust.API_SERVER,
                    auth=Auth.SERVICE_ACCOUNT_TOKEN,
                ),
            )
        ]
    types = [one.error_type for one in found if one is not None]
    assert [ErrorType.CONNECTION_REFUSED] * 2 + [ErrorType.CONNECT_TIMEOUT] == types[:3]
    assert [ErrorType.TLS_CERTIFICATE_EXPIRED, ErrorType.CREDENTIALS_MISSING] == types[4:]
    assert not uncollected()
