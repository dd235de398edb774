"""docs/configuration.md, metrics.md, traces.md and modules.md, made from the code.

``python -m docs.reference --write`` writes them, ``--check`` fails where one is stale.
Owns the pages' prose and layout; every name, default and meaning comes from config and semconv,
what a module is from its docstring.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

import kubenurse_otel
from kubenurse_otel import semconv
from kubenurse_otel.config.settings import BY_NAME, LANDS
from kubenurse_otel.config.unread import UNREAD, Use
from kubenurse_otel.config.variable import Origin, Variable
from kubenurse_otel.diagnosis.verdict import Cause, Kind
from kubenurse_otel.discovery.events import Outcome
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import (
    FallbackReason,
    LossDirection,
    NodeState,
    Phase,
    TargetKind,
    TimingSource,
)
from kubenurse_otel.probe.dns.health import Port
from kubenurse_otel.semconv import Kept, Metric, MetricFamily, MetricKind
from kubenurse_otel.telemetry.answers import Result
from kubenurse_otel.unhandled import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_MADE: Final = "<!-- Made from the code by `python -m docs.reference --write`; do not edit. -->\n"


def configuration() -> str:
    """docs/configuration.md."""
    return _MADE + _CONFIGURATION.format(
        kubenurse=_variables(Origin.KUBENURSE),
        ours=_variables(Origin.OURS),
        system=_variables(Origin.KUBERNETES, Origin.SYSTEM),
        used=_variables(Origin.OPENTELEMETRY),
        refused=_unread(Use.REFUSED),
        ignored=_unread(Use.IGNORED),
    )


def metrics() -> str:
    """docs/metrics.md."""
    return _MADE + _METRICS.format(
        kubenurse=_metrics(MetricFamily.KUBENURSE),
        own=_metrics(MetricFamily.OWN),
        process=_metrics(MetricFamily.PROCESS),
        kinds=_words(
            kind for kind in TargetKind if kind not in (TargetKind.PATH, TargetKind.EXTRA)
        ),
        events=_words(semconv.EVENTS),
        error_types=_words(ErrorType),
        phases=_words(Phase),
        directions=_words(LossDirection),
        node_states=_words(NodeState),
        sources=_words(TimingSource),
        dns_ports=_words(Port),
        kinds_of_verdicts=_words(Kind),
        causes=_words(Cause),
        refusals=_words(semconv.Refusal),
        results=_words(Result),
        event_outcomes=_words(Outcome),
        parts=_words(Part),
        unregistered=semconv.STATUS_UNREGISTERED,
        reasons=_words(reason.value or "none" for reason in FallbackReason),
    )


def traces() -> str:
    """docs/traces.md."""
    names = _semconv_names()
    attributes = names["attributes"]
    on_traces = {*semconv.EVENTS, semconv.EVENT_INTERIM}
    return _MADE + _TRACES.format(
        spans=_names(names["span names"]),
        events=_names(name for name in names["httptrace events"] if name.value in on_traces),
        ours=_names(name for name in attributes if name.value.startswith("kubenurse.")),
        conventions=_names(
            name
            for name in attributes
            if not name.value.startswith(("kubenurse.", "otel.")) and not name.on_resource
        ),
        resource=_names(name for name in attributes if name.on_resource),
        log_records=_names(names["log records"]),
        headers=_names(names["headers"]),
        kept=_words(Kept),
        schema_url=semconv.SCHEMA_URL,
    )


def modules() -> str:
    """docs/modules.md."""
    package = Path(kubenurse_otel.__file__).parent
    rooms: dict[str, list[Path]] = {}
    for file in sorted(package.rglob("*.py")):
        rooms.setdefault(file.relative_to(package).parent.as_posix(), []).append(file)
    page = [_MADE + _MODULES]
    for room in sorted(rooms, key=_FLOW.index):
        name = "kubenurse_otel" if room == "." else room
        about = _first_sentence(rooms[room][0])
        rows = [(f"`{file.name}`", _first_sentence(file)) for file in rooms[room][1:]]
        page.append(f"## {name}/\n\n{about}\n\n{_table(('module', 'what it is'), rows)}\n")
    return "\n".join(page)


PAGES: Final[dict[str, Callable[[], str]]] = {
    "configuration.md": configuration,
    "metrics.md": metrics,
    "traces.md": traces,
    "modules.md": modules,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 when the pages are right (or written), 1 when one is stale."""
    parser = argparse.ArgumentParser(prog="python -m docs.reference")
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--write", action="store_true", help="write the pages")
    mode.add_argument("--check", action="store_true", help="fail where a page is stale")
    parser.add_argument(
        "--docs", type=Path, default=Path("docs"), help="where the pages are (docs)"
    )
    parsed = parser.parse_args(arguments)
    stale = []
    for file_name, page in PAGES.items():
        path: Path = parsed.docs / file_name
        text = page()
        if parsed.write:
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(str(path))
    if stale:
        sys.stderr.write(f"stale: {', '.join(stale)}; run python -m docs.reference --write\n")
    return 1 if stale else 0


