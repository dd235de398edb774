"""The command line: what was asked for, and nothing of how it is done.

Reads the environment (through config) before anything of OpenTelemetry is imported, so that no
library reads it by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from kubenurse_otel import __version__
from kubenurse_otel.config import ConfigError, Loaded, load, take_environment
from kubenurse_otel.config.urls import hidden, parse_url
from kubenurse_otel.config.values import InvalidTextError, duration
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kubenurse_otel.model import Url

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_INTERRUPTED: Final = 130
TIMEOUT: Final = duration("1ms", "1h")
MAX_MESSAGE: Final = 1000
WATCH_SECONDS: Final = 2.0

_DIAGNOSE: Final = """\
Asks agents for their verdicts: the one at URL; in a pod its own agent; else all of the cluster of
KUBECONFIG, through the API server (pods/proxy is the right that it takes).
"""
_EPILOG: Final = """\
Without a command the agent runs. It is configured by environment variables (docs/configuration.md);
`kubenurse-otel config` shows what they come to.

exit codes: 0 done, 1 a check failed or the agent could not start, 2 bad configuration or usage
(those of `diagnose` are its own)
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the process's exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["demo"]:  # has a parser of its own, and packages that others do without
            return _demo(words[1:])
        parsed = _parser().parse_args(words)
        command: Callable[[argparse.Namespace], int] = parsed.command
        return command(parsed)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        _say()  # what argparse printed


def kubectl() -> int:
    """Run `kubectl kubenurse`, which finds the executable kubectl-kubenurse."""
    return main(["diagnose", *sys.argv[1:]])


def _say(*lines: str, quiet: bool = False) -> None:
    """Print, now. A reader that has had enough is no error; a full disk is one, if not ``quiet``:
    exit 1.
    """
    if sys.stdout is None:  # closed by whoever started us
        return
    try:
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        # Nothing more is written there, not by the interpreter at its end either.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not quiet and not isinstance(error, BrokenPipeError):
            raise SystemExit(
                _mistake(f"cannot write to standard output: {error.strerror}")
            ) from None


