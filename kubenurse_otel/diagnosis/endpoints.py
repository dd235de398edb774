"""The servers behind the cluster's DNS Service, each asked by its own address: who is silent.

Its own address leads past the Service's rules, and maybe into a policy that lets nobody pass but by
the Service: so a server is silent only while another one answers by the same way (transport and
address family: this node may have no IPv6), and where none ever did nothing is said.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubenurse_otel.model import DnsEndpoint

MOST_ASKED: Final = 8
"""The latest questions by a transport, which a figure is of."""
LEAST_SILENT: Final = 2
"""So many of them in a row, each by UDP asked twice, are no lost packets."""
KEPT_INTERVALS: Final = 3.0


@record(frozen=True, slots=True)
class OneAnswer:
    """Whether ``endpoint`` answered one question by ``transport`` ("udp", "tcp")."""

    endpoint: DnsEndpoint
    transport: str
    is_answered: bool


@record(frozen=True, slots=True, kw_only=True)
class By:
    """One transport's: how many of the latest questions were answered."""

    transport: str
    answered: int
    asked: int
    is_silent: bool
    """Now, while another server answers."""


@record(frozen=True, slots=True)
class Figure:
    """What an endpoint answers, by each transport that it is asked by."""

    endpoint: DnsEndpoint
    by: tuple[By, ...]

    @property
    def silent(self) -> tuple[str, ...]:
        """The transports by which it is silent."""
        return tuple(one.transport for one in self.by if one.is_silent)


class Endpoints:
    """What came of those that are asked. All times are Unix seconds."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._kept_seconds = KEPT_INTERVALS * interval_seconds
        self._latest: dict[DnsEndpoint, dict[str, deque[bool]]] = {}
        self._at = float("-inf")
        self._are_reachable = False

    def reset(self) -> None:
        self._latest.clear()

    def asked(self, answers: Iterable[OneAnswer], now: float) -> None:
        """Take in a check; who was not asked is none any more."""
        before, self._latest, self._at = self._latest, {}, now
        for one in answers:
            by = self._latest.setdefault(one.endpoint, {})
            found = before.get(one.endpoint, {}).get(one.transport) or deque(maxlen=MOST_ASKED)
            found.append(one.is_answered)
            by[one.transport] = found
            self._are_reachable |= one.is_answered

    def figures(self, now: float) -> tuple[Figure, ...]:
        """Return all of them, who is silent first; none where they are old, or nobody answered."""
        if not self._are_reachable or not 0 <= now - self._at <= self._kept_seconds:
            return ()
        answering = {
            (transport, endpoint.is_ipv6)
            for endpoint, by in self._latest.items()
            for transport, found in by.items()
            if found[-1]
        }
        figures = (
            Figure(
                endpoint,
                tuple(
                    _by(found, transport, is_way=(transport, endpoint.is_ipv6) in answering)
                    for transport, found in by.items()
                ),
            )
            for endpoint, by in self._latest.items()
        )
        return tuple(sorted(figures, key=lambda one: not one.silent))


def _by(found: deque[bool], transport: str, *, is_way: bool) -> By:
    """``is_way``: another server answers by the same."""
    latest = list(found)[-LEAST_SILENT:]
    is_silent = len(latest) == LEAST_SILENT and not any(latest)
    return By(
        transport=transport,
        answered=sum(found),
        asked=len(found),
        is_silent=is_silent and is_way,
    )