# --- tables -------------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def _words(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def _variables(*origins: Origin) -> str:
    rows = [
        (
            f"`{variable.name}`",
            variable.help,
            variable.parser.wants,
            _default(variable),
            ", ".join(f"`{field}`" for field in LANDS[variable.name]),
        )
        for variable in BY_NAME.values()
        if variable.origin in origins
    ]
    return _table(("variable", "what it does", "value", "default", "lands in"), rows)


def _default(variable: Variable[object]) -> str:
    if variable.default is None:
        return f"not set: {variable.absent}"
    return f"`{variable.default}`"


def _unread(use: Use) -> str:
    rows = []
    for row in UNREAD:
        if row.use is use:
            fine = (
                f" (Nothing is said about {_words(sorted(row.harmless))}.)" if row.harmless else ""
            )
            rows.append((f"`{row.name}`", use.value, row.help + fine))
    return _table(("variable", "", "why"), rows)


_PROMETHEUS_TYPE: Final = {
    MetricKind.COUNTER: "counter",
    MetricKind.OBSERVABLE_COUNTER: "counter",
    MetricKind.HISTOGRAM: "histogram",
    MetricKind.GAUGE: "gauge",
}


def _metrics(family: MetricFamily) -> str:
    rows = [_metric_row(metric) for metric in semconv.METRICS if metric.family is family]
    return _table(("metric", "type", "unit", "labels", "meaning"), rows)


def _metric_row(metric: Metric) -> tuple[str, ...]:
    bounds = f" Bounds: {', '.join(f'{Decimal(repr(bound)):f}' for bound in metric.bounds)}."
    return (
        f"`{metric.name}`",
        _PROMETHEUS_TYPE[metric.kind],
        f"`{metric.unit}`" if metric.unit else "",
        _words(metric.labels),
        metric.help + (bounds if metric.bounds else ""),
    )


# --- names out of semconv's own source ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Name:
    value: str
    meaning: str

    @property
    def on_resource(self) -> bool:
        return self.meaning.startswith("Resource: ")


_SECTION: Final = re.compile(r"^# --- .+ -+$", re.MULTILINE)


def _semconv_names() -> dict[str, list[_Name]]:
    """Section -> its string constants with the docstring below each, in the source's order."""
    source = inspect.getsource(semconv)
    starts = [
        (source.count("\n", 0, m.start()) + 1, _title(m[0])) for m in _SECTION.finditer(source)
    ]
    found: dict[str, list[_Name]] = {title: [] for _, title in starts}
    body = ast.parse(source).body
    for statement, following in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.AnnAssign(value=ast.Constant(value=str() as value)):
                title = [title for line, title in starts if line < statement.lineno][-1]
                found[title].append(_Name(value, _docstring(following)))
    return found


def _title(comment: str) -> str:
    return re.split(r"[:,(]", comment.strip("# -"))[0].strip()


def _docstring(statement: ast.stmt | None) -> str:
    match statement:
        case ast.Expr(value=ast.Constant(value=str() as text)):
            return " ".join(text.split())
    return ""


def _names(names: Iterable[_Name]) -> str:
    """A table; a name that ends in a space is a prefix."""
    rows = [(f"`{re.sub(' $', ' <kind>', name.value)}`", name.meaning) for name in names]
    return _table(("name", "meaning"), rows)


# --- modules, by their docstrings ---------------------------------------------------------------

