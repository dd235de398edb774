"""What is checked, how often, and how. Each field has its variable.

kubenurse's variables keep name, meaning and default (kubenurse 1.15.3: main.go, internal/
servicecheck, internal/kubenurse/server.go), here and in the modules beside it; ours are strict.
"""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from kubenurse_otel.config.extra_checks import EXTRA_CHECKS, ExtraCheck, hidden_checks
from kubenurse_otel.config.urls import BASE_URL, PROXY, hidden
from kubenurse_otel.config.values import BOOLEAN, HOST, PORT, duration, integer, one_of, printable
from kubenurse_otel.config.variable import Variable, filled_by, variable, variables_of
from kubenurse_otel.model import Proxy, TargetKind, Url
from kubenurse_otel.record import record
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    from kubenurse_otel.config.reader import Reader


class IpFamilies(StrEnum):
    FIRST = "first"
    BOTH = "both"


class ResolverKind(StrEnum):
    OWN = "own"
    SYSTEM = "system"


def _proxy(name: str, of: str) -> Proxy | None:
    return variable(
        name,
        PROXY,
        None,
        f"The proxy of {of} URLs (or {name.lower()}); only with KUBENURSE_USE_PROXY=true.",
        absent="none",
        example="http://proxy.example.com:3128",
        hidden=hidden,
    )


@record(frozen=True, slots=True, kw_only=True)
class ProxyConfig:
    """The proxies of extra checks and of the ingress; all empty unless KUBENURSE_USE_PROXY=true."""

    http: Proxy | None = _proxy("HTTP_PROXY", "http")
    https: Proxy | None = _proxy("HTTPS_PROXY", "https")
    no_proxy: str = variable(
        "NO_PROXY",
        printable(4000),
        None,
        "Hosts that no proxy is used for (or no_proxy); only with KUBENURSE_USE_PROXY=true.",
        otherwise="",
        absent="none",
        example="localhost,.svc",
    )


USE_PROXY: Final = Variable(
    "KUBENURSE_USE_PROXY",
    BOOLEAN,
    "false",
    "Whether me_ingress and extra checks go through HTTP_PROXY and HTTPS_PROXY.",
    example="true",
)


def _switch(name: str, what: str) -> Variable[bool]:
    return Variable(
        f"KUBENURSE_CHECK_{name}",
        BOOLEAN,
        "true",
        f"Whether to check {what}; off, it is `skipped` in /alive.",
        kubenurse=True,
        example="false",
        lenient=True,
    )


_SWITCHES: Final = {
    TargetKind.API_SERVER_DIRECT: _switch("API_SERVER_DIRECT", "the API server's address"),
    TargetKind.API_SERVER_DNS: _switch("API_SERVER_DNS", "the API server's DNS name"),
    TargetKind.ME_INGRESS: _switch("ME_INGRESS", "the ingress"),
    TargetKind.ME_SERVICE: _switch("ME_SERVICE", "the Service"),
    TargetKind.PATH: _switch("NEIGHBOURHOOD", "the neighbours (path_<node>)"),
    TargetKind.FULL_SIZE: Variable(
        "KUBENURSE_CHECK_FULL_SIZE",
        BOOLEAN,
        "true",
        "Whether to check, too, that full-size segments reach the neighbours and come back.",
        example="false",
    ),
    TargetKind.EXPLORE: Variable(
        "KUBENURSE_CHECK_EXPLORE",
        BOOLEAN,
        "true",
        "Whether to check also one agent per interval that is no neighbour, all of them in turn.",
        example="false",
    ),
}


def _enabled(*switches: bool) -> frozenset[TargetKind]:
    off = {kind for kind, is_on in zip(_SWITCHES, switches, strict=True) if not is_on}
    return frozenset(TargetKind) - off


def _interval(name: str, what: str) -> Variable[float]:
    return Variable(
        f"KUBENURSE_CHECK_INTERVAL_{name}",
        duration("10ms"),
        None,
        f"Time between two checks of {what}.",
        absent="KUBENURSE_CHECK_INTERVAL",
        example="30s",
    )


