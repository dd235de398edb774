"""The store between records and scrapes: sums, forgetting, limits, quiet moments, threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from gzip import decompress
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)

from kubenurse_otel import semconv, unhandled
from kubenurse_otel.telemetry import store as store_module
from kubenurse_otel.telemetry.providers import Telemetry
from kubenurse_otel.unhandled import Part

START = Callable[..., Telemetry]
MISSED = semconv.MISSED_CHECKS


def lines(telemetry: Telemetry, prefix: str) -> list[str]:
    text = telemetry.render().body.decode()
    return [line for line in text.splitlines() if line.startswith(prefix)]


def missed(telemetry: Telemetry, type_: str, count: int = 1) -> None:
    telemetry.instruments.add(MISSED, count, {"type": type_})


def missed_lines(telemetry: Telemetry) -> list[str]:
    return lines(telemetry, MISSED.name + "{")


def run_refresh(telemetry: Telemetry) -> int:
    """Refresh until nothing is pending; how many pieces it took."""
    pieces = 1
    while telemetry._collection.refresh(budget_seconds=0):
        pieces += 1
        assert pieces < 10_000
    return pieces


def test_deltas_add_up_over_collections(start: START, clock: Any) -> None:
    """Counters and histograms grow from scrape to scrape as their records do."""
    telemetry = start()
    for total in (1, 2, 3):
        missed(telemetry, "x")
        telemetry.instruments.record(semconv.OWN_DELAY_TIME, 0.01, {"type": "x"})
        clock.now += 15
        assert [f'{MISSED.name}{{type="x"}} {total}'] == missed_lines(telemetry)
        assert lines(telemetry, "kubenurse_own_delay_seconds_count") == [
            f'kubenurse_own_delay_seconds_count{{type="x"}} {total}'
        ]


def test_a_series_of_no_target_is_forgotten_and_starts_anew(start: START, clock: Any) -> None:
    """After the TTL a gone type has no series; back again, it counts from zero with a new start."""
    telemetry = start(series_ttl_seconds=60)
    telemetry.retain(frozenset({"stays"}))
    missed(telemetry, "stays", 5)
    missed(telemetry, "goes", 7)
    assert len(missed_lines(telemetry)) == 2
    family = telemetry._store.families[MISSED.name]
    first = family.series[("goes",)]
    clock.now += 50
    telemetry.render()
    assert len(missed_lines(telemetry)) == 2
    clock.now += 30
    assert [f'{MISSED.name}{{type="stays"}} 5'] == missed_lines(telemetry)
    missed(telemetry, "goes")
    clock.now += 2
    assert f'{MISSED.name}{{type="goes"}} 1' in missed_lines(telemetry)
    assert family.series[("goes",)].start_ns > first.start_ns


def test_a_touched_series_and_one_of_the_agents_own_stay(start: START, clock: Any) -> None:
    """Records keep a series alive; series without a type label are never forgotten."""
    telemetry = start(series_ttl_seconds=60)
    telemetry.instruments.add(semconv.SPANS_DROPPED, 1, {"reason": "late"})
    for _ in range(5):
        missed(telemetry, "path_x")
        clock.now += 40
        telemetry.render()
    assert [f'{MISSED.name}{{type="path_x"}} 5'] == missed_lines(telemetry)
    assert len(lines(telemetry, "kubenurse_telemetry_spans_dropped_total{")) == 1


def test_gauges_are_replaced_whole(start: START, clock: Any) -> None:
    """A gauge shows its source's present readings and nothing of the past."""
    readings = [(1, ("path_a",)), (0, ("path_b",))]
    telemetry = start(gauges={semconv.CHECK_SUCCESS: lambda: readings})
    name = semconv.CHECK_SUCCESS.name
    assert lines(telemetry, name + "{") == [
        f'{name}{{type="path_a"}} 1',
        f'{name}{{type="path_b"}} 0',
    ]
    readings[:] = [(1, ("path_b",))]
    clock.now += 15
    assert lines(telemetry, name + "{") == [f'{name}{{type="path_b"}} 1']


