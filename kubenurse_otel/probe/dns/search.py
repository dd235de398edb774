"""Ask for a name along the search path of resolv.conf, by glibc's rules.

They are those of __res_context_search (glibc, resolv/res_query.c). The outcomes are h_errno's of
<netdb.h>.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.probe.dns.message import BadNameError, Rcode

if TYPE_CHECKING:
    from kubenurse_otel.probe.dns.servers import Answers, LookUp


class Outcome(Enum):
    """The result of a name."""

    FOUND = "found"
    HOST_NOT_FOUND = "HOST_NOT_FOUND"
    NO_DATA = "NO_DATA"
    TRY_AGAIN = "TRY_AGAIN"
    NO_RECOVERY = "NO_RECOVERY"


_OF_RCODE: Final[dict[int, Outcome]] = {
    Rcode.NOERROR: Outcome.NO_DATA,
    Rcode.NXDOMAIN: Outcome.HOST_NOT_FOUND,
    Rcode.SERVFAIL: Outcome.TRY_AGAIN,
}


Result = tuple[Outcome, "Answers | None"]


async def search(look_up: LookUp, host: str) -> Result:
    """Ask for ``host``, as it stands and below each domain, until something is found.

    Raises what LookUp.ask raises.
    """
    options = look_up.conf.options
    dots = host.count(".")
    as_it_stands: Result | None = None
    if dots >= options.ndots or host.endswith("."):
        as_it_stands = await _ask(look_up, host)
        if as_it_stands[0] is Outcome.FOUND or host.endswith("."):
            return as_it_stands
    walk = _Walk()
    await walk.go(look_up, host)
    if walk.is_over:
        return walk.last
    wants_plain = dots or not look_up.conf.search or not options.no_tld_query
    if as_it_stands is None and wants_plain and "" not in look_up.conf.search:
        walk.last = await _ask(look_up, host)
        if walk.last[0] is Outcome.FOUND:
            return walk.last
    if as_it_stands is not None:
        return as_it_stands
    told = (one for one in (Outcome.NO_DATA, Outcome.TRY_AGAIN) if one in walk.seen)
    return next(told, walk.last[0]), None


@dataclass(slots=True)
class _Walk:
    """The way along the search path: what came last, and which outcomes were seen."""

    last: Result = (Outcome.HOST_NOT_FOUND, None)
    seen: set[Outcome] = field(default_factory=set)
    is_over: bool = False
    """True if a name was found, or if no server is there. Then the plain name is not asked for."""

    async def go(self, look_up: LookUp, host: str) -> None:
        for domain in look_up.conf.search:
            outcome, answers = self.last = await _ask(
                look_up, f"{host}.{domain}" if domain else host
            )
            if outcome is Outcome.FOUND or (answers is not None and answers.nobody):
                self.is_over = True
                return
            goes_on = outcome is Outcome.TRY_AGAIN and _is_servfail(answers)
            if outcome is Outcome.NO_DATA or goes_on:
                self.seen.add(outcome)
            elif outcome is not Outcome.HOST_NOT_FOUND:
                return


def _is_servfail(answers: Answers | None) -> bool:
    return answers is not None and answers.last_rcode == Rcode.SERVFAIL


async def _ask(look_up: LookUp, name: str) -> Result:
    try:
        answers = await look_up.ask(name)
    except BadNameError:  # a name with its domain may be too long
        return Outcome.NO_RECOVERY, None
    finally:
        look_up.place += 1
    return _outcome(answers), answers


def _outcome(answers: Answers) -> Outcome:
    if not answers.answers:
        return Outcome.TRY_AGAIN
    bad = 0
    for one in answers.answers:
        rcode = one.head.rcode
        if not rcode and one.head.answers:
            return Outcome.FOUND
        bad = bad or rcode
    return _OF_RCODE.get(bad, Outcome.NO_RECOVERY)
