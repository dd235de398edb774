"""docs/architecture.md names what there is."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMED = set(re.findall(r"\b(\w+\.py)\b", (ROOT / "docs/architecture.md").read_text()))


def test_every_module_has_its_place_in_the_architecture() -> None:
    """A new one says what it is for; one that is gone leaves the page, too."""
    modules = {path.name for path in (ROOT / "kubenurse_otel").rglob("*.py")} - {"__init__.py"}
    assert sorted(modules - NAMED) == []
    assert sorted(NAMED - modules) == []
