"""Log lines: one format for machines, one for people, and the story of each target's outcome.

Owns formatting (no control character leaves, whoever wrote the text) and what is worth a line: a
change of outcome, and a summary while it stays bad.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO

from kubenurse_otel import __version__, log_writer
from kubenurse_otel.config import Config, LogConfig, LogFormat
from kubenurse_otel.diagnosis.sentence import sentence
from kubenurse_otel.model import Outcome
from kubenurse_otel.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from kubenurse_otel.diagnosis.diagnosis import Judgement
    from kubenurse_otel.diagnosis.verdict import Verdict
    from kubenurse_otel.log_writer import LogWriter
    from kubenurse_otel.model import CheckResult

_log = logging.getLogger("kubenurse_otel.check")

SUMMARY_SECONDS: Final = 300.0
"""How often a target that stays bad is mentioned again."""
MAX_LINE: Final = 8192
"""Characters of a text line; a longer one is cut."""
MAX_STACK_LINES: Final = 200
_RAW: Final = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON does not escape by itself, and a terminal or a reader of lines obeys or cannot read."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(config: LogConfig, *, stream: TextIO = sys.stderr) -> LogWriter:
    """Send every log line of the process to ``stream``, as the configuration says.

    Lines are written by the thread of the handler that is returned: whoever logs never waits.
    """
    handler = log_writer.install(stream)
    handler.setFormatter(JsonFormatter() if config.format is LogFormat.JSON else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level)
    # Libraries that say each request, or the same failure again and again.
    for noisy in ("httpx", "urllib3", "aiohttp.access", "opentelemetry.attributes"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    warnings.showwarning = _say
    return handler


def _say(  # noqa: PLR0917 - as warnings.showwarning is called
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,  # noqa: ARG001 - likewise
    line: str | None = None,  # noqa: ARG001 - likewise
) -> None:
    """Log what Python itself warns of: one sentence, not two raw lines on standard error."""
    where = f"{Path(filename).name}, line {lineno}"
    _log.warning("Python warns of something in %s (%s): %s", where, category.__name__, message)


def start(config: Config) -> None:
    """Say what runs, and what of its configuration is worth a word."""
    _log.info(
        "kubenurse-otel %s starts on node %s as pod %s",
        __version__,
        config.identity.node_name or "?",
        config.identity.pod_name or "?",
    )
    for warning in config.warnings:
        _log.warning("%s", warning)


class TextFormatter(logging.Formatter):
    """2026-11-23T05:07:49.123Z WARNING what happened key=value ...

    No control character of whoever wrote a part of the text is in it; a traceback is lines of its
    own, indented, so that none can look like a log line.
    """

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        moment = self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z"
        fields = "".join(f" {key}={_text(value)}" for key, value in _fields(record).items())
        line = printable(f"{moment} {record.levelname} {record.getMessage()}{fields}", MAX_LINE)
        if record.exc_info:
            stack = self.formatException(record.exc_info).splitlines()[-MAX_STACK_LINES:]
            line = "\n    ".join((line, *(printable(part, MAX_LINE) for part in stack)))
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object a line; names as in OpenTelemetry's log data model where it has them."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "severity": record.levelname,
            "logger": record.name,
            "body": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["exception.stacktrace"] = self.formatException(record.exc_info)
        return _RAW.sub(
            lambda found: f"\\u{ord(found[0]):04x}",
            json.dumps(line, default=str, ensure_ascii=False),
        )


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _text(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or " " in text or '"' in text else text


@dataclass(slots=True)
class _Bad:
    """A target that is bad; times are time.monotonic()."""

    since: float
    count: int
    said: float


class OutcomeLog:
    """One line when a target turns bad or good again, one now and then while it stays bad."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._bad: dict[str, _Bad] = {}

    def tell(self, result: CheckResult) -> None:
        now = self._clock()
        key = result.target.key
        bad = self._bad.get(key)
        if result.outcome is Outcome.OK:
            if bad is not None:
                del self._bad[key]
                _log.info(
                    "%s is good again after %d bad checks in %.0f s",
                    key,
                    bad.count,
                    now - bad.since,
                    extra=_extra(result),
                )
            return
        if bad is None:
            self._bad[key] = _Bad(now, 1, now)
            _log.warning("%s is bad: %s", key, _why(result), extra=_extra(result))
            return
        bad.count += 1
        if now - bad.said >= SUMMARY_SECONDS:
            bad.said = now
            _log.warning(
                "%s is still bad: %d checks in %.0f s, now %s",
                key,
                bad.count,
                now - bad.since,
                _why(result),
                extra=_extra(result),
            )

    def retain(self, keys: Collection[str]) -> None:
        """Forget all targets but these."""
        for key in self._bad.keys() - set(keys):
            del self._bad[key]


def tell_verdicts(judgement: Judgement) -> None:
    """One line where a verdict was raised, one where it was cleared."""
    for verdict in judgement.raised:
        evidence = "; ".join(one.words for one in verdict.evidence)
        traces = [one.trace_id for one in verdict.evidence if one.trace_id]
        extra = _labels(verdict) | {"confidence": verdict.confidence}
        if traces:
            extra["trace_id"] = traces[0]
        _log.warning("verdict: %s (%s)", sentence(verdict), evidence, extra=extra)
    for verdict in judgement.cleared:
        _log.info("verdict cleared: %s", sentence(verdict), extra=_labels(verdict))


def _labels(verdict: Verdict) -> dict[str, Any]:
    labels = {
        "kind": verdict.kind.value,
        "culprit": verdict.culprit,
        "direction": verdict.direction.value,
        "cause": verdict.cause.value,
    }
    return {name: value for name, value in labels.items() if value}


def _why(result: CheckResult) -> str:
    return result.failure.message if result.failure is not None else "unknown"


def _extra(result: CheckResult) -> dict[str, str]:
    extra = {"type": result.target.type}
    if result.failure is not None:
        extra |= {"error_type": str(result.failure.error_type), "phase": result.failure.phase.value}
    if result.trace_id:
        extra |= {"trace_id": result.trace_id, "span_id": result.span_id}
    return extra
