"""An API server that answers discovery badly; it has the cluster's certificate."""

from __future__ import annotations

import itertools
import json
import random
from typing import TYPE_CHECKING, Final

from apiserver.stand_in import a_table
from servers.behaviours import head

from hostile import network, scene
from hostile.attack import Attack, Group
from hostile.serving import serving

if TYPE_CHECKING:
    from servers import Behaviour
    from servers.fault_server import Connection

PORT: Final = 6_443
ENVIRONMENT: Final = {
    "KUBENURSE_DISCOVERY": "kubernetes",
    "KUBERNETES_SERVICE_HOST": network.API_SERVER,
    "KUBERNETES_SERVICE_PORT": str(PORT),
}
PODS: Final = 10_000
_JSON: Final = [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")]
_NAMES: Final = ("\x1b[31mred", "a" * 253, "..", "path_", "éé", "", "a b", "node-1", "<script>")
_ADDRESSES: Final = (
    "127.0.0.1",
    "169.254.169.254",
    "::1",
    "0.0.0.0",
    "224.0.0.1",
    "no address",
    "",
)


def endless_list(connection: Connection) -> None:
    """One list whose items never end."""
    connection.read_request()
    connection.send(head(200, _JSON))
    connection.send(_chunk(b'{"kind":"PodList","apiVersion":"v1","metadata":{},"items":['))
    pods = _chunk(b",".join(json.dumps(_pod(number)).encode() for number in range(100)) + b",")
    while not connection.server.stopping.is_set():
        connection.socket.sendall(pods)


def endless_blanks(connection: Connection) -> None:
    connection.read_request()
    connection.send(head(200, _JSON))
    while not connection.server.stopping.is_set():
        connection.socket.sendall(_chunk(b" " * 65_536))


def trickle(connection: Connection) -> None:
    connection.read_request()
    connection.send(head(200, _JSON))
    while connection.sleep(1.0):
        connection.send(_chunk(b" "))


def endless_pages(connection: Connection) -> None:
    """Small pages, each of which says that there is another."""
    for number in itertools.count():
        if connection.read_request() is None:
            return
        connection.send(
            _list([_pod(number)], {"continue": f"page-{number}", "remainingItemCount": 1})
        )


def hostile_pods(connection: Connection) -> None:
    """10,000 pods and nodes whose names, addresses and zones are not what they should be."""
    while (request := connection.read_request()) is not None:
        if "watch=" in request.line:
            connection.send(head(200, _JSON))
            connection.hold()
            return
        chance = random.Random(1)
        pods = [
            _pod(number, chance.choice(_NAMES), chance.choice(_ADDRESSES)) for number in range(PODS)
        ]
        if "as=Table" in request.headers.get("accept", ""):
            connection.send(_whole(a_table(pods, {"resourceVersion": "1"})))
        else:
            connection.send(_list(pods, {}))


def endless_event(connection: Connection) -> None:
    """A sound list, then a watch whose one line never ends."""
    while (request := connection.read_request()) is not None:
        if "watch=" not in request.line:
            connection.send(_list([_pod(1)], {}))
            continue
        connection.send(head(200, _JSON))
        while not connection.server.stopping.is_set():
            connection.socket.sendall(_chunk(b"x" * 65_536))


def _pod(number: int, name: str = "pod", address: str = network.NEIGHBOUR) -> dict[str, object]:
    return {
        "kind": "Pod",
        "metadata": {"name": f"{name}-{number}", "uid": str(number), "namespace": "hostile"},
        "spec": {"nodeName": f"{name}-{number}"},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def _list(items: list[dict[str, object]], metadata: dict[str, object]) -> bytes:
    metadata = {"resourceVersion": "1", **metadata}
    return _whole({"kind": "PodList", "apiVersion": "v1", "metadata": metadata, "items": items})


def _whole(document: dict[str, object]) -> bytes:
    content = json.dumps(document).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(content)))]
    return head(200, headers) + content


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _attack(
    name: str, what: str, load: str, behaviour: Behaviour, *, learns_mib: float = 0.0
) -> Attack:
    return Attack(
        f"api-server-{name}",
        Group.API_SERVER,
        what,
        load,
        serving(
            behaviour,
            network.API_SERVER,
            PORT,
            tls=lambda target: scene.server_context(target.folder),
        ),
        environment=ENVIRONMENT,
        learns_mib=learns_mib,
    )


ATTACKS: Final = (
    _attack(
        "endless-list", "the list of pods never ends", "as fast as the agent reads", endless_list
    ),
    _attack(
        "endless-blanks",
        "the list of pods is blanks that never end",
        "as fast as the agent reads",
        endless_blanks,
    ),
    _attack(
        "endless-pages",
        "each page of a list says that there is another one",
        "one pod per page",
        endless_pages,
    ),
    _attack(
        "endless-event",
        "one event of a watch never ends",
        "as fast as the agent reads",
        endless_event,
    ),
    _attack("trickle", "the list comes very slowly", "1 byte per second", trickle),
    _attack(
        "hostile-pods",
        "the list has pods with impossible names and addresses",
        f"{PODS:,} pods",
        hostile_pods,
        learns_mib=32.0,
    ),
)
