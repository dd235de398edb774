"""The API server of KUBECONFIG, for agents outside of a cluster.

The one home of the package `kubernetes`, in full: a kubeconfig may name any way to authenticate.
Importing it costs 17 MiB (docs/scale.md), which no DaemonSet pays.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import urllib3
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config.kube_config import load_kube_config

from kubenurse_otel import files
from kubenurse_otel.discovery.pools import SOCKET_OPTIONS, Access, pool_classes
from kubenurse_otel.tls.verification import client_context

if TYPE_CHECKING:
    import ssl

    from kubenurse_otel.config.environment import KubectlProxies

LOOPBACK: Final = "localhost,127.0.0.0/8,::1"
"""Hosts that are never reached through a proxy of the environment (golang.org/x/net/http/httpproxy,
useProxy).
"""


def by_kubeconfig(paths: str, proxies: KubectlProxies | None = None) -> Access:
    """``paths``: one file or several, as for kubectl. Raises what the loader raises.

    Its ``proxy-url`` is obeyed, else ``proxies``: a tunnel, and nobody on the way has our token.
    """
    files.require(Path(one) for one in paths.split(os.pathsep) if one)
    configuration: Any = Configuration()
    configuration.proxy = None  # An agent takes the environment's for extra checks and ingress.
    try:
        load_kube_config(config_file=paths, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (AttributeError, TypeError):  # of YAML that is a word or a list
        raise ValueError("it is no kubeconfig: kind Config, clusters, users, contexts") from None
    configuration.socket_options = SOCKET_OPTIONS
    if configuration.proxy is None and proxies is not None:
        is_https = configuration.host.lower().startswith("https://")
        text = proxies.https if is_https else proxies.http
        configuration.proxy = f"http://{text}" if text and "://" not in text else text or None
        configuration.no_proxy = f"{LOOPBACK},{proxies.none_for}"
    if configuration.proxy:
        user = urllib3.util.parse_url(configuration.proxy).auth
        login = unquote(user) if user else None
        configuration.proxy_headers = urllib3.make_headers(proxy_basic_auth=login)

    def context() -> ssl.SSLContext:  # urllib3 adds the files of the kubeconfig
        context = client_context(system=not configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            context.check_hostname = False  # or urllib3 cannot switch verification off
        return context

    def headers() -> dict[str, str]:
        """Fresh: the configuration rereads its files, or runs its plugin.

        Without TLS it sends no credentials, as client-go does: whoever listens on the way would
        have them.
        """
        if not configuration.host.lower().startswith("https://"):
            return {}
        settings = configuration.auth_settings().values()
        return {one["key"]: one["value"] for one in settings if one["in"] == "header"}

    pools: Any = RESTClientObject(configuration).pool_manager
    pools.pool_classes_by_scheme = pool_classes(context)
    return Access(host=configuration.host.rstrip("/"), pools=pools, headers=headers)
