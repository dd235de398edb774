"""The API server of KUBECONFIG, for agents outside of a cluster.

The one home of the package `kubernetes`, in full: a kubeconfig may name any way to authenticate.
Importing it costs 17 MiB (docs/scale.md), which no DaemonSet pays.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config.kube_config import load_kube_config

from kubenurse_otel import files
from kubenurse_otel.discovery.pools import SOCKET_OPTIONS, Access, pool_classes
from kubenurse_otel.tls.verification import client_context

if TYPE_CHECKING:
    import ssl


def by_kubeconfig(paths: str) -> Access:
    """``paths``: one file or several, as for kubectl. Raises what the loader raises.

    Its ``proxy-url`` is obeyed: a tunnel, so that nobody on the way has our token.
    """
    files.require(Path(one) for one in paths.split(os.pathsep) if one)
    configuration: Any = Configuration()
    configuration.proxy = None  # The environment's is for extra checks and the ingress only.
    try:
        load_kube_config(config_file=paths, client_configuration=configuration)  # type: ignore[no-untyped-call]
    except (AttributeError, TypeError):  # of YAML that is a word or a list
        raise ValueError("it is no kubeconfig: kind Config, clusters, users, contexts") from None
    configuration.socket_options = SOCKET_OPTIONS

    def context() -> ssl.SSLContext:  # urllib3 adds the files of the kubeconfig
        context = client_context(system=not configuration.ssl_ca_cert)
        if not configuration.verify_ssl:
            context.check_hostname = False  # or urllib3 cannot switch verification off
        return context

    def headers() -> dict[str, str]:
        """Fresh: the configuration rereads its files, or runs its plugin.

        None without TLS, as client-go has it: who listens on the way would have them.
        """
        if not configuration.host.lower().startswith("https://"):
            return {}
        settings = configuration.auth_settings().values()
        return {one["key"]: one["value"] for one in settings if one["in"] == "header"}

    pools: Any = RESTClientObject(configuration).pool_manager
    pools.pool_classes_by_scheme = pool_classes(context)
    return Access(host=configuration.host.rstrip("/"), pools=pools, headers=headers)
