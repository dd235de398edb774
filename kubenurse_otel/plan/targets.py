"""From configuration and neighbours to the targets to check. No I/O, no clock.

Owns every rule of which check goes where and with what (trust, token, headers, propagation, proxy,
interval). Sends nothing and knows no certificate and no token.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network
from math import ceil
from typing import TYPE_CHECKING, Final

from kubenurse_otel import semconv
from kubenurse_otel.config import ChecksConfig, Config, ExtraCheck, IpFamilies, ProxyConfig
from kubenurse_otel.model import (
    ONLY_200,
    Auth,
    DnsEndpoint,
    Neighbour,
    Neighbourhood,
    Proxy,
    Target,
    TargetKind,
    Trust,
    Url,
    is_dns_subdomain,
)
from kubenurse_otel.plan.explore import outside
from kubenurse_otel.probe.dns.message import Question, RecordType
from kubenurse_otel.record import record
from kubenurse_otel.ring import node_hash
from kubenurse_otel.text import is_address

if TYPE_CHECKING:
    from collections.abc import Iterator

ALWAYS_HAPPY: Final = "/alwayshappy"
PATH_PREFIX: Final = "path_"
FULL_SIZE_PREFIX: Final = "full_size_"
"""Of the keys; the metrics' type is the kind alone, whatever the node."""
FULL_SIZE_PER_INTERVAL: Final = 5 / 3
"""Full-size checks that an agent makes per interval, of 5 s by default: 20 per minute. So few ways
are each checked more often than ten."""
FULL_SIZE_INTERVALS: Final = (2, 6)
"""Within these bounds."""
MOST_DNS_ENDPOINTS: Final = 8
"""That one agent asks by their own addresses, and has series of."""
NEIGHBOURHOOD: Final = "neighbourhood"
"""What kubenurse calls the path checks together."""


@record(frozen=True, slots=True)
class Plan:
    """What to check now.

    ``targets`` have distinct keys. ``skipped`` are the kubenurse check names that are switched off
    or have no URL: api_server_direct, api_server_dns, me_ingress, me_service, neighbourhood.
    """

    targets: tuple[Target, ...]
    skipped: tuple[str, ...]


def plan(config: Config, neighbourhood: Neighbourhood) -> Plan:
    """Return the targets in kubenurse's order: API server, ingress, service, extra, neighbours."""
    checks = config.checks
    targets: list[Target] = []
    skipped: list[str] = []
    for kind, url in (
        (TargetKind.API_SERVER_DIRECT, _version_url(checks.api_server_host, checks)),
        (TargetKind.API_SERVER_DNS, _version_url(checks.api_server_dns, checks)),
        (TargetKind.ME_INGRESS, _always_happy(checks.ingress_url)),
        (TargetKind.ME_SERVICE, _always_happy(checks.service_url)),
    ):
        if url is None or kind not in checks.enabled:
            skipped.append(kind.value)
        else:
            targets.append(_one_of_a_kind(checks, kind, url))
    targets.extend(_extra(checks))
    if TargetKind.PATH in checks.enabled:
        paths = tuple(_paths(config, neighbourhood.chosen))
        targets.extend(paths)
        if TargetKind.FULL_SIZE in checks.enabled:
            targets.extend(_full_size(checks, paths))
        if TargetKind.EXPLORE in checks.enabled:
            targets.extend(explored(config, one) for one in outside(neighbourhood)[:1])
    else:
        skipped.append(NEIGHBOURHOOD)
    return Plan(tuple(targets), tuple(skipped))


def name_servers_question(checks: ChecksConfig) -> Question | None:
    """Return what name servers are asked for: the API server's name, absolute. None: nothing."""
    name = checks.api_server_dns.rstrip(".")
    # One without a dot is none of a cluster's DNS: localhost, or a name of /etc/hosts.
    if (
        not checks.asks_name_servers
        or "." not in name
        or not is_dns_subdomain(name)
        or is_address(name)
    ):
        return None
    return Question(f"{name}.", RecordType.A)


