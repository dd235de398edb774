"""What one agent sees at one moment: the same record for our own view and for those we hear."""

from __future__ import annotations

from dataclasses import field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from kubenurse_otel.model import TargetKind
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kubenurse_otel.diagnosis.symptoms import Symptom

MOST_RUN: Final = 9
"""A run is counted up to here: no rule asks for more."""


class Shared(StrEnum):
    """What all agents check alike, by its letter on the wire."""

    API_SERVER_DIRECT = "D"
    API_SERVER_DNS = "N"
    ME_INGRESS = "I"
    ME_SERVICE = "S"
    DNS = "Q"


SHARED: Final = MappingProxyType(
    {
        TargetKind.API_SERVER_DIRECT: Shared.API_SERVER_DIRECT,
        TargetKind.API_SERVER_DNS: Shared.API_SERVER_DNS,
        TargetKind.ME_INGRESS: Shared.ME_INGRESS,
        TargetKind.ME_SERVICE: Shared.ME_SERVICE,
    }
)
"""Which check is which letter; DNS is seen through all that go by name."""


class Accused(StrEnum):
    """What an agent says of its own node."""

    NOTHING = "-"
    LOSS_IN = "i"
    LOSS_OUT = "o"
    LOSS_BOTH = "io"
    CUT_OFF = "x"
    SLOW = "s"
    """Its round trips became long; maybe those of all do."""

    @property
    def loses(self) -> bool:
        """Whether some of what is sent to it or by it is lost."""
        return self in (Accused.LOSS_IN, Accused.LOSS_OUT, Accused.LOSS_BOTH)

    @property
    def loses_or_is_cut_off(self) -> bool:
        return self.loses or self is Accused.CUT_OFF


@record(frozen=True, slots=True)
class Said:
    """One target's word: what its last check showed, and since how many intervals.

    ``run`` counts intervals (not checks) of the same class of symptoms, 1 to 9. ``lossy``: its
    packets are lost more often than is normal. ``proven``: full-size segments pass, checked after
    somebody said that they do not.
    """

    symptom: Symptom
    run: int = 1
    lossy: bool = False
    proven: bool = False


@record(frozen=True, slots=True, kw_only=True)
class View:
    """What the agent on ``node`` sees.

    ``doubt`` is how little it trusts itself (0 to 7; from 3 on it is no witness). ``targets`` are
    path checks by node name, ``shared`` what all agents check. ``half_open`` are nodes of which
    connections are half open here. ``compares``: it knows how long its round trips usually are, so
    it would say that they became long.
    """

    node: str
    zone: str = ""
    doubt: int = 0
    accused: Accused = Accused.NOTHING
    compares: bool = True
    targets: Mapping[str, Said] = field(default_factory=lambda: MappingProxyType({}))
    shared: Mapping[Shared, Said] = field(default_factory=lambda: MappingProxyType({}))
    half_open: tuple[str, ...] = ()
