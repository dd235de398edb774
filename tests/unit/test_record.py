"""What a check makes by the dozen: equal, hashed, replaced and told as a frozen dataclass is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from kubenurse_otel.model import Split
from kubenurse_otel.record import record


@record(frozen=True, slots=True)
class _Ours:
    one: int
    two: str = "b"


@dataclass(frozen=True, slots=True)
class _Frozen:
    one: int
    two: str = "b"


def test_a_record_is_what_a_frozen_dataclass_is() -> None:
    """Also as a key of a dict; and it has no other fields than its own."""
    assert _Ours(1) == _Ours(one=1, two="b")
    assert replace(_Ours(1), two="c") == _Ours(1, "c")
    assert hash(_Ours(1)) == hash(_Frozen(1))
    assert repr(_Ours(1)) == repr(_Frozen(1)).replace("_Frozen", "_Ours")
    with pytest.raises(AttributeError):
        _Ours(1).three = 3  # type: ignore[attr-defined]


def test_a_split_is_told_what_the_far_end_says_and_keeps_all_else() -> None:
    """Field by field as dataclasses.replace, a field that is new one day included."""
    fields = Split.__dataclass_fields__
    split = Split(**{name: float(at) for at, name in enumerate(fields)})
    said = {"loss_out": 0.1, "loss_in": None, "far_end_wait": 0.2, "far_end_app": 0.3}
    assert split.told(**said) == replace(split, **said)
