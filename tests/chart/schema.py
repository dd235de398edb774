"""values.schema.json (JSON Schema, draft 7), from values.yaml.

Kubernetes' own types are checked to the depth at which typing errors happen; the rest is the API
server's. They stand inline: a typing error is then said in one line, and not as "anyOf failed".
"""

from __future__ import annotations

import copy
from typing import Any, Final

from .values import Value

Schema = dict[str, Any]

_QUANTITIES: Final[Schema] = {
    "type": ["object", "null"],
    "additionalProperties": {
        "type": ["string", "number"],
        "description": "A quantity, such as 20m or 64Mi.",
    },
}


def _kubernetes(kind: str, required: tuple[str, ...] = (), /, **types: object) -> Schema:
    """Return an object of Kubernetes: each key with its JSON type, or a schema of its own."""
    properties = {
        key: {"description": f"Kubernetes: {kind}.{key}."}
        | (content if isinstance(content, dict) else {"type": content})
        for key, content in types.items()
    }
    schema: Schema = {"type": "object", "additionalProperties": False, "properties": properties}
    return schema | ({"required": list(required)} if required else {})


_DURATION: Final = r"^((([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h))+|0)?$"
_SECURITY: Final = {
    "appArmorProfile": "object",
    "runAsGroup": "integer",
    "runAsNonRoot": "boolean",
    "runAsUser": "integer",
    "seLinuxOptions": "object",
    "seccompProfile": "object",
    "windowsOptions": "object",
}
_NULLABLE: Final = ["object", "null"]

DEFINITIONS: Final[dict[str, Schema]] = {
    "Strings": {
        "type": "object",
        "additionalProperties": {"type": "string", "description": "Its value."},
    },
    "Duration": {"type": "string", "pattern": _DURATION},
    "Port": {
        "type": "integer",
        "minimum": 1,
        "maximum": 65535,
        "description": "A port.",
    },
    "EnvVar": _kubernetes("EnvVar", ("name",), name="string", value="string", valueFrom="object"),
    "LocalObjectReference": _kubernetes("LocalObjectReference", ("name",), name="string"),
    "Toleration": _kubernetes(
        "Toleration",
        key="string",
        operator={"enum": ["Exists", "Equal"]},
        value="string",
        effect={"enum": ["NoSchedule", "PreferNoSchedule", "NoExecute", ""]},
        tolerationSeconds="integer",
    ),
    "Resources": _kubernetes(
        "ResourceRequirements", limits=_QUANTITIES, requests=_QUANTITIES, claims="array"
    ),
    "PodSecurityContext": _kubernetes(
        "PodSecurityContext",
        **_SECURITY,
        fsGroup="integer",
        fsGroupChangePolicy="string",
        seLinuxChangePolicy="string",
        supplementalGroups="array",
        supplementalGroupsPolicy="string",
        sysctls="array",
    ),
    "SecurityContext": _kubernetes(
        "SecurityContext",
        **_SECURITY,
        allowPrivilegeEscalation="boolean",
        capabilities="object",
        privileged="boolean",
        procMount="string",
        readOnlyRootFilesystem="boolean",
    ),
    "DnsConfig": _kubernetes(
        "PodDNSConfig",
        nameservers="array",
        searches="array",
        options={
            "type": ["array", "null"],
            "items": _kubernetes(
                "PodDNSConfigOption", ("name",), name="string", value=["string", "null"]
            )
            | {"description": "A resolver option."},
        },
    ),
    "Affinity": _kubernetes(
        "Affinity", nodeAffinity=_NULLABLE, podAffinity=_NULLABLE, podAntiAffinity=_NULLABLE
    ),
    "IngressPath": {
        "type": "object",
        "additionalProperties": False,
        "required": ["path"],
        "properties": {
            "path": {"type": "string", "pattern": "^/", "description": "The path."},
            "pathType": {
                "enum": ["Exact", "Prefix", "ImplementationSpecific"],
                "description": "How the path is compared; Exact if missing.",
            },
        },
    },
    "ParentReference": _kubernetes(
        "ParentReference",
        ("name",),
        group="string",
        kind="string",
        namespace="string",
        name="string",
        sectionName="string",
        port="integer",
    ),
    "ExtraCheck": {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "url"],
        "properties": {
            "name": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_]([A-Za-z0-9_./ -]{0,61}[A-Za-z0-9_./-])?$",
                "description": "The metrics' type.",
            },
            "url": {
                "type": "string",
                "pattern": r"^(https?|tcp|dns)://[^|\s]+$",
                "description": "http, https, tcp://host:port or dns://server/name?type=A.",
            },
            "expect": {
                "type": ["string", "integer"],
                "pattern": r"^[^;|\s]+$",
                "description": "What is good: statuses, a certificate's name, addresses or a code.",
            },
            "method": {"enum": ["GET", "HEAD"], "description": "Of http."},
            "tls": {"type": "boolean", "description": "Of tcp: shake hands, too."},
            "interval": {"type": "string", "pattern": _DURATION, "description": "Of its own."},
            "timeout": {"type": "string", "pattern": _DURATION, "description": "Of its own."},
        },
    },
    "RelabelConfig": _kubernetes(
        "RelabelConfig",
        action="string",
        modulus="integer",
        regex="string",
        replacement="string",
        separator="string",
        sourceLabels="array",
        targetLabel="string",
    ),
    "SecretKey": {
        "type": "object",
        "additionalProperties": False,
        "required": ["secretName", "key"],
        "description": "Where the header's value is.",
        "properties": {
            "secretName": {"type": "string", "description": "The Secret's name."},
            "key": {"type": "string", "description": "The key in it."},
        },
    },
}
_ITEMS: Final = {
    "EnvVar": "An environment variable.",
    "LocalObjectReference": "A Secret.",
    "Toleration": "A toleration.",
    "ExtraCheck": "A check.",
    "IngressPath": "A path.",
    "ParentReference": "A Gateway.",
    "RelabelConfig": "A relabeling.",
}

