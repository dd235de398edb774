"""``python -m hostile``: attack an agent, say what fell; JSON, a page, a short form."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hostile import network, soak, table, trial, verdict
from hostile.attacks import ATTACKS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostile.outcome import Outcome

ROOT: Final = Path(__file__).parents[2]
GATE: Final = (
    "pipelined",
    "unfinished-heads",
    "never-reading",
    "collector-endless-answer",
    "collector-gzip-bomb",
    "far-end-session-tickets",
    "stderr-unread",
)
"""One of each kind; under three minutes in all."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hostile", description=__doc__)
    parser.add_argument("attacks", nargs="*", metavar="ATTACK", help="all, or some of --list")
    parser.add_argument("--list", action="store_true", help="name the attacks")
    parser.add_argument("--seconds", type=float, default=20.0, help="of an attack (20)")
    parser.add_argument("--settle-seconds", type=float, default=60.0, help="after it, at most (60)")
    parser.add_argument("--harder", action="store_true", help="refused clients come again at once")
    parser.add_argument(
        "--gate", action="store_true", help="a few attacks, bounds of a busy machine"
    )
    parser.add_argument("--agent-tree", type=Path, default=ROOT, help="whose agent (this one's)")
    parser.add_argument("--before", type=Path, help="a work tree whose agent is attacked, too")
    parser.add_argument("--onto", type=Path, help="a JSON file that results are added to")
    parser.add_argument("--write", action="store_true", help="docs/hostile.md from --onto's file")
    parser.add_argument("--soak-minutes", type=float, help="instead: everything a little, for long")
    parser.add_argument("--samples", type=Path, help="the soak's CSV file")
    return parser


def main(words: Sequence[str]) -> int:
    arguments = _parser().parse_args(words)
    names = arguments.attacks or (GATE if arguments.gate else list(ATTACKS))
    if unknown := sorted(set(names) - set(ATTACKS)):
        print(f"hostile: no attack {', '.join(unknown)}; --list names them", file=sys.stderr)
        return 2
    if arguments.list:
        print("\n".join(ATTACKS))
        return 0
    if missing := network.missing():
        print(f"hostile: needs {', '.join(missing)} (Debian: iproute2)", file=sys.stderr)
        return 2
    network.enter(words)
    if arguments.soak_minutes:
        return soak.main(arguments.agent_tree, arguments.soak_minutes, arguments.samples)
    return _attack_all(arguments, names)


def _attack_all(arguments: argparse.Namespace, names: Sequence[str]) -> int:
    bounds = verdict.GATE if arguments.gate else verdict.FULL
    trees = {"before": arguments.before, "now": arguments.agent_tree}
    fell = 0
    for name in names:
        for label, tree in trees.items():
            if tree is None:
                continue
            plan = trial.Plan(
                tree=tree.resolve(),
                seconds=arguments.seconds,
                settle_seconds=10.0 if arguments.gate else arguments.settle_seconds,
                pause_seconds=0.0 if arguments.harder else table.PAUSE_SECONDS,
            )
            outcome = trial.run(ATTACKS[name], plan)
            words = verdict.fallen(outcome, bounds)
            if arguments.gate and words and verdict.only_slow(outcome, bounds):
                # What else the machine did may have been it: who is slow by himself is it again.
                print(_line(label, outcome, words), flush=True)
                outcome = trial.run(ATTACKS[name], plan)
                words = verdict.fallen(outcome, bounds)
            fell += bool(words) and label == "now"
            print(_line(label, outcome, words), flush=True)
            if arguments.onto:
                _add(arguments.onto, label, outcome)
    if arguments.write and arguments.onto:
        table.write(json.loads(arguments.onto.read_text()))
    return 1 if fell else 0


def _line(label: str, outcome: Outcome, words: Sequence[str]) -> str:
    told = (
        f"{outcome.opened:,} connections,"
        f" peak {outcome.peak_mib:.0f} MiB (RSS {outcome.peak_rss_mib:.0f},"
        f" sockets {outcome.peak_sockets_mib:.0f}),"
        f" p99 {outcome.p99_seconds * 1e3:.1f} ms"
        f" (neighbour {outcome.neighbour_p99_seconds * 1e3:.1f}),"
        f" scrapes {outcome.whole_scrapes}/{outcome.scrapes}"
        f" in {outcome.slowest_scrape_seconds:.2f} s,"
        f" RSS {outcome.rss_before_mib:.0f} -> {outcome.rss_after_mib:.0f}"
        f" after {outcome.settled_seconds:.0f} s"
    )
    return (
        f"{label:6} {outcome.attack:26} {'FELL: ' + ', '.join(words) if words else 'held'}; {told}"
    )


def _add(path: Path, label: str, outcome: Outcome) -> None:
    found = json.loads(path.read_text()) if path.exists() else {}
    found.setdefault(label, {})[outcome.attack] = outcome.to_json()
    path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
