from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shown_results import EXPIRED, MEASURED, STARTED, result

from kubenurse_otel.model import (
    FallbackReason,
    Measurement,
    Phase,
    Split,
    TimingSource,
)
from kubenurse_otel.report.waterfall import lines
from kubenurse_otel.report.words import duration


def test_a_good_check_is_drawn_step_after_step() -> None:
    """Each bar begins where the one before ended, and own delay stands beside them."""
    assert lines(result(), width=60) == [
        "✓ https://localhost/alwayshappy 200 in 20.0 ms at 127.0.0.1:443",
        "  dns           ███▌                                 2.00 ms",
        "  connect          ▐████▌                            3.00 ms",
        "  tls                   ▐████████                    5.00 ms",
        "  request                        ████████████████▌   10.0 ms",
        "    loss                         ███                 2.00 ms",
        "    network                         █████            3.00 ms",
        "    far end                              ████████▌   5.00 ms",
        "      wait                               ██          1.00 ms",
        "      app                                  █████     3.00 ms",
        "      rest                                      █▌   1.00 ms",
        "  receive                                        ▐    200 µs",
        "  own delay     ours, part of none of the above       400 µs",
        "  times by the kernel, network by hello_ack",
        "  answered by node node-b",
        "  2.00 ms of it lost to lost packets (1 retransmission)",
        "  certificate expires in 30 days (2026-12-18T11:06:40.000Z)",
    ]


def test_a_check_without_http_says_what_came_of_it() -> None:
    """The word in the status' place, the addresses, and a query that was sent again."""
    queried = Measurement(
        split=Split(request=0.002, own_delay=0.0),
        answer="NOERROR",
        addresses=("10.0.0.1", "10.0.0.2"),
        dns_tries=2,
        peer_address="10.96.0.10",
        peer_port=53,
    )
    drawn = lines(result(queried))
    assert "NOERROR in 2.00 ms at 10.96.0.10:53" in drawn[0]
    assert "  answered 10.0.0.1, 10.0.0.2" in drawn
    assert "  the query was sent 2 times" in drawn

    connected = Measurement(split=Split(connect=0.003, own_delay=0.0), answer="connected")
    assert "connected in 3.00 ms" in lines(result(connected))[0]


def test_a_failed_check_shows_where_and_why() -> None:
    """The steps before the failure are drawn, the failing one is marked, the sentence is told."""
    measured = Measurement(split=Split(dns=0.001, connect=0.001, loss=0.0), peer_address="::1")

    assert lines(result(measured, EXPIRED), width=60) == [
        "✗ https://localhost/alwayshappy at [::1]:0",
        "  dns           █████████████████                    1.00 ms",
        "  connect                        █████████████████   1.00 ms",
        "  tls           ✗ here it failed",
        "  tls_certificate_expired: the certificate of localhost:443",
        "    has expired: renew it",
        "  times by the kernel",
    ]


def test_a_bad_status_is_no_failed_step() -> None:
    """A whole answer with a bad status has all its bars, and the sentence."""
    failure = replace(EXPIRED, error_type="http_status", phase=Phase.STATUS, message="status 503")
    drawn = lines(result(replace(MEASURED, status_code=503), failure))

    assert drawn[0].startswith("✗ https://localhost/alwayshappy 503 in 20.0 ms")
    assert not any("here it failed" in line for line in drawn)
    assert "  http_status: status 503" in drawn


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "cp437", None, "no-such-encoding"])
def test_a_terminal_without_utf8_gets_ascii(encoding: str | None) -> None:
    """Nothing is printed that the terminal cannot show."""
    drawn = lines(result(), encoding=encoding)

    assert all(line.isascii() for line in drawn)
    assert drawn[0].startswith("ok https://localhost")
    assert any("####" in line for line in drawn)
    assert any("400 us" in line for line in drawn)


