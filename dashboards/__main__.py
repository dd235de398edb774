"""`python -m dashboards --write` writes the JSON of the chart; `--check` fails where it differs."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Final

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from dashboards import agents, api_server, node_to_node, overview, services, target

FILES: Final = Path(__file__).parents[1] / "helm" / "kubenurse-otel" / "files"
"""Of the chart: Helm reads no others."""
GENERATED: Final = FILES / "dashboards"
BUILDERS: Final = (overview, node_to_node, services, api_server, target, agents)


def documents() -> dict[str, str]:
    """Return each dashboard's JSON by file name. Panel ids are their places: stable links."""
    found = {}
    for module in BUILDERS:
        built = module.build().build()
        for number, panel in enumerate(built.panels or [], start=1):
            panel.id_val = number
        found[f"{built.uid}.json"] = json.dumps(built, cls=JSONEncoder, indent=2) + "\n"
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--write", action="store_true")
    what.add_argument("--check", action="store_true")
    options = parser.parse_args()
    wanted = documents()
    there = {path.name: path.read_text() for path in GENERATED.glob("*.json")}
    if options.check:
        stale = sorted(name for name in wanted | there if wanted.get(name) != there.get(name))
        if stale:
            names = ", ".join(stale)
            sys.stderr.write(f"stale: {names}; run python -m dashboards --write\n")
        return 1 if stale else 0
    GENERATED.mkdir(exist_ok=True)
    for name in set(there) - set(wanted):
        (GENERATED / name).unlink()
    for name, text in wanted.items():
        (GENERATED / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
