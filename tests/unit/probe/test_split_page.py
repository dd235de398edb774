"""docs/split.md: its example is what phases.py makes of its marks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kubenurse_otel.model import FallbackReason, TimingSource
from kubenurse_otel.probe.kernel import (
    STAMP_ACKNOWLEDGED,
    STAMP_SCHEDULED,
    STAMP_SENT,
    ClockPair,
    Stamp,
    TcpInfo,
)
from kubenurse_otel.probe.marks import Attempt, Marks, Received, Sent, Stage
from kubenurse_otel.probe.phases import measure

PAGE = (Path(__file__).parents[3] / "docs" / "split.md").read_text()
US = 1_000
REALTIME = 1_790_000_000_000_000_000


def marks() -> Marks:
    """The page's first table."""
    at = {
        what: int(number) * US
        for number, what in re.findall(r"^\| (\d+) \| ([\w ]+?)(?::.*?)? \|", PAGE, re.MULTILINE)
    }
    first, last = (int(n) * US for n in re.findall(r"^\| (\d+) \| RX:", PAGE, re.MULTILINE))

    def read(kernel_ns: int, user_ns: int) -> Received:
        return Received(Stage.REQUEST, user_ns, REALTIME + kernel_ns)

    used = Attempt("10.0.0.1", "ipv4", at["connect called"], at["connect returned"])
    told = {"retransmits": 0, "min_rtt_us": 250, "lost": 0, "pmtu": 1500, "last_ack_received_ms": 0}
    info = TcpInfo(rtt_us=300, dsacks=0, send_mss=1448, options=7, **told)
    return Marks(
        started=ClockPair(REALTIME, at["start"], 100),
        ended=ClockPair(REALTIME + at["end"], at["end"], 100),
        dns_started_ns=at["dns_start"],
        dns_ended_ns=at["dns_done"],
        attempts=[used],
        used=used,
        info_at_connect=info,
        info_at_connect_ns=used.ended_ns,
        info_at_end=info,
        timestamps_enabled=True,
        got_connection_ns=used.ended_ns,
        steps=[
            Sent(Stage.REQUEST, at["send called"], at["send returned"], 99),
            read(first, at["we read it"]),
        ],
        stamps=[
            Stamp(STAMP_SCHEDULED, 99, REALTIME + at["SCHED"]),
            Stamp(STAMP_SENT, 99, REALTIME + at["SND"]),
            Stamp(STAMP_ACKNOWLEDGED, 99, REALTIME + at["ACK"]),
        ],
        first_byte=read(first, at["we read it"]),
        last_byte=read(last, at["end"]),
    )


def test_the_pages_example_is_what_is_computed() -> None:
    """Each figure of the second table, and where the picture puts events on the network's line."""
    timeline = measure(marks())
    assert timeline.source is TimingSource.KERNEL
    figures = dict(re.findall(r"^\| (\w+) \| (\d+) \| .*, ", PAGE, re.MULTILINE))
    figures |= dict(re.findall(r"^\| (connect|far_end|own_delay) \| (\d+) \|", PAGE, re.MULTILINE))
    assert len(figures) == 8
    for name, microseconds in figures.items():
        assert getattr(timeline.split, name) == pytest.approx(int(microseconds) / 1e6), name
    assert timeline.split.duration == pytest.approx(2750e-6)
    offsets = [round(offset * 1e6) for _, offset in timeline.offsets]
    assert offsets == [0, 200, 200, 500, 500, 500, 2750]


def test_the_page_names_each_reason() -> None:
    """A new way to lose the kernel's word is explained there."""
    reasons = set(FallbackReason) - {FallbackReason.NONE}
    assert [reason for reason in reasons if f"`{reason}`" not in PAGE] == []
