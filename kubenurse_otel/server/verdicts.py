"""/api/v1/verdicts and /api/v1/view: what this agent concludes, and what it sees.

Owns the shape of both documents (docs/diagnosis.md); the facts are judging.py's and discovery's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kubenurse_otel.diagnosis.sentence import sentence
from kubenurse_otel.report.document import moment
from kubenurse_otel.server.kept import Kept
from kubenurse_otel.server.message import Response, text

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.diagnosis.view import Said
    from kubenurse_otel.model import Neighbour, Neighbourhood
    from kubenurse_otel.server.message import Request
    from kubenurse_otel.state.judging import Judging

MAX_TARGETS: Final = 1_000
MAX_AGENTS: Final = 5_000


class Documents:
    """The two handlers' documents, each made once a change, and not too often."""

    def __init__(
        self,
        judging: Judging,
        *,
        neighbourhood: Callable[[], Neighbourhood],
        node_name: Callable[[], str],
    ) -> None:
        self._judging = judging
        self._neighbourhood = neighbourhood
        self._node_name = node_name
        self._agents: tuple[Neighbourhood | None, msgspec.Raw] = (None, msgspec.Raw(b"[]"))
        self._verdicts = Kept(self._make_verdicts, version=lambda: judging.changes)
        self._view = Kept(self._make_view, version=self._version_of_view)

    def verdicts(self, _: Request) -> Response:
        """/api/v1/verdicts."""
        return _response(self._verdicts.get())

    def view(self, _: Request) -> Response:
        """/api/v1/view."""
        return _response(self._view.get())

    def _make_verdicts(self) -> bytes:
        judging = self._judging
        later = judging.set_forward_seconds
        return _encoded(
            {
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
        )

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
        return _encoded(document)

    def _list_agents(self, here: Neighbourhood) -> msgspec.Raw:
        """Return the encoded list, kept until discovery says something else."""
        if self._agents[0] is not here:
            listed = [_agent(one) for one in here.agents[:MAX_AGENTS]]
            self._agents = (here, msgspec.Raw(msgspec.json.encode(listed)))
        return self._agents[1]


def off(_: Request) -> Response:
    """What is answered where there is no diagnosis."""
    return text(404, "not served: KUBENURSE_DIAGNOSIS is false")


def _response(body: bytes) -> Response:
    return Response(
        headers=(
            (b"Content-Type", b"application/json"),
            (b"X-Content-Type-Options", b"nosniff"),
        ),
        tail=body,
    )


def _encoded(document: dict[str, Any]) -> bytes:
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


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


def _said(said: Said) -> dict[str, Any]:
    return {"symptom": said.symptom.name.lower(), "run": said.run, "lossy": said.lossy}


def _agent(one: Neighbour) -> dict[str, Any]:
    return {"node": one.node_name, "pod": one.pod_name, "address": one.pod_ip, "port": one.port}
