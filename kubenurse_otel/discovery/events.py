"""Verdicts as Kubernetes Events, written by a thread: at most one per verdict and ten minutes.

An Event's name is made of its verdict and of the ten minutes, so that the API server itself refuses
the second one, whoever writes it. Each agent waits for its turn (diagnosis/writers.py), and later
ones find the Event there. Needs only the right to create events.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kubenurse_otel import unhandled
from kubenurse_otel.diagnosis.sentence import sentence
from kubenurse_otel.diagnosis.verdict import State
from kubenurse_otel.diagnosis.writers import turn
from kubenurse_otel.discovery.api import ApiError, ApiServer, Problem
from kubenurse_otel.discovery.pods import pods_path
from kubenurse_otel.discovery.refusals import Refusals
from kubenurse_otel.discovery.schema import Struct, decode
from kubenurse_otel.record import record
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.config import Config
    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.model import Neighbourhood

log = logging.getLogger(__name__)

WINDOW_SECONDS: Final = 600
TURN_SECONDS: Final = 10.0
"""Seconds that later agents wait for each agent before them."""
AGAIN_SECONDS: Final = 10.0
"""Seconds until the next try if the API server did not answer. A verdict on the API server may
stand for 15 s after it answers again.
"""
FORBIDDEN_SECONDS: Final = 300.0
PATIENCE_SECONDS: Final = 60.0
"""Seconds for which a forbidden request is repeated every ``AGAIN_SECONDS``. Then it is repeated
seldom (discovery/refusals.py).
"""
LOOK_SECONDS: Final = 1.0
ASK_SECONDS: Final = 5.0
MOST_BYTES: Final = 256 * 1024
"""The most bytes of an answer: the Event that was made, or our own pod."""
MOST_KEPT: Final = 128
MOST_SAID: Final = 20
MESSAGE_BYTES: Final = 1024
"""The longest message that the API server takes, in bytes."""
NAME_LENGTH: Final = 253
OF_NODES: Final = "default"
"""The namespace of Events about objects without a namespace (pkg/apis/core/validation/events.go).
"""
COMPONENT: Final = "kubenurse-otel"


class Outcome(StrEnum):
    """The result of an attempt; a metric's label."""

    WRITTEN = "written"
    ALREADY_WRITTEN = "already_written"
    FAILED = "failed"


class _Owner(Struct):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class _Metadata(Struct):
    name: str = ""
    uid: str = ""
    owner_references: list[_Owner] | None = None


class _Pod(Struct):
    metadata: _Metadata


_POD: Final = msgspec.json.Decoder(_Pod)


@record(frozen=True, slots=True)
class _About:
    """The object that an Event is about."""

    api_version: str
    kind: str
    name: str
    uid: str
    namespace: str = ""


@dataclass(slots=True)
class _Due:
    """When a verdict is written next, in seconds of the monotonic clock. In ``window`` it is known
    to be written.
    """

    at: float
    window: int = -1


