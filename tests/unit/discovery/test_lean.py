"""kubenurse_otel.discovery.lean: few modules, and no harm to who imports the package later."""

from __future__ import annotations

import subprocess
import sys

import pytest

LEAN = "from kubenurse_otel.discovery import lean; import sys; modules = lean.load();"


@pytest.mark.parametrize(
    "code",
    [
        # Few modules, nothing half-made left behind, and the classes work.
        LEAN + "assert not [n for n in sys.modules if n.startswith(('kubernetes.', 'pydantic'))]",
        LEAN + "modules['kubernetes.client.configuration'].Configuration()",
        # Once: a watch that breaks off asks for them again, every few seconds on a bad day.
        LEAN + "again = lean.load(); assert all(again[name] is modules[name] for name in modules)",
        LEAN + "import kubernetes; kubernetes.client.CoreV1Api; kubernetes.config.load_kube_config",
        # Whoever has the package already shares it.
        "import kubernetes;" + LEAN + "assert sys.modules['kubernetes'] is kubernetes;"
        "assert modules['kubernetes.client.rest'] is kubernetes.client.rest",
        # Another layout, as far as it can be played: what incluster_config asks for is elsewhere.
        "import kubenurse_otel.discovery.lean as lean\n"
        "import sys\n"
        "lean.PACKAGES = ('kubernetes.client',)\n"
        "assert lean.load()['kubernetes.client.rest'].RESTClientObject\n",
        "import kubenurse_otel.discovery.lean as lean\n"
        "lean.find_spec = lambda name: None\n"
        "assert lean.load()['kubernetes.client.rest'].RESTClientObject",
    ],
)
def test_load(code: str) -> None:
    """The three modules are there, whatever else was imported before or is after."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (0, b"") == (done.returncode, done.stderr)
