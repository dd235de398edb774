"""The reviewed renderings: `python -m tests.chart.golden --write` makes them anew.

Of the default values all objects stand in golden/, of each other case what it changes in those: an
object that is not rendered, one that is new, and lines. What is copied from files of the chart
(rules, dashboards) stands as the file's name in them: it has a review and tests of its own.
"""

from __future__ import annotations

import argparse
import difflib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from . import helm
from .values import CHART

if TYPE_CHECKING:
    from collections.abc import Iterator

GOLDEN: Final = Path(__file__).parent / "golden"
CASES: Final = sorted((CHART / "ci").glob("*-values.yaml"))
DEFAULT: Final = CHART / "ci" / "default-values.yaml"


def name(case: Path) -> str:
    return case.name.removesuffix("-values.yaml")


def file(case: Path) -> Path:
    return GOLDEN / f"{name(case)}.{'yaml' if case == DEFAULT else 'diff'}"


def reviewed(case: Path) -> str:
    """Return what stands in its file."""
    if case == DEFAULT:
        return _rendering(case)
    return "".join(_changes(_objects(_rendering(DEFAULT)), _objects(_rendering(case))))


def _rendering(case: Path) -> str:
    """Return the manifests of a ci/*-values.yaml, without the copied files' contents."""
    text = helm.template(None, "--values", str(case))
    for copied in sorted((CHART / "files").glob("*/*")):
        content = copied.read_text().strip()
        for indent in ("  ", "    "):
            lines = (indent + line for line in content.splitlines())
            # nindent leaves blanks on empty lines.
            text = text.replace("\n".join(lines), f"{indent}# files/{copied.parent.name}/...")
    return text


def _objects(text: str) -> dict[str, list[str]]:
    """Return the lines of each object, by its kind and name."""
    found = {}
    for part in text.removeprefix("---\n").split("\n---\n"):
        about = yaml.safe_load(part)
        key = f"{about['kind']} {about['metadata']['name']}"
        assert key not in found, f"two objects are {key}"
        found[key] = (part.strip() + "\n").splitlines(keepends=True)
    return found


def _changes(before: dict[str, list[str]], after: dict[str, list[str]]) -> Iterator[str]:
    for key in sorted(before.keys() - after.keys()):
        yield f"--- {key}\n"
    for key, lines in after.items():
        if key not in before:
            yield f"+++ {key}\n"
            yield from (f"+{line}" for line in lines)
        elif lines != before[key]:
            yield f"    {key}\n"
            _, _, *changed = difflib.unified_diff(before[key], lines)
            yield from ("@@\n" if line.startswith("@@") else line for line in changed)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chart.golden")
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    for left_over in GOLDEN.iterdir():
        left_over.unlink()
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        file(case).write_text(reviewed(case))
    return 0


if __name__ == "__main__":
    sys.exit(main())
