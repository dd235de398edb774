"""What a variable is: a row of the tables in variables.py and otel.py.

Parsing, the output of ``kubenurse-otel config`` and docs/configuration.md are made from these rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.config.values import Parser

T_co = TypeVar("T_co", covariant=True)


class Origin(StrEnum):
    """Who gave the variable its name and meaning."""

    KUBENURSE = "kubenurse's"
    OURS = "ours"
    KUBERNETES = "Kubernetes"
    OPENTELEMETRY = "OpenTelemetry"
    SYSTEM = "system"


class Use(StrEnum):
    """What becomes of a variable that is set."""

    REFUSED = "refused"
    """It would break what the agent promises: overridden, and said once in the log."""
    IGNORED = "ignored"
    """It is about something that the agent does not have."""


@dataclass(frozen=True, slots=True)
class Variable(Generic[T_co]):
    """A variable that the agent reads.

    ``default`` is written in the variable's own syntax; None: not set, and ``absent`` says to
    people what then happens. ``lands`` is the Config's field (several, with commas between).
    """

    name: str
    parser: Parser[T_co]
    default: str | None
    help: str
    lands: str
    origin: Origin = Origin.OURS
    absent: str = ""
    example: str = ""
    """A valid value that is not the default."""
    hidden: Callable[[str], str] | None = None
    """How the text is shown, when it may hold a secret."""
    lenient: bool = False
    """kubenurse's booleans: what is no value counts as not set, with a warning."""

    def shown(self, text: str) -> str:
        """The text for people: secrets masked, bounded, on one line."""
        text = self.hidden(text) if self.hidden else text
        return printable(text, 200)


@dataclass(frozen=True, slots=True)
class Unread:
    """A variable that OpenTelemetry defines and the agent does not follow; * stands for any text.

    ``harmless`` are values that say what the agent does anyway: no word is lost about them.
    """

    name: str
    use: Use
    help: str
    harmless: frozenset[str] = frozenset()
