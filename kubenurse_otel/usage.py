"""The command line's words: what may be typed, and what `--help` says of it."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Final, NoReturn

from kubenurse_otel import __version__
from kubenurse_otel.config.extra_checks import STATUSES, parse_check
from kubenurse_otel.config.urls import hidden, parse_url
from kubenurse_otel.config.values import InvalidTextError, duration
from kubenurse_otel.model import ONLY_200
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from kubenurse_otel.config import ExtraCheck
    from kubenurse_otel.model import Statuses, Url

EXIT_USAGE: Final = 2
MAX_MESSAGE: Final = 1000
TIMEOUT: Final = duration("1ms", "1h")

_EPILOG: Final = """\
Without a command the agent runs. It is configured by environment variables (docs/configuration.md);
`kubenurse-otel config` shows what they come to.

exit codes: 0 done, 1 a check failed or the agent could not start, 2 bad configuration or usage
(those of `diagnose` are its own)
"""
_CHECK: Final = """\
Checks each URL once, as the agent does. Exit code 1 if one of them failed. A URL may have options
behind it, as in KUBENURSE_EXTRA_CHECKS:

  kubenurse-otel check https://example.com/ 'https://example.com/login;expect=401;method=HEAD'
  kubenurse-otel check tcp://db.example.com:5432 'tcp://mail.example.com:465;tls;timeout=2s'
  kubenurse-otel check 'dns://10.96.0.10/example.com?type=AAAA' 'dns://10.96.0.10/no;expect=NXDOMAIN'
"""
_DIAGNOSE: Final = """\
Says who is at fault, who cannot reach whom and what is slow now, as agents see it: the one at URL;
in a pod its own agent; else all of the cluster of KUBECONFIG, through the API server (pods/proxy is
the right that it takes).
"""


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one line, with nothing of what was typed that acts on a terminal."""

    def error(self, message: str) -> NoReturn:
        sentence = printable(f"{self.prog}: {message} (see {self.prog} --help)", MAX_MESSAGE)
        self.exit(EXIT_USAGE, sentence + "\n")


def parser() -> argparse.ArgumentParser:
    """Of ``command`` ("run", "check", "diagnose" or "config") and what goes with it."""
    made = _Parser(
        prog="kubenurse-otel",
        description="Checks a cluster's network from every node, and tells apart the network, "
        "the far end's application and its own delay.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=f"kubenurse-otel {__version__}")
    made.set_defaults(command="run")
    commands = made.add_subparsers(title="commands", metavar="COMMAND")

    run = commands.add_parser("run", help="run the agent (the default)")
    run.set_defaults(command="run")

    check = commands.add_parser(
        "check",
        help="check URLs once and show where the time went",
        description=_CHECK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    check.add_argument(
        "checks",
        nargs="+",
        metavar="URL",
        type=_check,
        help="begins with http://, https://, tcp:// or dns://",
    )
    check.add_argument("--json", action="store_true", help="one JSON object a URL, a line each")
    check.add_argument(
        "--timeout",
        type=_timeout,
        default=5.0,
        metavar="DURATION",
        help="of each URL, from the look-up to the answer (5s)",
    )
    check.add_argument(
        "--expect",
        type=_statuses,
        default=ONLY_200,
        metavar="STATUSES",
        help="which HTTP statuses are good (200), such as 200-299,401 or 2xx",
    )
    check.set_defaults(command="check")

    diagnose = commands.add_parser(
        "diagnose",
        help="ask agents who is at fault, who cannot reach whom, what is slow",
        description=_DIAGNOSE,
        epilog="exit codes: 0 nothing is wrong, 1 a culprit is named, 2 usage, 3 nobody is named, "
        "but somebody is suspected or a check fails, 4 no agent answers",
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
    diagnose.set_defaults(command="diagnose")

    show = commands.add_parser("config", help="show the effective configuration and its sources")
    show.set_defaults(command="config")

    commands.add_parser("demo", help="run a little cluster on loopback, with faults to look at")
    return made


def _check(text: str) -> ExtraCheck:
    try:
        return parse_check(text)
    except InvalidTextError as error:
        raise argparse.ArgumentTypeError(
            f"{hidden(text)!r} is nothing that can be asked, wants {error}"
        ) from None


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


def _statuses(text: str) -> Statuses:
    try:
        return STATUSES.parse(text)
    except InvalidTextError:
        raise argparse.ArgumentTypeError(f"{text!r} is not {STATUSES.wants}") from None
