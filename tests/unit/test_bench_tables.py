"""bench/tables.py and the bench's other pure parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.accuracy import errors_us, other_figures, pair, truth_seconds
from bench.cost import Round, share
from bench.profile import by_part, inclusive
from bench.tables import Table, number, place, quantile
from bench.wire import Exchange


@pytest.mark.parametrize(
    ("share", "expected"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)]
)
def test_quantile(share: float, expected: float) -> None:
    """The nearest rank, so a value that was measured."""
    assert quantile([4, 1, 3, 2], share) == expected


@given(st.lists(st.floats(allow_nan=False), min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_quantiles_grow(values: list[float], one: float, other: float) -> None:
    """A larger share never has a smaller quantile, and the whole has the largest value."""
    low, high = sorted((one, other))
    assert quantile(values, low) <= quantile(values, high) <= quantile(values, 1.0) == max(values)


def test_quantile_of_nothing() -> None:
    """No values have no quantile."""
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)


def test_markdown() -> None:
    """Columns are padded, numbers stand to the right, notes below."""
    table = Table("Title", ("case", "n"), [("idle", "1,000"), ("a", "2")], ["A note."])
    assert table.markdown() == (
        "### Title\n\n"
        "| case |     n |\n"
        "| ---- | ----: |\n"
        "| idle | 1,000 |\n"
        "| a    |     2 |\n"
        "\nA note.\n"
    )


@pytest.mark.parametrize(
    ("value", "digits", "expected"), [(None, 0, "-"), (1234.5, 0, "1,234"), (0.125, 2, "0.12")]
)
def test_number(value: float | None, digits: int, expected: str) -> None:
    """Thousands are set apart; what was not measured is a dash."""
    assert number(value, digits) == expected


def test_place_replaces_only_its_section() -> None:
    """A section is put at the end once, and from then on in its place."""
    document = place(place("# Title\n", "a", "one"), "b", "two")
    again = place(document, "a", "three\n")
    assert again == document.replace("one", "three")
    assert place(again, "a", "three") == again


def test_place_wants_both_markers() -> None:
    """A begin without an end would swallow the rest of the document."""
    with pytest.raises(ValueError, match="without"):
        place("<!-- bench:a -->\ntext\n", "a", "new")


def test_pairs_by_time() -> None:
    """A check belongs to the connection that began while it ran; failed ones to none."""
    found = [Exchange(started_ns=15, port=1), Exchange(started_ns=35, port=2)]
    reports: list[dict[str, object]] = [
        {"started_ns": 10, "ended_ns": 20},
        {"started_ns": 21, "ended_ns": 30},
        {"started_ns": 31, "ended_ns": 40},
        {"started_ns": 31, "ended_ns": 40, "error": "refused"},
    ]
    assert [(p.reported["started_ns"], p.exchange.port) for p in pair(reports, found)] == [
        (10, 1),
        (31, 2),
    ]


def test_truth_of_a_lost_syn() -> None:
    """What a connect took beyond a round trip is loss when a SYN was sent again."""
    lost = Exchange(
        started_ns=0, port=1, connect_ns=1_000_040_000, syn_count=2, round_trip_ns=40_000
    )
    assert truth_seconds(lost, "loss") == pytest.approx(1.0)
    assert truth_seconds(lost, "connect") == pytest.approx(1.00004)
    assert truth_seconds(lost, "request") is None


def test_errors_where_both_tell() -> None:
    """An error is a distance in microseconds; a figure that one side lacks is left out."""
    exchange = Exchange(started_ns=1, port=1, connect_ns=30_000)
    pairs = pair(
        [{"started_ns": 0, "ended_ns": 2, "kernel": {"connect": 0.000020, "tls": 1.0}}], [exchange]
    )
    assert errors_us(pairs, "kernel", "connect") == pytest.approx([10.0])
    assert errors_us(pairs, "kernel", "tls") == []


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"connect_seconds": 1.0, "request_seconds": 2.0}, {"connect": 1.0, "request": 2.0}),
        ({"sent_seconds": 1.0, "first_byte_seconds": 3.0}, {"connect": None, "request": 2.0}),
        ({"sent_seconds": 1.0}, {"connect": None, "request": None}),
    ],
)
def test_other_probers(said: dict[str, float], expected: dict[str, float | None]) -> None:
    """A prober says its request's time, or the two moments between which it is."""
    assert other_figures(said) == expected


def test_samples_by_part() -> None:
    """A sample belongs to its innermost frame that has a part; what has none is the rest."""
    prober = ["/x/kubenurse_otel/probe/prober.py", "run"]
    samples = [
        ([["/x/asyncio/events.py", "_run"], prober, ["/x/probe/body.py", "f"]], 3),
        ([["/x/asyncio/events.py", "_run"], ["/y/json.py", "f"]], 2),
        ([["/y/json.py", "f"]], 1),
    ]
    assert by_part(samples) == {"HTTP": 3, "event loop": 2, "garbage collection, rest": 1}
    assert inclusive(samples) == {"probe/prober.py:run": 3}


def test_a_share_of_another_agents_cost_is_of_the_same_windows() -> None:
    """A slow window slows both: the median of the rounds' shares, not a share of medians."""

    def rounds(*cpu_ms: float) -> list[Round]:
        return [Round(10, ms, ms, None) for ms in cpu_ms]

    assert share(rounds(1, 4, 2), rounds(2, 8, 5)) == 0.5
