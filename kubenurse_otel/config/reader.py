"""Reads variables: values, defaults, problems, and where each value came from.

Owns one pass over one environment. What the values mean together is for the modules of the fields.
"""

from __future__ import annotations

from dataclasses import fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from kubenurse_otel.config.environment import is_service_link
from kubenurse_otel.config.values import InvalidTextError
from kubenurse_otel.config.variable import Origin, Variable, filling, part
from kubenurse_otel.files import is_readable
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

T = TypeVar("T")
R = TypeVar("R")

IGNORED: Final = "ignored, as if it was not set"


class Source(StrEnum):
    """Where an effective value came from."""

    ENVIRONMENT = "environment"
    DEFAULT = "default"
    DERIVED = "derived"
    """Derived from other variables, or from the machine."""
    IGNORED = "ignored"
    """Set, but without effect. The note says why."""


@record(frozen=True, slots=True, kw_only=True)
class Setting:
    """One variable's effective value for people; secrets are masked. Empty: not set."""

    name: str
    value: str
    source: Source
    note: str = ""


class Reader:
    """Collects problems (which prevent the start), warnings (logged once) and settings as it reads.

    A method that takes a name is about a variable that has been read before.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._known: dict[str, Variable[object]] = {}
        self._disregarded: dict[Origin, str] = {}
        self.problems: list[str] = []
        self.warnings: list[str] = []
        self.settings: dict[str, Setting] = {}

    def record(
        self,
        cls: type[R],
        read: Callable[[Variable[Any]], object] | None = None,
        **given: object,
    ) -> R:
        """Make a record of the configuration. Each field is read from its variables.

        ``given`` are fields that the caller has made; ``read`` is another way to read a variable.
        """
        values = dict(given)
        for field in fields(cast("Any", cls)):
            if field.name in given:
                continue
            filled = filling(field)
            if filled is not None:
                values[field.name] = filled.make(*map(read or self.optional, filled.variables))
            elif inner := part(field):
                values[field.name] = self.record(inner)
        return cls(**values)

    def text(self, variable: Variable[T]) -> str:
        """Return the environment's text. An empty one counts as not set (also for kubenurse's
        variables).
        """
        if variable.origin in self._disregarded:
            return ""
        text = self._environ.get(variable.name, "")
        if variable.lenient:
            return text  # kubenurse compares bytes: " true" is not true.
        text = text.strip()
        return "" if _is_link(variable, text) else text

    def said(self, name: str) -> str:
        """As ``text``."""
        return self.text(self._known[name])

    def is_set(self, name: str) -> bool:
        """Whether there is a value. An invalid value of an OpenTelemetry variable counts as not
        set.
        """
        variable = self._known[name]
        text = self.text(variable)
        if text and variable.origin is Origin.OPENTELEMETRY:
            try:
                variable.parser.parse(text)
            except InvalidTextError as error:
                return error.known is not None
        return text != ""

    def optional(self, variable: Variable[T]) -> T | None:
        """Return the value, else the default, else None. An invalid value is a problem.

        OpenTelemetry's variables may be set for a whole cluster, so an invalid one is only a
        warning, and the default counts (specification, "Environment Variable Specification",
        Parsing empty and invalid).
        """
        text = self.text(variable)
        if text:
            try:
                value = variable.parser.parse(text)
            except InvalidTextError as error:
                self._invalid(variable, text, error)
                if error.known is not None:
                    self._set(variable, variable.shown(text), Source.ENVIRONMENT, "in part")
                    return cast("T", error.known)
            else:
                self._set(variable, variable.shown(text), Source.ENVIRONMENT)
                return value
        self._note_link(variable)
        if variable.default is None:
            self._set(variable, "", Source.DEFAULT, variable.absent)
            return None
        self._set(variable, variable.default, Source.DEFAULT)
        return variable.parser.parse(variable.default)

    def required(self, variable: Variable[T]) -> T:
        """As ``optional``, for a variable that has a default."""
        value = self.optional(variable)
        assert value is not None, f"{variable.name} has no default"
        return value

    def derived(self, name: str, text: str, note: str) -> None:
        """Say that a variable's effective value was made from something else."""
        variable = self._known[name]
        self._set(variable, variable.shown(text), Source.DERIVED, note)

    def without_effect(self, name: str, note: str) -> None:
        """Say that a variable that is set does nothing."""
        if self.is_set(name):
            current = self.settings[name]
            self.settings[name] = replace(current, source=Source.IGNORED, note=note)

    def disregard(self, origin: Origin, note: str) -> None:
        """From now on, variables of this origin count as not set; ``note`` says why."""
        self._disregarded[origin] = note

    def skip(self, variable: Variable[T], note: str) -> None:
        """Skip a variable: its value is not even judged."""
        text = self.text(variable)
        source = Source.IGNORED if text else Source.DEFAULT
        self._set(variable, variable.shown(text), source, note)

    def problem(self, name: str, wants: str, *, taken: str = "") -> None:
        """Report a value that is valid by itself, but wrong together with others.

        With ``taken`` it is only a warning, and ``taken`` says what the agent does instead.
        """
        text = self.said(name)
        got = f"got '{self._known[name].shown(text)}'" if text else "not set"
        message = f"{name}: {got}, wants {wants}"
        if taken:
            self._add(self.warnings, f"{message}; {taken}")
        else:
            self._add(self.problems, message)

    def warn(self, sentence: str) -> None:
        self._add(self.warnings, sentence)

    def warn_without_file(self, name: str, path: Path | None) -> None:
        """Warn of a missing file. It is no reason not to start, because the file is read once it
        exists.
        """
        if path is not None and not is_readable(path):
            text = self._known[name].shown(self.said(name))
            self.warn(f"{name}: '{text}' cannot be read yet; it is tried again later")

    def _invalid(self, variable: Variable[T], text: str, error: InvalidTextError) -> None:
        wants = variable.parser.wants + (f", {error}" if str(error) else "")
        message = f"{variable.name}: got '{variable.shown(text)}', wants {wants}"
        if variable.origin is Origin.OPENTELEMETRY:
            known = "the rest of it is followed" if error.known is not None else IGNORED
            self._add(self.warnings, f"{message}; {known}")
        elif not variable.lenient:
            self._add(self.problems, message)
        elif variable.default is not None:
            self._add(self.warnings, f"{message}; taken as {variable.default}, as it is not set")

    def _note_link(self, variable: Variable[T]) -> None:
        text = self._environ.get(variable.name, "").strip()
        if _is_link(variable, text):
            self.warn(
                f"{variable.name}: ignored '{variable.shown(text)}', which Kubernetes sets for a "
                f"Service of that name (enableServiceLinks: false in the pod prevents it)"
            )

    def _set(self, variable: Variable[T], text: str, source: Source, note: str = "") -> None:
        self._known[variable.name] = variable
        found = self._environ.get(variable.name, "").strip()
        if found and variable.origin in self._disregarded:
            text, source = variable.shown(found), Source.IGNORED
            note = self._disregarded[variable.origin]
        self.settings[variable.name] = Setting(
            name=variable.name, value=text, source=source, note=note
        )

    @staticmethod
    def _add(sentences: list[str], sentence: str) -> None:
        if sentence not in sentences:
            sentences.append(sentence)


def _is_link(variable: Variable[T], text: str) -> bool:
    """KUBENURSE_PORT=tcp://... is no port of ours; KUBERNETES_SERVICE_HOST is what we read."""
    return variable.origin is not Origin.KUBERNETES and is_service_link(variable.name, text)
