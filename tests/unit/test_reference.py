"""The reference pages: made from the code, complete, and never stale."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs import reference
from kubenurse_otel import semconv
from kubenurse_otel.config.settings import BY_NAME
from kubenurse_otel.config.unread import UNREAD

DOCS = Path(__file__).parents[2] / "docs"

PAGES = "\n".join(page() for page in reference.PAGES.values())


@pytest.mark.parametrize("file_name", reference.PAGES)
def test_a_page_is_what_the_code_says(file_name: str) -> None:
    """`make reference` (python -m docs.reference --write) mends a failure here."""
    assert (DOCS / file_name).read_text(encoding="utf-8") == reference.PAGES[file_name]()


def test_every_variable_is_in_the_reference_once() -> None:
    """Each variable of ours and of the specification has exactly one row."""
    rows = re.findall(r"^\| `([A-Z_*]+)` \|", reference.configuration(), re.MULTILINE)
    assert sorted(rows) == sorted(v.name for v in (*BY_NAME.values(), *UNREAD))


SPECIFICATION = """\
OTEL_SDK_DISABLED OTEL_RESOURCE_ATTRIBUTES OTEL_SERVICE_NAME OTEL_LOG_LEVEL OTEL_PROPAGATORS
OTEL_TRACES_SAMPLER OTEL_TRACES_SAMPLER_ARG OTEL_BSP_SCHEDULE_DELAY OTEL_BSP_EXPORT_TIMEOUT
OTEL_BSP_MAX_QUEUE_SIZE OTEL_BSP_MAX_EXPORT_BATCH_SIZE OTEL_BLRP_SCHEDULE_DELAY
OTEL_BLRP_EXPORT_TIMEOUT OTEL_BLRP_MAX_QUEUE_SIZE OTEL_BLRP_MAX_EXPORT_BATCH_SIZE
OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_ATTRIBUTE_COUNT_LIMIT OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT
OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT OTEL_SPAN_EVENT_COUNT_LIMIT OTEL_SPAN_LINK_COUNT_LIMIT
OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT OTEL_LINK_ATTRIBUTE_COUNT_LIMIT
OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT
OTEL_EXPORTER_ZIPKIN_ENDPOINT OTEL_EXPORTER_ZIPKIN_TIMEOUT OTEL_EXPORTER_ZIPKIN_PROTOCOL
OTEL_EXPORTER_PROMETHEUS_HOST OTEL_EXPORTER_PROMETHEUS_PORT OTEL_TRACES_EXPORTER
OTEL_METRICS_EXPORTER OTEL_LOGS_EXPORTER OTEL_METRICS_EXEMPLAR_FILTER OTEL_METRIC_EXPORT_INTERVAL
OTEL_METRIC_EXPORT_TIMEOUT OTEL_CONFIG_FILE OTEL_EXPERIMENTAL_CONFIG_FILE
OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE
OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION
OTEL_SEMCONV_STABILITY_OPT_IN
"""


def test_every_variable_of_the_specification_is_in_the_reference() -> None:
    """General, processors, limits, exporters, and OTLP's nine for all signals and for each."""
    otlp = [
        f"OTEL_EXPORTER_OTLP_{signal}{name}"
        for signal in ("", "TRACES_", "METRICS_", "LOGS_")
        for name in (
            *("ENDPOINT", "PROTOCOL", "INSECURE", "HEADERS", "COMPRESSION", "TIMEOUT"),
            *("CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"),
        )
    ]
    page = reference.configuration()
    assert [name for name in (*SPECIFICATION.split(), *otlp) if f"| `{name}` |" not in page] == []


def test_every_metric_and_every_name_is_in_the_reference() -> None:
    """Metrics with their labels; spans, events, attributes and headers, each with a meaning."""
    metrics, traces = reference.metrics(), reference.traces()
    assert [m.name for m in semconv.METRICS if f"| `{m.name}` |" not in metrics] == []
    rows = re.findall(r"^\| (.+?) \|", metrics.partition("## Labels")[2], re.MULTILINE)
    explained = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert {label for metric in semconv.METRICS for label in metric.labels} == explained
    public = {
        value
        for name, value in vars(semconv).items()
        if isinstance(value, str) and name.isupper() and name != "OVERFLOW"
    }
    named = set(re.findall(r"^\| `([^`]+)` \| \S", traces, re.MULTILINE))
    assert public - named <= {"check ", "round_trip_error", "status_code_", "unregistered"}
    assert "check <kind>" in named
    assert not re.search(r"\|  \|$", traces, re.MULTILINE), "a name without a docstring in semconv"


def test_the_code_uses_every_name_that_is_documented() -> None:
    """A span attribute that nothing sets would be a sentence of docs/traces.md that is not true."""
    package = Path(semconv.__file__).parent
    sources = [file for file in package.rglob("*.py") if file.name != "semconv.py"]
    code = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    used = set(re.findall(r"\bsemconv\.([A-Z][A-Z0-9_]*)\b", code))
    named = {name for name, value in vars(semconv).items() if isinstance(value, str)}
    documented = {name for name in named if name.isupper() and vars(semconv)[name] in PAGES}
    assert len(documented) > 80
    assert not documented - used


def test_every_module_is_told_in_a_sentence() -> None:
    """Where a thing is can be read off one page."""
    page = reference.modules()
    package = Path(semconv.__file__).parent
    files = [file for file in package.rglob("*.py") if file.name != "__init__.py"]
    told = re.findall(r"^\| `(\w+\.py)` \| \S.*[.:?] \|$", page, re.MULTILINE)
    assert sorted(file.name for file in files) == sorted(told)


def test_checking_and_writing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """--check fails and names what is stale or missing; --write mends it."""
    docs = ["--docs", str(tmp_path)]
    assert reference.main(["--check", *docs]) == 1
    assert "metrics.md" in capsys.readouterr().err
    assert reference.main(["--write", *docs]) == 0
    assert reference.main(["--check", *docs]) == 0
    (tmp_path / "traces.md").write_text("stale")
    assert reference.main(["--check", *docs]) == 1
    assert "traces.md; run python -m docs.reference --write" in capsys.readouterr().err
