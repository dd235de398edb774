"""docs/first-30-seconds.md, for who is on call: nothing that an agent names is missing there."""

from __future__ import annotations

import re
from pathlib import Path

from kubenurse_otel.diagnosis.verdict import Kind

PAGE = Path(__file__).parents[2] / "docs" / "first-30-seconds.md"


def test_every_kind_of_culprit_has_a_row() -> None:
    """Each kind stands in the first column of the table of culprits."""
    table = PAGE.read_text().partition("| culprit |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    named = set(re.findall(r"[a-z_]+", " ".join(rows)))
    assert {kind.value for kind in Kind} <= named
