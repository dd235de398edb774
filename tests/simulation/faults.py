"""Faults, each with its truth: who must be named, and who else is touched by it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.verdict import Direction, Kind
from kubenurse_otel.model import TargetKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.diagnosis.verdict import Verdict
    from simulation.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Named:
    """A verdict that is right; ``direction`` None: whatever it says."""

    kinds: tuple[Kind, ...]
    culprit: str
    direction: Direction | None = None

    def fits(self, verdict: Verdict) -> bool:
        return (
            verdict.kind in self.kinds
            and verdict.culprit == self.culprit
            and self.direction in (None, verdict.direction)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """``named``: all of these must be. ``also``: what else is true. ``touched``: not well."""

    named: tuple[Named, ...] = ()
    also: tuple[Named, ...] = ()
    touched: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """``inject`` breaks the cluster, for good, and tells the truth."""

    name: str
    inject: Callable[[Cluster], Truth]
    seconds: float = 60.0
    least_nodes: int = 3
    zones: int = 3
    least_in_zone: int = 1
    warm_seconds: float = 40.0
    """What agents have seen of a sound cluster before."""
    tls: bool = False
    """Agents check each other by TLS (KUBENURSE_USE_TLS)."""


def _alive(cluster: Cluster) -> list[str]:
    """Nodes that no fault before has killed."""
    return [node for node in cluster.present if node in cluster.agents]


def _one(cluster: Cluster) -> str:
    return cluster.random.choice(_alive(cluster))


def _near(cluster: Cluster, node: str) -> list[str]:
    """Whom the agent on ``node`` checks, but for the dead."""
    chosen = cluster.agents[node].neighbourhood.chosen
    return [one.node_name for one in chosen if one.node_name in cluster.agents]


def _two(cluster: Cluster) -> tuple[str, str]:
    """Two of whom one checks the other."""
    one = _one(cluster)
    return one, cluster.random.choice(_near(cluster, one))


def _pair(one: str, other: str) -> str:
    return "|".join(sorted((one, other)))


def _of_node(node: str, *kinds: Kind, direction: Direction | None = Direction.NONE) -> Truth:
    return Truth(named=(Named(kinds, node, direction),), touched=frozenset({node}))


def _node_dead(cluster: Cluster) -> Truth:
    node = _one(cluster)
    _kill(cluster, node)
    return _of_node(node, Kind.NODE)


def _two_dead(cluster: Cluster) -> Truth:
    """Of two zones: else it may be all of one."""
    one = _one(cluster)
    elsewhere = [node for node in _alive(cluster) if cluster.zones[node] != cluster.zones[one]]
    other = cluster.random.choice(elsewhere)
    for node in (one, other):
        _kill(cluster, node)
    return Truth(
        named=tuple(Named((Kind.NODE,), node, Direction.NONE) for node in (one, other)),
        touched=frozenset({one, other}),
    )


def _kill(cluster: Cluster, node: str) -> None:
    cluster.network.down.add(node)
    cluster.network.since[node] = cluster.now
    cluster.stop(node)


def _link_down(cluster: Cluster) -> Truth:
    node = _one(cluster)
    cluster.network.unplugged.add(node)
    cluster.network.since[node] = cluster.now
    return _of_node(node, Kind.NODE)


def _link_flaps(cluster: Cluster) -> Truth:
    """A second in each five."""
    node, flaps = _one(cluster), cluster.network.flaps

    def down() -> None:
        flaps.add(node)
        cluster.after(1.0, lambda: flaps.discard(node))
        cluster.after(5.0, down)

    down()
    return _of_node(node, Kind.NODE, Kind.NODE_LOSS, direction=None)


def _one_way(cluster: Cluster, *, into: bool) -> Truth:
    node = _one(cluster)
    cluster.network.drops.add(("*", node) if into else (node, "*"))
    return _of_node(node, Kind.NODE, direction=None if into else Direction.NONE)


def _direction_of_a_cut(cluster: Cluster) -> Truth:
    """That it is the node is known before: its SYNs have to arrive and to be looked for."""
    truth = _one_way(cluster, into=True)
    (node,) = truth.touched
    return replace(truth, named=(Named((Kind.NODE,), node, Direction.IN),), also=truth.named)


def _agent(way: str) -> Callable[[Cluster], Truth]:
    def inject(cluster: Cluster) -> Truth:
        node = _one(cluster)
        cluster.network.agents[node] = way
        cluster.network.since[node] = cluster.now
        return _of_node(node, Kind.AGENT)

    return inject


def _pair_cut(cluster: Cluster, *, both: bool) -> Truth:
    one, other = _two(cluster)
    cluster.network.drops.add((one, other))
    if both:
        cluster.network.drops.add((other, one))
    return Truth(named=(Named((Kind.PAIR,), _pair(one, other)),), touched=frozenset({one, other}))


def _pair_nobody_checks(cluster: Cluster) -> Truth:
    """Neither of both is a neighbour of the other."""
    one = _one(cluster)
    far = [
        other
        for other in _alive(cluster)
        if other not in {one, *_near(cluster, one)} and one not in _near(cluster, other)
    ]
    other = cluster.random.choice(far)
    cluster.network.drops |= {(one, other), (other, one)}
    return Truth(named=(Named((Kind.PAIR,), _pair(one, other)),), touched=frozenset({one, other}))


def _mtu(*, into: bool) -> Callable[[Cluster], Truth]:
    def inject(cluster: Cluster) -> Truth:
        node = _one(cluster)
        cluster.network.small_only.add(("*", node) if into else (node, "*"))
        direction = Direction.IN if into else Direction.OUT
        named = Named((Kind.NODE_MTU,), node, direction)
        return Truth(named=(named,), touched=frozenset({node}))

    return inject


def _mtu_of_pair(cluster: Cluster) -> Truth:
    one, other = _two(cluster)
    cluster.network.small_only |= {(one, other), (other, one)}
    return Truth(named=(Named((Kind.PAIR,), _pair(one, other)),), touched=frozenset({one, other}))


def _mtu_of_all(cluster: Cluster) -> Truth:
    cluster.network.small_only.add(("*", "*"))
    return Truth(named=(Named((Kind.NODE_MTU,), "cluster"),))


def _zone_nodes(cluster: Cluster, zone: str) -> list[str]:
    return [node for node in _alive(cluster) if cluster.zones[node] == zone]


def _zone_cut(cluster: Cluster) -> Truth:
    one, other = cluster.random.sample(sorted(set(cluster.zones.values())), 2)
    for first in _zone_nodes(cluster, one):
        for second in _zone_nodes(cluster, other):
            cluster.network.drops |= {(first, second), (second, first)}
    return Truth(named=(Named((Kind.ZONE_PAIR,), _pair(one, other)),))


def _zone_dead(cluster: Cluster) -> Truth:
    zone = cluster.random.choice(sorted(set(cluster.zones.values())))
    gone = _zone_nodes(cluster, zone)
    for node in gone:
        _kill(cluster, node)
    return Truth(
        named=(Named((Kind.ZONE,), zone),),
        also=tuple(Named((Kind.NODE,), node, Direction.NONE) for node in gone),
        touched=frozenset(gone),
    )


def _dns(way: str, kind: Kind = Kind.DNS) -> Callable[[Cluster], Truth]:
    def inject(cluster: Cluster) -> Truth:
        cluster.network.dns = way
        return Truth(named=(Named((kind,), "cluster"),))

    return inject


def _dns_in_turn(cluster: Cluster) -> Truth:
    """Both replicas stop, one after the other, and come again so."""
    for at, way in ((0.0, "part"), (4.0, "dns_silent"), (45.0, "part"), (49.0, "")):
        cluster.after(at, partial(setattr, cluster.network, "dns", way))
    return Truth(named=(Named((Kind.DNS,), "cluster"),))


def _dns_from_one(cluster: Cluster) -> Truth:
    node = _one(cluster)
    cluster.network.dns_from[node] = "dns_silent"
    return _of_node(node, Kind.DNS)


def _service_path(cluster: Cluster, *, everywhere: bool) -> Truth:
    node = _one(cluster)
    cluster.network.services |= set(cluster.present) if everywhere else {node}
    culprit = "cluster" if everywhere else node
    return Truth(
        named=(Named((Kind.SERVICE_PATH,), culprit),),
        touched=frozenset() if everywhere else frozenset({node}),
    )


def _shared(way: str, kind: Kind, culprit: str, *targets: TargetKind) -> Callable[[Cluster], Truth]:
    def inject(cluster: Cluster) -> Truth:
        cluster.network.shared |= dict.fromkeys(targets, way)
        return Truth(named=(Named((kind,), culprit),))

    return inject


def _shared_from_one(way: str, kind: Kind, *targets: TargetKind) -> Callable[[Cluster], Truth]:
    def inject(cluster: Cluster) -> Truth:
        node = _one(cluster)
        for target in targets:
            cluster.network.shared_from[node, target] = way
        return _of_node(node, kind, direction=None)

    return inject


def _starved(cluster: Cluster) -> Truth:
    node = _one(cluster)
    cluster.network.starved.add(node)
    return Truth(
        named=(Named((Kind.PROBER,), node),),
        also=(Named((Kind.AGENT,), node),),  # for whom it has not answered since: mute it is
        touched=frozenset({node}),
    )


def _slow(cluster: Cluster) -> Truth:
    node = _one(cluster)
    cluster.network.longer[node] = LONGER_SECONDS
    return _of_node(node, Kind.NODE_SLOW)


def _slow_zone(cluster: Cluster) -> Truth:
    """The way to a zone became long: no node's fault."""
    zone = cluster.random.choice(sorted(set(cluster.zones.values())))
    inside = _zone_nodes(cluster, zone)
    for one in inside:
        for other in cluster.present:
            if other not in inside:
                ways = {(one, other): LONGER_SECONDS, (other, one): LONGER_SECONDS}
                cluster.network.longer_between |= ways
    return Truth()


