"""ci/*-values.yaml rendered, against the renderings that people reviewed (golden/).

`python -m tests.chart.golden --write` writes them anew; look at the difference.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from . import golden, helm
from .values import CHART


@pytest.mark.parametrize("case", golden.CASES, ids=golden.name)
def test_rendering_is_the_reviewed_one(case: Path) -> None:
    """Each ci/*-values.yaml renders exactly what its golden file says."""
    assert golden.file(case).read_text() == golden.reviewed(case)


def test_no_golden_file_is_left_over() -> None:
    """Each golden file belongs to a ci/*-values.yaml."""
    assert {golden.file(case) for case in golden.CASES} == set(golden.GOLDEN.iterdir())


@pytest.mark.parametrize("case", golden.CASES, ids=golden.name)
def test_lint_has_no_complaint(case: Path) -> None:
    """`helm lint --strict` passes with each ci/*-values.yaml."""
    where = ("--kube-version", helm.KUBE_VERSION)
    lint = helm.run("lint", "--strict", str(CHART), *where, "--values", str(case))
    assert "0 chart(s) failed" in lint