# Filters that our pods' labels may fulfil: about these labels, or negative. Asked for where the
# labels are known: with the default name and no podLabels. Short, as the message repeats it; what
# it lets through is judged exactly by NOTES.
OWN_FILTER: Final = (
    r"^$|app\.kubernetes\.io/(name *(={1,2} *kubenurse *)?(,|$)|name +in|instance)|!|notin"
    r"|istio|cluster|controller-revision|pod-template"
)


# Keys that kubenurse's chart had and dropped; it ignores them in the values that still have them.
STALE: Final[Schema] = {
    **{
        f"check_api_me_{name}": {
            "type": ["boolean", "string", "null"],
            "pattern": "^(true|false)?$",
            "description": f"kubenurse's name of check_me_{name} before v1.14.1; false counts.",
        }
        for name in ("ingress", "service")
    },
    "namespace": {
        "type": ["string", "null"],
        "description": "kubenurse's v1.7.0; not used: everything is in the release's namespace.",
    },
    "rbac": {
        "type": ["object", "array", "null"],
        "maxItems": 0,
        "description": "kubenurse's v1.7.0; enabled: false is taken for allow_unschedulable.",
        "additionalProperties": False,
        "properties": {
            "allow_unschedulable": {
                "type": ["object", "array", "null"],
                "maxItems": 0,
                "description": "Rights on nodes.",
                "additionalProperties": False,
                "properties": {
                    "enabled": {
                        "type": ["boolean", "string", "null"],
                        "pattern": "^(true|false)?$",
                        "description": "Give them.",
                    }
                },
            }
        },
    },
}


def make(values: tuple[Value, ...]) -> Schema:
    """Return the whole schema."""
    root = _structure(values)
    root["properties"] |= {
        "global": {"type": "object", "description": "Helm: values of all charts; none is read."},
        "enabled": {
            "type": "boolean",
            "description": "For a chart that has this one as a dependency with a condition.",
        },
        **STALE,
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "kubenurse-otel",
        "description": "Made from values.yaml by `python -m tests.chart.generate --write`.",
        **root,
        "if": {
            "properties": {
                "nameOverride": {"enum": ["", "kubenurse", None]},
                "daemonset": {"properties": {"podLabels": {"maxProperties": 0}}},
            },
        },
        "then": {"properties": {"neighbour_filter": {"pattern": OWN_FILTER}}},
    }


def _structure(values: tuple[Value, ...]) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {value.path[-1]: _one(value) for value in values},
    }


def _one(value: Value) -> Schema:
    schema: Schema = _structure(value.parts) if value.is_structure else _inlined(value.schema)
    if "enum" not in schema:
        schema = {"type": _json_type(value.default), **schema}
    items = schema.get("items")
    if isinstance(items, dict):
        items.setdefault("description", f"One of {value.path[-1]}.")
    if value.is_kubenurse:
        schema = _as_kubenurse(schema)
    return {"description": value.description} | schema


def _json_type(default: object) -> str:
    for kind, name in (
        (bool, "boolean"),
        (int, "integer"),
        (float, "number"),
        (str, "string"),
        (list, "array"),
        (dict, "object"),
    ):
        if isinstance(default, kind):
            return name
    raise TypeError(f"a default of {type(default).__name__} tells no type")


def _as_kubenurse(schema: Schema) -> Schema:
    """Also null; of a map also []; of a boolean also its word, which kubenurse's chart takes."""
    kinds = schema.get("type")
    if not isinstance(kinds, str):
        return schema
    if kinds == "object":
        return schema | {"type": ["object", "array", "null"], "maxItems": 0}
    if kinds == "boolean":
        return schema | {"type": ["boolean", "string", "null"], "pattern": "^(true|false)?$"}
    return schema | {"type": [kinds, "null"]}


def _inlined(schema: Schema) -> Schema:
    """Return the schema with each $ref replaced by what it refers to."""
    schema = copy.deepcopy(schema)
    if "$ref" in schema:
        name = schema.pop("$ref").rpartition("/")[2]
        definition = copy.deepcopy(DEFINITIONS[name])
        return {"description": _ITEMS[name]} | definition if name in _ITEMS else definition
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            schema[key] = _inlined(schema[key])
    return schema
