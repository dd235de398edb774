"""Views in short: "s3" is silent for three intervals, "o" is well."""

from __future__ import annotations

from kubenurse_otel.diagnosis.case import Facts, Finding
from kubenurse_otel.diagnosis.order import diagnose
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import Accused, Said, Shared, View

ME = "n1"


def said(short: str) -> Said:
    """A letter, how many intervals, "~" where packets are lost, "+" where full segments pass."""
    return Said(Symptom(short[0]), int(short[1:].rstrip("~+") or 1), "~" in short, "+" in short)


def view(
    node: str,
    targets: dict[str, str] | None = None,
    shared: str = "",
    *,
    doubt: int = 0,
    accused: Accused = Accused.NOTHING,
    half_open: tuple[str, ...] = (),
) -> View:
    """``shared`` is like "D:s3 Q:d2"."""
    words = (word.split(":") for word in shared.split())
    return View(
        node=node,
        doubt=doubt,
        accused=accused,
        targets={other: said(short) for other, short in (targets or {}).items()},
        shared={Shared(letter): said(short) for letter, short in words},
        half_open=half_open,
    )


def everybody(size: int, words: dict[str, str]) -> list[View]:
    """Agents n1 to n``size``, each of whom checks all others: they are well but for ``words``.

    ``words`` are by who says it and of whom: {"n1>n3": "s3"}; ">n3" is said by all.
    """
    nodes = [f"n{number}" for number in range(1, size + 1)]
    return [
        view(
            one,
            {
                other: words.get(f"{one}>{other}") or words.get(f">{other}") or "o9"
                for other in nodes
                if other != one
            },
        )
        for one in nodes
    ]


def found(
    mine: View,
    heard: list[View],
    *,
    nodes: int = 0,
    zones: dict[str, str] | None = None,
    **more: object,
) -> tuple[Finding, ...]:
    """What ``mine`` concludes. All nodes that anybody speaks of are known."""
    names = {mine.node, *mine.targets, *(one.node for one in heard)}
    facts = Facts(nodes=nodes or len(names), known=frozenset(names), zones=zones or {}, **more)
    return diagnose(mine, {one.node: one for one in heard}, facts)


def named(findings: tuple[Finding, ...]) -> list[tuple[str, str, str, str]]:
    """(kind, culprit, direction, cause) of each verdict; suspicions end in "?"."""
    return [
        (
            one.kind.value,
            one.culprit + ("?" if one.confidence < 0.5 else ""),
            one.direction.value,
            one.cause.value,
        )
        for one in findings
    ]
