"""Every fault of docs/faults.md has a truth: who is to be named."""

from __future__ import annotations

import pytest
from e2e.faults import all_faults
from e2e.faults.truth import TRUTHS

from kubenurse_otel.diagnosis.verdict import Kind


def test_each_fault_has_a_truth() -> None:
    """And no truth is of a fault that is gone."""
    assert set(TRUTHS) == set(all_faults.by_name())


@pytest.mark.parametrize("name", TRUTHS)
def test_a_truth_says_who_or_why_nobody(name: str) -> None:
    """In words that verdicts have."""
    truth = TRUTHS[name]
    assert bool(truth.right) is not bool(truth.why)
    assert {one.kind for one in truth.right} <= set(Kind)
    assert {one.direction for one in truth.right} <= {"", "in", "out"}
