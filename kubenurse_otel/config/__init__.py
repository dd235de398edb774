"""The configuration: what a caller may rely on.

Owns the frozen Config and is the only reader of the environment. Every problem is reported in
one ConfigError. Durations are seconds.
"""

from kubenurse_otel.config.checks import ChecksConfig, IpFamilies, ProxyConfig, ResolverKind
from kubenurse_otel.config.discovery import DiscoveryConfig, DiscoverySource
from kubenurse_otel.config.environment import take_environment
from kubenurse_otel.config.extra_checks import ExtraCheck
from kubenurse_otel.config.identity import IdentityConfig, TrustConfig
from kubenurse_otel.config.load import ConfigError, Loaded, load
from kubenurse_otel.config.otlp import OtlpConfig, OtlpProtocol
from kubenurse_otel.config.page import PageConfig
from kubenurse_otel.config.reader import Setting, Source
from kubenurse_otel.config.server import ServerConfig
from kubenurse_otel.config.settings import Config, LogConfig, LogFormat
from kubenurse_otel.config.span_limits import SpanLimitsConfig
from kubenurse_otel.config.telemetry import (
    MetricsChoice,
    TelemetryConfig,
    Temporality,
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
    "PageConfig",
    "ProxyConfig",
    "ResolverKind",
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
