"""directions.py: which way what was lost was going."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.probe.test_phases import MS, REALTIME, US, encrypted, info, plain

from kubenurse_otel.model import LossDirection, Split
from kubenurse_otel.probe.agent_headers import ServerTiming
from kubenurse_otel.probe.directions import split_of
from kubenurse_otel.probe.kernel import STAMP_ACKNOWLEDGED, Stamp
from kubenurse_otel.probe.marks import Marks
from kubenurse_otel.probe.phases import measure

QUICK = ServerTiming(wait=0.0005, app=0.0015, synack_retransmits=0)


def told(marks: Marks, timing: ServerTiming | None = None) -> Split:
    return split_of(marks, measure(marks), timing or ServerTiming(), ours=timing is not None)


def late_answer(late_ns: int) -> Marks:
    """Acknowledged at once, answered 2 ms of the far end's time and ``late_ns`` after it."""
    return plain(far_end_ns=2 * MS + late_ns)


def no_sack(lost_ns: int = 204 * MS, **changes: int) -> Marks:
    """A request that was sent again to a peer that could not say that it had it."""
    marks = plain(lost_ns=lost_ns)
    marks.info_at_end = info(**({"retransmits": 1, "options": 5} | changes))
    return marks


def lost_syn(rtt_us: int, **changes: int) -> Marks:
    """A handshake of a second and 300 us."""
    marks = plain()
    assert marks.used is not None
    marks.used.started_ns -= 1_000 * MS
    marks.info_at_connect = info(**({"retransmits": 1, "rtt_us": rtt_us} | changes))
    marks.info_at_end = info(retransmits=1)
    return marks


def test_without_loss_there_is_no_direction() -> None:
    """And nothing is changed, but that the far end's word of its time stands there."""
    split = told(plain(), QUICK)
    assert (split.loss, split.loss_out, split.loss_in) == (0, 0, 0)
    assert split.loss_direction is None
    of_its_time = {"far_end_wait": QUICK.wait, "far_end_app": QUICK.app}
    assert split == replace(measure(plain()).split, loss_out=0, loss_in=0, **of_its_time)


@pytest.mark.parametrize("timing", [None, QUICK])
def test_what_we_sent_again_was_lost_on_the_way_out(timing: ServerTiming | None) -> None:
    """Nobody else need say so."""
    split = told(plain(lost_ns=204 * MS), timing)
    assert split.loss == split.loss_out == pytest.approx(0.204)
    assert split.loss_direction is LossDirection.OUT


def test_an_answer_that_came_later_than_its_agent_tells_was_sent_again() -> None:
    """By a retransmission timeout: that time is loss on the way in and not the far end's."""
    split = told(late_answer(204 * MS), QUICK)
    assert split.loss == split.loss_in == split.request_loss == pytest.approx(0.204)
    assert split.far_end == pytest.approx(0.002)
    assert split.network_round_trip == pytest.approx(250e-6)
    assert split.request == pytest.approx(0.206_25)
    assert split.loss_direction is LossDirection.IN


@pytest.mark.parametrize(
    ("late_ns", "timing"),
    [
        (204 * MS, None),
        (204 * MS, ServerTiming(wait=None, app=0.001)),  # it does not know how long it waited
        (204 * MS, ServerTiming(wait=0.2, app=0.001)),  # it was busy
        (180 * MS, QUICK),  # no timeout is so short
    ],
)
def test_a_late_answer_alone_says_nothing(late_ns: int, timing: ServerTiming | None) -> None:
    """Its time stays the far end's."""
    split = told(late_answer(late_ns), timing)
    assert split.loss == 0
    assert split.far_end == pytest.approx(0.002 + late_ns / 1e9)


def test_a_queue_is_no_loss() -> None:
    """What the acknowledgement of the request took as well was not sent again."""
    marks = late_answer(300 * MS)
    acknowledged = marks.stamps[-1].realtime_ns + 300 * MS
    marks.stamps[-1] = Stamp(STAMP_ACKNOWLEDGED, 99, acknowledged)
    assert told(marks, QUICK).loss == 0


def test_an_answer_after_a_delayed_acknowledgement_may_have_been_sent_again() -> None:
    """40 ms are the peer's timer and no queue."""
    marks = late_answer(210 * MS)
    marks.stamps[-1] = Stamp(STAMP_ACKNOWLEDGED, 99, marks.stamps[-1].realtime_ns + 40 * MS)
    assert told(marks, QUICK).loss_in == pytest.approx(0.210, abs=1e-3)


