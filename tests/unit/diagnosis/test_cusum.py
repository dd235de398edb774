"""diagnosis/cusum.py: when too much is lost, since when, and when that is over."""

from __future__ import annotations

import pytest

from kubenurse_otel.diagnosis.cusum import ALARM, Cusum


def fed(*losses: int, each: int = 1) -> Cusum:
    """One number a second: how many of ``each`` segments are lost."""
    one = Cusum()
    for at, lost in enumerate(losses):
        one.add(float(at), lost=lost, sent=each)
    return one


def test_the_alarm_is_due_after_some_losses_and_since_the_first_of_them() -> None:
    one = fed(0, 0, *[1, 0] * 11)
    assert one.sum >= ALARM
    assert (one.since, one.alarm_at) == (2.0, 20.0)


@pytest.mark.parametrize("quiet", [0, 100_000])
def test_a_long_time_in_which_all_was_well_delays_no_alarm(quiet: int) -> None:
    one = fed(*[0] * quiet, *[1] * 10)
    assert one.alarm_at == quiet + 9.0


@pytest.mark.parametrize("bad", [36, 100_000])
def test_however_long_it_was_bad_it_is_over_soon(bad: int) -> None:
    """A third was lost, of many segments: six losses are due in 18."""
    one = fed(*[1, 0, 0] * (bad // 3), *[0] * 30)
    assert (one.sum, one.since, one.alarm_at) == (0.0, None, None)


def test_below_the_alarm_it_is_over_sooner_than_by_its_weight() -> None:
    """By that alone four losses were forgotten after 1,600 segments."""
    assert fed(*[1, 0, 0] * 4).sum > 0
    assert fed(*[1, 0, 0] * 4, *[0] * 100).sum == 0


def test_a_few_losses_that_came_together_do_not_tell_when_the_next_is_due() -> None:
    """Of one in a hundred, too, three may come within twenty: the next comes much later."""
    assert fed(1, *[0] * 9, 1, *[0] * 9, 1, *[0] * 200).sum > 0


def test_a_burst_does_not_tell_when_the_next_is_due() -> None:
    """Ten were lost while the link was down, and of the 90 behind them none: it flaps."""
    one = Cusum()
    for second in range(1, 31):
        one.add(float(second), lost=0 if second % 5 else 10, sent=20)
    assert (one.since, one.alarm_at) == (5.0, 15.0)
    for second in range(31, 100):
        one.add(float(second), lost=0, sent=20)
    assert one.since is None


def test_one_moment_is_no_alarm_however_much_it_lost() -> None:
    """A link that was down once for a second is no link that loses."""
    one = Cusum()
    for tenth in range(9):
        one.add(tenth / 10, lost=100, sent=200)
    assert one.sum < ALARM / 2
    assert one.alarm_at is None


def test_a_loss_or_two_are_forgotten_by_their_weight() -> None:
    """From two nobody knows when the next is due: one in a hundred has them far apart."""
    assert fed(1, 1, *[0] * 100).sum > 0
    assert fed(1, 1, *[0] * 900).sum == 0


def test_one_in_a_hundred_is_found_and_one_in_a_thousand_is_not() -> None:
    assert fed(*[*[0] * 99, 1] * 20).alarm_at is not None
    assert fed(*[*[0] * 999, 1] * 100).alarm_at is None
