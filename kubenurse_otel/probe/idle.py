"""Connections that wait for their target's next check (KUBENURSE_REUSE_CONNECTIONS).

A connection belongs to a target, its address, and the TLS trust with which it was made. When one of
these changes, the connection is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterable

    from kubenurse_otel.model import Proxy, Target, Url
    from kubenurse_otel.probe.sockets import Connection

    _Place = tuple[Url, Proxy | None, str | None]


class IdleConnections:
    """Idle connections, at most one per target."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[_Place, Connection]] = {}

    def __contains__(self, target: Target) -> bool:
        return target.key in self._kept

    def take(self, target: Target, context: ssl.SSLContext | None) -> Connection | None:
        """Take the connection of ``target``, if it leads to the target's current address and was
        verified by ``context``.

        ``context`` is the one that would verify a new connection. None: a connection without TLS.
        """
        place, connection = self._kept.pop(target.key, (None, None))
        if connection is None:
            return None
        same = place == _place(target) and connection.verified_by is context
        if same and connection.is_idle():
            return connection
        connection.close()
        return None

    def keep(self, target: Target, connection: Connection) -> None:
        _, previous = self._kept.get(target.key, (None, None))
        if previous is not None and previous is not connection:
            previous.close()
        self._kept[target.key] = (_place(target), connection)

    def drop(self, target: Target) -> None:
        if target.key in self._kept:
            self._kept.pop(target.key)[1].close()

    def retain(self, targets: Iterable[Target]) -> None:
        """Close all connections that do not belong to any of ``targets`` as they are now."""
        places = {target.key: _place(target) for target in targets}
        for key, (place, connection) in list(self._kept.items()):
            if places.get(key) != place:
                del self._kept[key]
                connection.close()


def _place(target: Target) -> _Place:
    return target.url, target.proxy, target.server_name
