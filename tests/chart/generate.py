"""What the chart holds that is made from something else: `python -m tests.chart.generate`.

From values.yaml: the schema, README's table, files/defaults.yaml. From otel-collector/: a copy in
files/, as Helm reads files of the chart alone.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from . import schema
from .values import CHART, Value, leaves, read, sections

ROOT: Final = Path(__file__).parents[2]
_MADE: Final = "# Made by `python -m tests.chart.generate --write`; do not edit.\n"
_TABLE: Final = re.compile(r"(?<=<!-- values -->\n).*(?=<!-- /values -->)", re.DOTALL)


def files() -> dict[Path, str]:
    """Return the files' texts by path."""
    values = read()
    readme = CHART / "README.md"
    sidecar = ROOT / "otel-collector" / "sidecar.yaml"
    return {
        CHART / "values.schema.json": _json(schema.make(values)),
        CHART / "files" / "defaults.yaml": _defaults(values),
        CHART / "files" / "sidecar.yaml": sidecar.read_text(),
        readme: _TABLE.sub(lambda _: _table(values), readme.read_text()),
    }


def stale() -> list[Path]:
    """Return the files that are missing or out of date."""
    return [path for path, text in files().items() if not path.exists() or path.read_text() != text]


def write() -> None:
    for path, text in files().items():
        path.write_text(text)


def _json(content: object) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _defaults(values: tuple[Value, ...]) -> str:
    """Return what _defaults.tpl reads: each default, under what makes it hold.

    sections: a map of keys that is none, or left empty. absent: a key of ours, or a list, that is
    not there. empty: a map of kubenurse's that is not there or {}.
    """
    every = leaves(values)
    lists = [one for one in every if isinstance(one.default, list) and one.default]
    absent = [one for one in every if not one.is_kubenurse or one in lists]
    empty = [one for one in every if one.is_kubenurse and isinstance(one.default, dict)]
    content: dict[str, Any] = {
        "repository": next(one.default for one in every if one.name.endswith("image.repository")),
        "sections": [{"path": one.name, "value": one.default} for one in sections(values)],
        "absent": [{"path": one.name, "value": one.default} for one in absent],
        "empty": [{"path": one.name, "value": one.default} for one in empty if one.default],
    }
    return _MADE + yaml.safe_dump(content, sort_keys=False, width=1000)


def _table(values: tuple[Value, ...]) -> str:
    rows = ["| value | default | what it is |", "| --- | --- | --- |"]
    for one in leaves(values):
        default = json.dumps(one.default, ensure_ascii=False)
        text = one.description.replace("|", "\\|")
        rows.append(f"| `{one.name}` | `{default}` | {text} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chart.generate")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail where a file is stale")
    what.add_argument("--write", action="store_true", help="write the files")
    if parser.parse_args().write:
        write()
        return 0
    for path in stale():
        print(f"{path.relative_to(ROOT)} is stale: python -m tests.chart.generate --write")  # noqa: T201 - for people
    return 1 if stale() else 0


if __name__ == "__main__":
    sys.exit(main())
