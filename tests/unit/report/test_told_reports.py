"""What comes from other agents: read within bounds, whatever it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.report import checked, seen
from kubenurse_otel.report.document import MOST_SLOWER, MOST_WAYS
from kubenurse_otel.report.seen import Slower, Way
from kubenurse_otel.state.history import STEPS, Step

KNOWN = {"node-b", "node-c"}
REPORT: dict[str, Any] = {
    "node": "node-x",
    "zone": "z",
    "judged_at": "2027-01-15T08:00:00.000Z",
    "verdicts": [],
    "suspicions": [],
    "doubt": 0,
    "checks": {"good": 3, "bad": 1, "waiting": 0, "checked_at": "2027-01-15T08:00:00.000Z"},
    "ways": {"checked": 2, "bad": {"node-b": {"symptom": "silent", "run": 4, "lossy": False}}},
    "slower": [
        {"type": "me_ingress", "whose": "far_end", "usual_seconds": 0.01, "now_seconds": 0.5}
    ],
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                [*REPORT, *REPORT["checks"], "bad", "key", "phases", "offsets", "node-b"]
            )
            | st.text(max_size=4),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


def test_a_report_is_read() -> None:
    """Whose it is the caller knows: what it calls itself does not count."""
    found = seen.read(REPORT, node="node-a", known=KNOWN)
    assert found is not None
    assert (found.node, found.zone, found.good, found.bad, found.ways) == ("node-a", "z", 3, 1, 2)
    assert found.bad_ways == (Way("node-a", "node-b", Symptom.SILENT, 4),)
    assert found.slower == (Slower("node-a", "me_ingress", "far_end", 0.01, 0.5),)


@pytest.mark.parametrize(
    "bad",
    [
        {"node-unknown": {"symptom": "silent", "run": 4}},
        {"node-b": {"symptom": "evil", "run": 4}},
        {"node-b": {"symptom": ["silent"], "run": 4}},
        {"node-b": {"symptom": "silent", "run": "4"}},
        {"node-b": None},
        ["node-b"],
    ],
)
def test_names_that_nobody_knows_and_words_that_are_none_are_left_out(bad: object) -> None:
    """A liar puts no node and no text into the mesh."""
    found = seen.read(REPORT | {"ways": {"checked": 1, "bad": bad}}, node="a", known=KNOWN)
    assert found is not None
    assert found.bad_ways == ()


def test_a_report_has_a_bound() -> None:
    """However much an agent says."""
    known = {f"n{number}" for number in range(1_000)}
    bad = {node: {"symptom": "silent", "run": 99} for node in known}
    report = REPORT | {"ways": {"checked": 10**30, "bad": bad}, "slower": REPORT["slower"] * 999}
    found = seen.read(report, node="a", known=known)
    assert found is not None
    assert (len(found.bad_ways), len(found.slower), found.ways) == (MOST_WAYS, MOST_SLOWER, 0)
    assert {way.run for way in found.bad_ways} == {9}


@given(document=JSON)
def test_whatever_comes_nothing_is_raised(document: object) -> None:
    """None, or a record whose numbers are finite and whose texts are printable."""
    found = seen.read(document, node="a", known=KNOWN)
    assert found is None or found.node == "a"
    told = checked.read(document)
    if told is not None:
        assert all(abs(one) < 1e9 for one in told.phases.values())
        assert told.key.isprintable()


@given(values=st.dictionaries(st.sampled_from(["outcome", "phases", "offsets"]), JSON))
def test_a_target_that_is_half_right_is_read_in_part(values: dict[str, object]) -> None:
    """The rest is as if it was not there."""
    told = checked.read({"key": "path_b", "url": "http://b/"} | values)
    assert told is not None
    assert told.outcome in ("", "ok", "failed")


def test_a_strip_is_read_whole_or_not_at_all() -> None:
    """Letters by step, null where nothing was measured."""
    strip = {
        "outcomes": "ngf" * (STEPS // 3),
        "longest_seconds": {"network": [0.5, None, 1e300] * (STEPS // 3), "loss": [1]},
    }
    text = json.dumps({"key": "a", "last_30_minutes": strip})
    told = checked.read(json.loads(text))
    assert told is not None
    assert told.strip is not None
    assert told.strip.outcomes[:3] == (Step.NONE, Step.GOOD, Step.FAILED)
    assert told.strip.parts["network"][:3] == (0.5, None, None)
    assert set(told.strip.parts["loss"]) == {None}
    shorter = checked.read({"key": "a", "last_30_minutes": strip | {"outcomes": "n"}})
    assert shorter is not None
    assert shorter.strip is None
