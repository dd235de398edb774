"""egress.py: what this node kept back, by stamps and TCP_INFO; and where phases.py puts it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_phases import MS, REALTIME, US, clocks, info, plain

from kubenurse_otel.model import TimingSource
from kubenurse_otel.probe import egress
from kubenurse_otel.probe.egress import Unsent, WayOut, way_out
from kubenurse_otel.probe.kernel import STAMP_SCHEDULED, Stamp
from kubenurse_otel.probe.marks import Marks, Sent, Stage
from kubenurse_otel.probe.phases import measure, own_delay_so_far_ns

SENT = Sent(Stage.REQUEST, 100, 200, 99, 18)


@pytest.mark.parametrize(
    ("scheduled_ns", "sent_ns", "expected"),
    [
        (150, 152, WayOut(150, 0, 2)),
        (150, 9_000, WayOut(150, 0, 8_850)),
        (9_000, 9_003, WayOut(200, 8_800, 3)),
        (None, 9_000, WayOut(200, 8_800, 0)),
        (None, 150, WayOut(150, 0, 0)),
        (9_500, 9_000, WayOut(200, 8_800, 0)),
    ],
)
def test_a_way_out_is_told_by_its_first_stamps(
    scheduled_ns: int | None, sent_ns: int, expected: WayOut
) -> None:
    """Queued from its stamp on; held before it, where send(2) had returned."""
    assert way_out(SENT, scheduled_ns, sent_ns) == expected


def kept(*, held_ns: int = 0, queued_ns: int = 0, own_ns: int = 0) -> Marks:
    """A plain exchange whose request was kept on this node before it left."""
    marks = plain(own_ns=own_ns)
    sent, received = marks.steps
    assert isinstance(sent, Sent)
    first = marks.stamps[0].realtime_ns - REALTIME
    scheduled = (sent.ended_ns + held_ns) if held_ns else first - 2 * US
    later = scheduled + (queued_ns or 2 * US) - first
    marks.stamps = [replace(s, realtime_ns=s.realtime_ns + later) for s in marks.stamps]
    marks.stamps.insert(0, Stamp(STAMP_SCHEDULED, 99, REALTIME + scheduled))
    assert not isinstance(received, Sent)
    assert received.kernel_realtime_ns is not None
    received = replace(
        received,
        user_ns=received.user_ns + later,
        kernel_realtime_ns=received.kernel_realtime_ns + later,
    )
    marks.steps = [sent, received]
    marks.first_byte = marks.last_byte = received
    assert marks.ended is not None
    marks.ended = clocks(marks.ended.monotonic_ns + later)
    return marks


@given(
    held_ns=st.sampled_from([0, 204 * MS]),
    queued_ns=st.integers(2 * US, 500 * MS),
    own_ns=st.integers(0, 500 * MS),
)
def test_egress_is_a_part_of_the_request_and_none_of_own_delay(
    held_ns: int, queued_ns: int, own_ns: int
) -> None:
    """request = egress + loss + round trip + far end; the rest of the time is ours."""
    marks = kept(held_ns=held_ns, queued_ns=queued_ns, own_ns=own_ns)
    timeline = measure(marks)
    split = timeline.split
    assert timeline.source is TimingSource.KERNEL
    assert split.egress == split.request_egress == pytest.approx((held_ns + queued_ns) / 1e9)
    assert split.egress_queue == pytest.approx(queued_ns / 1e9)
    assert split.network_round_trip == pytest.approx(250e-6)
    assert split.far_end == pytest.approx(2e-3)
    assert (split.loss, split.request_loss) == (0, 0)
    assert split.request is not None
    assert split.request == pytest.approx((held_ns + queued_ns) / 1e9 + 2.25e-3)
    assert marks.ended is not None
    elapsed = (marks.ended.monotonic_ns - marks.started.monotonic_ns) / 1e9
    assert split.own_delay is not None
    assert split.duration + (split.receive or 0) + split.own_delay == pytest.approx(elapsed)


def test_a_preempted_send_is_own_delay_and_no_egress() -> None:
    """The kernel had given it to the device before we came back from send(2)."""
    split = measure(kept(own_ns=300 * MS)).split
    assert split.egress == pytest.approx(2e-6)
    assert split.own_delay is not None
    assert split.own_delay >= 5 * 0.3


def test_a_closed_window_is_the_far_ends_time() -> None:
    """TCP says why it held the request: the peer let it send nothing."""
    marks = kept(held_ns=500 * MS)
    marks.info_at_end = info(window_closed_us=500_000)
    split = measure(marks).split
    assert split.egress == pytest.approx(2e-6)
    assert split.far_end == pytest.approx(0.502)
    marks.window_closed_before_us = 500_000  # on a kept connection, of an exchange before
    assert measure(marks).split.egress == pytest.approx(0.5 + 2e-6)


def test_the_round_trip_is_no_longer_than_from_a_stamp_to_its_acknowledgement() -> None:
    """TCP's own samples have the queue in them, where all of them waited in it."""
    marks = kept(queued_ns=110 * MS)
    marks.reused = True
    marks.info_at_end = info(min_rtt_us=110_250)
    timeline = measure(marks)
    assert timeline.round_trip_source == "min_rtt"
    assert timeline.split.network_round_trip == pytest.approx(250e-6)