def _all_slow(cluster: Cluster) -> Truth:
    """All ways became long: no node's fault."""
    cluster.network.longer |= dict.fromkeys(cluster.present, LONGER_SECONDS)
    return Truth(named=(Named((Kind.NODE_SLOW,), "cluster"),))


def _search_path(cluster: Cluster) -> Truth:
    cluster.network.detour = 0.2
    return Truth(named=(Named((Kind.SEARCH_PATH,), "cluster"),))


def loss(share: float, direction: Direction) -> Callable[[Cluster], Truth]:
    def inject(cluster: Cluster) -> Truth:
        node = _one(cluster)
        lost = cluster.network.loss_out if direction is Direction.OUT else cluster.network.loss_in
        lost[node] = share
        return Truth(
            named=(Named((Kind.NODE_LOSS,), node, direction),),
            also=(Named((Kind.NODE, Kind.NODE_LOSS), node),),
            touched=frozenset({node}),
        )

    return inject


def _pair_loss(cluster: Cluster) -> Truth:
    return _lossy_pairs(cluster, _two(cluster))


def _lossy_pairs(cluster: Cluster, *pairs: tuple[str, str]) -> Truth:
    for pair in pairs:
        cluster.network.loss_between[pair] = 0.3
    return Truth(
        named=tuple(Named((Kind.PAIR_LOSS,), _pair(*pair)) for pair in pairs),
        touched=frozenset(node for pair in pairs for node in pair),
    )


