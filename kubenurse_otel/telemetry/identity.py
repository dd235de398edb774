"""The resource: who sends this telemetry.

Owns the order of precedence (the user's attributes, then ours) and service.instance.id. Reads
the Config only: Resource.create() would read the environment.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.version import __version__ as sdk_version

from kubenurse_otel import __version__, semconv

if TYPE_CHECKING:
    from kubenurse_otel.config import Config

SERVICE: Final = "kubenurse-otel"
"""service.name, and the container's name in service.instance.id."""


def make_resource(config: Config) -> Resource:
    """Merge the attributes: the user's override ours, and a later pair with the same key wins.
    Empty ones are left out.
    """
    identity = config.identity
    ours = {
        semconv.SERVICE_NAME: SERVICE,
        semconv.SERVICE_VERSION: __version__,
        semconv.SERVICE_INSTANCE_ID: _instance_id(config),
        semconv.K8S_NODE_NAME: identity.node_name,
        semconv.K8S_POD_NAME: identity.pod_name,
        semconv.K8S_POD_UID: identity.pod_uid,
        semconv.K8S_NAMESPACE_NAME: identity.namespace,
        semconv.K8S_CLUSTER_NAME: identity.cluster_name,
        semconv.TELEMETRY_SDK_NAME: "opentelemetry",
        semconv.TELEMETRY_SDK_LANGUAGE: "python",
        semconv.TELEMETRY_SDK_VERSION: sdk_version,
    }
    merged = ours | dict(config.telemetry.resource_attributes)
    return Resource({key: value for key, value in merged.items() if value}, semconv.SCHEMA_URL)


def _instance_id(config: Config) -> str:
    """Return the pod's UID, else namespace.pod.container. Random if not even the pod is known."""
    identity = config.identity
    if identity.pod_uid:
        return identity.pod_uid
    if identity.pod_name:
        return ".".join(part for part in (identity.namespace, identity.pod_name, SERVICE) if part)
    return str(uuid.uuid4())