def dns_endpoints(neighbourhood: Neighbourhood) -> tuple[DnsEndpoint, ...]:
    """Return the endpoints that we ask: all, or, if there are many, a share chosen by hash."""
    found = neighbourhood.dns_endpoints
    if len(found) <= MOST_DNS_ENDPOINTS:
        return found
    own = neighbourhood.own_node_name
    in_order = sorted(found, key=lambda one: node_hash(f"{own}/{one.address}"))
    return tuple(in_order[:MOST_DNS_ENDPOINTS])


def _one_of_a_kind(checks: ChecksConfig, kind: TargetKind, url: Url) -> Target:
    """The API server; me_ingress and me_service, where some agent, maybe we ourselves, answers."""
    target = Target(
        key=kind.value,
        type=kind.value,
        kind=kind,
        url=url,
        interval_seconds=_interval(checks, kind),
        timeout_seconds=checks.timeout_seconds,
        reuse_connection=checks.reuse_connections,
    )
    if kind in (TargetKind.API_SERVER_DIRECT, TargetKind.API_SERVER_DNS):
        return replace(target, trust=Trust.API_SERVER, auth=Auth.SERVICE_ACCOUNT_TOKEN)
    proxy = proxy_for(url, checks.proxy) if kind is TargetKind.ME_INGRESS else None
    return replace(target, propagate=True, answered_by_agent=True, proxy=proxy)


def _extra(checks: ChecksConfig) -> Iterator[Target]:
    for extra in checks.extra_checks if TargetKind.EXTRA in checks.enabled else ():
        target = extra_target(
            extra,
            interval_seconds=_interval(checks, TargetKind.EXTRA),
            timeout_seconds=checks.timeout_seconds,
        )
        yield replace(
            target,
            reuse_connection=checks.reuse_connections and extra.url.speaks_http,
            proxy=proxy_for(extra.url, checks.proxy),
        )


def extra_target(extra: ExtraCheck, *, interval_seconds: float, timeout_seconds: float) -> Target:
    """Return what ``extra`` asks for; the times are for one that has none of its own."""
    return Target(
        key=extra.name,
        type=extra.name,
        kind=TargetKind.EXTRA,
        url=extra.url,
        interval_seconds=extra.interval_seconds or interval_seconds,
        timeout_seconds=extra.timeout_seconds or timeout_seconds,
        method=extra.method,
        expect=extra.expect or ONLY_200,
        tls=extra.tls,
        server_name=extra.server_name,
        query=extra.query,
    )


def _paths(config: Config, chosen: tuple[Neighbour, ...]) -> Iterator[Target]:
    checks = config.checks
    scheme = "https" if config.server.use_tls else "http"
    origin = config.identity.pod_name
    headers = ((semconv.HEADER_ORIGIN, origin),) if origin else ()
    for neighbour in chosen:
        # The last gate before a node's name is a label: discovery has refused all others already.
        if not is_dns_subdomain(neighbour.node_name):
            continue
        path_type = PATH_PREFIX + neighbour.node_name
        for key_suffix, address in _addresses(neighbour, checks.ip_families):
            port = neighbour.port or config.server.path_port
            yield Target(
                key=path_type + key_suffix,
                type=path_type,
                kind=TargetKind.PATH,
                url=Url.of(scheme, address, port, ALWAYS_HAPPY),
                interval_seconds=_interval(checks, TargetKind.PATH),
                timeout_seconds=checks.timeout_seconds,
                server_name=(checks.tls_server_name or None) if config.server.use_tls else None,
                headers=headers,
                propagate=True,
                answered_by_agent=True,
                detect_interception=True,
                reuse_connection=checks.reuse_connections,
                neighbour=neighbour,
            )


