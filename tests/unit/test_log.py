"""log.py: formats, and the story of each target's outcome."""

from __future__ import annotations

import io
import json
import logging
import unicodedata
import warnings
from collections.abc import Iterator

import pytest
from check_results import result as check_result
from check_results import target
from hypothesis import given
from hypothesis import strategies as st
from judges import DEAD, Agent

from kubenurse_otel import log
from kubenurse_otel.config import Config, IdentityConfig, LogConfig, LogFormat
from kubenurse_otel.model import CheckResult, Failure, Phase

TARGET = target("path_b")
TIMED_OUT = Failure(
    error_type="connect_timeout",
    phase=Phase.CONNECT,
    event="connect_done",
    message="10.0.0.2:8080 did not answer",
)


def result(*, good: bool) -> CheckResult:
    ids = {"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "1"}
    return check_result(TARGET, good=good, failure=None if good else TIMED_OUT, **ids)


class Lines(io.StringIO):
    """A stream; its value is what was written once the log's thread has written all."""

    def getvalue(self) -> str:
        for handler in logging.getLogger().handlers:
            handler.flush()
        return super().getvalue()


@pytest.fixture
def lines() -> Iterator[Lines]:
    """What the root logger would print, put back as it was afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Lines()
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_json_line_has_time_severity_body_and_fields(lines: Lines) -> None:
    """One object a line, for machines."""
    log.set_up(LogConfig(format=LogFormat.JSON), stream=lines)
    logging.getLogger("kubenurse_otel.x").warning("it is %s", "slow", extra={"type": "path_b"})
    line = json.loads(lines.getvalue())
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "severity": "WARNING",
        "logger": "kubenurse_otel.x",
        "body": "it is slow",
        "type": "path_b",
    }


def test_a_text_line_is_for_people(lines: Lines) -> None:
    """Time, severity, sentence, then fields; those with blanks are quoted."""
    log.set_up(LogConfig(), stream=lines)
    logging.getLogger("x").info("hello", extra={"a": "b", "c": "d e"})
    assert lines.getvalue().endswith('Z INFO hello a=b c="d e"\n')


@pytest.mark.parametrize("style", list(LogFormat))
def test_an_exception_keeps_its_stack(lines: Lines, style: LogFormat) -> None:
    """A bug must be found from the log."""
    log.set_up(LogConfig(format=style), stream=lines)
    try:
        raise ValueError("boom")
    except ValueError:
        logging.getLogger("x").exception("a bug")
    assert "ValueError: boom" in lines.getvalue()


CONTROLS = "".join(map(chr, (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x202E, 0xD800)))


@pytest.mark.parametrize("style", list(LogFormat))
def test_no_line_holds_a_control_character(lines: Lines, style: LogFormat) -> None:
    """Whoever wrote the text: it is escaped, in the message, in a field and in an exception."""
    log.set_up(LogConfig(format=style), stream=lines)
    forged = f"b{CONTROLS}\n2026-01-01T00:00:00.000Z ERROR forged"
    try:
        raise ValueError(forged)
    except ValueError:
        logging.getLogger("x").exception("a%s", forged, extra={"field": forged, "other": CONTROLS})
    written = lines.getvalue().split("\n")
    assert written.pop() == ""
    assert not [one for line in written for one in line if one in CONTROLS]
    assert [line[:4].strip() for line in written[1:]] == [""] * (len(written) - 1)
    if style is LogFormat.JSON:
        (line,) = map(json.loads, written)
        assert line["body"] == f"a{forged}"
        assert line["field"] == forged


def test_the_level_holds_and_libraries_are_quiet(lines: Lines) -> None:
    """httpx's line a request holds whole URLs."""
    log.set_up(LogConfig(level="DEBUG"), stream=lines)
    logging.getLogger("httpx").info("HTTP Request: GET https://x/?secret")
    logging.getLogger("y").debug("seen")
    assert "secret" not in lines.getvalue()
    assert "seen" in lines.getvalue()


def test_the_start_says_what_runs_and_every_warning(lines: Lines) -> None:
    """Once."""
    log.set_up(LogConfig(), stream=lines)
    log.start(Config(identity=IdentityConfig(node_name="n1"), warnings=("look here",)))
    assert "starts on node n1 as pod ?" in lines.getvalue()
    assert "WARNING look here" in lines.getvalue()


def test_a_target_has_a_line_when_its_outcome_changes(caplog: pytest.LogCaptureFixture) -> None:
    """And one now and then while it stays bad, with its trace."""
    now = [0.0]
    outcomes = log.OutcomeLog(clock=lambda: now[0])
    with caplog.at_level(logging.INFO):
        outcomes.tell(result(good=True))
        for _ in range(10):
            outcomes.tell(result(good=False))
        now[0] = log.SUMMARY_SECONDS
        outcomes.tell(result(good=False))
        outcomes.tell(result(good=False))
        outcomes.tell(result(good=True))
    assert [record.getMessage() for record in caplog.records] == [
        "path_b is bad: 10.0.0.2:8080 did not answer",
        "path_b is still bad: 11 checks in 300 s, now 10.0.0.2:8080 did not answer",
        "path_b is good again after 12 bad checks in 300 s",
    ]
    first = vars(caplog.records[0])
    assert (first["type"], first["error_type"], first["phase"]) == (
        "path_b",
        "connect_timeout",
        "connect",
    )
    assert (first["trace_id"], first["span_id"]) == ("0" * 31 + "1", "0" * 15 + "1")


def test_a_target_that_is_gone_is_forgotten(caplog: pytest.LogCaptureFixture) -> None:
    """When it comes back good, nothing was bad."""
    outcomes = log.OutcomeLog()
    outcomes.tell(result(good=False))
    outcomes.retain(())
    caplog.clear()
    outcomes.tell(result(good=True))
    assert not caplog.records


FORGED = "2026-11-23T05:07:49.123Z INFO forged"
UNPRINTABLE = f"\x1b]0;you\x07 \x00\n{FORGED}\r\x7f\x85\x9b2J\u2028\udcff"


def acts_on_nothing(line: str) -> bool:
    """No control character, line separator or lone surrogate."""
    return not {unicodedata.category(letter) for letter in line} & {"Cc", "Cs", "Zl", "Zp"}


@pytest.mark.parametrize("style", list(LogFormat))
def test_no_control_character_reaches_the_log(lines: Lines, style: LogFormat) -> None:
    """Whoever wrote the text: in the sentence, in a field and in an exception."""
    log.set_up(LogConfig(format=style), stream=lines)
    logger = logging.getLogger("x")
    logger.warning("a collector says %s", UNPRINTABLE, extra={"reason": UNPRINTABLE})
    try:
        raise ValueError(UNPRINTABLE)
    except ValueError:
        logger.exception("%s", UNPRINTABLE)
    written = lines.getvalue().removesuffix("\n").split("\n")
    assert all(acts_on_nothing(line) for line in written)
    starts = [line for line in written if line.startswith(("2026", "{"))]
    assert len(starts) == 2
    assert not any(line.startswith(FORGED) for line in written)
    if style is LogFormat.JSON:
        first, second = (json.loads(line) for line in written)
        assert first["reason"] == UNPRINTABLE
        assert UNPRINTABLE in first["body"]
        assert UNPRINTABLE in second["exception.stacktrace"]


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_is_one_line(text: str) -> None:
    """As a sentence and as a field, in both formats."""
    record = logging.makeLogRecord({"msg": "%s", "args": (text,), "key": text})
    for formatter in (log.TextFormatter(), log.JsonFormatter()):
        assert acts_on_nothing(formatter.format(record))
    assert json.loads(log.JsonFormatter().format(record))["key"] == text


def test_a_line_has_a_bound(lines: Lines) -> None:
    """Of a text that somebody else wrote, not all is worth a log."""
    log.set_up(LogConfig(), stream=lines)
    logging.getLogger("x").warning("%s", "x" * 100_000)
    assert len(lines.getvalue()) == log.MAX_LINE + 1


def test_what_python_warns_of_is_a_line_of_the_log(lines: Lines) -> None:
    """Not two raw ones with a line of our source between others' JSON."""
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        log.set_up(LogConfig(), stream=lines)
        warnings.warn("malformed ancillary data", RuntimeWarning, stacklevel=1)
    (line,) = lines.getvalue().splitlines()
    assert line.partition("WARNING ")[2].startswith("Python warns of something in test_log.py, ")
    assert line.endswith("(RuntimeWarning): malformed ancillary data")


def test_a_verdict_is_a_line_when_it_is_raised_and_one_when_it_is_cleared(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With its evidence in words, its labels and a trace to look at."""
    agent = Agent()
    with caplog.at_level(logging.INFO, logger="kubenurse_otel.check"):
        for _ in range(3):
            agent.sees_dead()
        for _ in range(5):
            agent.is_well()
        for judgement in agent.told:
            log.tell_verdicts(judgement)
    raised, cleared = caplog.records
    said = f"the agent on node {DEAD} refuses connections: nothing listens there"
    assert raised.levelname == "WARNING"
    assert raised.getMessage().startswith(f"verdict: {said} (from node-a, path_node-b: ")
    assert vars(raised)["kind"] == "agent"
    assert vars(raised)["culprit"] == DEAD
    assert (cleared.levelname, cleared.getMessage()) == ("INFO", f"verdict cleared: {said}")
