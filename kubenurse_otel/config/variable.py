"""What a variable is, and how a field of the configuration says which variables fill it.

A variable is written once, at its field. From there reader.py reads it, settings.py lists it, and
``kubenurse-otel config`` and docs/configuration.md show it.
"""

from __future__ import annotations

from dataclasses import field, fields, is_dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Generic, TypedDict, TypeVar, Unpack, overload

from kubenurse_otel.record import record
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import Field

    from kubenurse_otel.config.values import Parser

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
D = TypeVar("D")


class Origin(StrEnum):
    """Who gave the variable its name and meaning."""

    KUBENURSE = "kubenurse's"
    OURS = "ours"
    KUBERNETES = "Kubernetes"
    OPENTELEMETRY = "OpenTelemetry"
    SYSTEM = "system"


_BY_PREFIX: Final = {
    "KUBENURSE_": Origin.OURS,
    "KUBE": Origin.KUBERNETES,
    "OTEL_": Origin.OPENTELEMETRY,
}
"""The first prefix that fits counts. A name that fits none is the system's."""


@record(frozen=True, slots=True)
class Variable(Generic[T_co]):
    """A variable that the agent reads.

    ``default`` is written in the variable's own syntax. None: not set; then ``absent`` tells people
    what happens.
    """

    name: str
    parser: Parser[T_co]
    default: str | None
    help: str
    kubenurse: bool = False
    """True if kubenurse has it, too, with the same name, meaning and default."""
    absent: str = ""
    example: str = ""
    """A valid value that is not the default."""
    hidden: Callable[[str], str] | None = None
    """How the text is shown, if it may hold a secret."""
    lenient: bool = False
    """True for kubenurse's booleans: an invalid value counts as not set, with a warning."""

    @property
    def origin(self) -> Origin:
        if self.kubenurse:
            return Origin.KUBENURSE
        found = (of for prefix, of in _BY_PREFIX.items() if self.name.startswith(prefix))
        return next(found, Origin.SYSTEM)

    def shown(self, text: str) -> str:
        """The text for people: secrets masked, bounded, on one line."""
        text = self.hidden(text) if self.hidden else text
        return printable(text, 200)

    def default_value(self) -> T_co | None:
        return None if self.default is None else self.parser.parse(self.default)


class _Details(TypedDict, total=False):
    """As Variable has them."""

    kubenurse: bool
    absent: str
    example: str
    hidden: Callable[[str], str] | None
    lenient: bool


@record(frozen=True, slots=True)
class Filling:
    """Which variables fill a field, and what their values (None: not set) become there."""

    variables: tuple[Variable[object], ...]
    make: Callable[..., object]


_FILLING: Final = "filling"


@overload
def variable(
    name: str, parser: Parser[T], default: str, text: str, **details: Unpack[_Details]
) -> T: ...
@overload
def variable(
    name: str, parser: Parser[T], default: None, text: str, **details: Unpack[_Details]
) -> T | None: ...
@overload
def variable(
    name: str,
    parser: Parser[T],
    default: None,
    text: str,
    *,
    otherwise: D,
    **details: Unpack[_Details],
) -> T | D: ...
def variable(
    name: str,
    parser: Parser[Any],
    default: str | None,
    text: str,
    *,
    otherwise: object = None,
    **details: Unpack[_Details],
) -> Any:
    """A dataclass's field that one variable fills. ``otherwise`` is its value if the variable is
    not set.
    """
    return filled_by(
        Variable(name, parser, default, text, **details),
        make=lambda value: otherwise if value is None else value,
    )


def filled_by(*variables: Variable[object], make: Callable[..., T]) -> T:
    """A dataclass's field that several variables fill, or one that fills several fields."""
    made: T = field(
        default_factory=lambda: make(*(one.default_value() for one in variables)),
        metadata={_FILLING: Filling(variables, make)},
    )
    return made


def filling(of: Field[Any]) -> Filling | None:
    """Return which variables fill a field, None if none does."""
    found: Filling | None = of.metadata.get(_FILLING)
    return found


def part(of: Field[Any]) -> type | None:
    """The dataclass that a field holds, where its variables are that dataclass's."""
    factory: Any = of.default_factory
    return factory if isinstance(factory, type) and is_dataclass(factory) else None


def variables_of(record: type) -> tuple[Variable[object], ...]:
    """Every variable of a dataclass's own fields."""
    found = (filling(one) for one in fields(record))
    return tuple(each for one in found if one for each in one.variables)
