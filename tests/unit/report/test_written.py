"""report/written.py and within.py: what `diagnose` prints of many agents' reports."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kubenurse_otel.report import seen, within, written
from kubenurse_otel.report.overview import Overview, overview
from kubenurse_otel.report.seen import AnyNode, Sight

NOW = 1_800_000_010.0
KIB = 1024


def sight(*documents: dict[str, Any], **about: Any) -> Sight:
    """What agents node-0 ... tell, as `diagnose` reads it."""
    read = [
        seen.read(json.loads(json.dumps(one)), node=f"node-{number}", known=AnyNode())
        for number, one in enumerate(documents)
    ]
    heard = tuple(one for one in read if one is not None)
    return Sight(**{"seen": heard, "zones": {one.node: "" for one in heard}} | about)


def document(**more: Any) -> dict[str, Any]:
    return {
        "judged_at": "2027-01-15T08:00:00.000Z",
        "verdicts": [],
        "suspicions": [],
        "checks": {"good": 8, "bad": 0, "waiting": 0, "checked_at": "2027-01-15T08:00:00.000Z"},
        "ways": {"checked": 4, "bad": {}},
        "slower": [],
    } | more


def missing(*nodes: str, symptom: str = "silent", run: int = 3) -> dict[str, Any]:
    bad = {node: {"symptom": symptom, "run": run, "lossy": False} for node in nodes}
    return document(
        checks={"good": 7, "bad": len(nodes), "waiting": 0}, ways={"checked": 4, "bad": bad}
    )


def slow(type_: str = "me_ingress", whose: str = "far_end") -> dict[str, Any]:
    return {"type": type_, "whose": whose, "usual_seconds": 0.002, "now_seconds": 0.4}


def found(*documents: dict[str, Any], **about: Any) -> Overview:
    return overview(sight(*documents, **about))


def text(*documents: dict[str, Any], width: int = written.WIDTH) -> str:
    return "\n".join(written.lines(found(*documents), NOW, width=width))


def test_who_cannot_reach_whom_and_what_is_slow_are_told() -> None:
    """As on the page: rows of what has an end in common, and whose time it is."""
    agents = [missing("node-9") | {"slower": [slow()]} for _ in range(6)]
    shown = text(*agents)
    assert "Nobody is named, and yet: 6 checks fail." in shown
    assert "Who cannot reach whom: 6 ways are amiss of 24 that are checked" in shown
    assert "    6 nodes: node-0, node-1, node-2, node-3 ...  node-9  no answer     3 intervals" in (
        shown
    )
    assert "    the ingress  the far end  400 ms  2.00 ms  6: node-0, node-1" in shown
    assert "42 checks were good and 6 bad the last time; 24 ways from node to node" in shown


def test_where_all_is_well_it_says_on_what_ground() -> None:
    """How much was checked, by how many, and how fresh it is; no empty table."""
    assert " ".join(text(document(), document()).split()) == (
        "Nothing is wrong, says each of 2 agents. 16 checks were good and 0 bad the last time; "
        "8 ways from node to node among them; the latest 10 s ago. Heard 2 agents of 2."
    )
    assert "reach" not in text(document())
    assert "Slow" not in text(document())


def test_who_has_just_begun_does_not_say_that_all_is_well() -> None:
    """Where no agent has judged, nobody knows: as on the page."""
    new = document(judged_at=None, checks={"good": 0, "bad": 0, "waiting": 8})
    assert text(new, new).startswith("Not checked enough yet to say.\n")
    assert text(new, document()).startswith("Nothing is wrong, says each of 2 agents.\n")


def test_nobody_says_that_nothing_is_wrong_while_a_check_fails() -> None:
    """Nor while a way is lossy, though all are good."""
    lossy = {"node-9": {"symptom": "ok", "run": 9, "lossy": True}}
    assert "Nothing is wrong" not in text(missing("node-9"))
    assert text(document(ways={"checked": 1, "bad": lossy})).startswith(
        "Nobody is named, and yet: 1 way is slow or lossy."
    )


def flood(number: int) -> dict[str, Any]:
    """Two hundred rows of all that an agent can say, of what nobody else knows; the first ones are
    as long as can be.
    """
    words, times = ("w" * 1_000, 9) if number == 0 else ("w", 1)
    told = [
        {
            "sentence": f"{number} {one} {words}",
            "kind": "agent",
            "culprit": f"n-{number}-{one}",
            "confidence": 1.0 if number == 0 else 0.5,
            "evidence": [{"words": words, "trace_id": words}] * times,
            "against": [f"{words[:200]}{some}" for some in range(times)],
            "since": words,
            "second": words,
        }
        for one in range(200)
    ]
    ways = {
        f"n-{number}-{one}": {"symptom": "silent", "run": 9, "lossy": one % 2 == 0}
        for one in range(200)
    }
    slower = [slow(f"{number}-{one}{words}", "network") for one in range(200)]
    return document(
        verdicts=told, suspicions=told, ways={"checked": 200, "bad": ways}, slower=slower
    )


def test_two_hundred_agents_that_flood_are_bounded() -> None:
    """A person and a disk see what most say, and how much is left out."""
    every = found(*(flood(number) for number in range(200)))
    shown = "\n".join(written.lines(every, NOW))
    assert len(shown) < 128 * KIB
    assert f"... and {200 * 64 - 20} verdicts more" in shown
    assert len(json.dumps(written.to_json(every))) < 128 * KIB


def test_what_is_told_anew_is_no_figure() -> None:
    """`--watch` says what changes: ages, counts and intervals always do."""
    before = found(missing("node-9"), document(slower=[slow()]))
    later = found(
        missing("node-9", run=4) | {"checks": {"good": 99, "bad": 1, "waiting": 0}},
        document(slower=[slow() | {"now_seconds": 0.5}]),
    )
    assert written.news(before) == written.news(later)
    more = [found(*[missing("a")] * n, *[missing("b")] * (9 - n)) for n in (4, 5)]
    assert written.news(more[0]) == written.news(more[1]), "the wider row comes first, that is all"
    others = [found(missing("node-8"), document(slower=[slow()])), found(missing("node-9"))]
    assert all(written.news(before) != written.news(other) for other in others)


def test_a_slow_answer_alone_is_no_news() -> None:
    """A busy machine has one at any moment: it is shown, and nothing is told anew for it."""
    before, hard = found(missing("a")), found(missing("a"), missing("b", run=1))
    blip = found(missing("a"), document(ways=slowly(1)))
    lasting = found(missing("a"), document(ways=slowly(2)))
    assert written.rows(blip) == written.rows(before)
    assert written.rows(lasting) != written.rows(before)
    alone = found(document(ways=slowly(1)))
    assert written.news(alone) != written.news(found(document())), "what was told last is true"
    assert written.rows(hard) != written.rows(before)


def slowly(run: int) -> dict[str, Any]:
    return {"checked": 4, "bad": {"c": {"symptom": "slow", "run": run, "lossy": False}}}


def test_programs_get_the_same() -> None:
    """Rows with their figures; of many names the first, and how many there are."""
    agents = [missing("node-9") | {"slower": [slow()]} for _ in range(6)]
    told = written.to_json(found(*agents))
    first = [f"node-{number}" for number in range(4)]
    assert told["checks"] == {"good": 42, "bad": 6, "waiting": 0}
    assert told["ways"]["rows"] == [
        {
            "from": first, "from_count": 6, "to": ["node-9"], "to_count": 1,
            "seen": "no answer", "intervals": 3,
        }
    ]  # fmt: skip
    assert told["slower"]["rows"] == [
        {
            "what": "the ingress", "whose": "far_end", "targets": 1, "usual_seconds": 0.002,
            "now_seconds": 0.4, "sources": first, "sources_count": 6,
        }
    ]  # fmt: skip


# --- what fits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_table_is_as_wide_as_there_is_room(width: int) -> None:
    """The widest cells are cut, and say so; the others stay as they are."""
    rows = [("what", "by"), ("short", "x" * 200), ("also", "y")]
    table = within.table(rows, width=width, indent="  ", left=3)
    assert max(map(len, table)) <= width
    assert table[1].startswith("  short  xxx")
    assert table[1].endswith("x...")
    assert table[-1] == "  ... and 3 more"


def test_a_table_that_fits_is_not_cut() -> None:
    """Columns as wide as their longest cell."""
    assert within.table([("a", "b"), ("long", "c")], width=80) == ["a     b", "long  c"]


def test_lines_beyond_the_height_are_counted() -> None:
    """Never higher than the terminal."""
    lines = [str(number) for number in range(9)]
    assert within.height(lines, 9) == lines
    assert within.height(lines, 4) == ["0", "1", "2", "... and 6 lines more"]
    assert within.height(lines, None) == lines
    assert len(within.height(lines, 1)) == 1


@pytest.mark.parametrize("width", [60, 80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    """Verdicts, both tables, who is silent."""
    told = {"sentence": "the agent on node n refuses connections " * 4, "kind": "agent"}
    agents = [missing("node-9") | {"slower": [slow()], "verdicts": [told]} for _ in range(6)]
    every = replace(found(*agents), slow_left=4)
    assert max(map(len, written.lines(every, NOW, width=width))) <= width
