"""The image as it was built: what is in it, and the agent in it as a restricted pod runs it."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from agents import wait_for
from apiserver import objects
from apiserver.stand_in import stand_in
from ports import free_port

from image import building, container

ADDRESS = "127.0.7.1"
ENTRY_POINT = "/usr/local/bin/kubenurse-otel"
MEBIBYTE = 2**20
STARTUP_PROBE_SECONDS = 2 * 60
"""periodSeconds * failureThreshold of the chart."""
SERVICE_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"


@dataclass
class Target:
    """A server that every check of the agent goes to; it notes when the first one came."""

    url: str
    first: list[float] = field(default_factory=list)


@contextmanager
def target() -> Iterator[Target]:
    found = Target("")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.first.append(time.monotonic())
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


@dataclass
class Agent:
    container: container.Container
    url: str
    target: Target

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def wait_for_first_check(self, seconds: float) -> float:
        wait_for(lambda: self.target.first, seconds=seconds, what=f"a check\n{self.container.log}")
        return self.target.first[0] - self.container.started


@contextmanager
def agent(root: Path, folder: Path, **limits: Any) -> Iterator[Agent]:
    """The agent in a container: an API server, 12 targets, OTLP to a dead collector."""
    with ExitStack() as stack:
        port = free_port()
        api_server = stack.enter_context(stand_in(folder))
        # The neighbour's agent is the agent itself: a wrong peer, which nothing here is about.
        api_server.put(*(objects.node(name) for name in ("node-a", "node-b")))
        api_server.put(*(objects.pod(name, ADDRESS) for name in ("node-a", "node-b")))
        one_target = stack.enter_context(target())
        account = folder / "serviceaccount"
        account.mkdir()
        (account / "ca.crt").write_bytes(api_server.ca_file.read_bytes())
        (account / "token").write_text("good")
        (account / "namespace").write_text("kube-system")
        (root / SERVICE_ACCOUNT[1:]).mkdir(parents=True, exist_ok=True)
        extra = "|".join(f"extra_{n}:{one_target.url}/{n}" for n in range(9))
        environ = image_environment(root) | {
            "KUBENURSE_LISTEN_ADDRESS": ADDRESS,
            "KUBENURSE_PORT": str(port),
            "KUBENURSE_NODE_NAME": "node-a",
            "KUBENURSE_POD_NAME": "kubenurse-node-a",
            "KUBENURSE_SERVICE_URL": one_target.url,
            "KUBENURSE_EXTRA_CHECKS": extra,
            "KUBENURSE_CHECK_API_SERVER_DNS": "false",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(api_server.port),
            "KUBENURSE_SHUTDOWN_DURATION": "1s",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        }
        running = stack.enter_context(
            container.running(
                root,
                folder,
                [ENTRY_POINT],
                environ,
                binds={SERVICE_ACCOUNT: account},
                **limits,
            )
        )
        yield Agent(running, f"http://{ADDRESS}:{port}", one_target)


def image_environment(root: Path) -> dict[str, str]:
    """What the image's configuration sets, as a container runtime takes it over."""
    configuration = json.loads(building.buildah("inspect", "localhost/kubenurse-otel:test"))
    pairs = configuration["OCIv1"]["config"].get("Env", [])
    standard = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {"PATH": standard} | dict(pair.split("=", 1) for pair in pairs)


def test_the_agent_serves_and_checks(root: Path, tmp_path: Path) -> None:
    """Read-only, any uid, no capability: endpoints answer, checks run, SIGTERM ends it with 0."""
    with agent(root, tmp_path) as one:
        first = one.wait_for_first_check(20)
        for path in ("/ready", "/alwayshappy", "/metrics"):
            assert one.get(path)[0] == 200, one.container.log
        # The stand-in does not know /version; that it answers means that its certificate is good.
        answered = r'requests_total{type="api_server_direct",code="404"'
        done = wait_for(
            lambda: re.search(answered, page := one.get("/metrics")[1]) and page,
            seconds=15,
            what=f"an answer of the API server over TLS\n{one.container.log}",
        )
        assert "neighbourhood: ok" in one.container.log
        assert json.loads(one.get("/alive")[1])["details"]
        assert re.search(r'kubenurse_checks_timed_total\{type="[^"]+",source="kernel"', done)
        status = one.container.execute("python3", "-c", STATUS)
        assert status.returncode == 0, status.stderr
        told = json.loads(status.stdout)
        assert told["uid"] == container.UID
        assert told["capabilities"] == ["0000000000000000"]
        assert told["writable"] == []
        checked = one.container.execute("kubenurse-otel", "check", f"{one.url}/alwayshappy")
        assert checked.returncode == 0, checked.stderr
        assert "200" in checked.stdout
        record("first_check_seconds", first)
        record("resident_mebibytes", resident(done))
        subprocess.run(["runc", "kill", one.container.name, "TERM"], check=True, timeout=10)
        wait_for(lambda: one.container.state() == "stopped", seconds=15, what="its end")
        assert "Traceback" not in one.container.log


