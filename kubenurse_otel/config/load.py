"""From an environment to a Config: everything is read, then judged together, then reported at once.

Owns the variables that depend on each other, and what is said about variables that nobody reads.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeVar

from kubenurse_otel.config import variables as v
from kubenurse_otel.config.reader import Reader, Setting
from kubenurse_otel.config.settings import (
    ChecksConfig,
    Config,
    ConfigError,
    DiscoveryConfig,
    DiscoverySource,
    IdentityConfig,
    LogConfig,
    ProxyConfig,
    ServerConfig,
    TrustConfig,
)
from kubenurse_otel.config.table import VARIABLES
from kubenurse_otel.config.telemetry import read_telemetry
from kubenurse_otel.config.unread import report_unread
from kubenurse_otel.config.values import NAME, InvalidTextError
from kubenurse_otel.files import is_readable, read
from kubenurse_otel.model import TargetKind, Url
from kubenurse_otel.text import is_address
from kubenurse_otel.tls.authorities import AuthoritiesError, check_authorities

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from kubenurse_otel.config.variable import Variable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """Read every variable of the tables from ``environ``.

    Raises ConfigError with every problem at once, one line each: VARIABLE: got 'x', wants y.
    """
    reader = Reader(environ)
    trust = _trust(reader)
    config = Config(
        identity=_identity(reader, trust, host_name),
        checks=_checks(reader),
        trust=trust,
        discovery=_discovery(reader),
        server=_server(reader),
        telemetry=read_telemetry(reader),
        log=LogConfig(
            level=reader.required(v.LOG_LEVEL).upper(), format=reader.required(v.LOG_FORMAT)
        ),
    )
    report_unread(reader, environ, without_opentelemetry=config.telemetry.sdk_disabled)
    if reader.problems:
        raise ConfigError(tuple(reader.problems))
    order = {variable.name: place for place, variable in enumerate(VARIABLES)}
    settings = sorted(reader.settings.values(), key=lambda s: order.get(s.name, len(order)))
    return Loaded(config=replace(config, warnings=tuple(reader.warnings)), sources=tuple(settings))


# --- the parts ----------------------------------------------------------------------------------


def _trust(reader: Reader) -> TrustConfig:
    directory = reader.required(v.SERVICE_ACCOUNT_DIR)
    extra_ca = reader.optional(v.EXTRA_CA)
    reader.warn_without_file(v.EXTRA_CA, extra_ca)
    if extra_ca is not None and is_readable(extra_ca):
        try:
            check_authorities(extra_ca)
        except AuthoritiesError as error:
            reader.problem(v.EXTRA_CA, f"a file of sound certificates: {error.reason}")
        except OSError as error:
            reader.problem(v.EXTRA_CA, f"a file of sound certificates: {error.strerror}")
    return TrustConfig(
        insecure=reader.required(v.INSECURE),
        extra_ca=extra_ca,
        token_file=directory / "token",
        ca_file=directory / "ca.crt",
    )


def _identity(reader: Reader, trust: TrustConfig, host_name: Callable[[], str]) -> IdentityConfig:
    pod_name = reader.optional(v.POD_NAME)
    system_name = reader.optional(v.HOST_NAME) or _name_or_empty(host_name())
    if pod_name is None and not reader.is_set(v.POD_NAME):
        reader.derived(v.POD_NAME, system_name, "the host name")
    namespace = reader.optional(v.NAMESPACE)
    if namespace is None and not reader.is_set(v.NAMESPACE):
        namespace = _namespace_of_service_account(trust)
        if namespace:
            reader.derived(v.NAMESPACE, namespace, "the service account's")
    return IdentityConfig(
        node_name=reader.optional(v.NODE_NAME) or "",
        pod_name=pod_name or system_name,
        pod_ip=reader.optional(v.POD_IP) or "",
        pod_uid=reader.optional(v.POD_UID) or "",
        namespace=namespace or "",
        cluster_name=reader.optional(v.CLUSTER_NAME) or "",
    )


def _name_or_empty(text: str) -> str:
    try:
        return NAME.parse(text.lower())
    except InvalidTextError:
        return ""


def _namespace_of_service_account(trust: TrustConfig) -> str:
    try:
        text = read(trust.token_file.parent / "namespace", longest=300)
        return _name_or_empty(text.decode("ascii").strip())
    except (OSError, ValueError):  # Not in a pod; or a file that is no text.
        return ""


_SWITCHES: Final[tuple[tuple[Variable[bool], TargetKind], ...]] = (
    (v.CHECK_API_SERVER_DIRECT, TargetKind.API_SERVER_DIRECT),
    (v.CHECK_API_SERVER_DNS, TargetKind.API_SERVER_DNS),
    (v.CHECK_ME_INGRESS, TargetKind.ME_INGRESS),
    (v.CHECK_ME_SERVICE, TargetKind.ME_SERVICE),
    (v.CHECK_NEIGHBOURHOOD, TargetKind.PATH),
)
_INTERVALS: Final[tuple[tuple[Variable[float], tuple[TargetKind, ...]], ...]] = (
    (v.INTERVAL_API_SERVER, (TargetKind.API_SERVER_DIRECT, TargetKind.API_SERVER_DNS)),
    (v.INTERVAL_ME_INGRESS, (TargetKind.ME_INGRESS,)),
    (v.INTERVAL_ME_SERVICE, (TargetKind.ME_SERVICE,)),
    (v.INTERVAL_NEIGHBOURHOOD, (TargetKind.PATH,)),
    (v.INTERVAL_EXTRA, (TargetKind.EXTRA,)),
)


def _checks(reader: Reader) -> ChecksConfig:
    off = {kind for switch, kind in _SWITCHES if not reader.required(switch)}
    intervals = {
        kind: seconds
        for variable, kinds in _INTERVALS
        if (seconds := reader.optional(variable)) is not None
        for kind in kinds
    }
    service_url = reader.optional(v.SERVICE_URL)
    path_tls = reader.required(v.USE_TLS)
    return ChecksConfig(
        ingress_url=reader.optional(v.INGRESS_URL),
        service_url=service_url,
        api_server_host=reader.optional(v.KUBERNETES_HOST) or "",
        api_server_port=reader.required(v.KUBERNETES_PORT),
        api_server_dns=reader.required(v.KUBERNETES_DNS),
        extra_checks=reader.optional(v.EXTRA) or (),
        enabled=frozenset(TargetKind) - off,
        interval_seconds=reader.required(v.CHECK_INTERVAL),
        interval_seconds_by_kind=intervals,
        timeout_seconds=reader.required(v.CHECK_TIMEOUT),
        reuse_connections=reader.required(v.REUSE_CONNECTIONS),
        ip_families=reader.required(v.IP_FAMILIES),
        path_port=reader.required(v.TLS_PORT if path_tls else v.LISTEN_PORT),
        path_tls=path_tls,
        tls_server_name=_tls_server_name(reader, service_url),
        proxy=_proxy(reader),
    )


def _tls_server_name(reader: Reader, service_url: Url | None) -> str:
    name = reader.optional(v.TLS_SERVER_NAME)
    if name is not None or service_url is None or reader.is_set(v.TLS_SERVER_NAME):
        return name or ""
    host = service_url.host
    if is_address(host):
        return ""
    reader.derived(v.TLS_SERVER_NAME, host, f"the host of {v.SERVICE_URL.name}")
    return host


def _proxy(reader: Reader) -> ProxyConfig:
    """Each proxy variable is read in capitals, else in small letters (as Go and curl do)."""
    if not reader.required(v.USE_PROXY):
        for variable in (v.HTTP_PROXY, v.HTTPS_PROXY, v.NO_PROXY):
            reader.skip(variable, f"{v.USE_PROXY.name} is false")
        return ProxyConfig()

    def either(variable: Variable[T]) -> T | None:
        value = reader.optional(variable)
        small = replace(variable, name=variable.name.lower())
        return reader.optional(small) if value is None and reader.is_set(small) else value

    return ProxyConfig(
        http=either(v.HTTP_PROXY), https=either(v.HTTPS_PROXY), no_proxy=either(v.NO_PROXY) or ""
    )


def _discovery(reader: Reader) -> DiscoveryConfig:
    source = reader.required(v.DISCOVERY)
    file = reader.optional(v.NEIGHBOURS_FILE)
    if source is DiscoverySource.STATIC and file is None:
        reader.problem(v.NEIGHBOURS_FILE, f"a file, as {v.DISCOVERY.name} is static")
    reader.warn_without_file(v.NEIGHBOURS_FILE, file)
    return DiscoveryConfig(
        source=source,
        neighbours_file=file,
        neighbour_filter=reader.optional(v.NEIGHBOUR_FILTER) or "",
        neighbour_limit=reader.required(v.NEIGHBOUR_LIMIT),
        allow_unschedulable=reader.required(v.ALLOW_UNSCHEDULABLE),
        leaving_taints=reader.required(v.LEAVING_TAINTS),
        unready_when_cordoned=reader.required(v.UNREADY_WHEN_CORDONED),
        kubeconfig=reader.optional(v.KUBECONFIG) or "",
    )


def _server(reader: Reader) -> ServerConfig:
    use_tls = reader.required(v.USE_TLS)
    ports = (reader.required(v.LISTEN_PORT), reader.required(v.TLS_PORT))
    admin_port = reader.optional(v.ADMIN_PORT)
    if use_tls and ports[0] == ports[1]:
        reader.problem(v.TLS_PORT, f"another port than {v.LISTEN_PORT.name}")
    if admin_port is not None and admin_port in ports[: 1 + use_tls]:
        reader.problem(
            v.ADMIN_PORT, f"another port than {v.LISTEN_PORT.name} and {v.TLS_PORT.name}"
        )
    return ServerConfig(
        listen_address=reader.optional(v.LISTEN_ADDRESS) or "",
        port=ports[0],
        tls_port=ports[1],
        use_tls=use_tls,
        cert_file=_served_file(reader, v.CERT_FILE, needed=use_tls),
        cert_key=_served_file(reader, v.CERT_KEY, needed=use_tls),
        admin_port=admin_port,
        alive_status=200 if reader.required(v.ALIVE_STATUS) == "200" else None,
        shutdown_seconds=reader.required(v.SHUTDOWN_DURATION),
    )


def _served_file(reader: Reader, variable: Variable[Path], *, needed: bool) -> Path | None:
    """Without TLS the file may be anything, as with kubenurse; a listener needs one to start."""
    file = reader.optional(variable)
    if needed and (file is None or not is_readable(file)):
        reader.problem(variable, f"a file that can be read, as {v.USE_TLS.name} is true")
    return file
