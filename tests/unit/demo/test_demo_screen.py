from __future__ import annotations

import io
from dataclasses import replace

import pytest
from alive import EXPIRED, GOOD, REFUSED, document, named
from rich.console import Console

from kubenurse_otel.demo import view
from kubenurse_otel.demo.screen import (
    LiveScreen,
    Picture,
    PlainScreen,
    conclusions,
    screen_for,
)
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.report.overview import Overview, overview
from kubenurse_otel.report.seen import Seen, Sight, Slower, Way
from kubenurse_otel.report.verdicts import Named, Report, Summary

WELL = {f"node-{n}": document(me_ingress=GOOD, me_service=GOOD) for n in (1, 2)}
EXPIRES = named("the ingress shows a certificate that has expired", "node-1", "node-2")
SAID = "The ingress shows a certificate that has expired. Said by node-1, node-2"
BAD = {**WELL, "node-2": document(me_ingress=EXPIRED, me_service=GOOD)}


def found(*verdicts: Named, **about: object) -> Overview:
    sight = Sight(**{"seen": (), "zones": {}} | about)
    return replace(
        overview(sight), summary=Summary(named=verdicts, suspected=(), heard=("node-1",))
    )


NOTHING = found()
AMISS = found(
    EXPIRES,
    seen=(
        Seen(
            report=Report(node="node-1"),
            ways=4,
            bad_ways=(Way("node-1", "node-2", Symptom.REFUSED, 3),),
            slower=(Slower("node-1", "me_ingress", "far_end", 0.002, 0.4),),
        ),
    ),
    zones={"node-1": "a", "node-2": "b"},
)


def picture(
    alive: dict[str, dict[str, object]],
    announcement: str = "Act one.",
    silent: tuple[str, ...] = (),
) -> Picture:
    rows = view.rows(alive)
    return Picture(announcement, rows, AMISS if alive is BAD else NOTHING, silent, seconds=3.0)


def console(height: int = 40, width: int = 120) -> Console:
    return Console(
        file=io.StringIO(),
        force_terminal=True,
        width=width,
        height=height,
        _environ={"TERM": "xterm"},
    )


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_screen_is_chosen_by_where_the_output_goes() -> None:
    """A terminal gets the live table, a pipe plain lines."""
    assert isinstance(screen_for(console()), LiveScreen)
    assert isinstance(screen_for(Console(file=io.StringIO())), PlainScreen)


def test_the_live_table_shows_rows_sentences_and_addresses() -> None:
    """Everything is on one page, which is given back at the end."""
    terminal = console(width=140)
    screen = LiveScreen(terminal)
    screen.open(["Look at http://127.0.1.1:18080/alive"])
    screen.show(picture(BAD, silent=("node-4",)))
    screen.close()
    screen.close()
    shown = written(terminal)

    assert "http://127.0.1.1:18080/alive" in shown
    assert "Act one." in shown
    assert "The agent of node-4 does not answer us." in shown
    assert SAID in shown
    assert "tls_certificate_expired" in shown
    assert "Who cannot reach whom: 1 way is amiss of 4 that are checked" in shown
    assert "the ingress  the far end  400 ms" in shown
    assert "\x1b[?1049h" in shown  # the terminal's other page, and back
    assert "\x1b[?1049l" in shown


@pytest.mark.parametrize("height", [10, 14, 24, 60])
def test_the_page_is_never_higher_than_the_terminal(height: int) -> None:
    """Forty rows in a small window are cut to what fits, and the rest is counted."""
    terminal = console(height=height)
    screen = LiveScreen(terminal)
    many = {f"node-{n}": document(**{f"t{m}": GOOD for m in range(8)}) for n in range(5)}
    shown = replace(picture(many), found=AMISS)
    lines = terminal.render_lines(screen.draw(shown), pad=False)

    assert len(lines) <= height
    assert ("more" in "".join(segment.text for line in lines for segment in line)) == (height < 60)


def test_an_ordinary_terminal_has_room_for_every_figure() -> None:
    """In 80 columns errors are short, the total is left out, and no figure is cut."""
    terminal = console(height=24, width=80)
    about = {**BAD, "node-1": document(api_server_direct=GOOD)}
    page = LiveScreen(terminal).draw(picture(about))
    lines = ["".join(s.text for s in line) for line in terminal.render_lines(page)]

    assert max(len(line) for line in lines) <= 80
    figures = ["200µs", "30µs", "700µs", "20µs", "0", "1.05ms", "1.50ms"]
    assert any(line.split()[-7:] == figures and "api_server" in line for line in lines)
    assert any(line.split()[:3] == ["node-2", "me_ingress", "failed"] for line in lines)


def test_plain_lines_tell_what_has_settled_and_once() -> None:
    """A log has each scene, and each change of what is seen, but not every look."""
    screen = PlainScreen()
    told = [
        list(screen.draw(picture(alive, announcement)))
        for alive, announcement in [
            (WELL, "Act one."),
            (WELL, "Act one."),
            (WELL, "Act one."),
            (WELL, "Act two."),
            (BAD, "Act two."),
            (BAD, "Act two."),
            (BAD, "Act two."),
            (WELL, "Act three."),
            (WELL, "Act three."),
        ]
    ]

    assert told[0] == ["", "  3.0 s  Act one."]
    assert told[1][0].startswith("  3.0 s  -> 4 targets are good")
    assert [line.split()[:2] for line in told[1][2:]] == [
        ["node-1", "me_ingress"],
        ["node-1", "me_service"],
    ]
    assert told[2] == []
    assert told[3] == ["", "  3.0 s  Act two."]
    assert told[4] == []
    assert f"{SAID}: from node-1: late." in told[5][0]
    assert "tls_certificate_expired" in "".join(told[5])
    assert "refuses connections" in "".join(told[5])
    assert "Slow now, and whose time:" in "".join(told[5])
    assert told[6] == []
    assert len(told[7]) == 2
    assert len(told[8]) == 1


def test_a_verdict_whose_evidence_grows_older_is_no_news() -> None:
    """Its words count intervals: one line a verdict and its reporters, not one a second."""
    screen = PlainScreen()
    older = replace(EXPIRES, verdict=replace(EXPIRES.verdict, evidence=("for 9 intervals",)))
    told = [
        list(screen.draw(replace(picture(BAD), found=found(one))))
        for one in (EXPIRES, EXPIRES, older, older)
    ]
    assert [bool(lines) for lines in told] == [True, True, False, False]


def test_plain_lines_survive_a_log_without_umlauts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An ASCII log gets question marks instead of an exception."""
    raw = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding="ascii"))
    screen = PlainScreen()
    screen.open(["header"])
    screen.show(picture({"node-1": document(path_node__4=REFUSED)}))
    screen.show(picture(WELL))
    screen.show(picture(WELL))
    screen.close()

    assert raw.getvalue().startswith(b"header\n")
    assert b"20 ?s" in raw.getvalue()


def test_agents_without_cpu_are_one_sentence() -> None:
    """On a busy machine all five doubt themselves: that is said once, after what is at fault."""
    doubting = [
        named("it gets too little CPU", node, kind="prober", culprit=node)
        for node in ("node-1", "node-2")
    ]
    assert [
        f"{SAID}: from node-1: late.",
        "This machine is too busy for node-1, node-2: they say so, and accuse nobody.",
    ] == conclusions([*doubting, EXPIRES])
