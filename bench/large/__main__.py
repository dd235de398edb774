"""``python -m bench.large``: an agent in a cluster of 5,000 nodes, and what 5,000 ask of others.

Prints tables; with --json writes everything that was measured, with --tables prints those of such
a file again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import machine
from bench.large import agents, apiserver, borrowed, far_ends, live, objects, parts, place, spans
from bench.large import report, traffic
from bench.large.ring import Cast, cast
from bench.network import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.large", description=__doc__)
    parser.add_argument("--count", type=int, default=5000, help="nodes (5000)")
    parser.add_argument("--seconds", type=float, default=600.0, help="of steady state (600)")
    parser.add_argument("--json", type=Path, help="write what was measured here")
    parser.add_argument("--only", choices=("live", "parts"), help="one half of it")
    parser.add_argument("--tables", type=Path, metavar="JSON", help="print the tables of a run")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if words is None else words)
    arguments = _parser().parse_args(words)
    try:
        if arguments.tables:
            print(report.markdown(json.loads(arguments.tables.read_text())))
            return 0
        status = place.enter(words)
        if status is not None:
            return status
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        results = measure(arguments.count, arguments.seconds, only=arguments.only or "")
    except (BenchError, OSError, AssertionError) as error:
        print(f"bench.large: {error}", file=sys.stderr)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results))
    return 0


def measure(count: int, seconds: float, *, only: str) -> dict[str, Any]:
    """Everything; see docs/scale.md for what it means."""
    results: dict[str, Any] = {"machine": machine.describe(), "count": count}
    players = cast(count, borrowed.daemonset.node_name, len(live.VARIANTS))
    with tempfile.TemporaryDirectory(prefix="kbench-large-") as name:
        directory = Path(name)
        place.furnish(directory)
        place.add_addresses(live.addresses(players.real))
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(apiserver.api_server(directory))
            results["made_in_seconds"] = objects.populate(server, count)
            print(f"made in {results['made_in_seconds']:.0f} s", file=sys.stderr, flush=True)
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
                results["parts"] = {
                    "version": parts.version_checks(server),
                    "ingress_ms": parts.ingress_checks(directory, nginx.pid),
                    "look_ups": parts.look_ups(directory, coredns.pid),
                    "node_updates": parts.node_updates(server, count),
                }
    return results


def _neighbours(stack: contextlib.ExitStack, players: Cast, directory: Path) -> None:
    """Everybody is asked by as many as it asks: ``limit`` real agents before or behind it."""
    stack.enter_context(place.daemon(spans.sink_command(directory), directory / "sink.log"))
    for at, number in enumerate(players.neighbours):
        asked = [
            one
            for i, one in enumerate(players.measured)
            # The measured ones before it on the ring ask it, too; 20 in all.
            if at < live.VARIANTS[i].limit - min(i, live.VARIANTS[i].limit)
        ]
        stack.enter_context(agents.neighbour(number, asked, directory, spans.SINK))


if __name__ == "__main__":
    sys.exit(main())
