from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from ports import free_port

from kubenurse_otel.demo import main, view
from kubenurse_otel.demo.agents import DemoError
from kubenurse_otel.demo.cluster import Cluster
from kubenurse_otel.demo.patience import Patience
from kubenurse_otel.demo.play import until_up

ENVIRON = {"PATH": os.environ["PATH"]}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the demo makes its temporary folder."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


def test_the_demo_breaks_three_things_sees_them_and_ends(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal and with --seconds: plain lines, a summary, exit 0, nothing left."""
    for seconds in ("33", "99", "200"):  # on a busy machine a scene may be too short
        code = main(["--seconds", seconds, "--port", str(free_port())])
        shown = capsys.readouterr().out
        if "the scene was too short" not in shown:
            break
    lines = shown.splitlines()

    assert code == 0
    assert any("The page, once the agents are up: http://127.0.1.1:" in line for line in lines[:2])
    assert "/alive" in shown
    assert "The same in words: kubenurse-otel diagnose --watch --all http://127.0.1.1:" in shown
    assert "/metrics" in shown
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in shown
    summary = lines[lines.index("What the agents concluded:") + 1 :]
    assert [line.split(":")[0].strip() for line in summary] == [
        "slow far end",
        "refused node",
        "expired certificate",
    ]
    assert all("named after" in line for line in summary)
    assert "The ingress is slow. Said by node-" in summary[0]
    assert "The agent on node node-4 refuses connections" in summary[1]
    assert "The ingress shows a certificate that is not to be trusted" in summary[2]
    assert left_in(folder) == []


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in listed.split()]


def is_gone(pid: int) -> bool:
    return not Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_leaves_no_process_and_no_file(
    folder: Path, number: signal.Signals, code: int
) -> None:
    """Ctrl-C, and a supervisor's SIGTERM, clean up everything."""
    # Where the tests run in a shell's background, SIGINT is ignored by all that they start.
    heeding = ("env", "--default-signal=INT")
    demo = subprocess.Popen(
        [*heeding, sys.executable, "-m", "kubenurse_otel", "demo", "--port", str(free_port())],
        stdout=subprocess.PIPE,
        text=True,
    )
    with demo:
        assert demo.stdout is not None
        while "All is well" not in (line := demo.stdout.readline()):
            assert line, "the demo ended by itself"
        started = children(demo.pid)
        assert len(started) == 6
        demo.send_signal(number)
        demo.communicate(timeout=30)

    assert demo.returncode == code
    assert all(is_gone(pid) for pid in started)
    assert left_in(folder) == []


async def test_an_agent_that_dies_is_told_and_the_rest_is_cleaned_up(folder: Path) -> None:
    """The demo does not go on with four agents in silence."""
    async with Cluster(port=free_port(), environ=ENVIRON) as cluster:
        await until_up(cluster, patience=Patience(60.0))
        rows = view.rows(await cluster.poll())
        often = [row for row in rows if row.type != "full_size"]
        assert (len(often), len(rows)) == (5 * 8, 5 * (8 + 4))
        assert {row.outcome for row in often} == {"ok"}
        processes = children(os.getpid())
        victim = cluster._processes["node-3"]
        victim.kill()
        await victim.wait()
        with pytest.raises(DemoError, match="node-3 died with exit code -9"):
            cluster.check_alive()

    deadline = time.monotonic() + 10
    while not all(is_gone(pid) for pid in processes if pid != os.getpid()):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
    assert left_in(folder) == []


async def test_an_agent_whose_port_is_taken_says_so(folder: Path) -> None:
    """What the agent printed last is what the person at the terminal reads."""
    port = free_port()
    with (
        socket.create_server(("127.0.1.2", port)),
        pytest.raises(DemoError, match=r"node-2 died with exit code 1[\s\S]*KUBENURSE_PORT"),
    ):
        async with Cluster(port=port, environ=ENVIRON) as cluster:
            await until_up(cluster, patience=Patience(60.0))

    assert left_in(folder) == []


async def test_stand_ins_that_cannot_start_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their last words are in the message, and nothing is left."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(DemoError, match="stand-ins did not start"):
        async with Cluster(port=free_port(), environ=ENVIRON):
            pass

    assert left_in(folder) == []


async def test_stand_ins_that_died_are_told(folder: Path) -> None:
    """A command that nobody follows does not hang."""
    async with Cluster(port=free_port(), environ=ENVIRON) as cluster:
        far_ends = cluster._processes["stand-ins"]
        far_ends.kill()
        await far_ends.wait()
        with pytest.raises(DemoError, match="stand-ins died"):
            await cluster.set_ingress("delay 1")

    assert left_in(folder) == []


async def test_agents_of_which_nothing_moves_are_named(folder: Path) -> None:
    """Whoever waits for something that hangs gets a sentence, not an endless wait."""
    async with Cluster(port=free_port(), environ=ENVIRON) as cluster:
        with pytest.raises(DemoError, match=r"nothing moved for 0 s; node-1, .* did not answer"):
            await until_up(cluster, patience=Patience(0.0))

    assert left_in(folder) == []


def test_a_demo_that_cannot_start_exits_with_1_and_says_why(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A taken port is replaced and said; a failed start is one message."""
    port = free_port()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with socket.create_server(("127.0.1.5", port)):
        assert main(["--port", str(port)]) == 1
    shown = capsys.readouterr()

    assert f"Port {port} is taken; the agents listen on " in shown.out
    assert "kubenurse-otel demo: the stand-ins did not start" in shown.err
    assert left_in(folder) == []


def test_without_its_packages_the_demo_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The agent's image has no rich; the message is one line and not a stack."""
    for module in ("play", "screen"):
        monkeypatch.delitem(sys.modules, f"kubenurse_otel.demo.{module}", raising=False)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    assert main([]) == 1
    assert "pip install 'kubenurse-otel[demo]'" in capsys.readouterr().err
