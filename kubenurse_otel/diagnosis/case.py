"""What the rules look at: my view, those that I heard, and what discovery and configuration say."""

from __future__ import annotations

from dataclasses import field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.doubt import NO_WITNESS
from kubenurse_otel.diagnosis.symptoms import DNS, HARD, Symptom
from kubenurse_otel.diagnosis.verdict import Direction
from kubenurse_otel.diagnosis.view import SHARED, Accused, Said, Shared, View
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from kubenurse_otel.diagnosis.endpoints import Figure
    from kubenurse_otel.diagnosis.verdict import Cause, Evidence, Kind

CLUSTER: Final = "cluster"
"""The culprit that is no node's."""

AGENTS: Final = "agents"
"""The culprit that is all agents', as the certificate that they share."""
ENOUGH: Final = 3
"""Who must have a word on a node before it is named, as far as there are so many."""
DNS_TYPE: Final = "dns"
TYPES: Final[Mapping[Shared, str]] = MappingProxyType(
    {letter: kind.value for kind, letter in SHARED.items()} | {Shared.DNS: DNS_TYPE}
)
"""The metrics' type of what all check; DNS has none and is called so here."""


def path_type(node: str) -> str:
    """The metrics' type of the path checks of ``node`` (plan/targets.py)."""
    return f"path_{node}"


