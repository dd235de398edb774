"""docs/migration.md says what is true: its tables are the code's, and the tests it names exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from kubenurse_otel import semconv
from kubenurse_otel.config import ConfigError, load
from kubenurse_otel.config.settings import BY_NAME
from kubenurse_otel.config.variable import Origin
from kubenurse_otel.errors import failure, status_failure
from kubenurse_otel.model import Phase
from kubenurse_otel.server.routes import ALIVE, ALWAYSHAPPY, METRICS, READY

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "migration.md").read_text(encoding="utf-8")

KUBENURSE_READS = [
    "KUBENURSE_INGRESS_URL",
    "KUBENURSE_SERVICE_URL",
    "KUBENURSE_INSECURE",
    "KUBENURSE_EXTRA_CA",
    "KUBENURSE_EXTRA_CHECKS",
    "KUBENURSE_NAMESPACE",
    "KUBENURSE_NEIGHBOUR_FILTER",
    "KUBENURSE_NEIGHBOUR_LIMIT",
    "KUBENURSE_ALLOW_UNSCHEDULABLE",
    "KUBENURSE_CHECK_API_SERVER_DIRECT",
    "KUBENURSE_CHECK_API_SERVER_DNS",
    "KUBENURSE_CHECK_ME_INGRESS",
    "KUBENURSE_CHECK_ME_SERVICE",
    "KUBENURSE_CHECK_NEIGHBOURHOOD",
    "KUBENURSE_CHECK_INTERVAL",
    "KUBENURSE_REUSE_CONNECTIONS",
    "KUBENURSE_VICTORIAMETRICS_HISTOGRAM",
    "KUBENURSE_HISTOGRAM_BUCKETS",
    "KUBENURSE_EXPOSE_METADATA",
    "KUBENURSE_USE_TLS",
    "KUBENURSE_CERT_FILE",
    "KUBENURSE_CERT_KEY",
    "KUBENURSE_SHUTDOWN_DURATION",
    "KUBERNETES_SERVICE_HOST",
    "KUBERNETES_SERVICE_PORT",
    "KUBERNETES_SERVICE_DNS",
]
"""os.Getenv and os.LookupEnv of kubenurse 1.15.3, tests excluded."""

NO_VARIABLES = {
    semconv.HEADER_ORIGIN.replace("-", "_"),
    semconv.HEADER_NODE.replace("-", "_"),
}
"""Headers whose names look like variables'."""


def section(title: str) -> str:
    """The text below a heading, up to the next one of its level."""
    level = title.partition(" ")[0]
    _, _, rest = PAGE.partition(f"\n{title}\n")
    assert rest, title
    return re.split(rf"\n#{{1,{len(level)}}} ", rest)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of every table's rows, headers and rules left out."""
    found = []
    lines = text.splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        is_rule = set(line) <= set("|- ") and "-" in line
        if line.startswith("| ") and not is_rule and not following.startswith("| ---"):
            found.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return found


