"""The process's environment: read once, and cleared of variables that libraries would read by
themselves.

Also knows the variables that Kubernetes sets for Services, which may collide with ours.
"""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Final

from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Mapping

_PROXIES: Final = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "GRPC_PROXY"})


@record(frozen=True, slots=True)
class KubectlProxies:
    """The proxies that kubectl would use, as they were set; "" is none. A URL may hold a password.

    ``none_for`` is NO_PROXY.
    """

    http: str = ""
    https: str = ""
    none_for: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> KubectlProxies:
        """Read each variable in capitals, else in small letters, as Go does."""
        return cls(
            *(
                environ.get(name) or environ.get(name.lower(), "")
                for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
            )
        )


def take_environment(*, with_proxies: bool = True) -> dict[str, str]:
    """Return a copy of the environment, and remove every OTEL_* and proxy variable from it.

    With ``with_proxies`` false, the proxy variables stay: a program that a kubeconfig runs may need
    them.

    Called before anything of opentelemetry or httpx is imported: what reaches them comes from the
    Config. Only gRPC's C core must be told by variables: not to print each failed connection to
    stderr, beside our one log line; and to look names up by the C library, as OTLP/HTTP does. Its
    own resolver (c-ares) finds no name if a domain of the search path answers SERVFAIL.
    """
    environ = os.environ  # noqa: TID251 - the one reader
    taken = dict(environ)
    for name in taken:
        is_proxy = name.upper() in _PROXIES
        if name.upper().startswith("OTEL_") or (is_proxy and with_proxies):
            del environ[name]
    environ.setdefault("GRPC_VERBOSITY", "NONE")
    environ.setdefault("GRPC_DNS_RESOLVER", "native")
    return taken


_LINK_URL: Final = r"(tcp|udp|sctp)://(?P<address>\[?[0-9a-f.:]+\]?):(?P<port>[0-9]{1,5})"
_LINKS: Final = (
    (re.compile(r"\w+_SERVICE_HOST"), re.compile(r"(?P<address>[0-9a-f.:]+)")),
    (re.compile(r"\w+_SERVICE_PORT(_\w+)?"), re.compile(r"[0-9]{1,5}")),
    (re.compile(r"\w+_PORT(_[0-9]+_(TCP|UDP|SCTP))?"), re.compile(_LINK_URL)),
    (re.compile(r"\w+_PORT_[0-9]+_(TCP|UDP|SCTP)_PROTO"), re.compile(r"tcp|udp|sctp")),
    (re.compile(r"\w+_PORT_[0-9]+_(TCP|UDP|SCTP)_PORT"), re.compile(r"[0-9]{1,5}")),
    (
        re.compile(r"\w+_PORT_[0-9]+_(TCP|UDP|SCTP)_ADDR"),
        re.compile(r"(?P<address>[0-9a-f.:]+)"),
    ),
)
"""Names and values of kubelet's service links (kubernetes pkg/kubelet/envvars/envvars.go)."""


def is_service_link(name: str, text: str) -> bool:
    """Whether name and value are what kubelet sets for a Service, such as KUBENURSE_PORT=tcp://..."""
    for name_shape, value_shape in _LINKS:
        value = value_shape.fullmatch(text)
        if value is None or not name_shape.fullmatch(name):
            continue
        address = value.groupdict().get("address")
        if address is None:
            return True
        try:
            ipaddress.ip_address(address.strip("[]"))
        except ValueError:
            continue
        return True
    return False