@record(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a rule concludes: a verdict without its times.

    ``explains`` are types of checks; later rules do not see them. ``is_last``: nothing that was
    seen can be believed, or all of it is a consequence.
    """

    kind: Kind
    culprit: str
    direction: Direction = Direction.NONE
    cause: Cause
    confidence: float
    evidence: tuple[Evidence, ...] = ()
    against: tuple[str, ...] = ()
    second: str = ""
    named: str = ""
    explains: frozenset[str] = frozenset()
    is_last: bool = False
    since: float | None = None
    """Where it did not begin with the first check that failed; Unix seconds."""


@record(frozen=True, slots=True)
class Vanishing:
    """Large segments that do not arrive: which way (ours), and TCP's word on their size.

    ``segment_bytes`` is tcpi_snd_mss, ``path_mtu`` tcpi_pmtu; 0 where the kernel does not tell.
    ``run`` is for how many intervals it has been so, of small checks: not of full-size ones.
    """

    direction: Direction
    segment_bytes: int = 0
    path_mtu: int = 0
    run: int = 1


@record(frozen=True, slots=True)
class LosingWay:
    """A way on which much is lost: which direction (ours), and since when (Unix seconds)."""

    direction: Direction
    since: float


@record(frozen=True, slots=True, kw_only=True)
class LosingWays:
    """All ways together lose much, in one direction. ``sums`` are each way's (cusum.py), by node.

    ``seconds`` is for how long the alarm has been due, ``since`` when the first loss was seen.
    """

    sums: Mapping[str, float]
    seconds: float
    since: float


@record(frozen=True, slots=True, kw_only=True)
class LongerWays:
    """Round trips to most peers are longer than usual. ``factors`` are how many times as long each
    one is (0: it is as usual), by node, of all whose usual one is known. ``run`` is for how many
    intervals it has been so. ``were_everybodys``: others said so of theirs meanwhile; who does not
    say it any more may know no other times by now.
    """

    factors: Mapping[str, float]
    run: int
    were_everybodys: bool = False


@record(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is no witness's word: discovery's and configuration's, and our own measurements.

    ``nodes`` is how many run an agent, ours included. ``zones`` are by node. ``known`` are nodes
    that may be named: those that are there and not leaving (ours is among them, or is leaving).
    """

    nodes: int = 1
    run_alone: int = 3
    """Intervals that I alone must have seen it before what others find well contradicts me: their
    word may be as old as a fresh view, and what it tells of an interval older."""
    zones: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    known: frozenset[str] = frozenset()
    not_ready: frozenset[str] = frozenset()
    discovery_is_well: bool = True
    is_sick: bool = False
    """Half of our latest checks were delayed by ourselves."""
    loss: Mapping[str, LosingWay] = field(default_factory=lambda: MappingProxyType({}))
    """Peers on whose way much is lost."""
    losses: Mapping[Direction, LosingWays] = field(default_factory=lambda: MappingProxyType({}))
    """What is lost on all our ways together, where that is much; which way (ours)."""
    fresh_seconds: float = 12.0
    """So old may be what is heard of others."""
    explored: frozenset[str] = frozenset()
    """Nodes that are no neighbours of ours, and did not answer when they had their turn."""
    vanishing: Mapping[str, Vanishing] = field(default_factory=lambda: MappingProxyType({}))
    """Peers on whose way large segments vanish."""
    run_of_everybody: int = 11
    """Intervals that large segments must vanish before all others have seen it in their own
    full-size checks, without having heard of it."""
    sizes_are_settled: bool = True
    """Each full-size check was made anew since the first sign that large segments vanish."""
    unsized: frozenset[str] = frozenset()
    """Peers whose TLS stalls, not checked in full size since: a certificate is large."""
    longer: LongerWays | None = None
    """Where round trips to most peers are longer than usual."""
    detour_seconds: float = 0.0
    """How much sooner names would be found without the search path, in the median."""
    dns_endpoints: tuple[Figure, ...] = ()
    """Of the servers behind the cluster's DNS Service, who is silent first."""
    is_settled: bool = True
    """Each virtual IP has been heard of since the first of them fell silent."""
    accused_lately: frozenset[str] = frozenset()
    """Neighbours that said of themselves, a minute ago or less, that they lose or are cut off."""
    lost_lately: frozenset[str] = frozenset()
    """Those of them that said that they lose: what they do not answer may be that. Who was cut off
    was heard since, so that is over."""
    accused_at: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """When a neighbour, or our own node, last said so; Unix seconds, by node."""
    bad_lately: Mapping[Shared, frozenset[str]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Neighbours that said, a minute ago or less, that something shared is bad, whatever they say
    now."""
    doubting: frozenset[str] = frozenset()
    """Neighbours whose last word, a minute old or less, is that they do not trust themselves."""
    doubted_lately: frozenset[str] = frozenset()
    """Neighbours that did not trust themselves, a minute ago or less."""
    extras: Mapping[str, Said] = field(default_factory=lambda: MappingProxyType({}))
    """Our own extra checks, by name: nobody else's view has them."""
    traces: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """The trace of the last failed check, by type."""


@record(frozen=True, kw_only=True)
class Case:
    """One moment, indexed. ``heard`` are fresh views by node, without ours."""

    mine: View
    heard: Mapping[str, View]
    facts: Facts
    explained: frozenset[str] = frozenset()

    def after(self, findings: tuple[Finding, ...]) -> Case:
        """The case without what ``findings`` explain."""
        if not findings:
            return self
        return replace(self, explained=self.explained.union(*(one.explains for one in findings)))

    # --- who speaks -----------------------------------------------------------------------------

    @cached_property
    def witnesses(self) -> tuple[View, ...]:
        """Neighbours that trust themselves and see something: not those that are cut off."""
        return tuple(
            view
            for view in self.heard.values()
            if view.doubt < NO_WITNESS and view.accused is not Accused.CUT_OFF
        )

    def seen_by(self, node: str) -> tuple[View, ...]:
        """I, and the witnesses that check ``node``."""
        return (self.mine, *(one for one in self.witnesses if node in one.targets))

    def is_bad_for_others(self, node: str) -> bool:
        """Whether half of the witnesses that check ``node`` get no answer."""
        words = [one.targets[node].symptom for one in self.witnesses if node in one.targets]
        return bool(words) and 2 * sum(one in HARD for one in words) >= len(words)

    @property
    def enough(self) -> int:
        """How many must have a word on a node, I among them; in a small cluster all others."""
        return max(2, min(ENOUGH, self.facts.nodes - 1))

    def zone(self, node: str) -> str:
        """As discovery has it, "" where it does not say."""
        return self.facts.zones.get(node, "")

    @cached_property
    def own_zone(self) -> str:
        return self.zone(self.mine.node)

    @cached_property
    def zones(self) -> frozenset[str]:
        return frozenset(self.facts.zones.values()) - {""}

    # --- what they say --------------------------------------------------------------------------

    @cached_property
    def paths(self) -> Mapping[str, Said]:
        """My neighbours that may be named, explained or not."""
        return {node: said for node, said in self.mine.targets.items() if node in self.facts.known}

    @cached_property
    def hard(self) -> Mapping[str, Said]:
        """Those of them that do not answer me, explained or not."""
        return {node: said for node, said in self.paths.items() if said.symptom in HARD}

    @cached_property
    def bad(self) -> Mapping[str, Said]:
        """Those that are still to be explained, by others than themselves; of what may be too large
        for the way nobody knows yet what it is.
        """
        return {
            node: said
            for node, said in self.hard.items()
            if self.is_open(path_type(node)) and not self._says_so_itself(node, said)
            if node not in self.facts.unsized
        }

    def _says_so_itself(self, node: str, said: Said) -> bool:
        """Whether its own view accuses its node of what we see: it has named itself."""
        loses = node in self.facts.lost_lately
        return loses and said.symptom in (Symptom.SILENT, Symptom.STALLED)

    @property
    def is_well(self) -> bool:
        """Whether nothing that we see is bad: hearsay is no reason to look for a culprit."""
        facts = self.facts
        words = (self.mine.targets, self.mine.shared, facts.extras)
        return (
            all(said.symptom is Symptom.OK for all_ in words for said in all_.values())
            and self.mine.doubt < NO_WITNESS
            and not (facts.is_sick or facts.loss or facts.losses)
            and not (facts.longer or facts.detour_seconds)
        )

    def is_open(self, type_: str) -> bool:
        return type_ not in self.explained

    def shared(self, letter: Shared) -> Said | None:
        """My word on ``letter``; None: it is explained, or not checked."""
        return self.mine.shared.get(letter) if self.is_open(TYPES[letter]) else None

    def votes(
        self,
        letter: Shared,
        is_alike: Callable[[Symptom], bool],
        *,
        besides: frozenset[Symptom] = frozenset(),
        least_run: int = 1,
    ) -> Votes:
        """How the witnesses that check ``letter`` see it.

        Who sees one of ``besides``, or found no address by DNS, has no word on it. Who has seen it
        for fewer than ``least_run`` intervals does not agree yet.
        """
        besides = besides if letter is Shared.DNS else besides | DNS
        asked = [
            one
            for one in self.witnesses
            if letter in one.shared and one.shared[letter].symptom not in besides
        ]
        alike = [
            one
            for one in asked
            if is_alike(one.shared[letter].symptom) and one.shared[letter].run >= least_run
        ]
        return Votes(
            alike=tuple(one.node for one in alike),
            other=tuple(one.node for one in asked if one not in alike),
        )


@record(frozen=True, slots=True)
class Votes:
    """Nodes of witnesses: those that see what I see, and those that do not."""

    alike: tuple[str, ...]
    other: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.alike) + len(self.other)

    @property
    def share(self) -> float:
        """Of those that see it; 0 where nobody was heard."""
        return len(self.alike) / len(self) if len(self) else 0.0