_OF_API_SERVER: Final = _interval("API_SERVER", "the API server (direct and by DNS)")
_INTERVALS: Final = {
    TargetKind.API_SERVER_DIRECT: _OF_API_SERVER,
    TargetKind.API_SERVER_DNS: _OF_API_SERVER,
    TargetKind.ME_INGRESS: _interval("ME_INGRESS", "the ingress"),
    TargetKind.ME_SERVICE: _interval("ME_SERVICE", "the Service"),
    TargetKind.PATH: _interval("NEIGHBOURHOOD", "a neighbour"),
    TargetKind.EXTRA: _interval("EXTRA", "an extra check without ;interval="),
    TargetKind.FULL_SIZE: Variable(
        "KUBENURSE_CHECK_INTERVAL_FULL_SIZE",
        duration("10ms"),
        None,
        "Time between two checks of a neighbour with full-size segments; at once after a stall.",
        absent="two of a neighbour's intervals for three neighbours, up to six for ten and more",
        example="5m",
    ),
}


def _by_kind(*seconds: float | None) -> dict[TargetKind, float]:
    of_kinds = zip(_INTERVALS, seconds, strict=True)
    return {kind: interval for kind, interval in of_kinds if interval is not None}


@record(frozen=True, slots=True, kw_only=True)
class ChecksConfig:
    """Which checks there are, where they go, how often and how long. Times are in seconds."""

    ingress_url: Url | None = variable(
        "KUBENURSE_INGRESS_URL",
        BASE_URL,
        None,
        "The agents behind their ingress; me_ingress checks it with /alwayshappy appended.",
        kubenurse=True,
        absent="me_ingress is skipped",
        example="https://kubenurse.example.com",
        hidden=hidden,
    )
    service_url: Url | None = variable(
        "KUBENURSE_SERVICE_URL",
        BASE_URL,
        None,
        "The agents behind their Service; me_service checks it with /alwayshappy appended.",
        kubenurse=True,
        absent="me_service is skipped",
        example="http://kubenurse.kube-system.svc.cluster.local:8080",
        hidden=hidden,
    )
    api_server_host: str = variable(
        "KUBERNETES_SERVICE_HOST",
        HOST,
        None,
        "The API server, as Kubernetes gives it to every pod: api_server_direct.",
        otherwise="",
        absent="api_server_direct is skipped",
        example="10.96.0.1",
    )
    api_server_port: int = variable(
        "KUBERNETES_SERVICE_PORT",
        PORT,
        "443",
        "The API server's port, for api_server_direct and api_server_dns.",
        example="6443",
    )
    api_server_dns: str = variable(
        "KUBERNETES_SERVICE_DNS",
        HOST,
        "kubernetes.default.svc.cluster.local",
        "The API server's name in the cluster's DNS: api_server_dns.",
        kubenurse=True,
        example="kubernetes.default.svc.example.local",
    )
    extra_checks: tuple[ExtraCheck, ...] = variable(
        "KUBENURSE_EXTRA_CHECKS",
        EXTRA_CHECKS,
        None,
        "More to check: http, https, tcp and dns URLs; the name is the metrics' type.",
        otherwise=(),
        kubenurse=True,
        absent="none",
        example="web:https://www.example.com/|shop:https://shop.example.com/health;expect=200-399",
        hidden=hidden_checks,
    )
    enabled: frozenset[TargetKind] = filled_by(*_SWITCHES.values(), make=_enabled)
    name_servers: bool = variable(
        "KUBENURSE_CHECK_DNS",
        BOOLEAN,
        "true",
        "Whether each name server of resolv.conf is asked for the API server's name, from four "
        "ports (docs/dns.md). Only where api_server_dns is checked.",
        example="false",
    )
    interval_seconds: float = variable(
        "KUBENURSE_CHECK_INTERVAL",
        duration("10ms"),
        "5s",
        "Time between two checks of a target.",
        kubenurse=True,
        example="1m30s",
    )
    interval_seconds_by_kind: dict[TargetKind, float] = filled_by(
        *_INTERVALS.values(), make=_by_kind
    )
    timeout_seconds: float = variable(
        "KUBENURSE_CHECK_TIMEOUT",
        duration("1ms"),
        "5s",
        "Time for a whole check: DNS, connect, TLS, headers and body.",
        example="2s",
    )
    reuse_connections: bool = variable(
        "KUBENURSE_REUSE_CONNECTIONS",
        BOOLEAN,
        "false",
        "Keep one idle connection per target; then only a new one shows DNS, connect and TLS.",
        kubenurse=True,
        example="true",
        lenient=True,
    )
    ip_families: IpFamilies = variable(
        "KUBENURSE_IP_FAMILIES",
        one_of(IpFamilies),
        "first",
        "Which of a neighbour's pod IPs are checked: the first one, or one of each family.",
        example="both",
    )
    resolver: ResolverKind = variable(
        "KUBENURSE_RESOLVER",
        one_of(ResolverKind),
        "own",
        "Who looks names up for checks: the agent itself (own), by the rules of the C library and "
        "with every query measured (docs/dns.md), or the C library (system).",
        example="system",
    )
    res_options: str = variable(
        "RES_OPTIONS",
        printable(1000),
        None,
        "Options that come before those of resolv.conf, as resolv.conf(5) has them.",
        otherwise="",
        absent="none",
        example="ndots:1 timeout:1",
    )
    local_domain: str | None = variable(
        "LOCALDOMAIN",
        printable(1000),
        None,
        "The search path in place of resolv.conf's, with blanks between its domains.",
        absent="resolv.conf's",
        example="svc.cluster.local cluster.local",
    )
    diagnosis: bool = variable(
        "KUBENURSE_DIAGNOSIS",
        BOOLEAN,
        "true",
        "Name who is at fault (docs/diagnosis.md), and tell other agents what this one sees. If "
        "off, answers and metrics contain nothing of it.",
        example="false",
    )
    events: bool = variable(
        "KUBENURSE_EVENTS",
        BOOLEAN,
        "false",
        "Write a Kubernetes Event when a verdict is raised, on the node or on our DaemonSet. All "
        "agents together write one per verdict and ten minutes. Needs the right to create events "
        "in the namespace default and in ours.",
        example="true",
    )
    haste_per_second: int = variable(
        "KUBENURSE_HASTE",
        integer(0, 100),
        "10",
        "Additional checks of neighbours per second, in all, while packets seem to be lost, so "
        "that the culprit is named sooner; at most two minutes in ten. 0 is none.",
        example="0",
    )
    tls_server_name: str = variable(
        "KUBENURSE_TLS_SERVER_NAME",
        HOST,
        None,
        "The name that path checks over TLS ask for (SNI) and verify.",
        otherwise="",
        absent="the host of KUBENURSE_SERVICE_URL when it is a name, else the neighbour's address",
        example="kubenurse.kube-system.svc",
    )
    proxy: ProxyConfig = filled_by(
        USE_PROXY, *variables_of(ProxyConfig), make=lambda *_: ProxyConfig()
    )

    @property
    def asks_name_servers(self) -> bool:
        """For the name of the API server, where that is checked."""
        return self.name_servers and TargetKind.API_SERVER_DNS in self.enabled


def read_checks(reader: Reader) -> ChecksConfig:
    checks = reader.record(ChecksConfig, proxy=_read_proxies(reader))
    url = checks.service_url
    if url is None or is_address(url.host) or reader.is_set("KUBENURSE_TLS_SERVER_NAME"):
        return checks
    reader.derived("KUBENURSE_TLS_SERVER_NAME", url.host, "the host of KUBENURSE_SERVICE_URL")
    return replace(checks, tls_server_name=url.host)


def _read_proxies(reader: Reader) -> ProxyConfig:
    """Read each proxy variable in capitals, else in small letters (as Go and curl do)."""
    if not reader.required(USE_PROXY):
        for unused in variables_of(ProxyConfig):
            reader.skip(unused, f"{USE_PROXY.name} is false")
        return ProxyConfig()

    def either(capitals: Variable[object]) -> object:
        value = reader.optional(capitals)
        small = replace(capitals, name=capitals.name.lower())
        return reader.optional(small) if value is None and reader.text(small) else value

    return reader.record(ProxyConfig, read=either)
