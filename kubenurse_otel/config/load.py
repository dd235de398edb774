"""From an environment to a Config: everything is read, judged together, and reported at once."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import TYPE_CHECKING

from kubenurse_otel.config.checks import read_checks
from kubenurse_otel.config.discovery import DiscoverySource, read_discovery
from kubenurse_otel.config.identity import read_identity, read_trust
from kubenurse_otel.config.page import PageConfig
from kubenurse_otel.config.reader import Reader, Setting
from kubenurse_otel.config.server import read_server
from kubenurse_otel.config.settings import BY_NAME, Config, LogConfig
from kubenurse_otel.config.telemetry import read_telemetry
from kubenurse_otel.config.unread import report_unread
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class ConfigError(Exception):
    """Every problem of the configuration at once: ``problems`` holds one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@record(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The Config, and for people where each value came from (in the reference's order)."""

    config: Config
    sources: tuple[Setting, ...]

    def lines(self) -> list[str]:
        """What ``kubenurse-otel config`` prints: NAME  value  source (note), then the warnings."""
        names = max(len(setting.name) for setting in self.sources)
        values = min(40, max(len(setting.value) for setting in self.sources))
        lines = []
        for setting in self.sources:
            note = f" ({setting.note})" if setting.note else ""
            value = setting.value or "-"
            lines.append(f"{setting.name:{names}}  {value:{values}}  {setting.source}{note}")
        return [*lines, *(f"warning: {warning}" for warning in self.config.warnings)]


def load(environ: Mapping[str, str], *, host_name: Callable[[], str] = platform.node) -> Loaded:
    """Read every variable from ``environ``.

    Raises ConfigError with every problem at once, one line each: VARIABLE: got 'x', wants y.
    """
    reader = Reader(environ)
    trust = read_trust(reader)
    config = Config(
        identity=read_identity(reader, trust, host_name),
        checks=read_checks(reader),
        trust=trust,
        server=read_server(reader),
        page=reader.record(PageConfig),
        discovery=read_discovery(reader),
        telemetry=read_telemetry(reader),
        log=reader.record(LogConfig),
    )
    if not config.checks.diagnosis:
        for name in ("OTEL_LOGS_EXPORTER", "KUBENURSE_EVENTS"):
            reader.without_effect(name, "KUBENURSE_DIAGNOSIS is false: no verdicts")
    if config.discovery.dns_namespace and (why := _why_no_server_of_dns_is_asked(config)):
        reader.without_effect("KUBENURSE_DNS_NAMESPACE", why)
        reader.warn(f"KUBENURSE_DNS_NAMESPACE: without effect, {why}")
    report_unread(reader, environ, without_opentelemetry=config.telemetry.sdk_disabled)
    if reader.problems:
        raise ConfigError(tuple(reader.problems))
    order = {name: place for place, name in enumerate(BY_NAME)}
    settings = sorted(reader.settings.values(), key=lambda s: order.get(s.name, len(order)))
    return Loaded(config=replace(config, warnings=tuple(reader.warnings)), sources=tuple(settings))


def _why_no_server_of_dns_is_asked(config: Config) -> str:
    """Say why the servers of DNS are not asked by their own addresses. Empty if they are."""
    if config.discovery.source is DiscoverySource.STATIC:
        return "KUBENURSE_DISCOVERY is static: EndpointSlices are not read"
    if not config.checks.name_servers:
        return "KUBENURSE_CHECK_DNS is false: no server of DNS is asked"
    if not config.checks.asks_name_servers:
        return "KUBENURSE_CHECK_API_SERVER_DNS is false: servers of DNS are asked for its name"
    return ""
