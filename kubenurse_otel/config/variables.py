"""The table of KUBENURSE_*, KUBERNETES_* and system variables.

kubenurse's keep name, meaning and default (kubenurse 1.15.3: internal/kubenurse/server.go, main.go,
internal/servicecheck); ours are strict. Order is the reference's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubenurse_otel.config.lists import (
    BUCKETS,
    EXTRA_CHECKS,
    LABEL_SELECTOR,
    TAINTS,
    hidden_checks,
)
from kubenurse_otel.config.settings import (
    DiscoverySource,
    IpFamilies,
    LogFormat,
    MetricsChoice,
)
from kubenurse_otel.config.urls import BASE_URL, PROXY, hidden
from kubenurse_otel.config.values import (
    ADDRESS,
    BOOLEAN,
    HOST,
    NAME,
    PATH,
    PORT,
    RATIO,
    Parser,
    duration,
    integer,
    one_of,
    printable,
    word,
)
from kubenurse_otel.config.variable import Origin, Variable

if TYPE_CHECKING:
    from kubenurse_otel.model import Proxy

_KUBENURSE: Final = Origin.KUBENURSE

# --- what is checked ----------------------------------------------------------------------------

INGRESS_URL: Final = Variable(
    "KUBENURSE_INGRESS_URL",
    BASE_URL,
    None,
    "The agents behind their ingress; me_ingress checks it with /alwayshappy appended.",
    "checks.ingress_url",
    _KUBENURSE,
    absent="me_ingress is skipped",
    example="https://kubenurse.example.com",
    hidden=hidden,
)
SERVICE_URL: Final = Variable(
    "KUBENURSE_SERVICE_URL",
    BASE_URL,
    None,
    "The agents behind their Service; me_service checks it with /alwayshappy appended.",
    "checks.service_url",
    _KUBENURSE,
    absent="me_service is skipped",
    example="http://kubenurse.kube-system.svc.cluster.local:8080",
    hidden=hidden,
)
KUBERNETES_HOST: Final = Variable(
    "KUBERNETES_SERVICE_HOST",
    HOST,
    None,
    "The API server, as Kubernetes gives it to every pod: api_server_direct.",
    "checks.api_server_host",
    Origin.KUBERNETES,
    absent="api_server_direct is skipped",
    example="10.96.0.1",
)
KUBERNETES_PORT: Final = Variable(
    "KUBERNETES_SERVICE_PORT",
    PORT,
    "443",
    "The API server's port, for api_server_direct and api_server_dns.",
    "checks.api_server_port",
    Origin.KUBERNETES,
    example="6443",
)
KUBERNETES_DNS: Final = Variable(
    "KUBERNETES_SERVICE_DNS",
    HOST,
    "kubernetes.default.svc.cluster.local",
    "The API server's name in the cluster's DNS: api_server_dns.",
    "checks.api_server_dns",
    _KUBENURSE,
    example="kubernetes.default.svc.example.local",
)
EXTRA: Final = Variable(
    "KUBENURSE_EXTRA_CHECKS",
    EXTRA_CHECKS,
    None,
    "More URLs to check; the name is the metrics' type. Good is 200, or what expect= says.",
    "checks.extra_checks",
    _KUBENURSE,
    absent="none",
    example="web:https://www.example.com/|shop:https://shop.example.com/health;expect=200-399",
    hidden=hidden_checks,
)


def _check_switch(name: str, what: str) -> Variable[bool]:
    return Variable(
        f"KUBENURSE_CHECK_{name}",
        BOOLEAN,
        "true",
        f"Whether to check {what}; off, it is `skipped` in /alive.",
        "checks.enabled",
        _KUBENURSE,
        example="false",
        lenient=True,
    )


CHECK_API_SERVER_DIRECT: Final = _check_switch("API_SERVER_DIRECT", "the API server's address")
CHECK_API_SERVER_DNS: Final = _check_switch("API_SERVER_DNS", "the API server's DNS name")
CHECK_ME_INGRESS: Final = _check_switch("ME_INGRESS", "the ingress")
CHECK_ME_SERVICE: Final = _check_switch("ME_SERVICE", "the Service")
CHECK_NEIGHBOURHOOD: Final = _check_switch("NEIGHBOURHOOD", "the neighbours (path_<node>)")

# --- when and how -------------------------------------------------------------------------------

CHECK_INTERVAL: Final = Variable(
    "KUBENURSE_CHECK_INTERVAL",
    duration("10ms"),
    "5s",
    "Time between two checks of a target.",
    "checks.interval_seconds",
    _KUBENURSE,
    example="1m30s",
)


def _interval(name: str, what: str) -> Variable[float]:
    return Variable(
        f"KUBENURSE_CHECK_INTERVAL_{name}",
        duration("10ms"),
        None,
        f"Time between two checks of {what}.",
        "checks.interval_seconds_by_kind",
        absent="KUBENURSE_CHECK_INTERVAL",
        example="30s",
    )


INTERVAL_API_SERVER: Final = _interval("API_SERVER", "the API server (direct and by DNS)")
INTERVAL_ME_INGRESS: Final = _interval("ME_INGRESS", "the ingress")
INTERVAL_ME_SERVICE: Final = _interval("ME_SERVICE", "the Service")
INTERVAL_NEIGHBOURHOOD: Final = _interval("NEIGHBOURHOOD", "a neighbour")
INTERVAL_EXTRA: Final = _interval("EXTRA", "an extra check's URL")
CHECK_TIMEOUT: Final = Variable(
    "KUBENURSE_CHECK_TIMEOUT",
    duration("1ms"),
    "5s",
    "Time for a whole check: DNS, connect, TLS, headers and body.",
    "checks.timeout_seconds",
    example="2s",
)
REUSE_CONNECTIONS: Final = Variable(
    "KUBENURSE_REUSE_CONNECTIONS",
    BOOLEAN,
    "false",
    "Keep one idle connection a target; then only a new one shows DNS, connect and TLS.",
    "checks.reuse_connections",
    _KUBENURSE,
    example="true",
    lenient=True,
)
IP_FAMILIES: Final = Variable(
    "KUBENURSE_IP_FAMILIES",
    one_of(IpFamilies),
    "first",
    "Which of a neighbour's pod IPs are checked: the first one, or one of each family.",
    "checks.ip_families",
    example="both",
)
USE_PROXY: Final = Variable(
    "KUBENURSE_USE_PROXY",
    BOOLEAN,
    "false",
    "Whether me_ingress and extra checks go through HTTP_PROXY and HTTPS_PROXY.",
    "checks.proxy",
    example="true",
)
SLOW_THRESHOLD: Final = Variable(
    "KUBENURSE_SLOW_THRESHOLD",
    duration("1us"),
    "1s",
    "A check or an answer of ours that takes longer is slow: its trace is kept.",
    "telemetry.slow_threshold_seconds",
    example="250ms",
)

# --- trust --------------------------------------------------------------------------------------

INSECURE: Final = Variable(
    "KUBENURSE_INSECURE",
    BOOLEAN,
    "false",
    "Do not verify certificates of ingress, Service, neighbours and extra checks. The API server's "
    "is always verified.",
    "trust.insecure",
    _KUBENURSE,
    example="true",
    lenient=True,
)
EXTRA_CA: Final = Variable(
    "KUBENURSE_EXTRA_CA",
    PATH,
    None,
    "A PEM file of authorities (or servers' own certificates) that are trusted, too; reread when "
    "it changes.",
    "trust.extra_ca",
    _KUBENURSE,
    absent="system's and cluster's authorities",
    example="/etc/kubenurse/ca.pem",
)
SERVICE_ACCOUNT_DIR: Final = Variable(
    "KUBENURSE_SERVICE_ACCOUNT_DIR",
    PATH,
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "Where token, ca.crt and namespace of the service account are, outside of a pod.",
    "trust.token_file, trust.ca_file",
    example="/etc/kubenurse/serviceaccount",
)

# --- who we are, and our neighbours -------------------------------------------------------------


def _identity(name: str, parser: Parser[str], field: str, what: str, example: str) -> Variable[str]:
    return Variable(
        name,
        parser,
        None,
        what,
        f"identity.{field}",
        absent="not known",
        example=example,
    )


NODE_NAME: Final = _identity(
    "KUBENURSE_NODE_NAME", NAME, "node_name", "Our node (downward API: spec.nodeName).", "node-1"
)
POD_NAME: Final = Variable(
    "KUBENURSE_POD_NAME",
    NAME,
    None,
    "Our pod (downward API: metadata.name). Needed under hostNetwork.",
    "identity.pod_name",
    absent="HOSTNAME, or what the system calls itself",
    example="kubenurse-x2bwx",
)
POD_IP: Final = _identity(
    "KUBENURSE_POD_IP",
    ADDRESS,
    "pod_ip",
    "Our pod's address (downward API: status.podIP).",
    "10.1.2.3",
)
POD_UID: Final = _identity(
    "KUBENURSE_POD_UID",
    NAME,
    "pod_uid",
    "Our pod's UID (downward API: metadata.uid); it becomes service.instance.id.",
    "9a3e7c5e-7f0e-4f0e-9d5c-0c8c3a3f9d11",
)
CLUSTER_NAME: Final = _identity(
    "KUBENURSE_CLUSTER_NAME",
    printable(255),
    "cluster_name",
    "Our cluster, as k8s.cluster.name in traces and OTLP metrics.",
    "production-1",
)
NAMESPACE: Final = Variable(
    "KUBENURSE_NAMESPACE",
    NAME,
    None,
    "Where the neighbours are.",
    "identity.namespace",
    _KUBENURSE,
    absent="the service account's namespace; outside of a pod all namespaces",
    example="kube-system",
)
NEIGHBOUR_FILTER: Final = Variable(
    "KUBENURSE_NEIGHBOUR_FILTER",
    LABEL_SELECTOR,
    None,
    "A label selector: which pods of the namespace are agents.",
    "discovery.neighbour_filter",
    _KUBENURSE,
    absent="every pod",
    example="app.kubernetes.io/name=kubenurse",
)
NEIGHBOUR_LIMIT: Final = Variable(
    "KUBENURSE_NEIGHBOUR_LIMIT",
    integer(0, 2**31 - 1),
    "10",
    "How many neighbours an agent checks; 0 is no limit.",
    "discovery.neighbour_limit",
    _KUBENURSE,
    example="0",
)
ALLOW_UNSCHEDULABLE: Final = Variable(
    "KUBENURSE_ALLOW_UNSCHEDULABLE",
    BOOLEAN,
    "false",
    "Check neighbours on nodes that are leaving, too (and never ask about nodes).",
    "discovery.allow_unschedulable",
    _KUBENURSE,
    example="true",
    lenient=True,
)
LEAVING_TAINTS: Final = Variable(
    "KUBENURSE_LEAVING_TAINTS",
    TAINTS,
    "node.kubernetes.io/unschedulable,ToBeDeletedByClusterAutoscaler,karpenter.sh/disrupted,"
    "karpenter.sh/disruption,node.kubernetes.io/out-of-service,"
    "node.cloudprovider.kubernetes.io/shutdown",
    "A node with a taint of one of these keys is leaving.",
    "discovery.leaving_taints",
    example="example.com/draining",
)
UNREADY_WHEN_CORDONED: Final = Variable(
    "KUBENURSE_UNREADY_WHEN_CORDONED",
    BOOLEAN,
    "true",
    "/ready answers 503 while our own node is leaving.",
    "discovery.unready_when_cordoned",
    example="false",
)
DISCOVERY: Final = Variable(
    "KUBENURSE_DISCOVERY",
    one_of(DiscoverySource),
    "kubernetes",
    "Where neighbours come from: the API server, or KUBENURSE_NEIGHBOURS_FILE.",
    "discovery.source",
    example="static",
)
NEIGHBOURS_FILE: Final = Variable(
    "KUBENURSE_NEIGHBOURS_FILE",
    PATH,
    None,
    "A YAML or JSON list of podName, nodeName (that agent's KUBENURSE_NODE_NAME), podIP, and "
    "optionally hostIP, port, zone; reread when it changes.",
    "discovery.neighbours_file",
    absent="required by KUBENURSE_DISCOVERY=static",
    example="/etc/kubenurse/neighbours.yaml",
)

KUBECONFIG: Final = Variable(
    "KUBECONFIG",
    printable(4000),
    None,
    "How to reach the API server from outside of a cluster.",
    "discovery.kubeconfig",
    Origin.KUBERNETES,
    absent="in cluster: the service account",
    example="/root/.kube/config",
)

# --- our own listeners --------------------------------------------------------------------------

LISTEN_ADDRESS: Final = Variable(
    "KUBENURSE_LISTEN_ADDRESS",
    ADDRESS,
    None,
    "The address that we listen on.",
    "server.listen_address",
    absent="all addresses, IPv4 and IPv6",
    example="127.0.1.1",
)
LISTEN_PORT: Final = Variable(
    "KUBENURSE_PORT",
    PORT,
    "8080",
    "Our port. Path checks use the same one at neighbours that say no other.",
    "server.port, checks.path_port",
    example="18080",
)
TLS_PORT: Final = Variable(
    "KUBENURSE_TLS_PORT",
    PORT,
    "8443",
    "Our port with TLS; with KUBENURSE_USE_TLS path checks use it.",
    "server.tls_port",
    example="18443",
)
ADMIN_PORT: Final = Variable(
    "KUBENURSE_ADMIN_PORT",
    PORT,
    None,
    "When set, /metrics, /alive and the page are there; /alwayshappy and /ready stay.",
    "server.admin_port",
    absent="everything on KUBENURSE_PORT",
    example="9090",
)
USE_TLS: Final = Variable(
    "KUBENURSE_USE_TLS",
    BOOLEAN,
    "false",
    "Listen with TLS, too, and check neighbours with TLS. Needs KUBENURSE_CERT_FILE and _CERT_KEY.",
    "server.use_tls, checks.path_tls",
    _KUBENURSE,
    example="true",
    lenient=True,
)
CERT_FILE: Final = Variable(
    "KUBENURSE_CERT_FILE",
    PATH,
    None,
    "Our certificate (PEM, with its chain); reread when it changes.",
    "server.cert_file",
    _KUBENURSE,
    absent="required by KUBENURSE_USE_TLS=true",
    example="/etc/kubenurse/tls.crt",
)
CERT_KEY: Final = Variable(
    "KUBENURSE_CERT_KEY",
    PATH,
    None,
    "The certificate's key (PEM, without a passphrase); reread when it changes.",
    "server.cert_key",
    _KUBENURSE,
    absent="required by KUBENURSE_USE_TLS=true",
    example="/etc/kubenurse/tls.key",
)
TLS_SERVER_NAME: Final = Variable(
    "KUBENURSE_TLS_SERVER_NAME",
    HOST,
    None,
    "The name that path checks over TLS ask for (SNI) and verify.",
    "checks.tls_server_name",
    absent="the host of KUBENURSE_SERVICE_URL when it is a name, else the neighbour's address",
    example="kubenurse.kube-system.svc",
)
ALIVE_STATUS: Final = Variable(
    "KUBENURSE_ALIVE_STATUS",
    word("200", "500"),
    "500",
    "What /alive answers while a check is bad; 200 is what kubenurse does.",
    "server.alive_status",
    example="200",
)
SHUTDOWN_DURATION: Final = Variable(
    "KUBENURSE_SHUTDOWN_DURATION",
    duration("0s"),
    "5s",
    "How long we go on answering after SIGTERM, while others learn that we are gone.",
    "server.shutdown_seconds",
    _KUBENURSE,
    example="10s",
)

# --- metrics, traces, logs ----------------------------------------------------------------------

METRICS: Final = Variable(
    "KUBENURSE_METRICS",
    one_of(MetricsChoice),
    "both",
    "Which metrics there are: kubenurse's five, our own, or both.",
    "telemetry.metrics",
    example="kubenurse",
)
HISTOGRAM_BUCKETS: Final = Variable(
    "KUBENURSE_HISTOGRAM_BUCKETS",
    BUCKETS,
    None,
    "Bounds of the kubenurse_httpclient_* histograms.",
    "telemetry.histogram_buckets",
    _KUBENURSE,
    absent=".005,.01,.025,.05,.1,.25,.5,1,2.5,5,10",
    example=".0005,.001,.01,.1,1",
)
VICTORIAMETRICS_HISTOGRAM: Final = Variable(
    "KUBENURSE_VICTORIAMETRICS_HISTOGRAM",
    BOOLEAN,
    "false",
    "kubenurse_httpclient_* with VictoriaMetrics' vmrange buckets in place of le. Excludes "
    "KUBENURSE_HISTOGRAM_BUCKETS.",
    "telemetry.victoriametrics_histogram",
    _KUBENURSE,
    example="true",
    lenient=True,
)
EXPOSE_METADATA: Final = Variable(
    "KUBENURSE_EXPOSE_METADATA",
    BOOLEAN,
    "true",
    "HELP and TYPE in /metrics (kubenurse's default is false).",
    "telemetry.expose_metadata",
    _KUBENURSE,
    example="false",
    lenient=True,
)
SERIES_TTL: Final = Variable(
    "KUBENURSE_SERIES_TTL",
    duration("1ms", "8760h"),
    "10m",
    "A series that is not touched for so long and is of no current target is forgotten.",
    "telemetry.series_ttl_seconds",
    example="1h",
)
TRACE_RATIO: Final = Variable(
    "KUBENURSE_TRACE_RATIO",
    RATIO,
    "0.01",
    "Share of checks whose trace is kept with both ends, decided at the start. Wins over "
    "OTEL_TRACES_SAMPLER.",
    "telemetry.trace_ratio",
    example="0.5",
)
TRACE_MAX_PER_MINUTE: Final = Variable(
    "KUBENURSE_TRACE_MAX_PER_MINUTE",
    integer(0, 1_000_000),
    "60",
    "Most traces a minute that are kept beside the ratio (failed, slow, changed, ...).",
    "telemetry.trace_max_per_minute",
    example="600",
)
LOG_LEVEL: Final = Variable(
    "KUBENURSE_LOG_LEVEL",
    word("debug", "info", "warning", "error", "critical"),
    "info",
    "The least severe message that is logged.",
    "log.level",
    example="debug",
)
LOG_FORMAT: Final = Variable(
    "KUBENURSE_LOG_FORMAT",
    one_of(LogFormat),
    "text",
    "How log lines are written.",
    "log.format",
    example="json",
)

# --- not ours, and read --------------------------------------------------------------------------

HOST_NAME: Final = Variable(
    "HOSTNAME",
    NAME,
    None,
    "The pod's name where KUBENURSE_POD_NAME is not set.",
    "identity.pod_name",
    Origin.SYSTEM,
    absent="what the system calls itself",
    example="kubenurse-x2bwx",
    lenient=True,
)


def _proxy(name: str, of: str) -> Variable[Proxy]:
    return Variable(
        name,
        PROXY,
        None,
        f"The proxy of {of} URLs (or {name.lower()}); only with KUBENURSE_USE_PROXY=true.",
        "checks.proxy",
        Origin.SYSTEM,
        absent="none",
        example="http://proxy.example.com:3128",
        hidden=hidden,
    )


HTTP_PROXY: Final = _proxy("HTTP_PROXY", "http")
HTTPS_PROXY: Final = _proxy("HTTPS_PROXY", "https")
NO_PROXY: Final = Variable(
    "NO_PROXY",
    printable(4000),
    None,
    "Hosts that no proxy is used for (or no_proxy); only with KUBENURSE_USE_PROXY=true.",
    "checks.proxy",
    Origin.SYSTEM,
    absent="none",
    example="localhost,.svc",
)