STATUS = """
import json, os
lines = open("/proc/1/status").read().splitlines()
own = {line.split()[1] for line in lines if line.startswith("Cap") and "Amb" not in line}
def can_write(folder):
    try:
        os.close(os.open(folder + "/written", os.O_CREAT | os.O_WRONLY))
    except OSError:
        return False
    return True
folders = ["/", "/tmp", "/var/tmp", "/opt/kubenurse-otel", "/root", "/run"]
print(json.dumps({
    "uid": os.stat("/proc/1").st_uid,
    "capabilities": sorted(own),
    "writable": [folder for folder in folders if can_write(folder)],
}))
"""


def resident(metrics: str) -> float:
    found = re.search(r"^process_resident_memory_bytes (\S+)$", metrics, re.MULTILINE)
    assert found
    return float(found[1]) / MEBIBYTE


def test_it_starts_within_50m_cpu_and_64_mebibytes(root: Path, tmp_path: Path) -> None:
    """Throttled to a twentieth of a core it is up within the startup probe, and never killed."""
    with agent(root, tmp_path, cpus=0.05, memory_bytes=64 * MEBIBYTE) as one:

        def probed() -> bool:
            assert one.container.state() == "running", one.container.log
            return one.get("/alwayshappy")[0] == 200

        wait_for(probed, seconds=STARTUP_PROBE_SECONDS, what="the startup probe")
        up = time.monotonic() - one.container.started
        first = one.wait_for_first_check(STARTUP_PROBE_SECONDS)
        wait_for(
            lambda: len(one.target.first) > 20, seconds=STARTUP_PROBE_SECONDS, what="20 checks"
        )
        assert one.container.state() == "running"
        assert "under_oom 0" in one.container.memory("memory.oom_control")
        assert "oom_kill 0" in one.container.memory("memory.oom_control")
        record("throttled_up_seconds", up)
        record("throttled_first_check_seconds", first)
        peak = int(one.container.memory("memory.max_usage_in_bytes")) / MEBIBYTE
        record("throttled_peak_mebibytes", peak)
        record("throttled", one.container.cpu("cpu.stat").replace("\n", " "))


def test_bad_configuration_is_said_with_exit_code_2(root: Path, tmp_path: Path) -> None:
    """The message is in the log and the container ends."""
    environ = image_environment(root) | {"KUBENURSE_PORT": "none"}
    with container.running(root, tmp_path, [ENTRY_POINT], environ) as one:
        wait_for(lambda: one.state() == "stopped", seconds=20, what="its end")
        assert "KUBENURSE_PORT: got 'none'" in one.log


def test_the_pods_environment_brings_no_code_into_it(root: Path, tmp_path: Path) -> None:
    """Neither by PYTHONPATH, which injectors set, nor by PATH, PYTHONHOME and the like."""
    injected = "/otel-auto-instrumentation-python"
    folder = tmp_path / "injected"
    (folder / "kubenurse_otel").mkdir(parents=True)
    for name in ("sitecustomize.py", "kubenurse_otel/__init__.py", "opentelemetry.py"):
        (folder / name).write_text("raise SystemExit('injected')\n")
    environ = image_environment(root) | {
        "PYTHONPATH": f"{injected}/opentelemetry:{injected}",
        "PYTHONHOME": injected,
        "PYTHONSTARTUP": f"{injected}/sitecustomize.py",
        "PYTHONPLATLIBDIR": "nowhere",
        "PYTHONWARNINGS": "error",
        "PATH": injected,
        "KUBENURSE_NODE_NAME": "node-a",
    }
    (root / injected[1:]).mkdir(exist_ok=True)
    command = [ENTRY_POINT, "config"]
    with container.running(root, tmp_path, command, environ, binds={injected: folder}) as one:
        wait_for(lambda: one.state() == "stopped", seconds=20, what="its end")
        assert re.search(r"KUBENURSE_NODE_NAME +node-a", one.log), one.log
        assert "injected" not in one.log
        assert "Traceback" not in one.log


