"""Attackers who want to be believed: as the API server, as many neighbours."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from hostile import network, scene
from hostile.attack import Attack, Group
from hostile.attacks.api_server import PORT as API_PORT
from hostile.attacks.clients import get
from hostile.crowd import Connection, crowd
from hostile.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from servers import fault_server

    from hostile.agent import Agent
    from hostile.attack import Target

TOKEN_SEEN: Final = "token-seen"


def stranger_in_place_of_the_api_server(target: Target) -> None:
    """ca.crt goes, and whoever holds a certificate of a public authority answers."""
    (target.folder / "ca.crt").unlink()

    def behave(connection: fault_server.Connection) -> None:
        request = connection.read_request()
        if request is not None and "authorization" in request.headers:
            (target.folder / TOKEN_SEEN).touch()
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    context = scene.server_context(target.folder, "public.pem")
    serving(behave, network.API_SERVER, API_PORT, tls=lambda _: context)(target)


async def forging_origins(connection: Connection) -> None:
    while True:
        name = f"kubenurse-{random.randrange(10**9)}"
        await connection.send(get("/alwayshappy", f"KUBENURSE-NEIGHBOUR-ORIGIN: {name}"))
        await connection.read()


def only_neighbours_count(agent: Agent) -> Callable[[], str]:
    def judge() -> str:
        found = agent.total("kubenurse_neighbourhood_incoming_checks")
        return f"{found:.0f} neighbours believed where there is 1" if found > 1 else ""

    return judge


def token_kept(agent: Agent) -> Callable[[], str]:
    return lambda: "the token went to a stranger" if (agent.folder / TOKEN_SEEN).exists() else ""


ATTACKS: Final = (
    Attack(
        "ca-vanishes",
        Group.TRUST,
        "ca.crt is deleted, and a server with a public authority's certificate answers at the API"
        " server's address",
        "one server",
        stranger_in_place_of_the_api_server,
        environment={
            "KUBENURSE_CHECK_API_SERVER_DIRECT": "true",
            "KUBERNETES_SERVICE_HOST": network.API_SERVER,
            "KUBERNETES_SERVICE_PORT": str(API_PORT),
            "SSL_CERT_FILE": "{folder}/public.crt",
        },
        judge=token_kept,
    ),
    Attack(
        "forged-origins",
        Group.TRUST,
        "clients ask for /alwayshappy, each time in the name of another pod",
        "as fast as the agent answers",
        crowd(forging_origins),
        connections=4,
        judge=only_neighbours_count,
    ),
)
