"""A view as one header's value, and back: at most 512 bytes, read by one regular expression.

    1 d=0 z=eu-1a a=- p=5f3a91c2!s3,0b1140aa~ t=D,N,I,S,Q!p3 h=

The form's number, doubt, zone, what the node is accused of (``?``: it cannot compare round trips
yet), path checks by their node's short hash, what all check alike, half-open nodes. ``!`` symptom
and run where it is bad, ``~`` where packets are lost, ``+`` where full-size segments pass though
somebody says that they do not.
Who speaks is not in it: that is known of whom we asked. Nothing that is read
becomes a name: nodes are looked up among those that discovery knows, others are ignored.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv
from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.diagnosis.view import MOST_RUN, Accused, Said, Shared, View
from kubenurse_otel.ring import short_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_BYTES: Final = semconv.VIEW_MAX_BYTES
MOST_TARGETS: Final = 32
MOST_HALF_OPEN: Final = 8
MOST_DOUBT: Final = 7

_ZONE: Final = "[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
"""A label's value, as Kubernetes has it."""
_BAD: Final = "".join(symptom for symptom in Symptom if symptom is not Symptom.OK)
_WORD: Final = f"(?:![{_BAD}][1-{MOST_RUN}])?~?\\+?"
_HASH: Final = "[0-9a-f]{8}"
_LETTER: Final = f"[{''.join(Shared)}]"


def _list(item: str, most: int) -> str:
    return f"((?:{item}(?:,{item}){{0,{most - 1}}})?)"


_FORM: Final = re.compile(
    f"1 d=([0-{MOST_DOUBT}]) z=(?:{_ZONE})? a=({'|'.join(Accused)})(\\??)"
    f" p={_list(_HASH + _WORD, MOST_TARGETS)} t={_list(_LETTER + _WORD, len(Shared))}"
    f" h={_list(_HASH, MOST_HALF_OPEN)}"
).fullmatch
_IS_ZONE: Final = re.compile(_ZONE).fullmatch


def encode(view: View) -> str:
    """Return the header's value. What is too much for it is left out, what is good first."""
    zone = view.zone if _IS_ZONE(view.zone) else ""
    accused = view.accused + "?" * (not view.compares)
    head = f"1 d={min(view.doubt, MOST_DOUBT)} z={zone} a={accused} p="
    shared = ",".join(letter + _word(said) for letter, said in sorted(view.shared.items()))
    half_open = ",".join(short_hash(node) for node in view.half_open[:MOST_HALF_OPEN])
    tail = f" t={shared} h={half_open}"
    paths = [short_hash(node) + _word(said) for node, said in _worst_first(view.targets)]
    del paths[MOST_TARGETS:]
    room = MOST_BYTES - len(head) - len(tail)
    while len(listed := ",".join(paths)) > room:
        paths.pop()
    return f"{head}{listed}{tail}"


def decode(text: str, node_by_hash: Mapping[str, str], *, node: str, zone: str) -> View | None:
    """Return what the agent on ``node`` says; None where ``text`` has not this form.

    ``node_by_hash`` are the nodes that discovery knows, by their short hash. ``zone`` is the
    speaker's by discovery's word: its own is for people who read headers.
    """
    found = _FORM(text) if len(text) <= MOST_BYTES else None
    if found is None:
        return None
    doubt, accused, unsure, paths, shared, half_open = found.groups()
    targets: dict[str, Said] = {}
    for word in _items(paths):
        known = node_by_hash.get(word[:8])
        if known is not None:
            targets.setdefault(known, _said(word[8:]))
    alike: dict[Shared, Said] = {}
    for word in _items(shared):
        alike.setdefault(Shared(word[0]), _said(word[1:]))
    named = (node_by_hash.get(word) for word in _items(half_open))
    return View(
        node=node,
        zone=zone,
        doubt=int(doubt),
        accused=Accused(accused),
        compares=not unsure,
        targets=MappingProxyType(targets),
        shared=MappingProxyType(alike),
        half_open=tuple(dict.fromkeys(name for name in named if name is not None)),
    )


def by_hash(nodes: Iterable[str]) -> dict[str, str]:
    """Return the nodes by their short hash, without those that share one."""
    named: dict[str, str] = {}
    doubles: set[str] = set()
    for node in nodes:
        short = short_hash(node)
        if named.setdefault(short, node) != node:
            doubles.add(short)
    for short in doubles:
        del named[short]
    return named


def _worst_first(targets: Mapping[str, Said]) -> list[tuple[str, Said]]:
    def rank(item: tuple[str, Said]) -> tuple[bool, bool, bool, str]:
        node, said = item
        is_good = said.symptom is Symptom.OK
        return said.symptom not in HARD, is_good, not said.lossy, node

    return sorted(targets.items(), key=rank)


def _word(said: Said) -> str:
    bad = "" if said.symptom is Symptom.OK else f"!{said.symptom}{said.run}"
    return f"{bad}{'~' * said.lossy}{'+' * said.proven}"


def _said(word: str) -> Said:
    """What stands after a target: ``!s3~``, ``!s3``, ``~``, ``+`` or nothing."""
    lossy, proven = "~" in word, word.endswith("+")
    if not word.startswith("!"):
        return Said(Symptom.OK, lossy=lossy, proven=proven)
    return Said(Symptom(word[1]), int(word[2]), lossy, proven)


def _items(listed: str) -> list[str]:
    return listed.split(",") if listed else []
