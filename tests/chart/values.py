"""values.yaml read with its comments: each key's description, default and annotations.

`# -- ` begins a description, `# @schema {...}` adds to the type, `# @kubenurse` marks a key of
kubenurse's chart. A map without @schema is a structure whose keys are described in turn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

CHART: Final = Path(__file__).parents[2] / "helm" / "kubenurse-otel"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A key of values.yaml. ``parts`` are the keys below it, of a structure."""

    path: tuple[str, ...]
    description: str
    default: Any
    schema: dict[str, Any]
    is_kubenurse: bool
    parts: tuple[Value, ...] = ()

    @property
    def name(self) -> str:
        return ".".join(self.path)

    @property
    def is_structure(self) -> bool:
        return bool(self.parts)

    def leaves(self) -> list[Value]:
        return [leaf for part in self.parts for leaf in part.leaves()] if self.parts else [self]


def read(file: Path = CHART / "values.yaml") -> tuple[Value, ...]:
    """Return the top-level values. Raises ValueError for a key without a description."""
    text = file.read_text()
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    return _parts(root, yaml.safe_load(text), text.splitlines(), ())


def leaves(values: tuple[Value, ...]) -> list[Value]:
    return [leaf for value in values for leaf in value.leaves()]


def sections(values: tuple[Value, ...]) -> list[Value]:
    """Return the maps of keys, each before those in it."""
    found: list[Value] = []
    for value in values:
        if value.is_structure:
            found += [value, *sections(value.parts)]
    return found


def _parts(
    node: yaml.MappingNode, data: dict[str, Any], lines: list[str], path: tuple[str, ...]
) -> tuple[Value, ...]:
    found = []
    for key, content in node.value:
        here = (*path, key.value)
        comment = _comment(lines, key.start_mark.line)
        description = " ".join(line for line in comment if not line.startswith("@"))
        if not description.startswith("-- "):
            raise ValueError(f"{'.'.join(here)} has no description")
        extra = [line.removeprefix("@schema ") for line in comment if line.startswith("@schema ")]
        default = data[key.value]
        is_structure = isinstance(content, yaml.MappingNode) and not extra
        found.append(
            Value(
                path=here,
                description=description.removeprefix("-- "),
                default=default,
                schema=json.loads(extra[0]) if extra else {},
                is_kubenurse="@kubenurse" in comment,
                parts=_parts(content, default, lines, here) if is_structure else (),
            )
        )
    return tuple(found)


def _comment(lines: list[str], line: int) -> list[str]:
    """Return the comment lines right above ``line``, without their #."""
    first = line
    while first and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    return [text.strip().removeprefix("#").strip() for text in lines[first:line]]
