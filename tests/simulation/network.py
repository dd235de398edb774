"""A cluster's network, and what is broken in it: what a check of it shows and how long it takes.

A model: an exchange is four segments (SYN, SYN-ACK, request, answer), each may be lost by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import (
    CheckResult,
    Failure,
    Measurement,
    Outcome,
    Phase,
    Split,
    Target,
    TargetKind,
)

if TYPE_CHECKING:
    from random import Random

TIMEOUT = 5.0
ROUND_TRIP = 0.0003
FIRST_SYN_TIMEOUT = 1.0
REQUEST_TIMEOUT = 0.2
SYN_ACK_AGAIN = 1.0
"""After the SYN, where no answer came."""
SYN_KEPT = 63.0
"""A half-open connection is given up then (tcp_synack_retries is 5)."""
ENDPOINT_STAYS = 30.0
"""Seconds until a backend that does not answer is no endpoint any more."""

BY_NAME = {TargetKind.API_SERVER_DNS, TargetKind.ME_INGRESS, TargetKind.ME_SERVICE}
BY_TLS = {TargetKind.API_SERVER_DIRECT, TargetKind.API_SERVER_DNS, TargetKind.ME_INGRESS}
"""A certificate is more than a segment; our hello is less."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a check shows: an error (None: it is good), and what was measured."""

    error: ErrorType | None = None
    seconds: float = ROUND_TRIP
    phase: Phase = Phase.REQUEST
    status: int | None = None
    repeats: int = 0
    loss_out: float = 0.0
    loss_in: float = 0.0
    far_end: float = 0.0001
    own_delay: float = 0.0002
    round_trip: float = ROUND_TRIP
    queries: int = 2
    """Of a look-up: for both families."""
    detour: float = 0.0


GOOD = Shown()
SILENT = Shown(ErrorType.CONNECT_TIMEOUT, TIMEOUT, Phase.CONNECT)
STALLED = Shown(ErrorType.RESPONSE_TIMEOUT, TIMEOUT, repeats=5)
SECOND_SYN = Shown(
    seconds=FIRST_SYN_TIMEOUT + 2 * ROUND_TRIP, repeats=1, loss_out=FIRST_SYN_TIMEOUT
)
WAYS_TO_FAIL = {
    "silent": SILENT,
    "stalled": STALLED,
    "mute": Shown(ErrorType.RESPONSE_TIMEOUT, TIMEOUT),
    "tls_mute": Shown(ErrorType.TLS_HANDSHAKE_TIMEOUT, TIMEOUT, Phase.TLS),
    "refused": Shown(ErrorType.CONNECTION_REFUSED, ROUND_TRIP, Phase.CONNECT),
    "cut": Shown(ErrorType.CONNECTION_RESET),
    "status": Shown(ErrorType.HTTP_STATUS, phase=Phase.STATUS, status=503),
    "token": Shown(ErrorType.CREDENTIALS_REFUSED, phase=Phase.STATUS, status=401),
    "certificate": Shown(ErrorType.TLS_CERTIFICATE_EXPIRED, phase=Phase.TLS),
    "slow": Shown(seconds=1.5, far_end=1.5),
    "dns_silent": Shown(ErrorType.DNS_TIMEOUT, TIMEOUT, Phase.DNS),
    "dns_failing": Shown(ErrorType.DNS_SERVER_FAILURE, phase=Phase.DNS),
    "dns_unknown": Shown(ErrorType.HOST_NOT_FOUND, phase=Phase.DNS),
    "starved": Shown(ErrorType.OWN_TIMEOUT, TIMEOUT, own_delay=3.0),
}