_FLOW: Final = (
    *(".", "config", "discovery", "plan", "probe", "probe/dns", "tracing", "telemetry", "server"),
    *("state", "diagnosis", "diagnosis/rules", "report", "page", "process", "tls", "commands"),
    "demo",
)
"""The rooms in the order of the data; those beside it at the end."""


def _first_sentence(module: Path) -> str:
    """The docstring's first paragraph."""
    text = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).replace("``", "`")


# --- the pages' prose ---------------------------------------------------------------------------

_CONFIGURATION: Final = """\
# Configuration

The agent is configured by environment variables only, and reads them once at the start.
`kubenurse-otel config` prints the result: each variable, its value, and where the value comes from
(`environment`, `default`, `derived` from something else, or `ignored`). It masks secrets, and no
message contains them.

- Each problem is one line: `VARIABLE: got 'x', wants y`. The agent reports all problems at once and
  exits with code 2 before it starts anything.
- An empty value is the same as no value.
- A duration is written as in Go: `5s`, `1m30s`, `500ms`, `1.5h`. OpenTelemetry's durations are
  whole milliseconds.
- kubenurse's booleans are exactly `true` or `false`. Anything else counts as not set, with a
  warning. All other booleans accept only these two words.
- `OTEL_*` variables may be set for a whole cluster and not for this agent. So an unknown or invalid
  value of such a variable is only a warning in the log, once at the start. It then counts as not
  set, as OpenTelemetry's specification demands: `http/json`, `zipkin`, `jaeger_remote`,
  `OTEL_SDK_DISABLED=1`. In a list, the known parts are used. A batch is never larger than the
  queue. With `OTEL_SDK_DISABLED=true` no other `OTEL_*` variable is read.
- An IPv6 address in a URL may lack its brackets, as in `http://$(HOST_IP):4318`, if it can be read
  in only one way: `http://fd00::5:4318` means `http://[fd00::5]:4318`. If it ends in fewer than
  four digits (other than 80 and 443), it could be an address without a port, and the brackets are
  required.
- A proxy is `http://` or `https://` (TLS to the proxy, verified like the far ends). It may have
  `user:password@` (Basic authentication, percent-encoded). These credentials go only to the proxy
  and are never shown. SOCKS is not supported.
- A file that a variable names must be a regular file of at most 4 MiB. Files that are read again
  later (certificates, neighbours) may be missing at first.
- An unknown `KUBENURSE_*` or `OTEL_*` variable causes a warning, which names the most similar one.
- Kubernetes gives pods variables for each Service (`KUBENURSE_PORT=tcp://10.0.0.1:8080` for a
  Service that is called kubenurse). The agent recognises them by name and value together, and
  ignores them.
- No library reads the environment by itself: the agent removes OTEL_* and proxy variables before it
  imports any library.

## kubenurse's variables

They keep kubenurse's name, meaning and default; docs/migration.md lists the differences.

{kubenurse}

An extra check is `name:url`; `|` separates several of them. The URL begins with `http://`,
`https://`, `tcp://` or `dns://`. Options such as `;expect=200-299,401;interval=30s` may follow it:
see [extra checks](extra-checks.md). A name has at most 63 characters, is unique, and is none of
the built-in types.

## Ours

{ours}

## Kubernetes and the system

{system}

## OpenTelemetry: used

{used}

A signal's own variable (`..._TRACES_...`, `..._METRICS_...`, `..._LOGS_...`) wins over the common
one. With `http/protobuf` the common endpoint is a base, to which the agent appends `/v1/traces`,
`/v1/metrics` or `/v1/logs`. The endpoint of a single signal is used as it is.

## OpenTelemetry: refused

These variables would break what the agent promises. The agent overrides them, and the log says so
once.

{refused}

## OpenTelemetry: ignored

{ignored}
"""

_MODULES: Final = """\
# Modules

This page shows the first paragraph of each module's docstring. The rest of the docstring says what
the module owns and what it does not. [Architecture](architecture.md) says how the rooms work
together.
"""