def test_nothing_that_builds_is_in_it(root: Path) -> None:
    """No compiler and no pip; what the agent does without is left out; every file can be read."""
    for name in ("pip", "pip3", "gcc", "cc", "make"):
        assert not [
            folder for folder in ("usr/bin", "usr/local/bin") if (root / folder / name).exists()
        ], name
    ours = root / "opt" / "kubenurse-otel"
    assert not (ours / "kubernetes" / "aio").exists()
    assert not list(ours.glob("aiohttp*"))
    unreadable = [
        path
        for path in ours.rglob("*")
        if not path.stat().st_mode & (0o005 if path.is_dir() else 0o004)
    ]
    assert not unreadable
    missing = [
        path
        for path in ours.rglob("*.py")
        if path.parts[-2] not in {"models", "api"}
        and not list((path.parent / "__pycache__").glob(f"{path.stem}.cpython-*.opt-2.pyc"))
    ]
    assert not missing
    certificates = root / "etc" / "ssl" / "certs" / "ca-certificates.crt"
    assert "BEGIN CERTIFICATE" in certificates.read_text()
    size = sum(path.lstat().st_size for path in ours.rglob("*") if path.is_file())
    record("our_mebibytes", size / MEBIBYTE)
    record("whole_mebibytes", disk_usage(root))


def test_nothing_in_it_changes_who_runs_it(root: Path) -> None:
    """No program of the base is setuid or setgid, and each is as it was but for that."""
    found = subprocess.run(
        ["find", str(root), "-xdev", "-type", "f", "-perm", "/6000"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == ""
    changed = root / "usr" / "bin" / "su"
    assert stat.S_IMODE(changed.stat().st_mode) == 0o755
    with building.mounted(building.RUNTIME) as base:
        assert (base / "usr/bin/su").read_bytes() == changed.read_bytes()
        assert (base / "usr/bin").stat().st_mode == changed.parent.stat().st_mode


def disk_usage(root: Path) -> float:
    done = subprocess.run(["du", "-sm", str(root)], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[0])


def test_its_labels_user_and_entry_point(image: str) -> None:
    """OCI labels are there, the user is a number that is not root, no shell starts the agent."""
    found = json.loads(building.buildah("inspect", image))["OCIv1"]["config"]
    labels = {key.removeprefix("org.opencontainers.image.") for key in found["Labels"]}
    assert {"title", "description", "licenses", "version", "revision", "source"} <= labels
    user, _, group = found["User"].partition(":")
    assert user.isdecimal()
    assert int(user) > 0
    assert int(group) > 0
    assert found["Entrypoint"] == [ENTRY_POINT]


EM_X86_64, EM_AARCH64 = 62, 183


def test_arm64_has_the_same_libraries_for_arm64(root: Path) -> None:
    """Built, not run: each shared library of ours is there for aarch64."""
    here = libraries(root)
    assert here
    assert set(here.values()) == {EM_X86_64}
    with building.mounted(building.build("arm64", architecture="arm64")) as other:
        there = libraries(other)
    assert there.keys() == here.keys()
    assert set(there.values()) == {EM_AARCH64}


def libraries(root: Path) -> dict[str, int]:
    """e_machine of each ELF header (elf.h), by the library's path without its architecture."""
    ours = root / "opt" / "kubenurse-otel"
    return {
        str(path.relative_to(ours)).partition(".")[0]: int.from_bytes(
            path.read_bytes()[18:20], "little"
        )
        for path in ours.rglob("*.so*")
    }


def record(name: str, value: float | str) -> None:
    """Keep a figure for docs/compatibility.md in the cache."""
    text = value if isinstance(value, str) else f"{value:.2f}"
    with (building.storage() / "figures.txt").open("a") as file:
        file.write(f"{name} {text}\n")
