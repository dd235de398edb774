"""The configuration: what a caller may rely on.

Owns the frozen Config and is the only reader of the environment. Every problem is reported in
one ConfigError. Durations are seconds.
"""

from kubenurse_otel.config.settings import (
    ChecksConfig,
    Config,
    ConfigError,
    DiscoveryConfig,
    DiscoverySource,
    ExtraCheck,
    IdentityConfig,
    IpFamilies,
    LogConfig,
    LogFormat,
    MetricsChoice,
    OtlpConfig,
    OtlpProtocol,
    ProxyConfig,
    ServerConfig,
    SpanLimitsConfig,
    TelemetryConfig,
    Temporality,
    TrustConfig,
)

__all__ = [
    "ChecksConfig",
    "Config",
    "ConfigError",
    "DiscoveryConfig",
    "DiscoverySource",
    "ExtraCheck",
    "IdentityConfig",
    "IpFamilies",
    "LogConfig",
    "LogFormat",
    "MetricsChoice",
    "OtlpConfig",
    "OtlpProtocol",
    "ProxyConfig",
    "ServerConfig",
    "SpanLimitsConfig",
    "TelemetryConfig",
    "Temporality",
    "TrustConfig",
]
