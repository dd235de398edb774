"""Step one process's CLOCK_REALTIME while it runs, without touching the machine's clock.

Owns the library (clock_step.c, for LD_PRELOAD) and its way into a pod. The kernel's time stamps
move with the clock, as they do after a real step; libfaketime leaves them where they were.
"""

from __future__ import annotations

import argparse
import base64
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from e2e.cluster.errors import ClusterError

_SOURCE: Final = Path(__file__).with_name("clock_step.c")
_NAME: Final = "clock_step.so"
_MEMFD: Final = "/memfd:clock-step"
_STEP: Final = struct.Struct("=q")
_NS: Final = 1_000_000_000
_MOUNT: Final = "/clock-step"
CONFIG_MAP: Final = "clock-step"


def library(folder: Path) -> Path:
    """Build it into ``folder`` and return its path. Needs gcc. Raises ClusterError."""
    built = folder / _NAME
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    try:
        done = subprocess.run(
            [*command, "-o", str(built), str(_SOURCE), "-ldl"],
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError("gcc is missing: apt-get install gcc libc6-dev") from None
    if done.returncode:
        raise ClusterError(f"{_SOURCE.name}: {done.stderr}")
    return built


def environment(built: Path) -> dict[str, str]:
    """What a process is started with so that its clock can be stepped."""
    return {"LD_PRELOAD": str(built)}


def step(pid: int, seconds: float) -> None:
    """Set how far the clock of ``pid`` (as seen from outside) is from the machine's: 0 heals.

    Raises ClusterError for a process without the library.
    """
    with _page(pid).open("r+b") as page:
        page.write(_STEP.pack(round(seconds * _NS)))


def stepped_seconds(pid: int) -> float:
    """How far it is now. Raises ClusterError."""
    return float(_STEP.unpack(_page(pid).read_bytes())[0]) / _NS


def _page(pid: int) -> Path:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        if str(descriptor.readlink()).startswith(_MEMFD):
            return descriptor
    raise ClusterError(f"process {pid} was started without {_NAME}")


# --- in a pod -------------------------------------------------------------------------------------


def config_map(built: Path, namespace: str) -> dict[str, Any]:
    """The library as an object of the API, which a pod under restricted Pod Security may mount."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": CONFIG_MAP, "namespace": namespace},
        "binaryData": {_NAME: base64.b64encode(built.read_bytes()).decode()},
    }


def pod_patch(container: str) -> dict[str, Any]:
    """A strategic merge patch of a DaemonSet, so that ``container`` starts with the library."""
    return {
        "spec": {
            "template": {
                "spec": {
                    "volumes": [{"name": CONFIG_MAP, "configMap": {"name": CONFIG_MAP}}],
                    "containers": [
                        {
                            "name": container,
                            "env": [{"name": "LD_PRELOAD", "value": f"{_MOUNT}/{_NAME}"}],
                            "volumeMounts": [
                                {"name": CONFIG_MAP, "mountPath": _MOUNT, "readOnly": True}
                            ],
                        }
                    ],
                }
            }
        }
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pid", type=int)
    parser.add_argument("seconds", type=float, nargs="?", help="without it: how far it is now")
    asked = parser.parse_args()
    if asked.seconds is not None:
        step(asked.pid, asked.seconds)
    sys.stdout.write(json.dumps({"stepped_seconds": stepped_seconds(asked.pid)}) + "\n")


if __name__ == "__main__":
    main()
