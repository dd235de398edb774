"""Far ends of checks whose answers cost the agent memory, CPU or series."""

from __future__ import annotations

import random
import ssl
from typing import TYPE_CHECKING, Final

from servers.behaviours import BEHAVIOURS, answer, big_body, head

from hostile import network, scene
from hostile.attack import Attack, Group
from hostile.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import Behaviour
    from servers.fault_server import Connection

    from hostile.agent import Agent
    from hostile.attack import Target

PORT: Final = 9_000
TICKETS: Final = 100_000
REGISTERED_STATUSES: Final = 64
"""About as many as IANA's registry has."""


def environment(scheme: str, *, targets: int = 1, interval: str = "500ms") -> dict[str, str]:
    """Extra checks of the hostile far end beside the honest one."""
    url = f"{scheme}://{network.FAR_END}:{PORT}/"
    names = ["hostile", *(f"hostile-{number}" for number in range(1, targets))]
    return {
        "KUBENURSE_EXTRA_CHECKS": "|".join([scene.HONEST, *(f"{name}:{url}" for name in names)]),
        "KUBENURSE_CHECK_INTERVAL_EXTRA": interval,
    }


class _Session:
    """The server's end of TLS in memory: what it says is sent when we like, all at once."""

    def __init__(self, connection: Connection, context: ssl.SSLContext) -> None:
        self._socket = connection.socket
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_side=True)

    def read_request(self) -> None:
        """The handshake, and the request, which comes in one record."""
        self._patiently(self._tls.do_handshake)
        self._patiently(lambda: self._tls.read(65_536))

    def write(self, data: bytes) -> None:
        """One record; it stays here until ``flush``."""
        self._tls.write(data)

    def flush(self) -> None:
        self._socket.sendall(self._outgoing.read())

    def _patiently(self, step: Callable[[], object]) -> None:
        while True:
            try:
                step()
            except ssl.SSLWantReadError:
                self.flush()
                self._incoming.write(self._socket.recv(65_536))
            else:
                self.flush()
                return


def session_tickets(target: Target) -> None:
    """After the handshake 100,000 tickets (RFC 8446 4.6.1), made before the first is sent."""
    context = scene.server_context(target.folder)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = TICKETS

    def behave(connection: Connection) -> None:
        _Session(connection, context).read_request()
        connection.hold()

    serving(behave, network.FAR_END, PORT)(target)


def tiny_records(target: Target) -> None:
    """A sound answer, each byte of it a record of its own."""
    context = scene.server_context(target.folder)

    def behave(connection: Connection) -> None:
        session = _Session(connection, context)
        session.read_request()
        session.write(head(200, [("Content-Length", "1000000")]))
        while not connection.server.stopping.is_set():
            for _ in range(4_096):
                session.write(b"x")
            session.flush()

    serving(behave, network.FAR_END, PORT)(target)


def random_statuses(connection: Connection) -> None:
    answer(random.randrange(200, 1_000), requests=1)(connection)


def random_names(connection: Connection) -> None:
    """A new name for itself in every answer, as a node or a proxy would tell."""
    name = f"node-{random.randrange(10**9)}"
    answer(headers=[("KUBENURSE-NODE-NAME", name), ("Via", f"1.1 {name}")], requests=1)(connection)


def no_new_series(agent: Agent) -> Callable[[], str]:
    def judge() -> str:
        for name in ("kubenurse_httpclient_requests_total", "kubenurse_errors_total"):
            found = sum('type="hostile"' in labels for labels in agent.series(name))
            if found > REGISTERED_STATUSES + 1:
                return f"{found} series of {name}"
        return ""

    return judge


def _plain(name: str, what: str, load: str, behaviour: Behaviour) -> Attack:
    return Attack(
        f"far-end-{name}",
        Group.FAR_END,
        what,
        load,
        serving(behaviour, network.FAR_END, PORT),
        environment=environment("http"),
    )


ATTACKS: Final = (
    Attack(
        "far-end-session-tickets",
        Group.FAR_END,
        "TLS 1.3 session tickets come before everything else",
        f"{TICKETS:,} tickets per connection",
        session_tickets,
        # Making the tickets takes the attacker seconds.
        environment={**environment("https"), "KUBENURSE_CHECK_TIMEOUT": "20s"},
    ),
    Attack(
        "far-end-tiny-records",
        Group.FAR_END,
        "TLS records have one byte each",
        "as fast as the agent reads",
        tiny_records,
        environment=environment("https"),
    ),
    _plain(
        "tiny-chunks", "chunks have one byte each", "1,000,000 chunks", BEHAVIOURS["tiny_chunks"]
    ),
    _plain(
        "endless-head",
        "the answer's headers never end",
        "1 KB each, as fast as the agent reads",
        BEHAVIOURS["endless_head"],
    ),
    _plain(
        "endless-interim",
        "103 Early Hints comes again and again",
        "1,000 per second",
        BEHAVIOURS["endless_interim"],
    ),
    _plain(
        "large-body", "the answer's body has 4 GB", "as fast as the agent reads", big_body(2**32)
    ),
    _plain(
        "slow-body",
        "the answer's body comes slowly",
        "50 bytes per second",
        BEHAVIOURS["dribble_body"],
    ),
    _plain(
        "random-names",
        "each answer names another node as the far end",
        "one per check",
        random_names,
    ),
    Attack(
        "far-end-random-statuses",
        Group.FAR_END,
        "each answer has a random status from 200 to 999",
        "10 checks per second",
        serving(random_statuses, network.FAR_END, PORT),
        environment=environment("http", interval="100ms"),
        judge=no_new_series,
    ),
)
