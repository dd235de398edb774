"""Make a check full-size, and find out whether its size made it fail: a wrong MTU.

A path MTU black hole lets handshakes, pings and small requests pass, and everything that is large
hangs: an overlay whose MTU is the underlay's, a VPN on the way, and ICMP's "packet too big" is
dropped (RFC 2923 section 2.1, RFC 4821). A check of a neighbour is small and sees nothing of it. So
now and then one is padded to more than a full segment, and is answered with as much. One that hangs
is made again at once with segments that every way carries: passes that one, it is the size.

Owns the padding and that comparison. What is large is the kernel's word (tcpi_snd_mss).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from kubenurse_otel import errors, semconv
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.probe import verdict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kubenurse_otel.model import Target
    from kubenurse_otel.probe.fields import Field
    from kubenurse_otel.probe.prober import Probed

MORE_BYTES: Final = 100
"""Beyond a segment of ours: one of the far end's may be a little larger (TCP's options)."""
UNKNOWN_MSS: Final = 1_460
"""Of an Ethernet, where the kernel does not tell (gVisor)."""
SMALL_SEGMENT_BYTES: Final = 536
"""What every way carries (RFC 9293 section 3.7.1)."""
_PAD: Final = semconv.HEADER_PAD.encode("ascii")
_STALLS: Final = frozenset({ErrorType.TLS_HANDSHAKE_TIMEOUT, ErrorType.RESPONSE_TIMEOUT})


def padding(send_mss: int | None) -> int:
    """Return how many bytes make a request more than a segment of ``send_mss`` bytes.

    At most PAD_MAX_BYTES: a jumbo frame is filled, a segment on loopback (64 KiB) is not.
    """
    return min((send_mss or UNKNOWN_MSS) + MORE_BYTES, semconv.PAD_MAX_BYTES)


def header(size: int) -> Field:
    return _PAD, b"x" * size


class Probing(Protocol):
    """Who asks: prober.Prober."""

    async def probe(self, target: Target, *, propagation: Iterable[Field] = ()) -> Probed: ...


class SizeComparer:
    """``probe`` of the prober below, which says of a full-size check whether it failed by its size.

    What it asks a second time tells only that: no span, no figure is made of it.
    """

    def __init__(self, prober: Probing) -> None:
        self._prober = prober

    async def probe(self, target: Target, *, propagation: Iterable[Field] = ()) -> Probed:
        """Raises nothing for what the network or the far end does; within twice the time-out."""
        probed = await self._prober.probe(target, propagation=propagation)
        failed = probed.failure
        if not target.full_size or failed is None or failed.error_type not in _STALLS:
            return probed
        small = await self._prober.probe(
            replace(
                target,
                key=f"{target.key} in small segments",
                most_segment_bytes=SMALL_SEGMENT_BYTES,
            )
        )
        if verdict.failure(small) is not None:
            return probed  # it hangs whatever the size: the check without padding will say so
        measured = probed.measurement
        sent_again = (measured.retransmits or 0) > measured.dsacks
        return replace(
            probed,
            failure=errors.full_size_failure(
                failed,
                target=target.url.host_port,
                bytes_each=measured.send_mss or UNKNOWN_MSS,
                pmtu=measured.pmtu or 0,
                small_bytes=SMALL_SEGMENT_BYTES,
                is_sent=sent_again,
            ),
        )