_METRICS: Final = """\
# Metrics

Metrics have the same names in a scrape of `/metrics` and over OTLP. The agent makes them from the
spans of every check, whether the trace is exported or not. `KUBENURSE_METRICS` chooses between
kubenurse's metrics and our own.

## kubenurse's

{kubenurse}

`KUBENURSE_HISTOGRAM_BUCKETS` changes the bounds of these histograms only.

## Our own

{own}

Network figures (phases, round trip, far end, loss) come only from checks that the kernel timed.
Two kinds of checks have no connect, round trip, far end and loss: an intercepted check, which ends
at a proxy, and a check that another node's agent answers (`wrong_peer`).

## The process

{process}

## Labels

| label | values |
| --- | --- |
| `type` | {kinds}, `path_<node>`, and the names of extra checks |
| `event` of the duration | {events} |
| `event` of errors | the step that failed: `dns_done`, `connect_done`, `tls_handshake_done`, \
`wrote_request`, `status_code_NNN` (NNN as in `code`), else `round_trip_error` |
| `code` | http: the status, or `{unregistered}` if IANA's registry does not have it (spans and \
messages have the number); tcp: `connected`; dns: the answer's code (`NOERROR`, ...; a code \
without a name is `RCODE9` and so on); without an answer: `round_trip_error` |
| `method` | `GET`, `HEAD`; `tcp`, `dns` for checks that speak no HTTP |
| `family` | `ipv4`, `ipv6` |
| `error_type` | {error_types} |
| `phase` | {phases} |
| `direction` of loss | {directions}, seen from this agent ([lost packets](loss.md)) |
| `source_node`, `source_zone`, `target_node`, `target_zone` \
| names of nodes and zones, as Kubernetes has them |
| `node_state` | {node_states} |
| `source` of timed checks | {sources} |
| `reason` of timed checks | {reasons} |
| `server` | a name server's address, with its port if that is not 53 |
| `transport` | `udp`, `tcp` |
| `outcome` of DNS queries | `noerror`, `nodata`, `nxdomain`, `servfail`, `refused` or `other`; \
`silent`, `unreachable` or `malformed` without an answer |
| `state` of DNS ports | {dns_ports} |
| `kind` | {kinds_of_verdicts} |
| `culprit` | a node, a zone, two of either (`a\\|b`), `cluster`, `agents`, or a check's type |
| `cause` | {causes} |
| `direction` of verdicts | `in`, `out`, seen from the culprit; empty if it is both or does not \
matter |
| `state` of views | `fresh`, `stale` |
| `state` of neighbours | `known`, `chosen` |
| `reason` of not ready | `node_leaving`, `shutting_down`; empty while it is ready |
| `reason` of what the server refused | {refusals} |
| `reason` of dropped spans | `rate_limited`, `span_limit`, `evicted`, `late` before they were \
queued; `queue_full`, `export_failed`, `shutdown` after |
| `signal` | `traces`, `metrics`, `logs` |
| `result` | {results} |
| `metric` | a metric's name |
| `outcome` of Kubernetes Events | {event_outcomes} |
| `part` | {parts} |
| `version`, `python_version` | of the agent, of Python |
"""

_TRACES: Final = """\
# Traces

One check is one trace:

    check me_service                               INTERNAL, root
    +- GET                                         CLIENT (stable HTTP conventions)
       +- HTTP connection_setup                    INTERNAL, only when a connection is made
       |  +- DNS lookup                            only when the host is a name
       |  +- socket connect                        one for each address that was tried
       |  +- TLS client handshake                  https only
       +- GET /alwayshappy                         SERVER, in the neighbour's own trace data

Spans have their real times. A sub-span lasts as long as its network figure; the gaps between
sub-spans are our own delay. Every figure is an attribute, too. A trace is exported for one of
these reasons (`kubenurse.kept`): {kept}.

## Spans

{spans}

## Events of the CLIENT span

Each event carries `kubenurse.offset`. A span has only the events that were reached.

{events}

## Attributes: ours

{ours}

## Attributes: OpenTelemetry's conventions

{conventions}

## Resource

Attributes that you set (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`) win over these. The schema
of the resource and of our scopes is `{schema_url}`. The scope of
instrumentation-httpx (the CLIENT span `GET` or `HEAD`) has its own schema, 1.21.0.

{resource}

## Log records

With `OTEL_LOGS_EXPORTER=otlp` the agent exports these log records and no others. Its own log goes
to standard error.

{log_records}

## Headers

The agent sends `traceparent` only to neighbours, our Service and our ingress. It never sends
baggage.

{headers}
"""

if __name__ == "__main__":
    sys.exit(main())
