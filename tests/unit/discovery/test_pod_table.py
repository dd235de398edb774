"""kubenurse_otel.discovery.pod_table: the short form of a pod list."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.discovery.pod_table import decode_pod_table

COLUMNS = ["Node", "Name", "Status", "IP"]


def table(*rows: list[Any], columns: list[str] = COLUMNS) -> bytes:
    return json.dumps(
        {
            "kind": "Table",
            "metadata": {"resourceVersion": "9"},
            "columnDefinitions": [{"name": name} for name in columns],
            "rows": [{"cells": cells} for cells in rows],
        }
    ).encode()


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (["node", "pod", "Running", "10.0.0.1"], True),
        (["node", "pod", "CrashLoopBackOff", "10.0.0.1"], True),  # Reading it tells.
        (["node", "pod", "Terminating", "10.0.0.1"], False),
        (["node", "pod", "Running", "<none>"], False),
        (["<none>", "pod", "Running", "10.0.0.1"], False),
        (["node", "Pod", "Running", "10.0.0.1"], False),
        ([None, 5, {}, []], False),
    ],
)
def test_line(row: list[Any], expected: bool) -> None:
    """A row with an address and a node that is not terminating may be a neighbour."""
    version, agents = decode_pod_table(table(row), {})
    (agent,) = agents.values()
    assert ("9", expected, False) == (version, agent.eligible, agent.complete)


def test_empty() -> None:
    """No pods, no rows, and columns are not needed."""
    assert ("9", {}) == decode_pod_table(table(columns=[]), {})


def test_who_has_not_changed() -> None:
    """A row as before is the same object; another address, node or end is another."""
    row = ["node", "pod", "Running", "10.0.0.1"]
    _, before = decode_pod_table(table(row), {})
    assert before["pod"] is decode_pod_table(table(row), before)[1]["pod"]
    for at, changed in ((0, "other"), (2, "Terminating"), (3, "10.0.0.2")):
        _, after = decode_pod_table(table([*row[:at], changed, *row[at + 1 :]]), before)
        assert before["pod"] is not after["pod"]
        assert after == decode_pod_table(table([*row[:at], changed, *row[at + 1 :]]), {})[1]


@given(
    st.binary(max_size=100)
    | st.lists(st.lists(st.text(max_size=5), max_size=5)).map(lambda rows: table(*rows))
)
def test_any_bytes(content: bytes) -> None:
    """Whatever comes, it is a table or a DecodeError."""
    with suppress(msgspec.DecodeError):
        decode_pod_table(content, {})