def test_an_answer_lost_with_its_acknowledgement() -> None:
    """We repeat in vain (DSACK), and the far end does: its repeat is what took the time."""
    marks = plain(lost_ns=204 * MS)
    marks.info_at_end = info(retransmits=1, dsacks=1)
    split = told(marks, QUICK)
    assert split.loss == split.loss_in == pytest.approx(0.204, abs=1e-3)
    assert split.loss_direction is LossDirection.IN


def test_a_request_and_its_answer_lost() -> None:
    """Both directions, each with its own time."""
    marks = plain(lost_ns=204 * MS, far_end_ns=210 * MS)
    split = told(marks, QUICK)
    assert split.loss_out == pytest.approx(0.204)
    assert split.loss_in == pytest.approx(0.208)
    assert split.loss == split.request_loss == pytest.approx(0.412)
    assert split.loss_direction is LossDirection.BOTH


@pytest.mark.parametrize(
    ("rtt_us", "options", "synack", "direction"),
    [
        (1_000, 7, None, LossDirection.UNKNOWN),
        (1_000, 7, 0, LossDirection.OUT),
        (1_000, 7, 1, LossDirection.IN),
        (1_000_000, 7, None, LossDirection.IN),
        (1_000_000, 7, 2, LossDirection.IN),
        (0, 6, None, LossDirection.UNKNOWN),
        (0, 6, 0, LossDirection.OUT),
        (0, 6, 2, LossDirection.IN),
    ],
)
def test_a_syn_and_its_answer_are_told_apart(
    rtt_us: int, options: int, synack: int | None, direction: LossDirection
) -> None:
    """By TCP's time stamps where they prove it, else by the far end's count."""
    timing = None if synack is None else replace(QUICK, synack_retransmits=synack)
    split = told(lost_syn(rtt_us, options=options), timing)
    assert split.loss == pytest.approx(1.0, abs=1e-3)
    assert split.loss_direction is direction
    known = {LossDirection.OUT: split.loss_out, LossDirection.IN: split.loss_in}
    assert known.get(direction, split.loss) == split.loss


def test_a_syn_lost_before_a_syn_ack() -> None:
    """A second out, and two in since the SYN that arrived."""
    marks = lost_syn(2_000_000)
    assert marks.used is not None
    marks.used.started_ns -= 2_000 * MS
    split = told(marks, replace(QUICK, synack_retransmits=1))
    assert split.loss_in == pytest.approx(2.0)
    assert split.loss_out == pytest.approx(1.0, abs=1e-3)
    assert split.loss_direction is LossDirection.BOTH


def test_without_sack_one_repeat_proves_nothing() -> None:
    """It may have been needless: no loss and no far end; the round trip stays."""
    split = told(no_sack())
    assert (split.loss, split.loss_out, split.loss_in) == (None, None, None)
    assert (split.request_loss, split.far_end, split.loss_direction) == (None, None, None)
    assert split.network_round_trip == pytest.approx(280e-6)
    assert split.request == pytest.approx(0.204 + 2.25e-3)


@pytest.mark.parametrize(("app", "loss"), [(0.002, 0.204), (0.205, 0)])
def test_without_sack_an_agent_may_account_for_the_time(app: float, loss: float) -> None:
    """What it does not tell of was lost, in an unknown direction."""
    split = told(no_sack(), ServerTiming(wait=0.0, app=app))
    assert split.loss == split.request_loss == pytest.approx(loss, abs=1e-3)
    assert split.far_end == pytest.approx(0.206 - loss, abs=1e-3)
    assert split.loss_direction is (LossDirection.UNKNOWN if loss else None)


def test_without_sack_and_under_tls_the_repeat_may_have_been_the_hellos() -> None:
    """No agent speaks of that."""
    marks = encrypted()
    marks.info_at_end = info(retransmits=1, options=5)
    assert told(marks, QUICK).loss is None


def test_without_sack_what_was_sent_once_is_told_as_ever() -> None:
    """Only a repeat makes a doubt."""
    marks = late_answer(204 * MS)
    marks.info_at_end = info(options=5)
    assert told(marks, QUICK).loss_in == pytest.approx(0.204)


def test_our_own_marks_tell_of_no_direction() -> None:
    """Where the kernel's stamps are missing."""
    marks = plain()
    marks.timestamps_enabled = False
    split = told(marks, ServerTiming(wait=0.0, app=0.0))
    assert (split.loss, split.loss_out, split.loss_in) == (0, None, None)


def test_a_kept_connection_has_no_handshake() -> None:
    """What a SYN lost is in the first exchange on it."""
    marks = plain()
    marks.used, marks.attempts, marks.reused = None, [], True
    marks.info_at_connect = None
    marks.stamps[-1] = Stamp(STAMP_ACKNOWLEDGED, 99, REALTIME + 900 * US)
    assert told(marks, replace(QUICK, synack_retransmits=3)).loss == 0