@pytest.mark.makes_bugs
def test_a_broken_gauge_source_is_counted_and_harms_no_other(
    start: START, clock: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """The scrape goes on without the broken gauge; it is said once an hour."""
    before = unhandled.counts()[Part.EXPORT]
    telemetry = start(
        gauges={semconv.NEIGHBOURS: lambda: 1 / 0, semconv.READY: lambda: [(1, ("",))]}
    )
    for _ in range(3):
        clock.now += 15
        assert lines(telemetry, "kubenurse_neighbours") == []
        assert len(lines(telemetry, "kubenurse_ready{")) == 1
    assert unhandled.counts()[Part.EXPORT] >= before + 3
    assert caplog.text.count("a bug ended one export (kubenurse_neighbours)") == 1


def test_beyond_its_limit_a_metric_overflows_loudly(
    start: START, clock: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What does not fit is added up in one marked series, logged once a metric and counted."""
    monkeypatch.setattr(store_module, "SETS_FLOOR", 3)
    telemetry = start()
    for type_ in range(5):
        missed(telemetry, f"extra{type_}", 2)
    caplog.set_level(logging.ERROR)
    assert f'{MISSED.name}{{otel_metric_overflow="true"}} 4' in missed_lines(telemetry)
    missed(telemetry, "extra4", 2)
    clock.now += 15
    assert f'{MISSED.name}{{otel_metric_overflow="true"}} 6' in missed_lines(telemetry)
    # Two, and one of them again: it is counted once a collection.
    assert lines(telemetry, "kubenurse_telemetry_series_overflowed_total{") == [
        f'kubenurse_telemetry_series_overflowed_total{{metric="{MISSED.name}"}} 3'
    ]
    assert caplog.text.count("more label sets than its limit of 3") == 1
    openmetrics = telemetry.render("application/openmetrics-text").body.decode()
    assert list(parse_openmetrics(openmetrics))


def test_a_gauge_beyond_the_limit_overflows_too(
    start: START, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readings that do not fit are counted in the marked series, anew at each reading."""
    monkeypatch.setattr(store_module, "SETS_FLOOR", 2)
    telemetry = start(
        gauges={semconv.CHECK_SUCCESS: lambda: [(1, (f"path_{n}",)) for n in range(5)]}
    )
    telemetry.render()
    assert 'kubenurse_check_success{otel_metric_overflow="true"} 3' in lines(
        telemetry, "kubenurse_check_success{"
    )


@pytest.mark.parametrize(
    ("age", "records", "fresh"),
    [(0.9, True, False), (1.1, True, True), (4.9, False, False), (5.1, False, True)],
)
def test_the_rule_of_staleness(
    start: START, clock: Any, age: float, *, records: bool, fresh: bool
) -> None:
    """A body serves for 1 s, or for 5 s while nothing was recorded; then it is made anew."""
    telemetry = start()
    before = telemetry.render()
    if records:
        missed(telemetry, "x")
    clock.now += age
    assert fresh is (telemetry.render() is not before)
    assert (records and fresh) is bool(missed_lines(telemetry))


def test_an_expected_scrape_finds_its_body_ready(start: START, clock: Any) -> None:
    """After two scrapes the third is rendered in quiet moments, in pieces, shortly before it."""
    telemetry = start()
    accept = "application/openmetrics-text"
    for scrape in range(3):
        for type_ in range(100):
            missed(telemetry, f"extra{type_}")
        if scrape < 2:
            telemetry.render(accept, gzip=True)
            clock.now += 15
    clock.now -= 0.9
    run_refresh(telemetry)  # what is due by then is a collection alone
    missed(telemetry, "last")
    clock.now += 0.2
    assert run_refresh(telemetry) > 5
    prepared = telemetry._collection._bodies[(store_module.OPENMETRICS, True)].rendered
    clock.now += 0.4
    assert prepared is telemetry.render(accept, gzip=True)
    assert b'type="last"' in telemetry._collection._exposition.body(store_module.OPENMETRICS)


def test_no_body_is_prepared_for_a_scraper_that_is_gone(start: START, clock: Any) -> None:
    """One expected scrape is prepared once; when it does not come, no other is."""
    telemetry = start()
    telemetry.render()
    clock.now += 15
    telemetry.render()
    clock.now += 15
    assert run_refresh(telemetry) > 1
    made_at = telemetry._collection._bodies[(store_module.TEXT, False)].made_at
    for _ in range(5):
        clock.now += 15
        missed(telemetry, "x")
        run_refresh(telemetry)
    assert made_at == telemetry._collection._bodies[(store_module.TEXT, False)].made_at


def test_who_asks_for_one_form_after_the_other_costs_each_once_a_second(
    start: START, clock: Any
) -> None:
    """Four forms, asked for in turn while figures change, are four bodies a second."""
    telemetry = start()
    openmetrics = "application/openmetrics-text"
    made: set[int] = set()
    bodies = []
    for _ in range(50):
        missed(telemetry, "x")
        clock.now += 0.015
        for accept in ("", openmetrics):
            for gzip in (False, True):
                bodies.append(telemetry.render(accept, gzip=gzip))
                made.add(id(bodies[-1]))
    assert len(made) == 4
    clock.now += 15
    telemetry.render()
    assert list(telemetry._collection._bodies) == [(store_module.TEXT, False)]


def test_a_second_scraper_close_by_does_not_change_the_period(start: START, clock: Any) -> None:
    """A scrape within two seconds of another is no sign of the next one."""
    telemetry = start()
    telemetry.render()
    clock.now += 15
    telemetry.render()
    clock.now += 0.5
    telemetry.render()
    clock.now += 14.2
    assert run_refresh(telemetry) > 1


def test_a_collection_is_due_every_ten_seconds(start: START, clock: Any) -> None:
    """Without a scrape, too: what is gone expires, and the next points have a later time."""
    telemetry = start()
    missed(telemetry, "x")
    collected_ns = telemetry._store.collected_ns
    clock.now += 9
    run_refresh(telemetry)
    assert collected_ns == telemetry._store.collected_ns
    clock.now += 1
    run_refresh(telemetry)
    assert collected_ns < telemetry._store.collected_ns


def test_what_is_recorded_while_a_body_is_packed_is_not_taken_for_served(
    start: START, clock: Any
) -> None:
    """The body is of before: five seconds long it would say that nothing was recorded."""
    telemetry = start()
    telemetry.render(gzip=True)
    clock.now += 15
    telemetry.render(gzip=True)
    clock.now += 14.5
    pauses = 0
    while telemetry._collection.refresh(budget_seconds=0):
        missed(telemetry, f"late{pauses}")
        pauses += 1
    clock.now += 1.5
    served = decompress(telemetry.render(gzip=True).body).decode()
    assert pauses > 3
    assert all(f'type="late{number}"' in served for number in range(pauses))


def test_a_scrape_in_the_middle_of_the_pieces_is_whole(start: START, clock: Any) -> None:
    """On demand is right at any moment of a refresh, and the refresh ends well after it."""
    telemetry = start()
    telemetry.render()
    clock.now += 15
    telemetry.render()
    clock.now += 14.6
    for type_ in range(200):
        missed(telemetry, f"extra{type_}")
    assert telemetry._collection.refresh(budget_seconds=0)
    assert telemetry._collection.refresh(budget_seconds=0)
    assert len(missed_lines(telemetry)) == 200
    run_refresh(telemetry)
    assert len(missed_lines(telemetry)) == 200


class Workers:
    """Threads that run to their end or until `stop`; what they raised is kept."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], Any], times: int | None = None) -> threading.Thread:
        def run() -> None:
            try:
                done = 0
                while done != times and not (times is None and self.stop.is_set()):
                    work()
                    done += 1
            except BaseException as error:
                self.errors.append(error)
                raise

        thread = threading.Thread(target=run)
        self._threads.append(thread)
        thread.start()
        return thread

    def join(self) -> None:
        self.stop.set()
        for thread in self._threads:
            thread.join(30)
            assert not thread.is_alive()


def test_nothing_is_lost_or_counted_twice_under_concurrency(start: START) -> None:
    """Four recording threads and three that scrape, refresh and collect end at the exact sum."""
    telemetry = start()
    workers = Workers()

    def record(type_: str) -> None:
        missed(telemetry, type_)
        telemetry.instruments.record(semconv.OWN_DELAY_TIME, 0.003, {"type": type_})

    workers.start(telemetry._collection.collect_now)
    workers.start(telemetry.refresh)
    workers.start(lambda: telemetry.render("application/openmetrics-text"))
    recorders = [workers.start(lambda type_=type_: record(type_), times=2_000) for type_ in "abcd"]
    for recorder in recorders:
        recorder.join(30)
    workers.join()
    telemetry._collection.collect_now()
    families = telemetry._store.families
    assert workers.errors == []
    assert [series.value for series in families[MISSED.name].series.values()] == [2_000] * 4
    delays = families[semconv.OWN_DELAY_TIME.name].series.values()
    assert [sum(series.counts) for series in delays] == [2_000] * 4


def test_a_thread_that_asks_for_fresh_figures_gets_them_from_the_next_refresh(start: START) -> None:
    """await_fresh returns when a refresh has collected and read the gauges."""
    telemetry = start(gauges={semconv.NEIGHBOURS: lambda: [(3, ("known",))]})
    missed(telemetry, "x")
    waiter = threading.Thread(target=telemetry._collection.await_fresh, args=(30.0,))
    waiter.start()
    while waiter.is_alive():
        run_refresh(telemetry)
        waiter.join(0.001)
    assert telemetry._store.families[MISSED.name].series[("x",)].value == 1
    assert telemetry._store.families[semconv.NEIGHBOURS.name].series


def test_a_busy_loop_does_not_stop_the_push(start: START, caplog: pytest.LogCaptureFixture) -> None:
    """Without any refresh, await_fresh collects by itself; a gauge that fails then stays."""
    telemetry = start(
        gauges={
            semconv.NEIGHBOURS: lambda: [(3, ("known",))],
            semconv.READY: lambda: [(1, ("",))] if in_loop else [(1 / 0, ("",))],
        }
    )
    in_loop = True
    telemetry.render()
    in_loop = False
    missed(telemetry, "x")
    telemetry._collection.await_fresh(0.01)
    families = telemetry._store.families
    assert families[MISSED.name].series[("x",)].value == 1
    assert families[semconv.NEIGHBOURS.name].series
    assert families[semconv.READY.name].series
    assert not caplog.text
    in_loop = True  # as the fixture ends it


def test_a_reading_with_too_few_labels_is_an_error(start: START) -> None:
    """The store refuses readings that do not fit the metric's labels."""
    telemetry = start()
    with pytest.raises(ValueError, match="zip"):
        telemetry._store.set_gauge(semconv.CHECK_SUCCESS, [(1, ())], now_ns=1)


def test_unknown_metrics_are_ignored(start: START) -> None:
    """A gauge source of a metric that was not chosen is not even an error."""
    telemetry = start()
    other = semconv.Metric("other", semconv.MetricKind.GAUGE, "", (), "help")
    telemetry._store.set_gauge(other, [(1, ())], now_ns=1)
    telemetry.instruments.add(other, 1, {})
    telemetry.instruments.record(other, 1, {})
    assert lines(telemetry, "other") == []