def _two_pair_losses(cluster: Cluster, *, joined: bool) -> Truth:
    """Of four nodes, or of three: then one of them is an end of both."""
    one = _one(cluster)
    near = _near(cluster, one)
    other = cluster.random.choice(near)
    if joined:
        third = cluster.random.choice([node for node in near if node != other])
        return _lossy_pairs(cluster, (one, other), (one, third))
    first = cluster.random.choice([node for node in _alive(cluster) if node not in (one, other)])
    second = cluster.random.choice(sorted({*_near(cluster, first)} - {one, other}))
    return _lossy_pairs(cluster, (one, other), (first, second))


def _lossy_nodes(cluster: Cluster, number: int, *, dead: int) -> Truth:
    """A share of the nodes loses, and some are dead: those that are well see many bad ways."""
    *lossy, last = cluster.random.sample(_alive(cluster), number + 1)
    for node in lossy:
        cluster.network.loss_out[node] = 0.3
    gone = [last][:dead]
    for node in gone:
        _kill(cluster, node)
    return Truth(
        named=tuple(Named((Kind.NODE_LOSS,), node, Direction.OUT) for node in lossy),
        also=(
            *(Named((Kind.NODE,), node) for node in gone),
            *(Named((Kind.NODE, Kind.NODE_LOSS), node) for node in lossy),
            *(Named((Kind.PAIR_LOSS,), _pair(*two)) for two in combinations(lossy, 2)),
        ),
        touched=frozenset({*lossy, *gone}),
    )


