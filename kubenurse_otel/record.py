"""Dataclasses frozen for the type checker only, to save CPU: a check makes three dozen of them.

A frozen one sets each field by a call of its own: a Measurement takes 30 us on a machine where one
of these takes 5. With slots, its __setattr__ holds on to the class that it was made of: 0.4 MiB
of an agent. Nobody may change one all the same: mypy refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from dataclasses import dataclass as record
else:
    T = TypeVar("T")

    def record(*, frozen: bool, **how: bool) -> Callable[[type[T]], type[T]]:
        """As ``dataclass``, hashed by its fields where it is to be ``frozen``."""
        return dataclass(unsafe_hash=frozen, **how)


__all__ = ["record"]