@dataclass(slots=True)
class Network:
    """What is broken now; all of it empty is a sound cluster."""

    random: Random
    background_loss: float = 0.0
    down: set[str] = field(default_factory=set)
    """Nodes that are off: nothing comes, nothing goes, their agents are gone."""
    unplugged: set[str] = field(default_factory=set)
    """Nodes without a link: their agents run."""
    flaps: set[str] = field(default_factory=set)
    """Nodes without a link for less than a second: the second SYN arrives."""
    drops: set[tuple[str, str]] = field(default_factory=set)
    """(from, to): "*" is everybody."""
    agents: dict[str, str] = field(default_factory=dict)
    """node -> a way to fail."""
    since: dict[str, float] = field(default_factory=dict)
    """node -> when its agent began to fail."""
    starved: set[str] = field(default_factory=set)
    services: set[str] = field(default_factory=set)
    """Nodes on which virtual IPs lead nowhere."""
    shared: dict[TargetKind, str] = field(default_factory=dict)
    """What all check -> a way to fail, from everywhere."""
    shared_from: dict[tuple[str, TargetKind], str] = field(default_factory=dict)
    """The same from one node."""
    backends: dict[TargetKind, tuple[float, str]] = field(default_factory=dict)
    """What all check -> which share of its backends fails, and how."""
    dns: str = ""
    """A way to fail, "part" or "lossy"."""
    dns_from: dict[str, str] = field(default_factory=dict)
    loss_out: dict[str, float] = field(default_factory=dict)
    loss_in: dict[str, float] = field(default_factory=dict)
    loss_between: dict[tuple[str, str], float] = field(default_factory=dict)
    small_only: set[tuple[str, str]] = field(default_factory=set)
    """(from, to) of ways on which full segments are lost: "*" is everybody."""
    agents_by_tls: bool = False
    """Agents show each other certificates: what answers a path check is large."""
    longer: dict[str, float] = field(default_factory=dict)
    """node -> seconds more of each round trip."""
    longer_between: dict[tuple[str, str], float] = field(default_factory=dict)
    detour: float = 0.0
    """Seconds that each look-up loses to names of the search path."""
    syns: dict[str, list[tuple[str, float]]] = field(default_factory=dict)
    """node -> (who asked, when): SYNs that came, and whose answer was lost."""

    def is_off(self, node: str) -> bool:
        return node in self.down or node in self.unplugged

    def passes(self, one: str, other: str) -> bool:
        """Whether a segment gets from ``one`` to ``other``."""
        return not (
            self.is_off(one)
            or self.is_off(other)
            or self.drops.intersection({(one, other), (one, "*"), ("*", other)})
        )

    def reaches(self, one: str, other: str) -> bool:
        return self.passes(one, other) and self.passes(other, one)

    def knock(self, asker: str, node: str, now: float) -> None:
        """A SYN leaves ``asker``."""
        if self.passes(asker, node) and not self.passes(node, asker):
            self.syns.setdefault(node, []).append((asker, now))

    def half_open(self, node: str, now: float) -> list[tuple[str, float]]:
        """What the kernel of ``node`` holds: (who asked, when).

        The worst case: also where the way was well meanwhile, if never as the answer was repeated.
        """
        self.syns[node] = [(who, at) for who, at in self.syns.get(node, ()) if now - at < SYN_KEPT]
        return self.syns[node]

    def full_size(self, asker: str, node: str) -> Shown:
        """What a full-size check from ``asker`` shows."""
        shown = self._small(asker, node)
        if shown.error is not None:
            return shown
        for one, other, repeats in ((asker, node, 5), (node, asker, 0)):
            if self._loses_large(one, other):
                return Shown(ErrorType.FULL_SIZE_LOST, TIMEOUT, repeats=repeats)
        return shown

    def _loses_large(self, one: str, other: str) -> bool:
        ways = {(one, other), (one, "*"), ("*", other), ("*", "*")}
        return bool(self.small_only.intersection(ways))

    def path(self, asker: str, node: str) -> Shown:
        """What a path check from ``asker`` shows."""
        shown = self._small(asker, node)
        is_large = shown.error is None and self.agents_by_tls
        return WAYS_TO_FAIL["tls_mute"] if is_large and self._loses_large(node, asker) else shown

    def _small(self, asker: str, node: str) -> Shown:
        if self.is_off(asker) or not self.reaches(asker, node):
            return SILENT
        way = self.agents.get(node)
        if way is not None:
            return WAYS_TO_FAIL[way]
        if node in self.starved and self.random.random() < 0.4:
            return WAYS_TO_FAIL["mute"]
        return self._over(asker, node)

    def common(self, asker: str, kind: TargetKind, agents: list[str], now: float) -> Shown:
        """What a check of what all share shows. ``agents`` are all nodes with an agent."""
        if self.is_off(asker) or self._no_way(asker):
            return WAYS_TO_FAIL["dns_silent"] if kind in BY_NAME else SILENT
        if kind in BY_NAME and (way := self._look_up(asker)):
            return WAYS_TO_FAIL[way]
        if asker in self.services and kind is not TargetKind.ME_INGRESS:
            return SILENT
        if kind in BY_TLS and self.small_only.intersection({("*", asker), ("*", "*")}):
            return WAYS_TO_FAIL["tls_mute"]
        way = self.shared_from.get((asker, kind)) or self.shared.get(kind)
        if kind in self.backends and self.random.random() < self.backends[kind][0]:
            way = self.backends[kind][1]
        shown = WAYS_TO_FAIL[way] if way else self._served(asker, kind, agents, now)
        if self.detour and kind in BY_NAME:
            seconds = shown.seconds + self.detour
            return replace(shown, seconds=seconds, queries=8, detour=self.detour)
        return shown

    def _served(self, asker: str, kind: TargetKind, agents: list[str], now: float) -> Shown:
        if kind in (TargetKind.ME_INGRESS, TargetKind.ME_SERVICE):
            backends = [node for node in agents if self._is_endpoint(node, now)]
            if not backends:
                return WAYS_TO_FAIL["refused" if kind is TargetKind.ME_SERVICE else "status"]
            return self._by_backend(asker, kind, self.random.choice(backends))
        return self._over(asker, "")

    def _no_way(self, asker: str) -> bool:
        return bool(self.drops.intersection({(asker, "*"), ("*", asker)}))

    def _look_up(self, asker: str) -> str:
        if asker in self.services:
            return "dns_silent"
        way = self.dns_from.get(asker) or self.dns
        if way == "part":
            return "dns_silent" if self.random.random() < 0.5 else ""
        return way

    def _is_endpoint(self, node: str, now: float) -> bool:
        fails = self.is_off(node) or node in self.agents
        return not fails or now - self.since.get(node, now) < ENDPOINT_STAYS

    def _by_backend(self, asker: str, kind: TargetKind, node: str) -> Shown:
        fails = node in self.agents or self.is_off(node)
        if kind is TargetKind.ME_SERVICE:
            return GOOD if node == asker else self.path(asker, node)
        # The ingress tries another backend, mostly.
        if fails and self.random.random() < 0.3:
            return WAYS_TO_FAIL["status"]
        return self._over(asker, "")

    def _over(self, asker: str, node: str) -> Shown:
        """A good exchange, but for what is lost on its way."""
        if self.flaps.intersection((asker, node)):
            return SECOND_SYN
        out = 1 - (1 - self.background_loss) * (1 - self.loss_out.get(asker, 0.0)) * (
            1 - self.loss_in.get(node, 0.0)
        ) * (1 - self.loss_between.get((asker, node), 0.0))
        into = 1 - (1 - self.background_loss) * (1 - self.loss_in.get(asker, 0.0)) * (
            1 - self.loss_out.get(node, 0.0)
        ) * (1 - self.loss_between.get((node, asker), 0.0))
        delay = self.longer.get(asker, 0.0) + self.longer.get(node, 0.0)
        delay += self.longer_between.get((asker, node), 0.0)
        if self.random.random() < ((1 - out) * (1 - into)) ** 2:
            return GOOD if not delay else replace(GOOD, seconds=2 * delay, round_trip=delay)
        while True:
            shown = self._exchange(out, into, ROUND_TRIP + delay)
            if shown.loss_out or shown.loss_in or shown.error is not None:
                return shown

    def _exchange(self, out: float, into: float, round_trip: float) -> Shown:
        lost = {"out": 0.0, "in": 0.0}
        seconds, repeats = 0.0, 0
        for first_timeout in (FIRST_SYN_TIMEOUT, REQUEST_TIMEOUT):
            timeout = first_timeout
            while True:
                way = self._lost(out, into)
                if not way:
                    break
                lost[way] += timeout
                seconds += timeout
                # The far end sends its own answer again; a SYN is sent again by us in any case.
                repeats += way == "out" or first_timeout == FIRST_SYN_TIMEOUT
                timeout *= 2
                if seconds > TIMEOUT:
                    return SILENT if first_timeout == FIRST_SYN_TIMEOUT else STALLED
        return Shown(
            seconds=seconds + 2 * round_trip,
            repeats=repeats,
            loss_out=lost["out"],
            loss_in=lost["in"],
            round_trip=round_trip,
        )

    def _lost(self, out: float, into: float) -> str:
        if self.random.random() < out:
            return "out"
        return "in" if self.random.random() < into else ""


def result(target: Target, shown: Shown, at: float, *, view: str = "") -> CheckResult:
    """The record that a real check would leave; ``view`` is what the answer said."""
    failure = None
    if shown.error is not None:
        failure = Failure(error_type=shown.error, phase=shown.phase, event="", message="")
    named = target.kind in BY_NAME and shown.phase is not Phase.DNS
    return CheckResult(
        target=target,
        outcome=Outcome.OK if failure is None else Outcome.FAILED,
        started_at=at,
        failure=failure,
        trace_id="" if failure is None else f"{hash((target.key, at)) & (1 << 128) - 1:032x}",
        measurement=Measurement(
            split=Split(
                dns=0.001 if named else None,
                loss=shown.loss_out + shown.loss_in,
                loss_out=shown.loss_out,
                loss_in=shown.loss_in,
                far_end=shown.far_end if failure is None else None,
                network_round_trip=shown.round_trip if failure is None else None,
                own_delay=shown.own_delay,
            ),
            status_code=shown.status,
            retransmits=shown.repeats,
            look_up_queries=shown.queries if named else 0,
            detour=shown.detour if named else 0.0,
            view=view,
        ),
    )
