"""Credentials of an API server: what a kubeconfig runs may hang, and holds nobody up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
import yaml
from waiting import until

from kubenurse_otel.config import Config, DiscoveryConfig
from kubenurse_otel.discovery.api import ApiError, ApiServer, Problem

if TYPE_CHECKING:
    from pathlib import Path

HANGS = """#!/bin/sh
echo $$ >> {pids}
exec sleep 1000
"""


def kubeconfig(folder: Path, script: str) -> Path:
    plugin = folder / "plugin"
    plugin.write_text(script)
    plugin.chmod(0o700)
    file = folder / "kubeconfig"
    file.write_text(
        yaml.safe_dump(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:1"}}],
                "users": [
                    {
                        "name": "x",
                        "user": {
                            "exec": {
                                "apiVersion": "client.authentication.k8s.io/v1",
                                "command": str(plugin),
                            }
                        },
                    }
                ],
            }
        )
    )
    return file


async def test_a_plugin_that_hangs_is_asked_once_and_holds_nobody_up(tmp_path: Path) -> None:
    """Each question ends with a sentence, the plugin runs once, and closing waits for nothing."""
    pids = tmp_path / "pids"
    file = kubeconfig(tmp_path, HANGS.format(pids=pids))
    server = ApiServer(Config(discovery=DiscoveryConfig(kubeconfig=str(file))), plugin_seconds=0.5)
    try:
        for _ in range(3):
            with pytest.raises(ApiError, match=r"has not answered within 0\.5 s") as refused:
                server.get("/api", {}, asked="list pods", read_seconds=1, max_bytes=1_000)
            assert refused.value.problem is Problem.UNAUTHORIZED
        await until(lambda: pids.exists() and pids.read_text().endswith("\n"), seconds=60)
        waiting = threading.Thread(target=server.close)
        waiting.start()
        waiting.join(5)
        assert not waiting.is_alive()
    finally:
        (pid,) = pids.read_text().split()
        os.kill(int(pid), signal.SIGKILL)
    await until(
        lambda: "kubeconfig" not in {thread.name for thread in threading.enumerate()}, seconds=30
    )


def test_a_kubeconfig_without_end_is_refused() -> None:
    """Nothing of it is read, and it is named."""
    server = ApiServer(Config(discovery=DiscoveryConfig(kubeconfig="/dev/zero")))
    started = time.monotonic()
    with pytest.raises(ApiError, match="cannot be asked: /dev/zero: is no regular file"):
        server.get("/api", {}, asked="list pods", read_seconds=1, max_bytes=1_000)
    assert time.monotonic() - started < 15


def test_in_a_cluster_the_package_kubernetes_is_not_imported(tmp_path: Path) -> None:
    """It would cost 17 MiB, and a way for the token that is not ours."""
    (tmp_path / "token").write_text("secret")
    (tmp_path / "ca.crt").write_text("here")
    code = f"""
import sys
from pathlib import Path
from kubenurse_otel.config import ChecksConfig, Config, TrustConfig
from kubenurse_otel.discovery.api import ApiServer
folder = Path({str(tmp_path)!r})
trust = TrustConfig(token_file=folder / "token", ca_file=folder / "ca.crt")
checks = ChecksConfig(api_server_host="fd00::1", api_server_port=6443)
access, headers = ApiServer(Config(checks=checks, trust=trust))._reach()
assert access.host == "https://[fd00::1]:6443"
assert headers == {{"authorization": "Bearer secret"}}
assert "kubernetes" not in {{name.partition(".")[0] for name in sys.modules}}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (0, b"") == (done.returncode, done.stderr)
