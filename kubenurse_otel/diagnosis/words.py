"""What speaks for and against a conclusion, in words for whoever is on call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.case import DNS_TYPE, TYPES, path_type
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Direction, Evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from kubenurse_otel.diagnosis.case import Case
    from kubenurse_otel.diagnosis.view import Said, Shared

MOST_NAMES: Final = 4

PHRASES: Final[Mapping[Symptom, str]] = {
    Symptom.OK: "well",
    Symptom.SILENT: "no answer to a connection attempt",
    Symptom.STALLED: "connected, then no answer, and what we sent was not acknowledged",
    Symptom.MUTE: "connected, then no answer, though its kernel acknowledged what we sent",
    Symptom.REFUSED: "the connection was refused",
    Symptom.CUT: "the connection was cut",
    Symptom.FULL_SIZE: "small packets pass and full ones do not",
    Symptom.CERTIFICATE: "its certificate is not accepted",
    Symptom.BROKEN: "an invalid answer",
    Symptom.TOKEN: "our token is refused",
    Symptom.SLOW: "a good answer, but late: the far end took the time",
    Symptom.DNS_SILENT: "DNS did not answer",
    Symptom.DNS_FAILING: "DNS answered with a failure",
    Symptom.DNS_UNKNOWN: "DNS knows no such name",
    Symptom.DNS_PART: "DNS answers only sometimes: one of its replicas is silent",
    Symptom.DNS_LOSSY: "look-ups are lost now and then",
}


def names(nodes: Iterable[str]) -> str:
    """Like "a, b, c, d and 3 more"."""
    known = list(nodes)
    shown = ", ".join(known[:MOST_NAMES])
    more = len(known) - MOST_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def seen(case: Case, type_: str, said: Said) -> Evidence:
    """What our own check shows, with the trace of its latest failure."""
    what = "names" if type_ == DNS_TYPE else type_
    return Evidence(
        words=f"from {case.mine.node}, {what}: {PHRASES[said.symptom]}, {_intervals(said.run)}",
        trace_id=case.facts.traces.get(type_, ""),
    )


def path(case: Case, node: str) -> Evidence:
    return seen(case, path_type(node), case.mine.targets[node])


def shared(case: Case, letter: Shared) -> Evidence:
    return seen(case, TYPES[letter], case.mine.shared[letter])


def sizes(case: Case, node: str) -> tuple[Evidence, ...]:
    """How large what vanishes is; nothing where nothing does, or TCP does not tell."""
    gone = case.facts.vanishing.get(node)
    is_told = gone is not None and gone.segment_bytes > 0
    if gone is None or not is_told or case.mine.targets[node].symptom is not Symptom.FULL_SIZE:
        return ()
    way = "to" if gone.direction is Direction.OUT else "from"
    return (
        Evidence(
            words=f"segments of {gone.segment_bytes} bytes {way} {node} vanish, and the kernel of "
            f"{case.mine.node} holds {gone.path_mtu} for the path MTU"
        ),
    )


def alike(nodes: Iterable[str]) -> tuple[Evidence, ...]:
    """Who sees the same; nothing where nobody does. They need not have raised a verdict yet."""
    known = sorted(nodes)
    return (Evidence(words=f"{names(known)} {_see(known)} the same"),) if known else ()


def otherwise(nodes: Iterable[str]) -> tuple[str, ...]:
    """Who sees it well; nothing where nobody does."""
    known = sorted(nodes)
    return (f"{names(known)} {_see(known)} it well",) if known else ()


def well_elsewhere(nodes: Iterable[str]) -> tuple[Evidence, ...]:
    """As evidence: it is well from others, so that it is ours."""
    return tuple(Evidence(words=words) for words in otherwise(nodes))


def endpoints(case: Case) -> tuple[Evidence, ...]:
    """What the servers behind DNS' Service answer by their own addresses, who is silent first."""
    figures = case.facts.dns_endpoints
    told = [
        f"{one.endpoint.text} answers "
        + " and ".join(f"{by.answered} of {by.asked} by {by.transport.upper()}" for by in one.by)
        for one in figures[:MOST_NAMES]
    ]
    if len(figures) > MOST_NAMES:
        told.append(f"{len(figures) - MOST_NAMES} more servers of DNS are asked")
    return tuple(Evidence(words=words) for words in told)


def silent_endpoints(case: Case) -> str:
    """Name the first that is silent, and how many more are; empty where none is."""
    silent = [one for one in case.facts.dns_endpoints if one.silent]
    if not silent:
        return ""
    first = silent[0]
    alone = f" by {first.silent[0].upper()}" if len(first.silent) < len(first.by) else ""
    more = f" and {len(silent) - 1} more" if len(silent) > 1 else ""
    return f"{first.endpoint.text}{alone}{more}"


def _see(nodes: list[str]) -> str:
    return "sees" if len(nodes) == 1 else "see"


def _intervals(run: int) -> str:
    return "in the last check" if run == 1 else f"for {run} intervals" + (" or more" * (run == 9))
