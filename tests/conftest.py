"""What integration tests share: certificates, fault servers that stop, an agent that asks."""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from servers import Behaviour, Certificates, FaultServer
from servers.nameserver import RESOLV_CONF
from servers.namespace import LackingError, run_in_namespace

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator, Iterator

    from probing import Prober


# A busy machine is no finding: nothing of a property test is judged by its time.
settings.register_profile(
    "any_machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any_machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--nothing-lacking",
        action="store_true",
        help="a test for which this machine lacks a program fails, and is not skipped",
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """--nothing-lacking"""
    report = yield
    lacks = call.excinfo is not None and isinstance(call.excinfo.value, LackingError)
    if lacks and item.config.getoption("--nothing-lacking"):
        report.outcome, report.longrepr = "failed", str(call.excinfo.value)
    return report


class _Bugs(logging.Handler):
    """Exceptions that the agent caught though nobody foresaw them (kubenurse_otel.unhandled)."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)


@pytest.fixture(autouse=True)
def _bugs_are_loud(request: pytest.FixtureRequest) -> Iterator[None]:
    """What ends one check alone in a cluster ends the test, unless it is marked ``makes_bugs``."""
    bugs, logger = _Bugs(), logging.getLogger("kubenurse_otel.unhandled")
    logger.addHandler(bugs)
    try:
        yield
    finally:
        logger.removeHandler(bugs)
    if bugs.seen and request.node.get_closest_marker("makes_bugs") is None:
        told = logging.Formatter()
        pytest.fail("\n".join(told.format(record) for record in bugs.seen))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A CA and server contexts with good and bad certificates."""
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def serve() -> Iterator[Callable[..., FaultServer]]:
    """Start fault servers (arguments as FaultServer's); all stop at the test's end."""
    with contextlib.ExitStack() as stack:

        def start(behaviour: Behaviour, **options: Any) -> FaultServer:
            return stack.enter_context(FaultServer(behaviour, **options))

        yield start


@pytest.fixture
async def prober(certificates: Certificates) -> AsyncIterator[Prober]:
    """An agent's client that trusts the tests' CA."""
    from probing import Prober

    async with Prober(ca_file=certificates.ca_file) as one:
        yield one


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A loopback port that refuses: bound, so that nobody else takes it, and not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.fixture(scope="session")
def namespace_checks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What checks told in a network of their own: {"dns": {case: ...}, "network": {...}}."""
    script = Path(__file__).parent / "integration" / "namespace_checks.py"
    directory = tmp_path_factory.mktemp("namespace")
    found = run_in_namespace(
        script,
        directory=directory,
        resolv_conf=RESOLV_CONF,
        programs=("dnsmasq", "ip", "nft"),
    )
    assert isinstance(found, dict)
    return found
