"""The configuration: what a caller may rely on.

Owns the frozen Config and is the only reader of the environment. Every problem is reported in
one ConfigError. Durations are seconds.
"""

from kubenurse_otel.config.environment import take_environment
from kubenurse_otel.config.load import Loaded, load
from kubenurse_otel.config.reader import Setting, Source
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
    "Loaded",
    "LogConfig",
    "LogFormat",
    "MetricsChoice",
    "OtlpConfig",
    "OtlpProtocol",
    "ProxyConfig",
    "ServerConfig",
    "Setting",
    "Source",
    "SpanLimitsConfig",
    "TelemetryConfig",
    "Temporality",
    "TrustConfig",
    "load",
    "take_environment",
]
