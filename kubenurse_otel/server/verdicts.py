"""/api/v1/verdicts, /view and /report: what this agent concludes, what it sees, both in short.

Owns the documents' shape (docs/diagnosis.md); the facts are judging.py's, results.py's,
history.py's and discovery's.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import msgspec

from kubenurse_otel.diagnosis.sentence import sentence
from kubenurse_otel.diagnosis.symptoms import HARD, Symptom
from kubenurse_otel.model import Outcome
from kubenurse_otel.report.document import MOST_SLOWER, MOST_WAYS, moment
from kubenurse_otel.server.kept import Kept
from kubenurse_otel.server.message import Response, indented, json, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.diagnosis.view import Said
    from kubenurse_otel.model import Neighbour, Neighbourhood
    from kubenurse_otel.server.message import Request
    from kubenurse_otel.state.history import History
    from kubenurse_otel.state.judging import Judging
    from kubenurse_otel.state.results import Results

MAX_TARGETS: Final = 1_000
MAX_AGENTS: Final = 5_000


class Documents:
    """The handlers' documents. Each is made once per change, and not too often."""

    def __init__(
        self,
        judging: Judging,
        *,
        results: Results,
        history: History,
        neighbourhood: Callable[[], Neighbourhood],
        node_name: Callable[[], str],
        has_admin_port: bool = False,
    ) -> None:
        """``has_admin_port``: documents are served there, by other agents as well."""
        self._judging = judging
        self._results = results
        self._history = history
        self._neighbourhood = neighbourhood
        self._node_name = node_name
        self._has_admin_port = has_admin_port
        self._agents: tuple[Neighbourhood | None, msgspec.Raw] = (None, msgspec.Raw(b"[]"))
        self._verdicts = Kept(
            lambda: indented(self._verdicts_document()) + b"\n", version=lambda: judging.changes
        )
        self._view = Kept(self._make_view, version=self._version_of_view)
        self._report = Kept(
            lambda: msgspec.json.encode(self.report_document()) + b"\n",
            version=lambda: (judging.changes, results.changes),
        )

    def verdicts(self, _: Request) -> Response:
        """/api/v1/verdicts."""
        return json(tail=self._verdicts.get())

    def view(self, _: Request) -> Response:
        """/api/v1/view."""
        return json(tail=self._view.get())

    def report(self, _: Request) -> Response:
        """/api/v1/report."""
        return json(tail=self._report.get())

    def report_document(self) -> dict[str, Any]:
        """Return what the page of any agent asks of each: small while all is well."""
        view = self._judging.view()
        targets = {} if view is None else view.targets
        amiss = sorted((one for one in targets.items() if _is_amiss(one[1])), key=_badness)
        latest = self._results.latest
        good = sum(one.result.outcome is Outcome.OK for one in latest.values())
        checked_at = max((one.result.started_at for one in latest.values()), default=None)
        return self._verdicts_document() | {
            "checks": {
                "good": good,
                "bad": len(latest) - good,
                "waiting": len(self._results.targets) - len(latest),
                "checked_at": None if checked_at is None else moment(checked_at),
            },
            "ways": {
                "checked": len(targets),
                "bad": {node: _said(said) for node, said in amiss[:MOST_WAYS]},
            },
            "slower": [
                {
                    "type": self._results.targets[one.key].type,
                    "whose": one.whose,
                    "usual_seconds": round(one.usual_seconds, 6),
                    "now_seconds": round(one.now_seconds, 6),
                }
                for one in islice(self._history.slower(), MOST_SLOWER)
                if one.key in self._results.targets
            ],
        }

    def _verdicts_document(self) -> dict[str, Any]:
        judging = self._judging
        later = judging.set_forward_seconds
        return {
            "node": self._node_name(),
            "zone": self._neighbourhood().own_zone,
            "judged_at": moment(judging.judged_at + later) if judging.changes else None,
            "verdicts": [_verdict(one, later) for one in judging.verdicts],
            "suspicions": [_verdict(one, later) for one in judging.suspicions],
            "doubt": judging.judgement.doubt,
            "views": {
                "fresh": judging.judgement.fresh_views,
                "stale": judging.judgement.stale_views,
            },
        }

    def _version_of_view(self) -> object:
        return self._judging.changes, id(self._neighbourhood())

    def _make_view(self) -> bytes:
        here = self._neighbourhood()
        document: dict[str, Any] = {"node": self._node_name(), "zone": here.own_zone}
        view = self._judging.view()
        if view is not None:
            targets = sorted(view.targets.items())[:MAX_TARGETS]
            document |= {
                "doubt": view.doubt,
                "accused": view.accused.name.lower(),
                "neighbours": {node: _said(said) for node, said in targets},
                "shared": {
                    letter.name.lower(): _said(said) for letter, said in sorted(view.shared.items())
                },
                "half_open": list(view.half_open),
            }
        document["agents"] = self._list_agents(here)
        document["agents_known"] = len(here.agents)
        return indented(document) + b"\n"

    def _list_agents(self, here: Neighbourhood) -> msgspec.Raw:
        """Return the encoded list, kept until discovery says something else."""
        if self._agents[0] is not here:
            listed = [self._agent(one) for one in here.agents[:MAX_AGENTS]]
            self._agents = (here, msgspec.Raw(msgspec.json.encode(listed)))
        return self._agents[1]

    def _agent(self, one: Neighbour) -> dict[str, Any]:
        """The port is that of its documents, where it is known.

        A static list has that of checks, which serves them where no other does.
        """
        port = None if self._has_admin_port else one.port
        return {"node": one.node_name, "pod": one.pod_name, "address": one.pod_ip, "port": port}


def off(_: Request) -> Response:
    """What is answered where there is no diagnosis."""
    return text(404, "not served: KUBENURSE_DIAGNOSIS is false")


def _verdict(verdict: Verdict, later: float) -> dict[str, Any]:
    """``later``: seconds that the wall clock was set forward since the verdict's clock began."""
    return {
        "sentence": sentence(verdict),
        "kind": verdict.kind.value,
        "culprit": verdict.culprit,
        "direction": verdict.direction.value,
        "cause": verdict.cause.value,
        "state": verdict.state.value,
        "confidence": verdict.confidence,
        "since": moment(verdict.since + later),
        "last_seen": moment(verdict.last_seen + later),
        "evidence": [{"words": one.words, "trace_id": one.trace_id} for one in verdict.evidence],
        "against": list(verdict.against),
        "second": verdict.second,
        "explains": sorted(verdict.explains)[:MAX_TARGETS],
    }


def _is_amiss(said: Said) -> bool:
    return said.lossy or said.symptom is not Symptom.OK


def _badness(one: tuple[str, Said]) -> tuple[bool, bool, str]:
    """Sort key: bad targets first, and always in the same order."""
    node, said = one
    return said.symptom not in HARD, said.symptom is Symptom.OK, node


def _said(said: Said) -> dict[str, Any]:
    return {"symptom": said.symptom.name.lower(), "run": said.run, "lossy": said.lossy}