def unanswered(**changes: int) -> Marks:
    """A request in vain: no stamps of it, and what TCP says at the end."""
    marks = plain()
    marks.steps, marks.stamps, marks.failed = marks.steps[:1], [], True
    marks.first_byte = marks.last_byte = None
    sent = marks.steps[0]
    assert isinstance(sent, Sent)
    marks.ended = clocks(sent.ended_ns + 1_000 * MS)
    marks.info_at_end = info(**changes)
    return marks


@pytest.mark.parametrize(
    ("changes", "keeper"),
    [
        ({"unsent_bytes": 18, "window_closed_us": 992_000}, Unsent.FAR_END),
        ({"unsent_bytes": 18}, Unsent.NODE),
        ({"unsent_bytes": 18, "in_flight": 1}, None),
        ({}, None),
    ],
)
def test_who_keeps_what_never_left(changes: dict[str, int], keeper: Unsent | None) -> None:
    """A closed window, this node, or nobody where something is under way."""
    marks = unanswered(**changes)
    assert egress.unsent(marks) is keeper
    split = measure(marks).split
    assert split.egress == pytest.approx(1.0 if keeper is Unsent.NODE else 0.0)
    assert split.egress_queue == 0


def test_a_request_in_a_queue_to_the_end_is_no_delay_of_ours() -> None:
    """It came to the queue and did not leave: no own time-out, whatever the wait."""
    marks = unanswered()
    sent = marks.steps[0]
    assert isinstance(sent, Sent)
    marks.stamps = [Stamp(STAMP_SCHEDULED, 99, REALTIME + sent.started_ns)]
    assert egress.unsent(marks) is Unsent.NODE
    split = measure(marks).split
    assert split.egress == split.egress_queue
    assert split.egress == pytest.approx(1.0, abs=1e-3)
    now = sent.ended_ns + 1_000 * MS
    assert own_delay_so_far_ns(marks, now, sent.ended_ns) < MS


def test_a_hello_that_left_late_is_no_delay_of_ours() -> None:
    """Nor is it while the answer to the next flight is waited for in vain."""
    marks = kept(queued_ns=3_000 * MS)
    sent, received = marks.steps
    marks.steps = [replace(sent, stage=Stage.TLS), replace(received, stage=Stage.TLS)]
    marks.first_byte = marks.last_byte = None
    marks.tls_started_ns, marks.encrypted, marks.failed = 450 * US, True, True
    now = received.user_ns if not isinstance(received, Sent) else 0
    assert own_delay_so_far_ns(marks, now + 2_000 * MS, now) < MS
    split = measure(marks).split
    assert split.egress == pytest.approx(3.0)


def test_without_stamps_egress_is_not_known() -> None:
    """Our own marks cannot tell it from what we took ourselves."""
    marks = plain()
    marks.timestamps_enabled = False
    split = measure(marks).split
    assert (split.egress, split.egress_queue, split.request_egress) == (None, None, None)


def test_without_tcp_info_loss_is_not_known() -> None:
    """gVisor's says nothing of retransmissions: none are absent, not 0."""
    marks = plain()
    marks.timestamps_enabled = False
    marks.info_at_connect = marks.info_at_end = None
    split = measure(marks).split
    assert (split.loss, split.request_loss, marks.retransmits) == (None, None, None)
