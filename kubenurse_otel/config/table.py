"""Every variable of the agent in the reference's order: what variables.py and otel.py define."""

from __future__ import annotations

from dataclasses import fields
from typing import Final

from kubenurse_otel.config import otel, variables
from kubenurse_otel.config.otel import UNREAD, OtlpVariables
from kubenurse_otel.config.variable import Variable


def _defined() -> tuple[Variable[object], ...]:
    found: list[Variable[object]] = []
    for value in (*vars(variables).values(), *vars(otel).values()):
        if isinstance(value, Variable):
            found.append(value)
        elif isinstance(value, OtlpVariables):
            found.extend(getattr(value, part.name) for part in fields(value))
    return tuple(found)


VARIABLES: Final = _defined()
BY_NAME: Final = {variable.name: variable for variable in VARIABLES}

__all__ = ["BY_NAME", "UNREAD", "VARIABLES"]