def _mistake(sentence: str) -> int:
    print(f"kubenurse-otel: {sentence}", file=sys.stderr)
    return EXIT_FAILED


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one line, with nothing of what was typed that acts on a terminal."""

    def error(self, message: str) -> NoReturn:
        sentence = printable(f"{self.prog}: {message} (see {self.prog} --help)", MAX_MESSAGE)
        self.exit(EXIT_CONFIG, sentence + "\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="kubenurse-otel",
        description="Checks a cluster's network from every node, and tells apart the network, "
        "the far end's application and its own delay.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"kubenurse-otel {__version__}")
    parser.set_defaults(command=_run)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    run = commands.add_parser("run", help="run the agent (the default)")
    run.set_defaults(command=_run)

    check = commands.add_parser(
        "check",
        help="check URLs once and show where the time went",
        description="Checks each URL once, as the agent does. Exit code 1 if one of them failed.",
    )
    check.add_argument("urls", nargs="+", metavar="URL", type=_url)
    check.add_argument("--json", action="store_true", help="one JSON object a URL, a line each")
    check.add_argument(
        "--timeout", type=_timeout, default=5.0, metavar="DURATION", help="for all of it (5s)"
    )
    check.add_argument(
        "--expect",
        type=_statuses,
        default=(200, 200),
        metavar="STATUS[-STATUS]",
        help="which status is good (200)",
    )
    check.set_defaults(command=_check)

    diagnose = commands.add_parser(
        "diagnose",
        help="ask agents who is at fault",
        description=_DIAGNOSE,
        epilog="exit codes: 0 nothing is wrong, 1 a culprit is named, 2 usage, 3 suspicions only, "
        "4 no agent answers",
    )
    diagnose.add_argument(
        "url", nargs="?", metavar="URL", type=_url, help="an agent's, as http://10.1.2.3:8080"
    )
    diagnose.add_argument("--all", action="store_true", help="ask all agents that this one knows")
    diagnose.add_argument("--json", action="store_true", help="a JSON object, on one line")
    diagnose.add_argument(
        "--watch", action="store_true", help="go on, and say what changes, until Ctrl-C"
    )
    diagnose.add_argument(
        "-n", "--namespace", default="", help="where the agents are, for a kubeconfig (everywhere)"
    )
    diagnose.add_argument(
        "-l",
        "--selector",
        default="",
        help="their labels, likewise (app.kubernetes.io/name=kubenurse)",
    )
    diagnose.set_defaults(command=_diagnose)

    show = commands.add_parser("config", help="show the effective configuration and its sources")
    show.set_defaults(command=_config)

    commands.add_parser("demo", help="run a little cluster on loopback, with faults to look at")
    return parser


def _url(text: str) -> Url:
    try:
        return parse_url(text)
    except InvalidTextError as error:
        raise argparse.ArgumentTypeError(
            f"{hidden(text)!r} is no http:// or https:// URL that can be asked, wants one {error}"
        ) from None


def _timeout(text: str) -> float:
    """As in the configuration; a bare number is seconds, as it always was here."""
    if re.fullmatch(r"[0-9.]+", text):
        text += "s"
    try:
        return TIMEOUT.parse(text)
    except InvalidTextError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {TIMEOUT.wants}") from None


def _statuses(text: str) -> tuple[int, int]:
    statuses = re.fullmatch(r"([1-5][0-9][0-9])(?:-([1-5][0-9][0-9]))?", text)
    if statuses is None or int(statuses[1]) > int(statuses[2] or statuses[1]):
        raise argparse.ArgumentTypeError(f"{text!r} is no status and no range like 200-399")
    return int(statuses[1]), int(statuses[2] or statuses[1])


def _load() -> Loaded:
    """Exits with 2 where the configuration is bad; says every problem at once."""
    try:
        return load(take_environment())
    except ConfigError as error:
        print(f"kubenurse-otel: bad configuration\n{error}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


def _run(_: argparse.Namespace) -> int:
    config = _load().config
    # Only now: these import OpenTelemetry, which reads the environment as it is imported.
    from kubenurse_otel import log  # noqa: PLC0415 - see above
    from kubenurse_otel.app import App  # noqa: PLC0415 - see above
    from kubenurse_otel.server import ServerError  # noqa: PLC0415 - see above

    writer = log.set_up(config.log)
    log.start(config)

    async def agent() -> None:
        await App(config).run()

    try:
        asyncio.run(agent())
    except ServerError as error:
        writer.flush()  # in the order in which it happened
        return _mistake(str(error))
    finally:
        _say(quiet=True)  # what console exporters could not write is counted already
    return 0


def _check(parsed: argparse.Namespace) -> int:
    config = _load().config
    from kubenurse_otel.commands import check as once  # noqa: PLC0415 - see _run
    from kubenurse_otel.model import Outcome  # noqa: PLC0415 - see _run
    from kubenurse_otel.report import waterfall  # noqa: PLC0415 - see _run
    from kubenurse_otel.report.document import document  # noqa: PLC0415 - see _run

    wanted = once.targets(parsed.urls, timeout_seconds=parsed.timeout, expect=parsed.expect)
    results = asyncio.run(once.check_once(wanted, config.trust))
    for result in results:
        if parsed.json:
            _say(json.dumps(document(result, in_full=True)))
        else:
            _say(*waterfall.lines(result, encoding=getattr(sys.stdout, "encoding", None)))
    return 0 if all(result.outcome is Outcome.OK for result in results) else EXIT_FAILED


def _diagnose(parsed: argparse.Namespace) -> int:
    config = _load().config
    from kubenurse_otel.commands import diagnose as asking  # noqa: PLC0415 - see _run
    from kubenurse_otel.report import verdicts  # noqa: PLC0415 - see _run

    async def ask() -> int:
        before = None
        while True:
            summary = await asking.diagnose(way)
            if summary != before:
                if parsed.json:
                    _say(json.dumps(verdicts.to_json(summary)))
                else:
                    _say(*([time.strftime("%H:%M:%S")] if parsed.watch else []))
                    _say(*verdicts.lines(summary))
            if not parsed.watch:
                return asking.exit_code(summary)
            before = summary
            await asyncio.sleep(WATCH_SECONDS)

    try:
        way = asking.way(
            config,
            url=parsed.url,
            everybody=parsed.all,
            namespace=parsed.namespace,
            selector=parsed.selector,
            home=Path.home(),
        )
    except asking.NobodyToAskError as error:
        _mistake(str(error))
        return EXIT_CONFIG
    try:
        return asyncio.run(ask())
    except asking.NobodyToAskError as error:
        _mistake(str(error))
        return asking.NO_ANSWER


def _config(_: argparse.Namespace) -> int:
    loaded = _load()
    _say(*(printable(line, MAX_MESSAGE) for line in loaded.lines()))
    return 0


def _demo(arguments: list[str]) -> int:
    from kubenurse_otel.demo import main as demo  # noqa: PLC0415 - needs the demo's own packages

    try:
        return demo(arguments)
    except BrokenPipeError:  # its reader has had enough
        return 0
