"""Who we are, and the files by which TLS verifies others and that identify us."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from kubenurse_otel.config.values import (
    ADDRESS,
    BOOLEAN,
    NAME,
    PATH,
    InvalidTextError,
    Parser,
    printable,
)
from kubenurse_otel.config.variable import Variable, filled_by, variable
from kubenurse_otel.files import is_readable, read
from kubenurse_otel.record import record
from kubenurse_otel.tls.authorities import AuthoritiesError, check_authorities

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kubenurse_otel.config.reader import Reader

_SERVICE_ACCOUNT_DIR: Final = Variable(
    "KUBENURSE_SERVICE_ACCOUNT_DIR",
    PATH,
    "/var/run/secrets/kubernetes.io/serviceaccount",
    "Where token, ca.crt and namespace of the service account are, outside of a pod.",
    example="/etc/kubenurse/serviceaccount",
)


@record(frozen=True, slots=True, kw_only=True)
class TrustConfig:
    """Whom TLS trusts, and the files that say who we are. The files may be missing at the start,
    and come later.
    """

    insecure: bool = variable(
        "KUBENURSE_INSECURE",
        BOOLEAN,
        "false",
        "Do not verify certificates of ingress, Service, neighbours and extra checks. The API "
        "server's is always verified.",
        kubenurse=True,
        example="true",
        lenient=True,
    )
    extra_ca: Path | None = variable(
        "KUBENURSE_EXTRA_CA",
        PATH,
        None,
        "A PEM file of authorities (or servers' own certificates) that are trusted, too; reread "
        "when it changes.",
        kubenurse=True,
        absent="system's and cluster's authorities",
        example="/etc/kubenurse/ca.pem",
    )
    token_file: Path = filled_by(_SERVICE_ACCOUNT_DIR, make=lambda folder: folder / "token")
    ca_file: Path = filled_by(_SERVICE_ACCOUNT_DIR, make=lambda folder: folder / "ca.crt")


def read_trust(reader: Reader) -> TrustConfig:
    trust = reader.record(TrustConfig)
    reader.warn_without_file("KUBENURSE_EXTRA_CA", trust.extra_ca)
    if trust.extra_ca is not None and is_readable(trust.extra_ca):
        try:
            check_authorities(trust.extra_ca)
        except (AuthoritiesError, OSError) as error:
            reason = error.reason if isinstance(error, AuthoritiesError) else error.strerror
            reader.problem("KUBENURSE_EXTRA_CA", f"a file of sound certificates: {reason}")
    return trust


def _name(name: str, parser: Parser[str], text: str, example: str) -> str:
    return variable(name, parser, None, text, otherwise="", absent="not known", example=example)


_POD_NAME: Final = Variable(
    "KUBENURSE_POD_NAME",
    NAME,
    None,
    "Our pod (downward API: metadata.name). Needed under hostNetwork.",
    absent="HOSTNAME, or what the system calls itself",
    example="kubenurse-x2bwx",
)
_HOST_NAME: Final = Variable(
    "HOSTNAME",
    NAME,
    None,
    "The pod's name where KUBENURSE_POD_NAME is not set.",
    absent="what the system calls itself",
    example="kubenurse-x2bwx",
    lenient=True,
)


@record(frozen=True, slots=True, kw_only=True)
class IdentityConfig:
    """Who and where we are. A field is empty if the environment does not say."""

    node_name: str = _name(
        "KUBENURSE_NODE_NAME", NAME, "Our node (downward API: spec.nodeName).", "node-1"
    )
    pod_name: str = filled_by(_POD_NAME, _HOST_NAME, make=lambda own, host: own or host or "")
    pod_ip: str = _name(
        "KUBENURSE_POD_IP",
        ADDRESS,
        "Our pod's address (downward API: status.podIP).",
        "10.1.2.3",
    )
    pod_uid: str = _name(
        "KUBENURSE_POD_UID",
        NAME,
        "Our pod's UID (downward API: metadata.uid); it becomes service.instance.id.",
        "9a3e7c5e-7f0e-4f0e-9d5c-0c8c3a3f9d11",
    )
    cluster_name: str = _name(
        "KUBENURSE_CLUSTER_NAME",
        printable(255),
        "Our cluster, as k8s.cluster.name in traces and OTLP metrics.",
        "production-1",
    )
    namespace: str = variable(
        "KUBENURSE_NAMESPACE",
        NAME,
        None,
        "Where the neighbours are.",
        otherwise="",
        kubenurse=True,
        absent="the service account's namespace; outside of a pod all namespaces",
        example="kube-system",
    )


def read_identity(
    reader: Reader, trust: TrustConfig, host_name: Callable[[], str]
) -> IdentityConfig:
    identity = reader.record(IdentityConfig)
    if not reader.is_set(_POD_NAME.name):
        name = identity.pod_name or _name_or_empty(host_name())
        reader.derived(_POD_NAME.name, name, "the host name")
        identity = replace(identity, pod_name=name)
    if not reader.is_set("KUBENURSE_NAMESPACE"):
        namespace = _namespace_of_service_account(trust)
        if namespace:
            reader.derived("KUBENURSE_NAMESPACE", namespace, "the service account's")
            identity = replace(identity, namespace=namespace)
    return identity


def _name_or_empty(text: str) -> str:
    try:
        return NAME.parse(text.lower())
    except InvalidTextError:
        return ""


def _namespace_of_service_account(trust: TrustConfig) -> str:
    try:
        text = read(trust.token_file.parent / "namespace", longest=300)
        return _name_or_empty(text.decode("ascii").strip())
    except (OSError, ValueError):  # Not in a pod; or a file that is no text.
        return ""
