"""An API server's stand-in (tests/apiserver) with so many DaemonSet pods, in a process of its own.

``python -m bench.pods DIRECTORY COUNT`` writes ca.crt and token there, says its port and serves
until it is terminated. The pods' addresses are loopback's, where bench.scale puts far ends.
"""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path

from bench.network import ROOT

sys.path.insert(0, str(ROOT / "tests"))

OWN_POD = "kubenurse-100000"


def main() -> None:
    daemonset = importlib.import_module("apiserver.daemonset")
    objects = importlib.import_module("apiserver.objects")
    stand_in = importlib.import_module("apiserver.stand_in").stand_in

    directory, count = Path(sys.argv[1]), int(sys.argv[2])
    with stand_in(directory) as server:
        for number in range(count):
            pod = daemonset.new_pod(number, 1)
            pod["metadata"]["name"] = daemonset.pod_name(number, 1)
            pod["spec"]["nodeName"] = daemonset.node_name(number)
            status = daemonset.status(number, "ready")["status"]
            ip = f"127.{1 + number // 65536}.{number // 256 % 256}.{number % 256 or 1}"
            pod["status"] = status | {"podIP": ip, "podIPs": [{"ip": ip}]}
            server.put(pod, objects.node(daemonset.node_name(number)))
        server.log.clear()
        (directory / "namespace").write_text(objects.NAMESPACE)
        print(server.port, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