def _agents_dead(cluster: Cluster) -> Truth:
    """A third of them: the node is well, and its Service's and ingress's backends are not."""
    alive = _alive(cluster)
    gone = cluster.random.sample(alive, max(1, len(alive) // 3))
    for node in gone:
        cluster.network.agents[node] = "refused"
        cluster.network.since[node] = cluster.now
    return Truth(named=tuple(Named((Kind.AGENT,), node) for node in gone), touched=frozenset(gone))


def both(*injects: Callable[[Cluster], Truth]) -> Callable[[Cluster], Truth]:
    def inject(cluster: Cluster) -> Truth:
        truths = [one(cluster) for one in injects]
        return Truth(
            named=tuple(named for one in truths for named in one.named),
            also=tuple(also for one in truths for also in one.also),
            touched=frozenset().union(*(one.touched for one in truths)),
        )

    return inject


LONGER_SECONDS: Final = 0.02
HISTORY_SECONDS: Final = 340.0
"""So long an agent knows round trips before it compares any with them (diagnosis/slow.py)."""
_API = (TargetKind.API_SERVER_DIRECT, TargetKind.API_SERVER_DNS)
_INGRESS = TargetKind.ME_INGRESS

FAULTS: Final = (
    Fault(name="node dead", inject=_node_dead),
    Fault(name="link down", inject=_link_down),
    Fault(name="link flaps", inject=_link_flaps, seconds=90.0),
    Fault(name="node cut inwards", inject=lambda cluster: _one_way(cluster, into=True)),
    Fault(name="node cut outwards", inject=lambda cluster: _one_way(cluster, into=False)),
    Fault(name="node cut inwards, its direction", inject=_direction_of_a_cut),
    Fault(name="agent hung", inject=_agent("mute")),
    Fault(name="agent refusing", inject=_agent("refused")),
    Fault(name="agent resetting", inject=_agent("cut")),
    Fault(name="pair cut", inject=lambda cluster: _pair_cut(cluster, both=True)),
    Fault(name="pair cut one way", inject=lambda cluster: _pair_cut(cluster, both=False)),
    Fault(name="zones cut", inject=_zone_cut, least_nodes=12, least_in_zone=3),
    Fault(name="zone dead", inject=_zone_dead, least_nodes=12, least_in_zone=3),
    Fault(name="DNS silent", inject=_dns("dns_silent")),
    Fault(name="DNS failing", inject=_dns("dns_failing")),
    Fault(name="DNS replica silent", inject=_dns("part", Kind.DNS_REPLICA), seconds=90.0),
    Fault(name="DNS silent, replicas in turn", inject=_dns_in_turn, seconds=90.0),
    Fault(name="DNS silent from one node", inject=_dns_from_one),
    Fault(name="service path", inject=lambda cluster: _service_path(cluster, everywhere=True)),
    Fault(
        name="service path of one node",
        inject=lambda cluster: _service_path(cluster, everywhere=False),
    ),
    Fault(name="ingress 503", inject=_shared("status", Kind.INGRESS, "cluster", _INGRESS)),
    Fault(name="ingress silent", inject=_shared("silent", Kind.INGRESS, "cluster", _INGRESS)),
    Fault(name="ingress slow", inject=_shared("slow", Kind.INGRESS, "cluster", _INGRESS)),
    Fault(
        name="ingress certificate",
        inject=_shared("certificate", Kind.CERTIFICATE, "ingress", _INGRESS),
    ),
    Fault(name="ingress from one node", inject=_shared_from_one("silent", Kind.INGRESS, _INGRESS)),
    Fault(name="API server silent", inject=_shared("silent", Kind.API_SERVER, "cluster", *_API)),
    Fault(name="API server refusing", inject=_shared("refused", Kind.API_SERVER, "cluster", *_API)),
    Fault(name="API server slow", inject=_shared("slow", Kind.API_SERVER, "cluster", *_API)),
    Fault(name="token refused", inject=_shared("token", Kind.PROBER, "cluster", *_API)),
    Fault(name="token of one refused", inject=_shared_from_one("token", Kind.PROBER, *_API)),
    # A certificate is full-size, and neighbours' answers are small.
    Fault(name="MTU of one node", inject=_shared_from_one("mute", Kind.NODE_MTU, *_API, _INGRESS)),
    Fault(name="prober starved", inject=_starved),
    Fault(
        name="node slow",
        inject=_slow,
        seconds=90.0,
        least_nodes=4,
        warm_seconds=HISTORY_SECONDS,
    ),
    Fault(
        name="way to a zone slow",
        inject=_slow_zone,
        seconds=90.0,
        least_nodes=6,
        warm_seconds=HISTORY_SECONDS,
    ),
    Fault(
        name="all ways slow",
        inject=_all_slow,
        seconds=90.0,
        least_nodes=4,
        warm_seconds=HISTORY_SECONDS,
    ),
    Fault(name="search path", inject=_search_path, seconds=90.0),
    Fault(
        name="search path, DNS replica silent",
        inject=both(_search_path, _dns("part", Kind.DNS_REPLICA)),
        seconds=90.0,
    ),
    Fault(name="loss 30 % out", inject=loss(0.3, Direction.OUT)),
    Fault(name="loss 30 % in", inject=loss(0.3, Direction.IN)),
    Fault(name="loss 5 % out", inject=loss(0.05, Direction.OUT), seconds=90.0),
    Fault(name="loss 5 % in", inject=loss(0.05, Direction.IN), seconds=90.0),
    Fault(name="loss 1 % out", inject=loss(0.01, Direction.OUT), seconds=300.0),
    Fault(name="loss 1 % in", inject=loss(0.01, Direction.IN), seconds=300.0),
    Fault(name="loss of a pair", inject=_pair_loss, seconds=120.0),
    Fault(
        name="pair that nobody checks", inject=_pair_nobody_checks, least_nodes=24, seconds=240.0
    ),
    Fault(name="MTU in", inject=_mtu(into=True), seconds=150.0),
    Fault(name="MTU out", inject=_mtu(into=False), seconds=150.0),
    Fault(name="MTU of a pair", inject=_mtu_of_pair, seconds=240.0),
    Fault(name="MTU of all", inject=_mtu_of_all, seconds=150.0),
    Fault(name="MTU in, agents by TLS", inject=_mtu(into=True), seconds=150.0, tls=True),
    Fault(name="MTU out, agents by TLS", inject=_mtu(into=False), seconds=150.0, tls=True),
    Fault(name="MTU of a pair, agents by TLS", inject=_mtu_of_pair, seconds=240.0, tls=True),
    Fault(name="agent hung, agents by TLS", inject=_agent("mute"), tls=True),
    Fault(
        name="node dead, ingress 503",
        inject=both(_node_dead, _shared("status", Kind.INGRESS, "cluster", _INGRESS)),
    ),
    Fault(
        name="MTU of one node, DNS silent",
        inject=both(_shared_from_one("mute", Kind.NODE_MTU, *_API, _INGRESS), _dns("dns_silent")),
    ),
    Fault(
        name="MTU of one node, ingress silent",
        inject=both(
            _shared_from_one("mute", Kind.NODE_MTU, *_API),
            _shared("silent", Kind.INGRESS, "cluster", _INGRESS),
        ),
    ),
    Fault(
        name="MTU of a pair + loss 30 % out",
        inject=both(_mtu_of_pair, loss(0.3, Direction.OUT)),
        seconds=150.0,
    ),
    Fault(
        name="loss of a pair, prober starved",
        inject=both(_pair_loss, _starved),
        seconds=120.0,
        least_nodes=4,
    ),
    Fault(
        name="agent hung, DNS replica silent",
        inject=both(_agent("mute"), _dns("part", Kind.DNS_REPLICA)),
        seconds=90.0,
    ),
    Fault(name="two nodes dead", inject=_two_dead, least_nodes=6),
    Fault(name="agents dead", inject=_agents_dead),
    Fault(
        name="agents dead, service path",
        inject=both(_agents_dead, lambda cluster: _service_path(cluster, everywhere=True)),
    ),
    Fault(
        name="loss of two pairs",
        inject=lambda cluster: _two_pair_losses(cluster, joined=False),
        seconds=120.0,
        least_nodes=6,
    ),
    Fault(
        name="loss of two pairs of a node",
        inject=lambda cluster: _two_pair_losses(cluster, joined=True),
        seconds=120.0,
        least_nodes=6,
    ),
    Fault(
        name="loss of three nodes, one dead",
        inject=lambda cluster: _lossy_nodes(cluster, 3, dead=1),
        seconds=120.0,
        least_nodes=6,
    ),
    Fault(
        name="loss of two nodes",
        inject=lambda cluster: _lossy_nodes(cluster, 2, dead=0),
        seconds=120.0,
        least_nodes=6,
    ),
)
ONE_PERCENT: Final = frozenset({"loss 1 % out", "loss 1 % in"})