@pytest.mark.parametrize(
    ("changed", "note"),
    [
        ({"retransmits": 3}, "2.00 ms of it lost to lost packets (3 retransmissions)"),
        ({"intercepted": True}, "(a proxy or a mesh)"),
        ({"address_failures": ("ipv6",)}, "addresses that failed before one was used: ipv6"),
        ({"certificate_expiry": STARTED - 86400}, "certificate expired 1 days ago"),
        ({"round_trip_source": ""}, "times by the kernel"),
        (
            {"timing_source": TimingSource.USER, "fallback_reason": FallbackReason.CLOCK_STEP},
            "times by this process, not by the kernel (clock_step)",
        ),
        ({"timing_source": TimingSource.USER}, "times by this process, not by the kernel"),
    ],
)
def test_what_is_worth_knowing_is_said(changed: dict[str, object], note: str) -> None:
    """Each circumstance that changes how to read the figures has its line."""
    measured = replace(MEASURED, **changed)  # type: ignore[arg-type]

    assert any(note in line for line in lines(result(measured), width=160))


@pytest.mark.parametrize(
    ("out", "into", "retransmits", "note"),
    [
        (0.002, 0.0, 1, "2.00 ms of it lost to lost packets on the way there (1 retransmission)"),
        (0.0, 0.002, 0, "2.00 ms of it lost to lost packets on the way back"),
        (0.001, 0.001, 1, "2.00 ms of it lost to lost packets both ways (1 retransmission)"),
    ],
)
def test_the_way_on_which_packets_were_lost_is_said(
    out: float, into: float, retransmits: int, note: str
) -> None:
    """What the far end sent again is none of our retransmissions."""
    split = replace(MEASURED.split, loss_out=out, loss_in=into)
    drawn = lines(result(replace(MEASURED, split=split, retransmits=retransmits)))
    assert f"  {note}" in drawn


def test_the_network_figure_of_an_intercepted_check_is_not_called_the_network() -> None:
    """A round trip that ends at a proxy is labelled so."""
    drawn = lines(result(replace(MEASURED, intercepted=True)))

    assert any("to proxy" in line for line in drawn)
    assert not any(line.startswith("    network ") for line in drawn)


def test_secrets_in_the_url_are_not_shown() -> None:
    """User, password and query string stay out."""
    shown = result(url="https://localhost/version?token=secret")

    assert "secret" not in "\n".join(lines(shown))


def test_a_check_without_any_measurement_has_a_headline_and_a_reason() -> None:
    """A failure before the first step is told all the same."""
    drawn = lines(result(None, EXPIRED), width=200)

    assert drawn[0] == "✗ https://localhost/alwayshappy"
    assert drawn[1].startswith("  tls_certificate_expired: ")


def test_a_refused_connection_has_no_figures_to_explain() -> None:
    """Where no step ended, nothing is said about who timed it."""
    measured = Measurement(split=Split(), address_failures=("ipv4",))
    drawn = lines(result(measured, replace(EXPIRED, phase=Phase.CONNECT)), width=160)

    assert drawn[1] == "  connect       ✗ here it failed"
    assert len(drawn) == 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ""),
        (0.0, "0 µs"),
        (0.000_034_4, "34 µs"),
        (0.000_999_4, "999 µs"),
        (0.000_999_6, "1.00 ms"),
        (0.009_994, "9.99 ms"),
        (0.009_996, "10.0 ms"),
        (0.099_96, "100 ms"),
        (0.999_4, "999 ms"),
        (0.999_6, "1.00 s"),
        (5.0, "5.00 s"),
        (61.2, "61.2 s"),
        (3600.0, "3600 s"),
    ],
)
def test_durations_have_three_digits_and_a_unit(seconds: float | None, text: str) -> None:
    """The unit follows the size, also where rounding crosses it."""
    assert duration(seconds) == text


SECONDS = st.none() | st.floats(0, 10)


@given(
    split=st.builds(
        Split,
        dns=SECONDS,
        connect=SECONDS,
        tls=SECONDS,
        request=SECONDS,
        receive=SECONDS,
        request_loss=SECONDS,
        network_round_trip=SECONDS,
        far_end=SECONDS,
        far_end_wait=SECONDS,
        far_end_app=SECONDS,
        own_delay=SECONDS,
    ),
    width=st.integers(-10, 400),
    node=st.text(max_size=20),
)
def test_bars_never_leave_their_columns(split: Split, width: int, node: str) -> None:
    """Whatever is measured, a bar line is not wider than asked, and one line is one line."""
    measured = replace(MEASURED, split=split, answering_node=node)
    bound = max(60, min(width, 160))
    drawn = lines(result(measured), width=width)

    bars = [line for line in drawn if line.endswith("s") and set(line) & set("█▐▌▏")]
    assert all(len(line) <= bound for line in bars)
    assert all(line.isprintable() for line in drawn)
