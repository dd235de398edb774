"""``python -m bench.large``: an agent in a cluster of 5,000 nodes, and what 5,000 ask of others.

Measures for half an hour (as root), writes the figures as JSON and prints tables; --tables prints
those of such a file again, computed for --agents and so on.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import machine, tables
from bench.large import (
    agents,
    apiserver,
    borrowed,
    demand,
    far_ends,
    figures,
    live,
    objects,
    parts,
    place,
    report,
    spans,
    store,
    traffic,
)
from bench.large.ring import Cast, cast
from bench.network import ROOT, BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence

DOCUMENT: Final = ROOT / "docs" / "scale.md"
CACHE: Final = ROOT / ".cache" / "bench"
FIGURES: Final = CACHE / "large.json"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.large", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="nodes (5000)")
    parser.add_argument("--seconds", type=float, default=600.0, help="of steady state (600)")
    parser.add_argument("--json", type=Path, default=FIGURES, help=f"what was measured ({FIGURES})")
    parser.add_argument("--only", choices=("live", "parts"), default="", help="one half of it")
    parser.add_argument("--write", action="store_true", help=f"tables into {DOCUMENT.name}")
    for name, kind, what in (
        ("agents", int, "agents"),
        ("interval", float, "seconds between two checks of a target"),
        ("api-interval", float, "the same for the API server"),
        ("neighbours", int, "neighbours that an agent checks"),
        ("scrape", float, "seconds between two scrapes"),
        ("trace-ratio", float, "share of checks whose trace is kept"),
        ("cordoned", int, "nodes that are cordoned"),
    ):
        default = getattr(demand.Cluster(), name.replace("-", "_"))
        parser.add_argument(
            f"--{name}", type=kind, default=default, help=f"computed for: {what} ({default})"
        )
    parser.add_argument("--tables", type=Path, metavar="JSON", help="print the tables of a run")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if words is None else words)
    arguments = _parser().parse_args(words)
    try:
        if not arguments.tables:
            status = place.enter(words)
            if status is not None:
                return status
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
            results: dict[str, Any] = {}
            try:
                measure(results, arguments.count, arguments.seconds, only=arguments.only)
            except BaseException:
                _keep(arguments.json.with_suffix(".partial.json"), results)
                raise
            _keep(arguments.json, results)
        results = json.loads((arguments.tables or arguments.json).read_text())
    except BenchError as error:
        print(f"bench.large: {error}", file=sys.stderr)
        return 1
    for name, text in report.sections(results, _cluster(arguments)).items():
        print(text, flush=True)
        if arguments.write:
            DOCUMENT.write_text(tables.place(DOCUMENT.read_text(), f"large-{name}", text))
    return 0


def _keep(file: Path, results: dict[str, Any]) -> None:
    """Write what was measured; the other half, from another run, stays."""
    before = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(before | results, indent=1) + "\n")


def _cluster(arguments: argparse.Namespace) -> demand.Cluster:
    names = [field.name for field in dataclasses.fields(demand.Cluster)]
    return demand.Cluster(**{n: getattr(arguments, n) for n in names if hasattr(arguments, n)})


def measure(results: dict[str, Any], count: int, seconds: float, *, only: str) -> None:
    """Fills ``results``; see docs/scale.md for what it means."""
    players = cast(count, borrowed.daemonset.node_name, len(live.VARIANTS))
    with tempfile.TemporaryDirectory(prefix="kbench-large-") as name:
        directory = Path(name)
        CACHE.mkdir(parents=True, exist_ok=True)
        place.furnish(directory)
        place.add_addresses(live.addresses(players.real))
        with contextlib.ExitStack() as stack:
            kept = CACHE / f"etcd-{count}"
            server = stack.enter_context(
                apiserver.api_server(directory, kept, lambda one: objects.populate(one, count))
            )
            apiserver.service_account(server)
            apiserver.services(server)
            coredns = stack.enter_context(far_ends.dns(server))
            behind = live.addresses(players.neighbours)
            nginx = stack.enter_context(far_ends.ingress(server, behind))
            groups = [variant.group for variant in live.VARIANTS]
            traffic.install(traffic.rules(groups, behind))
            _neighbours(stack, players, directory)
            if only != "parts":
                with contextlib.ExitStack() as measured:
                    ours = [
                        measured.enter_context(agents.measured(variant, number, directory))
                        for variant, number in zip(live.VARIANTS, players.measured, strict=True)
                    ]
                    run = live.Run(server, ours, players.real, count)
                    results["live"] = run.results
                    run.all(seconds)
            if only != "live":
                found: dict[str, Any] = {"machine": machine.describe()}
                results["parts"] = found
                found["look_ups"] = parts.look_ups(directory, coredns.pid)
                found["cordoning"] = parts.cordoning(server)
                found["spans"], text = spans.measure(players.measured[0], directory, count - 1)
                found["exposition"] = figures.series(text)
                found["ingress_ms"] = parts.ingress_checks(directory, nginx.pid)
                found["version"] = parts.version_checks(server)
                found["node_updates"] = parts.node_updates(server, count)
                found["store"] = store.measure(text, found["exposition"]["all"], directory)


def _neighbours(stack: contextlib.ExitStack, players: Cast, directory: Path) -> None:
    """Everybody is asked by as many as it asks: ``limit`` real agents before or behind it."""
    stack.enter_context(place.daemon(spans.sink_command(directory), directory / "sink.log"))
    for at, number in enumerate(players.neighbours):
        asked = [
            one
            for i, one in enumerate(players.measured)
            # The measured ones before it on the ring ask it, too; 20 in all.
            if at < live.VARIANTS[i].limit - i
        ]
        stack.enter_context(agents.neighbour(number, asked, directory, spans.SINK))


if __name__ == "__main__":
    sys.exit(main())
