"""Large segments vanish on most ways from here: our own node's MTU, or everybody's."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import CLUSTER, TYPES, Finding, path_type
from kubenurse_otel.diagnosis.rules import (
    CONTRADICTED,
    FEW_AGREE,
    MOST_AGREE,
    SELF_ACCUSED,
    SUSPICION,
    agreed,
)
from kubenurse_otel.diagnosis.symptoms import DNS, HARD, STALLS, Symptom
from kubenurse_otel.diagnosis.verdict import Cause, Direction, Evidence, Kind
from kubenurse_otel.diagnosis.view import Shared
from kubenurse_otel.diagnosis.words import (
    alike,
    path,
    seen,
    shared,
    sizes,
    well_elsewhere,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kubenurse_otel.diagnosis.case import Case
    from kubenurse_otel.diagnosis.view import Said, View

LEAST: Final = 2
MOST: Final = 0.75
MOST_BAD: Final = 0.5
FAR_ENDS: Final = ((Shared.API_SERVER_DIRECT, Shared.API_SERVER_DNS), (Shared.ME_INGRESS,))
"""Each a far end of its own, mostly by TLS: a certificate is full-size. Two names are one end."""
LEAST_FAR_ENDS: Final = 2
RUN_OF_THE_LATEST: Final = 2


def on_most_ways(case: Case) -> Iterator[Finding]:
    """From here large segments vanish to most neighbours, so it is what these ways share.

    A suspicion until others must have seen it too, if it is theirs as well, or half of them have
    found that it is not. What stalls beyond, for its TLS is large, is that and nobody else's fault
    meanwhile.
    """
    vanish = _vanish(case.paths)
    if not is_of_most(case.paths):
        return
    mine = case.mine.node
    suffer = [view.node for view in case.witnesses if is_of_most(view.targets)]
    well = [view.node for view in case.witnesses if view.node not in suffer]
    is_everybodys = len(suffer) >= max(1, MOST_AGREE * len(case.witnesses))
    proven = [view.node for view in case.witnesses if _is_not_theirs(case, view, vanish)]
    is_known = len(proven) > MOST_AGREE * len(case.witnesses)
    runs = (case.facts.vanishing[node].run for node in vanish if node in case.facts.vanishing)
    is_late = is_known or max(runs, default=0) >= case.facts.run_alone
    if not case.facts.sizes_are_settled or not (is_everybodys or is_late):
        confidence = SUSPICION
    elif is_everybodys:
        confidence = agreed(len(suffer) + 1)
    else:
        confidence = SELF_ACCUSED if well else SUSPICION
    words = f"full-size segments vanish to or from {len(vanish)} of {len(case.paths)} neighbours"
    yield Finding(
        kind=Kind.NODE_MTU,
        culprit=CLUSTER if is_everybodys else mine,
        direction=Direction.NONE if is_everybodys else _direction(case, vanish),
        cause=Cause.FULL_SIZE,
        confidence=confidence,
        evidence=(
            Evidence(words=words),
            *(one for node in list(vanish)[:2] for one in (path(case, node), *sizes(case, node))),
            *(alike(suffer) if is_everybodys else well_elsewhere(well)),
        ),
        second=f"{Kind.NODE_MTU} {mine if is_everybodys else CLUSTER}",
        explains=frozenset(map(path_type, vanish)) | _connected(case),
    )


def _is_not_theirs(case: Case, view: View, vanish: Mapping[str, Said]) -> bool:
    """Whether ``view`` has checked anew all that we lose large segments to, and loses none."""
    mine = case.mine.node
    others = [view.targets[node] for node in vanish if node in view.targets and node != mine]
    return bool(others) and all(said.proven for said in others)


def far_ends(case: Case) -> Iterator[Finding]:
    """Far ends that have our node alone in common connect and then say nothing; others get answers.

    Neighbours' answers are small. Until full-size ones are asked for, it is seen here alone. Half
    of the neighbours answer small ones: what is wrong with the others is of them. Two do so, or
    one where the other is out of reach for everybody.
    """
    vanish = _vanish(case.paths)
    if not case.paths or len(case.hard) - len(vanish) > MOST_BAD * len(case.paths):
        return
    bad = [
        letter
        for letters in FAR_ENDS
        for letter in letters
        if _is_connected(case.shared(letter)) and _is_mine(case, letter)
    ]
    ends = sum(any(letter in bad for letter in letters) for letters in FAR_ENDS)
    least = LEAST_FAR_ENDS - (1 if any(_is_everybodys(case, end) for end in FAR_ENDS) else 0)
    extras = {
        name: said
        for name, said in case.facts.extras.items()
        if _is_connected(said) and case.is_open(name)
    }
    words = [*(case.mine.shared[letter] for letter in bad), *extras.values()]
    if not bad or ends + bool(extras) < least:
        return
    if max(said.run for said in words) < case.facts.run_alone:
        return
    well = {node for letter in bad for node in case.votes(letter, HARD.__contains__).other}
    evidence = (
        *(shared(case, letter) for letter in bad),
        *(seen(case, name, said) for name, said in extras.items()),
        *well_elsewhere(well),
    )
    yield Finding(
        kind=Kind.NODE_MTU,
        culprit=case.mine.node,
        direction=_direction(case, vanish),
        cause=Cause.FULL_SIZE,
        confidence=CONTRADICTED,
        evidence=evidence,
        second=f"{Kind.NODE} {case.mine.node}",
        explains=frozenset(map(path_type, vanish)) | _connected(case),
    )


def _is_connected(said: Said | None) -> bool:
    return said is not None and said.symptom in STALLS and said.run >= RUN_OF_THE_LATEST


def _is_mine(case: Case, letter: Shared) -> bool:
    votes = case.votes(letter, HARD.__contains__)
    return len(votes) > 0 and votes.share <= FEW_AGREE


def _is_everybodys(case: Case, letters: tuple[Shared, ...]) -> bool:
    """Whether none of ``letters`` can tell: others fail there as well, or no name is found."""
    asked = [(one, case.mine.shared[one].symptom) for one in letters if one in case.mine.shared]
    return bool(asked) and all(
        symptom in DNS
        or (symptom in HARD and case.votes(letter, HARD.__contains__).share >= MOST_AGREE)
        for letter, symptom in asked
    )


def _connected(case: Case) -> set[str]:
    """What else our MTU explains: nobody's small answers, but who connected and was mute."""
    of_all = {TYPES[one] for one, said in case.mine.shared.items() if said.symptom in STALLS}
    return of_all | {name for name, one in case.facts.extras.items() if one.symptom in STALLS}


def may_be_wider(case: Case) -> bool:
    """Whether it is too soon to say that it is the node at the other end."""
    return not case.facts.sizes_are_settled or is_of_most(case.paths)


def is_of_most(targets: Mapping[str, Said]) -> bool:
    """Whether whoever sees ``targets`` so loses large segments on most ways that answer at all."""
    vanish = len(_vanish(targets))
    well = sum(said.symptom not in HARD for said in targets.values())
    return vanish >= LEAST and vanish >= MOST * (vanish + well)


def is_of_others_too(view: View, node: str) -> bool:
    """Whether large segments vanish on most of the other ways from there, too."""
    others = {other: said for other, said in view.targets.items() if other != node}
    return is_of_most(others)


def _vanish(targets: Mapping[str, Said]) -> dict[str, Said]:
    return {node: said for node, said in targets.items() if said.symptom is Symptom.FULL_SIZE}


def _direction(case: Case, vanish: Mapping[str, Said]) -> Direction:
    known = case.facts.vanishing
    ways = Counter(known[node].direction for node in vanish if node in known)
    return ways.most_common(1)[0][0] if ways else Direction.NONE
