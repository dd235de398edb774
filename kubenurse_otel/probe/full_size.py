"""Make a check full-size, and find out whether it failed because of its size: a wrong MTU.

In a path MTU black hole, handshakes, pings and small requests pass, and everything large hangs
(RFC 2923 section 2.1, RFC 4821). Examples are an overlay with the MTU of its underlay, or a VPN on
the way, where ICMP's "packet too big" is dropped. Checks of neighbours are small, so they do not
see this. Therefore some checks are padded to more than a full segment, and the answer is as long.
If such a check hangs, it is made again at once with small segments, which every way carries. If
that one passes, the size is the cause.

Owns the padding and this comparison. The kernel says what a full segment is (tcpi_snd_mss).
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
"""Bytes more than our own segment. One of the far end may be a little larger (TCP's options)."""
UNKNOWN_MSS: Final = 1_460
"""Bytes of a segment on Ethernet. Used if the kernel does not tell (gVisor)."""
SMALL_SEGMENT_BYTES: Final = 536
"""Bytes of a segment that every way carries (RFC 9293 section 3.7.1)."""
_PAD: Final = semconv.HEADER_PAD.encode("ascii")
_STALLS: Final = frozenset({ErrorType.TLS_HANDSHAKE_TIMEOUT, ErrorType.RESPONSE_TIMEOUT})


def padding(send_mss: int | None) -> int:
    """Return how many bytes make a request longer than a segment of ``send_mss`` bytes.

    At most PAD_MAX_BYTES. This fills a jumbo frame, but not a segment on loopback (64 KiB).
    """
    return min((send_mss or UNKNOWN_MSS) + MORE_BYTES, semconv.PAD_MAX_BYTES)


def header(size: int) -> Field:
    return _PAD, b"x" * size


class Probing(Protocol):
    """What prober.Prober does."""

    async def probe(self, target: Target, *, propagation: Iterable[Field] = ()) -> Probed: ...


class SizeComparer:
    """Probes as the prober that it is given, and says of a full-size check whether its size made it
    fail. The second request tells only that: no span and no figure is made of it.
    """

    def __init__(self, prober: Probing) -> None:
        self._prober = prober

    async def probe(self, target: Target, *, propagation: Iterable[Field] = ()) -> Probed:
        """Probe the target, within twice its time-out. Whatever the network or the far end does is
        in the result, and nothing is raised for it.
        """
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
            return probed  # it hangs whatever the size; the check without padding reports that
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
