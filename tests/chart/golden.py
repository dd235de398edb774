"""The reviewed renderings: `python -m tests.chart.golden --write` makes them anew.

What is copied from files of the chart (rules, dashboards) stands as the file's name in them: it has
a review and tests of its own.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from . import helm
from .values import CHART

GOLDEN: Final = Path(__file__).parent / "golden"
CASES: Final = sorted((CHART / "ci").glob("*-values.yaml"))


def name(case: Path) -> str:
    return case.name.removesuffix("-values.yaml")


def file(case: Path) -> Path:
    return GOLDEN / f"{name(case)}.yaml"


def rendering(case: Path) -> str:
    """Return the manifests of a ci/*-values.yaml, without the copied files' contents."""
    text = helm.template(None, "--values", str(case))
    for copied in sorted((CHART / "files").glob("*/*")):
        content = copied.read_text().strip()
        for indent in ("  ", "    "):
            lines = (indent + line for line in content.splitlines())
            # nindent leaves blanks on empty lines.
            text = text.replace("\n".join(lines), f"{indent}# files/{copied.parent.name}/...")
    return text


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chart.golden")
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    for left_over in GOLDEN.glob("*.yaml"):
        left_over.unlink()
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        file(case).write_text(rendering(case))
    return 0


if __name__ == "__main__":
    sys.exit(main())
