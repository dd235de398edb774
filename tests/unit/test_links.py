"""Pages and docstrings lead somewhere: each file that they link or name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*(page for page in PAGES if page.name != "CHANGELOG.md"), ROOT / "kubenurse_otel"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_link_leads_to_a_file(page: Path) -> None:
    """[words](path), and the heading's anchor where the page is one of ours."""
    for target in re.findall(r"\]\((?!https?:|mailto:)([^)\s]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        if anchor and file.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {_anchor(heading) for heading in headings}, f"{page.name}: {target}"


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: str(text.relative_to(ROOT)))
def test_a_module_that_is_named_is_there(text: Path) -> None:
    """With as much of its path as stands there; the changelog may name what has gone."""
    there = {
        f"/{file.relative_to(ROOT)}"
        for folder in ("kubenurse_otel", "tests", "docs", "dashboards", "bench")
        for file in (ROOT / folder).rglob("*.py")
    }
    files = [text] if text.is_file() else sorted(text.rglob("*.py"))
    named = {name for file in files for name in re.findall(r"[\w/-]*\w\.py\b", file.read_text())}
    assert [name for name in named if not any(one.endswith(f"/{name}") for one in there)] == []


def _anchor(heading: str) -> str:
    """Return it as GitHub makes it: small letters, digits, hyphens for blanks."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