def _full_size(checks: ChecksConfig, paths: tuple[Target, ...]) -> Iterator[Target]:
    """The same ways with full-size segments, each address of them; less often, and all one type.

    They are spread over the trains of the small ones: the first that fails has all others checked
    at once, and so it comes sooner.
    """
    least, most = FULL_SIZE_INTERVALS
    every = min(most, max(least, ceil(len(paths) / FULL_SIZE_PER_INTERVAL)))
    interval = checks.interval_seconds_by_kind.get(TargetKind.FULL_SIZE)
    for path in paths:
        yield replace(
            path,
            key=FULL_SIZE_PREFIX + path.key.removeprefix(PATH_PREFIX),
            type=TargetKind.FULL_SIZE.value,
            kind=TargetKind.FULL_SIZE,
            interval_seconds=max(path.interval_seconds, interval or every * path.interval_seconds),
            train_seconds=path.interval_seconds,
            full_size=True,
            reuse_connection=False,
        )


def explored(config: Config, neighbour: Neighbour) -> Target:
    """Ask ``neighbour``, which is none of ours. There is one such target, whomever it asks."""
    path = next(_paths(config, (neighbour,)))
    return replace(
        path,
        key=TargetKind.EXPLORE.value,
        type=TargetKind.EXPLORE.value,
        kind=TargetKind.EXPLORE,
        reuse_connection=False,
    )


def explored_key(node: str) -> str:
    """Return what people are told of ``node``, when it is the one that was explored."""
    return f"{TargetKind.EXPLORE}_{node}"


def keys_told(planned: Plan, neighbourhood: Neighbourhood) -> frozenset[str]:
    """Return the keys of all that people may be told of: targets, and nodes to explore."""
    keys = frozenset(target.key for target in planned.targets)
    if TargetKind.EXPLORE not in keys:
        return keys
    return keys | {explored_key(one.node_name) for one in outside(neighbourhood)}


def _addresses(neighbour: Neighbour, families: IpFamilies) -> Iterator[tuple[str, str]]:
    """Yield (key suffix, address): the first address plain, then one for each other family."""
    yield "", neighbour.pod_ip
    if families is not IpFamilies.BOTH:
        return
    seen = {_family(neighbour.pod_ip)}
    for address in neighbour.pod_ips:
        family = _family(address)
        if family not in seen:
            seen.add(family)
            yield f"/{family}", address


def _family(address: str) -> str:
    return "ipv6" if ":" in address else "ipv4"


def _version_url(host: str, checks: ChecksConfig) -> Url | None:
    return Url.of("https", host, checks.api_server_port, "/version") if host else None


def _always_happy(base: Url | None) -> Url | None:
    return base.below(ALWAYS_HAPPY) if base else None


def _interval(checks: ChecksConfig, kind: TargetKind) -> float:
    return checks.interval_seconds_by_kind.get(kind, checks.interval_seconds)


# --- the proxy, for extra checks and the ingress only -------------------------------------------


def proxy_for(url: Url, proxy: ProxyConfig) -> Proxy | None:
    """Return the proxy for ``url``, or None: by its scheme, unless NO_PROXY or loopback.

    An HTTP proxy is for HTTP: a tcp or dns check never goes through one.

    NO_PROXY as Go reads it (golang.org/x/net/http/httpproxy): host names with their subdomains,
    ``.domain`` for the subdomains alone, IP addresses, CIDR ranges, each with an optional port; *.
    """
    chosen = proxy.https if url.scheme == "https" else proxy.http
    host = url.host.rstrip(".")
    if chosen is None or not url.speaks_http or _is_loopback(host):
        return None
    entries = (entry.strip().lower() for entry in proxy.no_proxy.split(","))
    if any(entry and _matches(host, url.port, entry) for entry in entries):
        return None
    return chosen


def _matches(host: str, port: int, entry: str) -> bool:
    if entry == "*":
        return True
    try:
        network = ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    else:
        return _in_network(host, str(network))
    name, colon, entry_port = entry.rpartition(":")
    if colon and entry_port.isdigit():
        return int(entry_port) == port and _matches(host, port, name)
    name = entry.removeprefix("*")
    return host.endswith(name) if name.startswith(".") else _is_or_is_below(host, name)


def _is_or_is_below(host: str, name: str) -> bool:
    return host == name or host.endswith("." + name)


def _in_network(host: str, network: str) -> bool:
    try:
        return ip_address(host) in ip_network(network)
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
