from __future__ import annotations

import pytest
from alive import EXPIRED, GOOD, REFUSED, document, slow

from kubenurse_otel.demo import view


def test_a_row_holds_what_the_agent_measured() -> None:
    """Every figure of /alive's details stands under its heading."""
    (row,) = view.rows({"node-1": document(me_ingress=GOOD)})

    assert dict(zip(view.HEADINGS, row.cells(), strict=True)) == {
        "from": "node-1",
        "target": "me_ingress",
        "outcome": "ok",
        "total": "2.00 ms",
        "dns": "200 µs",
        "connect": "30 µs",
        "tls": "700 µs",
        "network": "20 µs",
        "loss": "0",
        "far end": "1.05 ms",
        "own delay": "1.50 ms",
    }


@pytest.mark.parametrize(
    ("about", "verdict", "total"),
    [
        (EXPIRED, "tls_certificate_expired", ""),
        (slow("far_end"), "slow", "401 ms"),
        ({"outcome": None}, "not yet", ""),
    ],
)
def test_the_outcome_is_one_word(about: dict[str, object], verdict: str, total: str) -> None:
    """Why it failed, that it was slow, or that there was no check yet; no total without answer."""
    (row,) = view.rows({"node-1": document(me_ingress=about)})

    assert row.cells()[2:4] == (verdict, total)


def test_silent_agents_and_strange_documents_have_no_rows() -> None:
    """An agent that is down, or an /alive without details, takes nothing else away."""
    assert view.rows({"node-1": None, "node-2": {}, "node-3": {"details": {}}}) == []


def test_good_checks_are_told_by_their_medians() -> None:
    """When nobody complains, the ordinary figures are said."""
    rows = view.rows({"node-1": document(me_ingress=GOOD, me_service=GOOD)})

    assert view.all_is_well(rows) == (
        "2 targets are good; medians: network 20 µs, far end 1.05 ms, own delay 1.50 ms"
    )
    assert view.all_is_well([]) == "0 targets are good; medians: none yet"


def test_a_small_terminal_shows_what_is_bad_first() -> None:
    """Rows that do not fit are counted; the bad ones stay, in their place."""
    rows = view.rows(
        {
            "node-1": document(me_ingress=GOOD, me_service=GOOD),
            "node-2": document(me_ingress=EXPIRED, me_service=GOOD),
        }
    )

    shown, left = view.fit(rows, 2)
    assert [(row.node, row.target) for row in shown] == [
        ("node-1", "me_ingress"),
        ("node-2", "me_ingress"),
    ]
    assert left == 2
    assert view.fit(rows, 10) == (rows, 0)
    assert view.fit(rows, -3) == ([], 4)


def test_the_plain_table_is_aligned() -> None:
    """Words to the left, figures to the right, nothing trailing."""
    rows = view.rows({"node-1": document(me_ingress=GOOD, me_service=REFUSED)})

    heading, good, bad = view.plain(rows)
    assert heading == (
        "from    target      outcome               total     dns  connect     tls  network  loss"
        "  far end  own delay"
    )
    assert good == (
        "node-1  me_ingress  ok                  2.00 ms  200 µs    30 µs  700 µs    20 µs     0"
        "  1.05 ms    1.50 ms"
    )
    assert bad == "node-1  me_service  connection_refused"
