"""One kind of failing check, and all that we show of it: its metrics, and its trace."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.cluster.jaeger_api import Trace
    from e2e.faults.scene import Scene

SPANS: Final = {"dns": "DNS lookup", "connect": "socket connect", "tls": "TLS client handshake"}
"""The span of each step of a connection's setup, in the order of the steps."""
_EVENTS: Final = {"dns": "dns_done", "connect": "connect_done", "tls": "tls_handshake_done"}
_STEPS: Final = {
    "me_ingress": ("dns", "connect", "tls"),
    "me_service": ("dns", "connect"),
    "api_server_dns": ("dns", "connect", "tls"),
    "api_server_direct": ("connect", "tls"),
}
_PATH_STEPS: Final = ("connect",)
_STRAY: Final = 2
_STRAY_SHARE: Final = 0.02
"""Checks of others that may fail meanwhile: two cores carry everything, and now and then a check
does not make it within its two seconds."""
_ROUND_TRIP_SECONDS: Final = 0.005
"""From pod to pod it is 0.1 ms here."""


@dataclass(frozen=True, slots=True)
class Failing:
    """Checks of ``type`` that fail with ``error_type`` in ``phase``."""

    type: str
    error_type: str
    phase: str

    @property
    def event(self) -> str:
        return _EVENTS.get(self.phase, "round_trip_error")

    @property
    def steps(self) -> tuple[str, ...]:
        return _STEPS.get(self.type, _PATH_STEPS)

    @property
    def _same_event(self) -> str:
        """All failures that kubenurse_errors_total counts under the same event."""
        return f'phase="{self.phase}"' if self.phase in _EVENTS else 'phase=~"request|receive"'

    def seen(self, scene: Scene, *, nodes: Sequence[str], within: float = 40.0) -> None:
        """From each of ``nodes``: failures are counted, each once; no other cause, no duration."""
        of_type = f'type="{self.type}", node=~"{"|".join(nodes)}"'
        cause = f'error_type="{self.error_type}", phase="{self.phase}"'
        scene.shows(
            f"count(sum by (node) (increase(kubenurse_check_failures_total{{{of_type}, {cause}}}"
            "[8s])) > 0)",
            lambda count: count == len(nodes),
            what=f"kubenurse_check_failures_total type={self.type} error_type={self.error_type} "
            f"phase={self.phase} from {', '.join(nodes)}",
            within=within,
        )
        scene.shows(
            f"sum(increase(kubenurse_httpclient_request_duration_seconds_count{{{of_type}}}[4s]))",
            lambda count: count == 0,
            what=f"no more request durations of {self.type}",
        )
        # Both counters of an agent are of one scrape.
        once = (
            f'(sum(kubenurse_errors_total{{{of_type}, event="{self.event}"}}) or vector(0))'
            f" - (sum(kubenurse_check_failures_total{{{of_type}, {self._same_event}}})"
            " or vector(0))"
        )
        now, before = scene.total(once), scene.total(once, at=scene.began_at)
        assert now == before, f"errors of {self} are not counted once each: {before} {now}"
        scene.seen.shown.append(
            f"kubenurse_errors_total event={self.event} counts each failure once"
        )
        scene.unmoved(
            f'kubenurse_check_failures_total{{{of_type}, error_type!="{self.error_type}"}}',
            what=f"failures of {self.type} with another cause",
            by=_few(scene, of_type),
        )

    def trace(self, scene: Scene) -> Trace:
        """A trace whose CLIENT span says why, with the failed step's span as the last one."""
        told = {
            "kubenurse.type": self.type,
            "kubenurse.error.type": self.error_type,
            "kubenurse.error.phase": self.phase,
            "kubenurse.error.event": self.event,
        }

        def tells(trace: Trace) -> bool:
            clients = [span for span in trace.named("GET") if span.kind == "client"]
            return (
                trace.root is not None
                and trace.root.attributes.get("kubenurse.outcome") == "failed"
                and bool(clients)
                and clients[0].status == "ERROR"
                and told.items() <= clients[0].attributes.items()
                and bool(clients[0].attributes.get("kubenurse.error.message"))
                and self._steps_told(trace)
            )

        where = f"{SPANS[self.phase]} with the error" if self.phase in SPANS else "GET"
        return scene.trace(
            tells,
            what=f"check of {self.type}: {where}, {self.error_type}, phase {self.phase}",
            tags={"kubenurse.type": self.type, "kubenurse.error.type": self.error_type},
        )

    def _steps_told(self, trace: Trace) -> bool:
        """Steps before the failed one have a sound span, it has one with the error, later none."""
        reached = True
        for step, name in SPANS.items():
            spans = trace.named(name)
            if step not in self.steps or not reached:
                if spans:
                    return False
            elif not spans:
                return False
            elif step == self.phase:
                reached = False
                if any(one.attributes.get("error.type") != self.error_type for one in spans):
                    return False
            elif any(one.status == "ERROR" for one in spans):
                return False
        return True


def nothing_else(scene: Scene, *types: str) -> None:
    """Checks of other types than ``types`` go on as ever, the network between nodes included."""
    others = f'type!~"{"|".join(types)}"'
    scene.unmoved(
        f"kubenurse_check_failures_total{{{others}}}",
        what=f"failures of checks other than {', '.join(types)}"
        if types
        else "failures of any check",
        by=_few(scene, others),
    )
    scene.unmoved(
        'kubenurse_check_failures_total{error_type="own_timeout"}',
        what="time-outs by own delay (own_timeout)",
        by=_few(scene, ""),
    )
    path = f'type=~"path_.+", {others}'
    scene.stays(
        f"sum by (node) (rate(kubenurse_network_round_trip_seconds_sum{{{path}}}[10s]))"
        f" / sum by (node) (rate(kubenurse_network_round_trip_seconds_count{{{path}}}[10s]))",
        lambda seconds: seconds < _ROUND_TRIP_SECONDS,
        what="network round trips between nodes",
    )


def _few(scene: Scene, selector: str) -> float:
    """How many failures may be of another kind, of all the checks since it began.

    Each agent may have been in the middle of one.
    """
    checks = scene.grown(f"kubenurse_httpclient_requests_total{{{selector}}}")
    return max(_STRAY, len(scene.cluster.nodes), _STRAY_SHARE * checks)
