"""Who is to be named for each fault: written before the diagnosis ran on the real cluster.

``NODE`` stands for the node at which the fault is injected.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NODE: Final = "{node}"
CLUSTER: Final = "cluster"


@dataclass(frozen=True, slots=True)
class Named:
    """A verdict: its kind, its culprit, and its direction where that is a part of the truth."""

    kind: str
    culprit: str
    direction: str = ""


@dataclass(frozen=True, slots=True)
class Truth:
    """The first of ``right`` is the best word; the others are true as well.

    None at all: whatever is named is wrong, for ``why``. ``must``: without a verdict the row has
    failed; else silence is right, too.
    """

    right: tuple[Named, ...] = ()
    must: bool = True
    seconds: float = 45.0
    """To wait for the verdict; with none, how long nothing may be named."""
    why: str = ""


def _node(*kinds: str, direction: str = "", must: bool = True, seconds: float = 45.0) -> Truth:
    named = tuple(Named(kind, NODE, direction) for kind in kinds)
    return Truth(named, must=must, seconds=seconds)


def _all(*kinds: str, must: bool = True, culprit: str = CLUSTER, seconds: float = 45.0) -> Truth:
    named = tuple(Named(kind, culprit) for kind in kinds)
    return Truth(named, must=must, seconds=seconds)


def _nobody(why: str, seconds: float = 45.0) -> Truth:
    return Truth(must=False, why=why, seconds=seconds)


_NO_FAULT: Final = "nothing is wrong with the network or what it carries"
_NO_HISTORY: Final = "node_slow compares with an hour of history, which these agents do not have"
_PROXIED: Final = "every check is answered; the agent reports the interception separately"

TRUTHS: Final = {
    "node-link-down": _node("node"),
    "node-cut-inwards": _node("node", direction="in"),
    "node-link-flaps": _node("node", "node_loss", seconds=90),
    "mtu-black-hole": _node("node_mtu", seconds=120),
    "mtu-outgoing": _node("node_mtu", direction="out", seconds=120),
    "mtu-between-two": Truth((Named("pair", "{pair}"),), seconds=240),
    "delay-to-node": _nobody(_NO_HISTORY),
    "delay-from-node": _nobody(_NO_HISTORY),
    "bufferbloat": _node("node_loss", "node_slow", must=False),
    "loss-to-node-1": _node("node_loss", direction="in", must=False, seconds=150),
    "loss-from-node-1": _node("node_loss", direction="out", must=False, seconds=150),
    "loss-to-node-5": _node("node_loss", direction="in", seconds=90),
    "loss-from-node-5": _node("node_loss", direction="out", seconds=90),
    "loss-to-node-30": _node("node_loss", direction="in"),
    "loss-from-node-30": _node("node_loss", direction="out"),
    "loss-one-in-1000": _nobody("healthy networks lose as much"),
    "loss-between-two-nodes": Truth((Named("pair_loss", "{pair}"),), seconds=90),
    "loss-before-ingress": _all("ingress", must=False),
    "reset-on-connect": _node("agent"),
    "reset-after-request": _node("agent"),
    "half-closed": _all("ingress"),
    "accept-queue-full": _all("ingress"),
    "truncated-body": _all("ingress"),
    "conntrack-full": _node("node"),
    "service-rules-flushed": _node("service_path"),
    "dns-stopped": _all("dns"),
    "dns-silent": _all("dns"),
    "dns-servfail": _all("dns"),
    "dns-nxdomain": _all("dns"),
    "dns-one-frozen": _all("dns_replica", "dns", must=False),
    "dns-one-silent": _all("dns_replica", "dns"),
    "dns-slow": _nobody("every name is found; an alert of its own reports the delay"),
    "dns-2s-slow": _all("dns", must=False),
    "dns-lossy": _all("dns_loss", "dns", must=False),
    "dns-search-path": _all("search_path", seconds=180),  # a roll-out of all agents is in it
    "tls-expired": _all("certificate", culprit="ingress"),
    "tls-wrong-name": _all("certificate", culprit="ingress"),
    "tls-untrusted": _all("certificate", culprit="ingress"),
    "tls-expires-soon": _nobody("it is valid for three more days; an alert of its own reports it"),
    "tls-handshake-cut": _all("ingress"),
    "tls-handshake-stalled": _all("ingress"),
    # No agent hears of another's extra checks: each keeps it for a suspicion (docs/diagnosis.md).
    "extra-tcp-refused": _all("extra", must=False, culprit="outside", seconds=90),
    "extra-tcp-silent": _all("extra", must=False, culprit="outside", seconds=90),
    "extra-dns-other-address": _all("extra", must=False, culprit="outside", seconds=90),
    "extra-dns-nxdomain": _all("extra", must=False, culprit="outside", seconds=90),
    "node-frozen": _node("agent", "node"),
    "pod-killed": _node("agent", must=False),
    "pod-hanging": _node("agent"),
    "node-cpu-starved": _node("prober", must=False),
    "slow-application": _all("ingress"),
    "node-added": _nobody(_NO_FAULT),
    "rolling-update": _nobody(_NO_FAULT),
    "all-agents-restarted": _nobody(_NO_FAULT),
    "node-cordoned": _nobody(_NO_FAULT),
    "node-drained": _nobody(_NO_FAULT),
    "node-deleted": _nobody("the node has left"),
    "node-taken-by-autoscaler": _nobody("the node has left"),
    "all-nodes-cordoned": _all("service", "ingress", must=False),
    "api-server-stopped": _all("api_server"),
    "api-server-restarted": _all("api_server", must=False),
    "api-server-forbids": _all("prober", must=False),
    "api-server-slow": _all("api_server"),
    "api-server-hangs": _all("api_server"),
    "certificate-rotated-ingress": _nobody(_NO_FAULT),
    "certificate-rotated-api-server": _nobody(_NO_FAULT),
    "certificate-rotated-agents": _nobody(_NO_FAULT),
    "token-rotated": _nobody(_NO_FAULT),
    "token-revoked": _all("prober"),
    "prober-little-cpu": _node("prober", must=False),
    # Until a stop is over a check, the API server is a second slow: that is true as well.
    "prober-stopped": Truth((Named("prober", NODE), Named("api_server", CLUSTER)), must=False),
    "prober-blocked": _node("prober", must=False),
    "prober-clock-stepped": _nobody("no duration is measured with that clock"),
    "proxied-outbound": _nobody(_PROXIED),
    "proxied-inbound": _nobody(_PROXIED),
    "collector-image-missing": _nobody(_NO_FAULT),
    "collector-configuration-invalid": _nobody(_NO_FAULT),
    "collector-out-of-memory": _nobody(_NO_FAULT),
    "gateway-stopped": _nobody(_NO_FAULT),
    "gateway-refusing": _nobody(_NO_FAULT),
    "gateway-silent": _nobody(_NO_FAULT),
    "gateway-restarting": _nobody(_NO_FAULT),
    "forged-origins": _nobody(_NO_FAULT),
    "idle-connections": _nobody(_NO_FAULT),
    "slow-loris": _nobody(_NO_FAULT),
    "big-head": _nobody(_NO_FAULT),
    "scraped-often": _nobody(_NO_FAULT),
}
