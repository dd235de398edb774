"""A small cluster on loopback, which an ordinary user can run: `kubenurse-otel demo`.

Owns the command line. The parts are agents, certificates, far_ends (the stand-ins, in a process of
their own), cluster (processes and files), story (what breaks when), view, screen, and play, which
joins them.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_DESCRIPTION = """\
Runs five agents, an API server and an ingress (both stand-ins) on 127.0.0.0/8, shows what the
agents measure of each other, breaks three things one after the other, and heals them.
Nothing outside this machine is asked, and no privilege is needed.
"""
_EPILOG = """\
Traces go to a collector with OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 in the environment.
Without a terminal plain lines are printed. Ctrl-C ends it and removes every process and file.

exit codes: 0 done, 1 an agent died or could not start, 2 usage, 130 interrupted
"""


def main(arguments: Sequence[str]) -> int:
    """Run the demo; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="kubenurse-otel demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="N",
        help="end by itself, so many seconds after the agents are up, with all three faults in "
        "this time (without: go on until Ctrl-C)",
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=18080,
        help="where the agents listen, on 127.0.1.1 to 127.0.1.5 (18080; another if it is taken)",
    )
    options = parser.parse_args(arguments)
    try:
        from kubenurse_otel.demo.play import play  # noqa: PLC0415 - needs packages of the extra
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in {"rich", "trustme"}:
            raise
        print(
            f"kubenurse-otel demo: {error.name} is missing; "
            "pip install 'kubenurse-otel[demo]', or `make demo` in the repository",
            file=sys.stderr,
        )
        return 1
    return play(seconds=options.seconds, port=options.port)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86400:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0, up to 86400")
    return seconds


def _port(text: str) -> int:
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1024 to 65535")
    return int(text)