class Events:
    """Writes one agent's Events. ``tell`` is called on the event loop, everything else on the
    thread.

    ``clock`` gives Unix seconds of the wall clock.
    """

    def __init__(
        self,
        config: Config,
        neighbourhood: Callable[[], Neighbourhood],
        *,
        turn_seconds: float = TURN_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._config = config
        self._neighbourhood = neighbourhood
        self._turn_seconds = turn_seconds
        self._clock = clock
        self._server = ApiServer(config)
        self._stopping = threading.Event()
        self._standing: tuple[tuple[Verdict, ...], float] = ((), 0.0)
        self._due: dict[tuple[str, ...], _Due] = {}
        self._agents: _About | None = None
        self._said: set[str] = set()
        self._refusals = Refusals(
            soon=AGAIN_SECONDS, later=FORBIDDEN_SECONDS, patience=PATIENCE_SECONDS
        )
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self.counts = {one.value: 0 for one in Outcome}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End what is under way, and wait for nothing: the thread is a daemon."""
        self._stopping.set()
        self._server.close()

    def tell(self, verdicts: tuple[Verdict, ...], *, set_forward_seconds: float = 0.0) -> None:
        """Take the current verdicts. ``set_forward_seconds`` turns their times into those of the
        wall clock.
        """
        standing = tuple(one for one in verdicts if one.state in (State.RAISED, State.FLAPPING))
        self._standing = standing, set_forward_seconds

    # --- the thread -----------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_SECONDS):
            try:
                self._round()
            except Exception as error:  # noqa: BLE001 - the edge of one round
                unhandled.caught(Part.EXPORT, error, about="Kubernetes Events")
                self._stopping.wait(AGAIN_SECONDS)

    def _round(self) -> None:
        verdicts, forward = self._standing
        now = time.monotonic()
        kept = {_key(one) for one in verdicts}
        self._due = {
            key: due
            for key, due in self._due.items()
            if key in kept or (due.window >= 0 and due.at > now)
        }
        for verdict in verdicts:
            if self._stopping.is_set():
                return
            due = self._due.get(_key(verdict))
            if due is None and len(self._due) < MOST_KEPT:
                due = self._due[_key(verdict)] = _Due(now + self._waits(verdict))
            if due is not None and time.monotonic() >= due.at:
                self._write(verdict, due, forward)

    def _waits(self, verdict: Verdict) -> float:
        here = self._neighbourhood()
        zones = {one.node_name: one.zone for one in here.known}
        zones[here.own_node_name] = here.own_zone
        place = turn(verdict, mine=here.own_node_name, zones=zones)
        return float("inf") if place is None else place * self._turn_seconds

    def _write(self, verdict: Verdict, due: _Due, forward: float) -> None:
        now = self._clock()
        window = int(now // WINDOW_SECONDS)
        try:
            about = self._about(verdict.culprit)
            event = self._event(verdict, about, now=now, since=verdict.since + forward)
            # Somebody may have written it just before these ten minutes began: the API server says
            # so where it is asked for that one, and a dry run makes none.
            is_late = due.window != window - 1 and not self._create(
                event, verdict, window - 1, dry=True
            )
            written = not is_late and self._create(event, verdict, window)
        except ApiError as error:
            self.counts[Outcome.FAILED] += 1
            if error.problem is Problem.UNAUTHORIZED:
                self._server.renew()
            due.at = time.monotonic() + self._refusals.wait_after(error.problem)
            if error.problem is not Problem.FORBIDDEN or self._refusals.is_lasting:
                self._say(str(error))
            return
        self._refusals.wait_after(None)
        self._said.clear()
        self.counts[Outcome.WRITTEN if written else Outcome.ALREADY_WRITTEN] += 1
        due.at, due.window = time.monotonic() + WINDOW_SECONDS, window - is_late

    def _create(
        self, event: dict[str, Any], verdict: Verdict, window: int, *, dry: bool = False
    ) -> bool:
        """Create the Event. False if it existed before. Raises ApiError."""
        namespace = event["metadata"]["namespace"]
        name = _name(event["involvedObject"]["name"], verdict, window)
        body = event | {"metadata": {"namespace": namespace, "name": name}}
        try:
            self._server.post(
                f"/api/v1/namespaces/{namespace}/events",
                {"dryRun": "All"} if dry else {},
                json.dumps(body).encode(),
                asked=f"create events in namespace {namespace}",
                seconds=ASK_SECONDS,
                max_bytes=MOST_BYTES,
            )
        except ApiError as error:
            if error.problem is Problem.EXISTS:
                return False
            raise
        return True

    def _about(self, culprit: str) -> _About:
        """Return the faulty node, or the DaemonSet (or whatever else made our pod)."""
        here = self._neighbourhood()
        if culprit == here.own_node_name or culprit in {one.node_name for one in here.known}:
            # As kubelet has it: `kubectl describe node` looks for its name as UID as well.
            return _About("v1", "Node", culprit, uid=culprit)
        if self._agents is None:
            self._agents = self._find_agents()
        return self._agents

    def _find_agents(self) -> _About:
        identity = self._config.identity
        with self._server.get(
            f"{pods_path(identity.namespace)}/{identity.pod_name}",
            {},
            asked=f"get pod {identity.pod_name} in namespace {identity.namespace}",
            read_seconds=ASK_SECONDS,
            max_bytes=MOST_BYTES,
            total_seconds=ASK_SECONDS,
        ) as answer:
            content = answer.read()
        try:
            pod = decode(_POD, content).metadata
        except (msgspec.DecodeError, RecursionError) as error:
            raise ApiError(Problem.INVALID, f"our pod's JSON: {error}") from None
        for one in pod.owner_references or ():
            if one.controller:
                return _About(one.api_version, one.kind, one.name, one.uid, identity.namespace)
        return _About("v1", "Pod", identity.pod_name, pod.uid, identity.namespace)

    def _event(
        self, verdict: Verdict, about: _About, *, now: float, since: float
    ) -> dict[str, Any]:
        """A core/v1 Event, without its name."""
        identity = self._config.identity
        involved = {
            "apiVersion": about.api_version,
            "kind": about.kind,
            "name": about.name,
            "uid": about.uid,
        }
        if about.namespace:
            involved["namespace"] = about.namespace
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"namespace": about.namespace or OF_NODES},
            "involvedObject": involved,
            "type": "Warning",
            "reason": _reason(verdict),
            "message": _message(verdict),
            "firstTimestamp": _rfc3339(min(since, now)),
            "lastTimestamp": _rfc3339(now),
            "count": 1,
            "source": {"component": COMPONENT, "host": self._neighbourhood().own_node_name},
            "reportingComponent": COMPONENT,
            "reportingInstance": identity.pod_name,
        }

    def _say(self, problem: str) -> None:
        """Log a problem once, until an Event is written again."""
        if problem not in self._said and len(self._said) < MOST_SAID:
            self._said.add(problem)
            log.warning("no Kubernetes Event: %s", problem)


def _key(verdict: Verdict) -> tuple[str, ...]:
    """Return what identifies a verdict. Its cause is no part of it, since it may change
    (diagnosis/ledger.py).
    """
    return verdict.kind.value, verdict.culprit, verdict.direction.value


def _name(about: str, verdict: Verdict, window: int) -> str:
    """As others name theirs, "node-1.17f3a…": of the object, and of what must be one only."""
    one = "\n".join((*_key(verdict), str(window)))
    tail = "." + hashlib.sha256(one.encode()).hexdigest()[:16]
    return about[: NAME_LENGTH - len(tail)].rstrip(".-") + tail


def _reason(verdict: Verdict) -> str:
    return "Kubenurse" + "".join(word.capitalize() for word in verdict.kind.value.split("_"))


def _message(verdict: Verdict) -> str:
    said = sentence(verdict)
    words = "; ".join(one.words for one in verdict.evidence)
    whole = f"{said[0].upper()}{said[1:]} (confidence {verdict.confidence:.1f}): {words}"
    return whole.encode()[:MESSAGE_BYTES].decode(errors="ignore")


def _rfc3339(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
