"""`kubernetes` without its 300 modules: configuration, credentials and connection alone.

`import kubernetes` costs an agent 16.7 MiB (a third of its memory: every client, dynamic clients,
oauthlib, pydantic); these three modules cost 1.6. Measured in docs/scale.md.
"""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Final

PACKAGES: Final = (
    "kubernetes",
    "kubernetes.client",
    "kubernetes.config",
    "kubernetes.utils",
)
MODULES: Final = (
    "kubernetes.client.configuration",
    "kubernetes.client.rest",
    "kubernetes.config.incluster_config",
)


@cache
def load() -> dict[str, Any]:
    """Return MODULES by name, imported past the packages' own __init__ where that can be done.

    Once: as sys.modules does not keep them, each time would make them anew (70 KiB in rings).
    Leaves nothing half-made in sys.modules: a later `import kubernetes` gets the real one. A
    version of the package that is laid out otherwise is imported in full.
    """
    if "kubernetes" not in sys.modules:
        try:
            return _load_past_packages()
        except (ImportError, AttributeError, OSError):
            pass  # Laid out otherwise: as everybody imports it.
    return {name: import_module(name) for name in MODULES}


def _load_past_packages() -> dict[str, Any]:
    spec = find_spec("kubernetes")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("kubernetes")
    root = Path(spec.submodule_search_locations[0])
    try:
        for name in PACKAGES:
            bare = ModuleType(name)
            bare.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
            sys.modules[name] = bare
        configuration = import_module("kubernetes.client.configuration")
        # What incluster_config asks of its package.
        sys.modules["kubernetes.client"].Configuration = configuration.Configuration  # type: ignore[attr-defined]
        return {name: import_module(name) for name in MODULES}
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "kubernetes"]:
            del sys.modules[name]
