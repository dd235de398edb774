"""The shape of the configuration: frozen records with defaults that work, and nothing that reads.

Durations are seconds. Which variable lands in which field stands in variables.py and otel.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from kubenurse_otel.model import Proxy, TargetKind, Url


class DiscoverySource(StrEnum):
    KUBERNETES = "kubernetes"
    STATIC = "static"


class IpFamilies(StrEnum):
    FIRST = "first"
    BOTH = "both"


class MetricsChoice(StrEnum):
    BOTH = "both"
    KUBENURSE = "kubenurse"
    OWN = "own"


class LogFormat(StrEnum):
    TEXT = "text"
    JSON = "json"


class OtlpProtocol(StrEnum):
    GRPC = "grpc"
    HTTP_PROTOBUF = "http/protobuf"


class Temporality(StrEnum):
    CUMULATIVE = "cumulative"
    DELTA = "delta"
    LOW_MEMORY = "lowmemory"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityConfig:
    """Who we are. Empty strings where the environment does not say."""

    node_name: str = ""
    pod_name: str = ""
    pod_ip: str = ""
    pod_uid: str = ""
    namespace: str = ""
    cluster_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtraCheck:
    name: str
    url: Url
    expect: tuple[int, int] = (200, 200)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyConfig:
    """HTTP_PROXY, HTTPS_PROXY, NO_PROXY; only filled with KUBENURSE_USE_PROXY=true."""

    http: Proxy | None = None
    https: Proxy | None = None
    no_proxy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChecksConfig:
    ingress_url: Url | None = None
    service_url: Url | None = None
    api_server_host: str = ""
    api_server_port: int = 443
    api_server_dns: str = "kubernetes.default.svc.cluster.local"
    extra_checks: tuple[ExtraCheck, ...] = ()
    enabled: frozenset[TargetKind] = frozenset(TargetKind)
    interval_seconds: float = 5.0
    interval_seconds_by_kind: dict[TargetKind, float] = field(default_factory=dict)
    timeout_seconds: float = 5.0
    reuse_connections: bool = False
    ip_families: IpFamilies = IpFamilies.FIRST
    path_port: int = 8080
    """KUBENURSE_PORT, or KUBENURSE_TLS_PORT when path checks use TLS."""
    path_tls: bool = False
    tls_server_name: str = ""
    proxy: ProxyConfig = field(default_factory=ProxyConfig)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustConfig:
    """Files that vouch for us and for others. A missing file is reread later, never a crash."""

    insecure: bool = False
    extra_ca: Path | None = None
    token_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")
    ca_file: Path = Path("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoveryConfig:
    source: DiscoverySource = DiscoverySource.KUBERNETES
    neighbours_file: Path | None = None
    neighbour_filter: str = ""
    neighbour_limit: int = 10
    """0 is no limit."""
    allow_unschedulable: bool = False
    leaving_taints: tuple[str, ...] = ()
    unready_when_cordoned: bool = True
    kubeconfig: str = ""
    """KUBECONFIG; empty: in cluster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    listen_address: str = ""
    """Empty: all addresses, IPv4 and IPv6."""
    port: int = 8080
    tls_port: int = 8443
    use_tls: bool = False
    cert_file: Path | None = None
    cert_key: Path | None = None
    admin_port: int | None = None
    alive_status: int | None = None
    """200: /alive answers 200 even when a check is bad."""
    shutdown_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OtlpConfig:
    """Where one signal goes."""

    endpoint: str
    """Complete: what the exporter posts to (http/protobuf) or dials (grpc)."""
    protocol: OtlpProtocol = OtlpProtocol.HTTP_PROTOBUF
    headers: tuple[tuple[str, str], ...] = ()
    timeout_seconds: float = 3.0
    insecure: bool = False
    certificate: Path | None = None
    client_key: Path | None = None
    client_certificate: Path | None = None
    gzip: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLimitsConfig:
    """OTEL_SPAN_* and OTEL_ATTRIBUTE_* limits; applied to what is exported only."""

    attribute_count: int | None = 128
    attribute_value_length: int | None = None
    event_count: int | None = 128
    event_attribute_count: int | None = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class TelemetryConfig:
    prometheus: bool = True
    """/metrics is served."""
    otlp_metrics: OtlpConfig | None = None
    otlp_traces: OtlpConfig | None = None
    console_traces: bool = False
    console_metrics: bool = False
    sdk_disabled: bool = False
    """No traces, no OTLP; checks, /alive and the scrape go on."""
    resource_attributes: tuple[tuple[str, str], ...] = ()
    """OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME as the user gave them; ours come below."""
    trace_ratio: float = 0.01
    trace_max_per_minute: int = 60
    slow_threshold_seconds: float = 1.0
    bsp_queue_size: int = 512
    bsp_batch_size: int = 64
    bsp_delay_seconds: float = 5.0
    metric_interval_seconds: float = 60.0
    metric_timeout_seconds: float = 30.0
    temporality: Temporality = Temporality.CUMULATIVE
    exemplars: bool = True
    """OTEL_METRICS_EXEMPLAR_FILTER other than always_off."""
    span_limits: SpanLimitsConfig = field(default_factory=SpanLimitsConfig)
    metrics: MetricsChoice = MetricsChoice.BOTH
    histogram_buckets: tuple[float, ...] = ()
    """Empty: semconv.DEFAULT_BOUNDS. Whole numbers are ints."""
    victoriametrics_histogram: bool = False
    expose_metadata: bool = True
    series_ttl_seconds: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogConfig:
    level: str = "INFO"
    format: LogFormat = LogFormat.TEXT


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    identity: IdentityConfig = field(default_factory=IdentityConfig)
    checks: ChecksConfig = field(default_factory=ChecksConfig)
    trust: TrustConfig = field(default_factory=TrustConfig)
    discovery: DiscoveryConfig = field(default_factory=DiscoveryConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    telemetry: TelemetryConfig = field(default_factory=TelemetryConfig)
    log: LogConfig = field(default_factory=LogConfig)
    warnings: tuple[str, ...] = ()
    """Said once in the log at start."""


class ConfigError(Exception):
    """Every problem of the configuration at once: ``problems`` holds one sentence each."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