@cache
def functions_of(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


REFERENCES = sorted(set(re.findall(r"`(tests/[a-z_0-9/]+\.py)::(\w+)`", PAGE)))
DIFFERENCES = rows(section("## What is different"))


@pytest.mark.parametrize(("file", "test"), REFERENCES, ids=lambda part: part.rpartition("/")[2])
def test_a_test_that_the_page_names_exists(file: str, test: str) -> None:
    """File and function, as pytest would take them."""
    assert test.startswith("test_")
    assert test in functions_of(file)


@pytest.mark.parametrize("row", DIFFERENCES, ids=lambda row: row[0][:40])
def test_a_difference_is_told_whole_and_shown(row: list[str]) -> None:
    """What kubenurse does, what we do, why, the old way, and at least one test."""
    assert len(row) == 5
    kubenurse, ours, why_or_instead, old_way, tests = row
    assert all((kubenurse, ours, tests))
    named = re.findall(r"`(tests/[^`]+)`", tests)
    assert named
    assert tests == ", ".join(f"`{name}`" for name in named)
    assert set(named) <= {f"{file}::{test}" for file, test in REFERENCES}
    is_value = not kubenurse.startswith("**")
    assert is_value or (why_or_instead and old_way)


def test_every_variable_of_kubenurse_has_one_row_with_our_default() -> None:
    """The table is complete, and its column of our defaults is the code's."""
    table = {row[0].strip("`"): row[2] for row in rows(section("### Variables"))}
    assert sorted(table) == sorted(KUBENURSE_READS)
    assert len(rows(section("### Variables"))) == len(table)
    for name, told in table.items():
        variable = BY_NAME[name]
        absent = f"not set: {variable.absent}"
        assert told == (absent if variable.default is None else f"`{variable.default}`"), name


def test_the_code_has_the_same_list_of_kubenurses_variables() -> None:
    """What the code calls kubenurse's is what kubenurse reads, but for what Kubernetes gives."""
    ours = {variable.name for variable in BY_NAME.values() if variable.origin is Origin.KUBENURSE}
    assert ours == set(KUBENURSE_READS) - {"KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"}


def test_no_variable_is_made_up() -> None:
    """Every name on the page, and every value it proposes, is one that the agent takes."""
    names = set(re.findall(r"\b(?:KUBENURSE|KUBERNETES|OTEL)_[A-Z_]+\b", PAGE))
    assert names - NO_VARIABLES <= set(BY_NAME)
    proposed = dict(re.findall(r"`((?:KUBENURSE|OTEL)_[A-Z_]+)=([^`$]+)`", PAGE))
    assert {"KUBENURSE_ALIVE_STATUS", "KUBENURSE_SERIES_TTL", "OTEL_SDK_DISABLED"} <= set(proposed)
    for name, text in proposed.items():
        BY_NAME[name].parser.parse(text)


def test_the_five_metrics_are_told_with_their_labels_and_buckets() -> None:
    """The table of metrics is semconv's, and so are the events below it."""
    text = section("### The five metrics")
    expected = [
        [
            f"`{metric.name}`",
            ", ".join(f"`{label}`" for label in metric.labels),
            " ".join(f"{bound:g}".removeprefix("0") for bound in metric.bounds),
        ]
        for metric in semconv.METRICS
        if metric.family is semconv.MetricFamily.KUBENURSE
    ]
    told = [[cell.strip("|").strip() for cell in row] for row in rows(text)]
    assert [[*row, "", ""][:3] for row in told] == expected
    assert re.findall(r"`([a-z_]+)`", text.partition("`event` is one of")[2])[:9] == list(
        semconv.EVENTS
    )


def test_the_endpoints_are_told() -> None:
    """Who looks for a path of the server finds it."""
    for path in (ALIVE, ALWAYSHAPPY, METRICS, READY):
        assert f"`{path.decode()}`" in section("## What stays")


def test_links_lead_somewhere() -> None:
    """Pages beside this one exist, and so do the headings that it points at."""
    headings = {
        re.sub(r"[^a-z -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in PAGE.splitlines()
        if line.startswith("#")
    }
    for link in re.findall(r"\]\(([^)]+)\)", PAGE):
        if link.startswith("#"):
            assert link.removeprefix("#") in headings
        else:
            assert (ROOT / "docs" / link).is_file()


# --- differences that are the configuration's ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "beside"),
    [
        ("KUBENURSE_NEIGHBOUR_LIMIT", "-1", {}),
        ("KUBENURSE_NEIGHBOUR_FILTER", "app in a", {}),
        ("KUBENURSE_NAMESPACE", "Kube_System", {}),
        ("KUBENURSE_CHECK_INTERVAL", "9ms", {}),
        ("KUBENURSE_CHECK_INTERVAL", "0s", {}),
        ("KUBENURSE_CHECK_INTERVAL", "25h", {}),
        ("KUBENURSE_SHUTDOWN_DURATION", "-1s", {}),
        ("KUBENURSE_SHUTDOWN_DURATION", "25h", {}),
        ("KUBENURSE_HISTOGRAM_BUCKETS", "-1,1", {}),
        ("KUBENURSE_HISTOGRAM_BUCKETS", ".1,1,+Inf", {}),
        ("KUBENURSE_HISTOGRAM_BUCKETS", "0x1p-2,1", {}),
        ("KUBENURSE_HISTOGRAM_BUCKETS", ",".join(map(str, range(101))), {}),
        ("KUBENURSE_HISTOGRAM_BUCKETS", ".1,1", {"KUBENURSE_VICTORIAMETRICS_HISTOGRAM": "true"}),
        ("KUBENURSE_INGRESS_URL", "kubenurse.example.com", {}),
        ("KUBENURSE_INGRESS_URL", "https://user:password@kubenurse.example.com", {}),
        ("KUBENURSE_SERVICE_URL", "http://kubenurse:8080?a=b", {}),
        ("KUBENURSE_SERVICE_URL", "http://kubenurse:8080#a", {}),
        ("KUBENURSE_EXTRA_CHECKS", "ünï:http://a", {}),
        ("KUBENURSE_EXTRA_CHECKS", f"{'a' * 64}:http://a", {}),
        ("KUBENURSE_EXTRA_CHECKS", "a:http://a|a:http://b", {}),
        ("KUBENURSE_EXTRA_CHECKS", "me_service:http://a", {}),
        ("KUBENURSE_EXTRA_CHECKS", "path_a:http://a", {}),
        ("KUBENURSE_EXTRA_CHECKS", "|".join(f"a{n}:http://a" for n in range(101)), {}),
        ("KUBENURSE_EXTRA_CHECKS", "a:ftp://a", {}),
        ("KUBENURSE_EXTRA_CHECKS", "a:http://user:password@a/", {}),
        ("KUBENURSE_EXTRA_CHECKS", "a:http://a/#b", {}),
        ("KUBENURSE_CERT_FILE", "", {"KUBENURSE_USE_TLS": "true"}),
        ("KUBERNETES_SERVICE_PORT", "https", {}),
        ("KUBERNETES_SERVICE_HOST", "a b", {}),
        ("KUBERNETES_SERVICE_DNS", "https://kubernetes.default", {}),
    ],
)
def test_what_was_taken_and_is_refused(name: str, text: str, beside: dict[str, str]) -> None:
    """A problem of that variable, with what it wants."""
    with pytest.raises(ConfigError) as caught:
        load({name: text} | beside)
    assert any(
        problem.startswith(f"{name}: ") and ", wants " in problem
        for problem in caught.value.problems
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KUBENURSE_NEIGHBOUR_LIMIT", "0"),
        ("KUBENURSE_CHECK_INTERVAL", "10ms"),
        ("KUBENURSE_CHECK_INTERVAL", "24h"),
        ("KUBENURSE_CHECK_INTERVAL", ""),
        ("KUBENURSE_SHUTDOWN_DURATION", "0s"),
        ("KUBENURSE_SHUTDOWN_DURATION", ""),
        ("KUBENURSE_HISTOGRAM_BUCKETS", ".1, 1"),
        ("KUBENURSE_INGRESS_URL", "https://kubenurse.example.com/"),
        ("KUBENURSE_EXTRA_CHECKS", f"{'a' * 63}:http://a?key=b"),
        ("KUBERNETES_SERVICE_DNS", "fd00::1"),
    ],
)
def test_what_the_page_says_is_taken_is_taken(name: str, text: str) -> None:
    """The bounds themselves, and what stands for a refused value, are values."""
    assert load({name: text}).config.warnings == ()


def test_a_missing_extra_ca_is_a_warning() -> None:
    """The agent starts: the file may come."""
    (warning,) = load({"KUBENURSE_EXTRA_CA": "/nowhere/ca.crt"}).config.warnings
    assert warning.startswith("KUBENURSE_EXTRA_CA: '/nowhere/ca.crt' cannot be read yet")


def test_a_whole_check_has_five_seconds_or_what_is_asked_for() -> None:
    """kubenurse gives a check six."""
    assert load({}).config.checks.timeout_seconds == 5.0
    assert load({"KUBENURSE_CHECK_TIMEOUT": "6s"}).config.checks.timeout_seconds == 6.0


def test_the_sentences_that_the_page_quotes_are_ours() -> None:
    """Who searches for a reason finds it word by word."""
    refused = failure(ConnectionRefusedError(111, "refused"), Phase.CONNECT, target="10.0.0.7:8080")
    assert f"`{refused.message}`" in PAGE
    assert "status 503" in status_failure(503, target="10.0.0.7:8080").message
