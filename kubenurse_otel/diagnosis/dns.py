"""What the look-ups of our checks say of DNS, all names together.

While a server is silent no look-up succeeds. Where one did that began between two that failed, it
is one silent replica of several (each look-up's port decides which is asked), or a matter of the
name, if that one fails always and others never.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from kubenurse_otel.diagnosis.runs import Runs
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import Said
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Collection

MOST_LOOK_UPS: Final = 64
WINDOW_INTERVALS: Final = 6.0
LATELY_INTERVALS: Final = 3.0
LEAST_SHARE: Final = 0.15
"""Below, packets are lost; no replica is silent."""
SAME_OF_A_NAME: Final = 4
"""So many look-ups of a name must end alike for it to be a matter of the name."""
LATER_FOR_A_NAME: Final = 2
"""Intervals that the run of such a name does not count: it began as a matter of replicas."""

CLEAN_LOOK_UPS: Final = 4.0
"""So many that fail were due since the last one did, at the share of before: it is over (e^-4)."""
SILENT_LOOK_UPS: Final = 6
"""That failed one after the other: of two replicas one is not asked so often in a row."""
LATER_FOR_FEW: Final = 1
"""Interval that the run of fewer does not count: they may all have met the one silent replica."""
LEAST_TIMES: Final = 2
LATER_FOR_AN_EDGE: Final = 2
"""Intervals that a run does not count while a look-up succeeded between two that failed only once:
as servers stop one after the other, it is so for a moment.
"""

_KEY: Final = "dns"

MOST_PROBES: Final = 6
LATE_PROBES: Final = 3
LEAST_PORTS: Final = 12
"""Of the late probes, before a share of them says anything."""
SILENT_SHARE: Final = 0.9
LOST_SHARE: Final = 0.2
"""Of ports that lost one try or both, before it is the packets."""
SILENT_PER_HALF: Final = 6
"""So many silent ports for each that was at its second try, and it is a replica. Where packets are
lost, some ports lose both tries: fewer than those that lose one, up to a loss of a half.
"""


@record(frozen=True, slots=True)
class Ports:
    """What one check of the name servers found: source ports in all, those that were never
    answered, and those that were at their second try alone.
    """

    asked: int
    silent: int
    half: int


@record(frozen=True, slots=True)
class _LookUp:
    key: str
    symptom: Symptom
    began: float

    @property
    def found(self) -> bool:
        return self.symptom is Symptom.OK


class LookUps:
    """The latest ones, of checks by their key. All times are Unix seconds."""

    def __init__(self, *, interval_seconds: float) -> None:
        self._interval = interval_seconds
        self._latest: deque[_LookUp] = deque(maxlen=MOST_LOOK_UPS)
        self._probes: deque[tuple[float, Ports]] = deque(maxlen=MOST_PROBES)
        self._runs = Runs()
        self._runs_later = 0
        self._silent_endpoint_at = float("-inf")
        self._failed_at = float("-inf")

    def retain(self, keys: Collection[str]) -> None:
        kept = (one for one in self._latest if one.key in keys)
        self._latest = deque(kept, maxlen=MOST_LOOK_UPS)

    def reset(self) -> None:
        """Forget what was looked up: it was a consequence."""
        self._latest.clear()
        self._probes.clear()
        self._runs.clear()
        self._silent_endpoint_at = float("-inf")

    def probed(self, ports: Ports, now: float, *, has_silent_endpoint: bool = False) -> None:
        """Take in a check of the name servers, and whether one behind the Service is silent."""
        self._probes.append((now, ports))
        self._silent_endpoint_at = now if has_silent_endpoint else float("-inf")
        self._runs.note(_KEY, self._symptom(now), now, interval_seconds=self._interval)

    def note(self, key: str, symptom: Symptom, *, began: float, now: float) -> None:
        """Take in a look-up that ``began`` then; ``symptom`` is OK or one of DNS."""
        self._latest.append(_LookUp(key, symptom, began))
        if symptom is not Symptom.OK:
            self._failed_at = now
        self._runs.note(_KEY, self._symptom(now), now, interval_seconds=self._interval)

    def said(self, now: float) -> Said | None:
        """The word on DNS; None: no name was looked up lately."""
        run = next(self._runs.current(now), None)
        if run is None:
            return None
        return Said(run.symptom, max(1, run.length - self._runs_later))

    def _symptom(self, now: float) -> Symptom:
        """Which ports are answered tells a replica and lost packets better than look-ups do, and
        best of all a replica that is asked itself.
        """
        found = self._of_names_and_ports(now)
        is_asked = 0 <= now - self._silent_endpoint_at <= LATELY_INTERVALS * self._interval
        is_milder = found in (Symptom.OK, Symptom.DNS_LOSSY)
        return Symptom.DNS_PART if is_asked and is_milder else found

    def _of_names_and_ports(self, now: float) -> Symptom:
        seen, of_ports = self._of_look_ups(now), self._of_ports(now)
        if of_ports is None:
            return seen
        is_of_servers = seen in (Symptom.DNS_PART, Symptom.DNS_LOSSY)
        return of_ports if of_ports is not Symptom.OK or is_of_servers else seen

    def _of_ports(self, now: float) -> Symptom | None:
        """None: too few were asked lately, or what came of them has no name; OK: all are sound."""
        recent = [
            ports
            for at, ports in self._probes
            if 0 <= now - at <= WINDOW_INTERVALS * self._interval
        ]
        lately = recent[-LATE_PROBES:]
        asked = sum(one.asked for one in lately)
        if asked < LEAST_PORTS or len(lately) < LATE_PROBES:
            return None
        silent = sum(one.silent for one in lately) / asked
        half = sum(one.half for one in lately) / asked
        ends = lately[-2:]
        if silent >= SILENT_SHARE or all(one.silent == one.asked for one in ends):
            return Symptom.DNS_SILENT
        if silent and not any(one.silent or one.half for one in ends):
            return Symptom.OK  # it was, and is no more
        if sum(one.half for one in recent) * SILENT_PER_HALF <= sum(one.silent for one in recent):
            is_mixed = any(0 < one.silent < one.asked for one in lately)
            is_part = is_mixed and silent >= LEAST_SHARE  # all of a sudden: all or nothing
            return Symptom.DNS_PART if is_part else None if silent else Symptom.OK
        return Symptom.DNS_LOSSY if half >= silent and silent + half >= LOST_SHARE else None

    def _of_look_ups(self, now: float) -> Symptom:
        self._runs_later = 0
        if now - self._failed_at > WINDOW_INTERVALS * self._interval:
            return Symptom.OK
        window = sorted(
            (one for one in self._latest if self._is_within(WINDOW_INTERVALS, one, now)),
            key=lambda one: one.began,
        )
        bad = [number for number, one in enumerate(window) if not one.found]
        if not bad or not self._is_within(LATELY_INTERVALS, window[bad[-1]], now):
            return Symptom.OK
        since, well = window[bad[0] :], len(window) - 1 - bad[-1]
        share = len(bad) / (len(since) - well)
        if well * share >= CLEAN_LOOK_UPS:
            return Symptom.OK
        # All of them, from the first one on, or so many that no replica would have answered.
        if len(bad) == len(since) - well or _failed_last(since) >= SILENT_LOOK_UPS:
            self._runs_later = LATER_FOR_FEW if len(bad) < SILENT_LOOK_UPS else 0
            return window[-1].symptom
        if _is_of_a_name(since):
            self._runs_later = LATER_FOR_A_NAME
            return window[bad[-1]].symptom
        if _times_between(since) < LEAST_TIMES:
            self._runs_later = LATER_FOR_AN_EDGE
        return Symptom.DNS_PART if len(bad) >= LEAST_SHARE * len(since) else Symptom.DNS_LOSSY

    def _is_within(self, intervals: float, one: _LookUp, now: float) -> bool:
        return 0 <= now - one.began <= intervals * self._interval


def _failed_last(window: list[_LookUp]) -> int:
    """How many failed one after the other, up to now."""
    return next((at for at, one in enumerate(reversed(window)) if one.found), len(window))


def _times_between(window: list[_LookUp]) -> int:
    """How many times some succeeded between two that failed. The first of ``window`` failed."""
    return sum(one.found and not after.found for one, after in pairwise(window))


def _is_of_a_name(window: list[_LookUp]) -> bool:
    """Whether each name was found always or never, and often enough to say so."""
    by_name: dict[str, list[bool]] = {}
    for one in window:
        by_name.setdefault(one.key, []).append(one.found)
    return all(len(set(found)) == 1 for found in by_name.values()) and (
        max(len(found) for found in by_name.values() if not found[0]) >= SAME_OF_A_NAME
    )
