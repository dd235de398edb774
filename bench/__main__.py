"""``python -m bench``: measure, print tables, and with --write put them in docs/performance.md."""

from __future__ import annotations

import argparse
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import accuracy, cold, cost, live, machine, profile, scale, whole
from bench.network import ROOT, BenchError, sweep
from bench.tables import place

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import FrameType

    from bench.tables import Table

DOCUMENT: Final = ROOT / "docs" / "performance.md"


def _accuracy(arguments: argparse.Namespace) -> Sequence[Table]:
    return accuracy.measure(checks=arguments.checks, others=arguments.other, only=arguments.only)


def _whole(arguments: argparse.Namespace) -> Sequence[Table]:
    return [whole.measure(seconds=arguments.seconds)]


def _agents(arguments: argparse.Namespace) -> list[tuple[str, list[str]]]:
    return [(name, shlex.split(command)) for name, command in arguments.other_agent]


def _cost(arguments: argparse.Namespace) -> Sequence[Table]:
    return cost.measure(
        seconds=arguments.seconds,
        trees=[(name, Path(directory).resolve()) for name, directory in arguments.tree],
        others=_agents(arguments),
    )


def _scale(arguments: argparse.Namespace) -> Sequence[Table]:
    return [scale.measure(seconds=arguments.seconds / 2)]


def _scrapes(arguments: argparse.Namespace) -> Sequence[Table]:
    return live.scrapes(seconds=arguments.seconds / 2)


def _peers(arguments: argparse.Namespace) -> Sequence[Table]:
    return [live.dead_peers(seconds=min(arguments.seconds, 60.0))]


def _answering(arguments: argparse.Namespace) -> Sequence[Table]:
    return [live.answering(requests=arguments.requests, others=_agents(arguments))]


def _profile(arguments: argparse.Namespace) -> Sequence[Table]:
    return [*profile.cpu(seconds=arguments.seconds), profile.memory()]


def _budget(_: argparse.Namespace) -> Sequence[Table]:
    return [cold.measure()]


SECTIONS: Final[dict[str, tuple[str, Callable[[argparse.Namespace], Sequence[Table]]]]] = {
    "accuracy": ("what is reported against what the wire saw", _accuracy),
    "whole": ("the same for the whole agent's spans", _whole),
    "cost": ("CPU a check and memory of a live agent", _cost),
    "scale": ("50, 500, 5,000 pods", _scale),
    "scrapes": ("/metrics and what it does to checks", _scrapes),
    "peers": ("ten dead peers", _peers),
    "answering": ("/alwayshappy on the wire", _answering),
    "profile": ("where CPU and memory go", _profile),
    "budget": ("what one more check, span, look-up costs", _budget),
}


def _named(text: str) -> tuple[str, str]:
    name, found, command = text.partition("=")
    if not found or not name or not command:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=COMMAND")
    return name, command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"all, or some of {', '.join(SECTIONS)}"
    )
    parser.add_argument("--checks", type=int, default=400, help="a case of accuracy (400)")
    parser.add_argument("--only", default="", help="accuracy: cases whose name contains this")
    parser.add_argument("--seconds", type=float, default=60.0, help="a window (60)")
    parser.add_argument("--requests", type=int, default=500, help="answering (500)")
    parser.add_argument(
        "--other",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="accuracy: a prober; {url} is filled in; prints a JSON line a check with "
        "connect_seconds and request_seconds (or sent_seconds, first_byte_seconds)",
    )
    parser.add_argument(
        "--other-agent",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="cost, answering: an agent that takes kubenurse's variables and listens on 8080",
    )
    parser.add_argument(
        "--tree",
        type=_named,
        action="append",
        default=[],
        metavar="NAME=DIRECTORY",
        help="cost: a work tree of another commit, to run beside this one",
    )
    parser.add_argument("--write", action="store_true", help=f"into {DOCUMENT.relative_to(ROOT)}")
    return parser


def main(words: Sequence[str] | None = None) -> int:
    arguments = _parser().parse_args(words)
    unknown = sorted(set(arguments.sections) - set(SECTIONS))
    if unknown:
        print(f"bench: no section {', '.join(unknown)}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _end)
    try:
        for name in arguments.sections or SECTIONS:
            print(f"{name}: {SECTIONS[name][0]}", file=sys.stderr)
            text = _section(name, arguments)
            print(text, flush=True)
            if arguments.write:
                _write(DOCUMENT, name, text)
    except (BenchError, OSError, subprocess.SubprocessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        sweep()
    return 0


def _end(*_: int | FrameType | None) -> None:
    """SIGTERM unwinds like Ctrl-C, so that everything is taken away again."""
    raise KeyboardInterrupt


def _section(name: str, arguments: argparse.Namespace) -> str:
    measured_on = machine.describe()
    tables = SECTIONS[name][1](arguments)
    return "\n\n".join([measured_on, *(table.markdown().rstrip() for table in tables)]) + "\n"


def _write(document: Path, name: str, text: str) -> None:
    before = document.read_text() if document.exists() else "# Performance\n"
    document.write_text(place(before, name, text))


if __name__ == "__main__":
    sys.exit(main())
