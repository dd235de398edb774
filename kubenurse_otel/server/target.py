"""/api/v1/target?of=KEY: all that is known of one target, its last 30 minutes included.

Owns the shape of the last 30 minutes as JSON (docs/page.md); the facts are results.py's and
history.py's, and all else is report/document.py's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from kubenurse_otel.report import document
from kubenurse_otel.server.message import json, text
from kubenurse_otel.state.history import STEP_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.server.message import Request, Response
    from kubenurse_otel.state.history import History
    from kubenurse_otel.state.results import Results

OF: Final = "of"


class OneTarget:
    """The handler, and the document for the page."""

    def __init__(self, results: Results, history: History, node_name: Callable[[], str]) -> None:
        self._results = results
        self._history = history
        self._node_name = node_name

    def __call__(self, request: Request) -> Response:
        found = self.document(request.query.get(OF, ""))
        if found is None:
            return text(404, "no such target: /alive lists them, and ?of= names one by its key")
        return json(msgspec.json.encode(found) + b"\n")

    def document(self, key: str) -> dict[str, Any] | None:
        """Return the target's document, None if there is no such target."""
        about = self._results.targets.get(key)
        if about is None:
            return None
        told: dict[str, Any] = {"node": self._node_name(), "key": key}
        told |= document.target(about, self._results.latest.get(key), in_full=True)
        found = self._history.strip(key)
        if found is not None:
            outcomes, parts = found
            told["last_30_minutes"] = {
                "step_seconds": STEP_SECONDS,
                "outcomes": "".join(one.name[0].lower() for one in outcomes),
                "longest_seconds": {
                    name: [None if one is None else round(one, 6) for one in series]
                    for name, series in parts.items()
                },
            }
        return told
