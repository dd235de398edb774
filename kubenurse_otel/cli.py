"""The command line. It parses the arguments; commands/ does the work.

The environment is read (through config) before anything of OpenTelemetry is imported, so that no
library reads it on its own.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kubenurse_otel.config import ConfigError, Loaded, load, take_environment
from kubenurse_otel.config.environment import KubectlProxies
from kubenurse_otel.process import stand_ins
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

    from kubenurse_otel.report.overview import Overview

EXIT_FAILED: Final = 1
EXIT_CONFIG: Final = 2
EXIT_INTERRUPTED: Final = 130
MAX_LINE: Final = 1000
WATCH_SECONDS: Final = 2.0
LEAST_COLUMNS: Final = 60


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the process's exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if words[:1] == ["demo"]:  # has its own parser, and packages that nothing else needs
            return _demo(words[1:])
        if words in ([], ["run"]):
            return _run()
        from kubenurse_otel.usage import parser  # noqa: PLC0415 - a running agent does not need it

        parsed = parser().parse_args(words)
        if parsed.command == "check":
            return _check(parsed)
        if parsed.command == "diagnose":
            return _diagnose(parsed)
        return _config() if parsed.command == "config" else _run()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    finally:
        _say()  # what argparse printed


def kubectl() -> int:
    """Run `kubectl kubenurse`, which finds the executable kubectl-kubenurse."""
    return main(["diagnose", *sys.argv[1:]])


def _say(*lines: str, quiet: bool = False) -> None:
    """Print at once. A reader that went away is no error. A full disk is one: exit 1, unless
    ``quiet``.
    """
    if sys.stdout is None:  # whoever started us has closed it
        return
    try:
        if isinstance(sys.stdout, io.TextIOWrapper):  # names may be in any alphabet
            sys.stdout.reconfigure(errors="backslashreplace")  # flushes
        for line in lines:
            print(line)
        sys.stdout.flush()
    except OSError as error:
        # From here on nothing is written there, not even by the interpreter at its end.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not quiet and not isinstance(error, BrokenPipeError):
            raise SystemExit(
                _mistake(f"cannot write to standard output: {error.strerror}")
            ) from None


def _is_read() -> bool:
    """Whether somebody may still read what we print: a pipe's reader or terminal may be gone."""
    if sys.stdout is None:
        return False
    poll = select.poll()
    poll.register(sys.stdout, 0)
    return not poll.poll(0)


def _mistake(sentence: str) -> int:
    print(f"kubenurse-otel: {printable(sentence, MAX_LINE)}", file=sys.stderr)
    return EXIT_FAILED


def _load(environ: Mapping[str, str] | None = None) -> Loaded:
    """Load the configuration. If it is bad, print all its problems and exit with 2."""
    try:
        return load(take_environment() if environ is None else environ)
    except ConfigError as error:
        print(f"kubenurse-otel: bad configuration\n{error}", file=sys.stderr)
        raise SystemExit(EXIT_CONFIG) from None


def _run() -> int:
    loaded = _load()
    config = loaded.config
    # Only now, because these import OpenTelemetry, which reads the environment on import.
    with stand_ins.in_place():
        from kubenurse_otel import log  # noqa: PLC0415 - see above
        from kubenurse_otel.app import App  # noqa: PLC0415 - see above
        from kubenurse_otel.server import ServerError  # noqa: PLC0415 - see above
        from kubenurse_otel.telemetry import exporters  # noqa: PLC0415 - see above

        if not config.telemetry.sdk_disabled:
            exporters.load(
                traces=config.telemetry.otlp_traces, metrics=config.telemetry.otlp_metrics
            )

    writer = log.set_up(config.log)
    log.start(config)

    async def agent() -> None:
        await App(config, loaded.sources).run()

    try:
        asyncio.run(agent())
    except ServerError as error:
        writer.flush()  # so that the log comes first, as it happened
        return _mistake(str(error))
    finally:
        _say(quiet=True)  # what console exporters could not write has been counted
    return 0


def _check(parsed: argparse.Namespace) -> int:
    config = _load().config
    from kubenurse_otel.commands import check as once  # noqa: PLC0415 - see _run
    from kubenurse_otel.model import Outcome  # noqa: PLC0415 - see _run
    from kubenurse_otel.report import waterfall  # noqa: PLC0415 - see _run
    from kubenurse_otel.report.document import document  # noqa: PLC0415 - see _run

    wanted = once.targets(parsed.checks, timeout_seconds=parsed.timeout, expect=parsed.expect)
    results = asyncio.run(once.check_once(wanted, config))
    for result in results:
        if parsed.json:
            _say(json.dumps(document(result, in_full=True)))
        else:
            _say(*waterfall.lines(result, encoding=getattr(sys.stdout, "encoding", None)))
    return 0 if all(result.outcome is Outcome.OK for result in results) else EXIT_FAILED


def _diagnose(parsed: argparse.Namespace) -> int:
    environ = take_environment(with_proxies=False)
    config = _load(environ).config
    from kubenurse_otel.commands import diagnose as asking  # noqa: PLC0415 - see _run
    from kubenurse_otel.report import within, written  # noqa: PLC0415 - see _run

    # Ctrl-C ends the process by the signal itself. Otherwise Python would wait for threads that are
    # in a look-up or a read.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    def tell(found: Overview) -> None:
        if parsed.json:
            _say(json.dumps(written.to_json(found)))
            return
        width, height = _terminal(written.WIDTH)
        clock = ["", time.strftime("%H:%M:%S")] if parsed.watch else []
        told = [*clock, *written.lines(found, time.time(), width=width)]
        _say(*within.height(told, height if parsed.watch else None))

    async def watch(before: object) -> int:
        while _is_read():
            await asyncio.sleep(WATCH_SECONDS)
            # The fault that is watched may make the API server unreachable for a while.
            found = await asking.diagnose_again(way)
            news = found if isinstance(found, str) else written.news(found)
            if news != before:
                _mistake(found) if isinstance(found, str) else tell(found)
            before = news
        return 0

    async def ask() -> int:
        found = await asking.diagnose(way)
        tell(found)
        return await watch(written.news(found)) if parsed.watch else asking.exit_code(found)

    try:
        way = asking.way(
            config,
            url=parsed.url,
            everybody=parsed.all,
            namespace=parsed.namespace,
            selector=parsed.selector,
            home=_home(),
            proxies=KubectlProxies.of(environ),
        )
    except asking.NobodyToAskError as error:
        _mistake(str(error))
        return EXIT_CONFIG
    try:
        return asyncio.run(ask())
    except asking.NobodyToAskError as error:
        _mistake(str(error))
        return asking.NO_ANSWER


def _terminal(otherwise: int) -> tuple[int, int | None]:
    """Return the columns and lines of standard output if it is a terminal, else (``otherwise``,
    None).
    """
    with suppress(OSError, ValueError, AttributeError):
        size = os.get_terminal_size(sys.stdout.fileno())
        if size.columns > 0:
            return max(size.columns, LEAST_COLUMNS), size.lines - 1 if size.lines > 1 else None
    return otherwise, None


def _home() -> Path | None:
    """Return the home folder. None for a user without a name, which a container's may be."""
    with suppress(RuntimeError):
        return Path.home()
    return None


def _config() -> int:
    loaded = _load()
    _say(*(printable(line, MAX_LINE) for line in loaded.lines()))
    return 0


def _demo(arguments: list[str]) -> int:
    from kubenurse_otel.demo import main as demo  # noqa: PLC0415 - needs the demo's own packages

    try:
        return demo(arguments)
    except BrokenPipeError:  # whoever read it went away
        return 0
