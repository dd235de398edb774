"""Whole agents as processes: what they tell each other, and whom they name."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import yaml
from agents import Agent, environment, inherited, running, wait_for
from ports import free_port
from servers import FaultServer, answer

from kubenurse_otel.diagnosis import wire
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import Said, View

NODES = {f"node-{letter}": f"127.0.1.{number}" for number, letter in enumerate("abcde", start=1)}
KILLED = "node-e"
VIEW = "KUBENURSE-VIEW"
ENDPOINTS = ("/api/v1/verdicts", "/api/v1/view")


def environs(folder: Path, nodes: dict[str, str], **more: str) -> list[dict[str, str]]:
    """Of agents that know each other by a file."""
    file, port = folder / "neighbours.yaml", free_port()
    listed = [
        {"podName": f"kubenurse-{node}", "nodeName": node, "podIP": address}
        for node, address in nodes.items()
    ]
    file.write_text(yaml.safe_dump(listed))
    more |= {"KUBENURSE_NEIGHBOURS_FILE": str(file), "KUBENURSE_CHECK_TIMEOUT": "1s"}
    return [environment(address, node, port, **more) for node, address in nodes.items()]


def verdicts(agent: Agent) -> dict[str, Any]:
    found: dict[str, Any] = agent.document("/api/v1/verdicts").json()
    return found


def named(agent: Agent) -> list[dict[str, Any]]:
    """Who stands accused; not agents that are short of CPU, as a busy machine makes them."""
    found: list[dict[str, Any]] = verdicts(agent)["verdicts"]
    return [one for one in found if one["kind"] != "prober"]


def hears(agent: Agent, count: int) -> bool:
    fresh: int = verdicts(agent)["views"]["fresh"]
    return fresh == count


def diagnose(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubenurse_otel", "diagnose", *words],
        env=inherited(),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=Path(__file__).parents[2],
        check=False,
    )


def test_agents_name_one_that_was_killed(tmp_path: Path) -> None:
    """Four name its agent, by what they see and hear, everywhere where a verdict is told."""
    with running(environs(tmp_path, NODES), tmp_path) as agents:
        *others, killed = agents
        for agent in agents:
            wait_for(lambda: hears(agent, 4), seconds=20, what="views of all neighbours")  # noqa: B023 - called at once
        assert [] == named(others[0])
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(10)
        for agent in others:
            found = wait_for(
                lambda: named(agent),  # noqa: B023 - called at once
                seconds=60,
                what="a verdict",
            )
            assert [("agent", KILLED, "refused")] == [
                (one["kind"], one["culprit"], one["cause"]) for one in found
            ]
            assert found[0]["confidence"] >= 0.9
        first = others[0]
        labels = f'kind="agent",culprit="{KILLED}",direction="",cause="refused"'
        wait_for(
            lambda: first.metrics().get(f"kubenurse_verdict{{{labels}}}") == 1,
            seconds=10,
            what="the gauge",
        )
        view = first.document("/api/v1/view").json()
        assert view["neighbours"][KILLED]["symptom"] == "refused"
        assert view["neighbours"]["node-b"] == {"symptom": "ok", "run": 1, "lossy": False} | {
            "run": view["neighbours"]["node-b"]["run"]
        }
        told = [line for line in first.log().splitlines() if "verdict: " in line]
        raised = [line for line in told if "kind=prober" not in line]
        assert 1 == len(raised)
        assert f"culprit={KILLED}" in raised[0]


def test_who_is_no_agent_is_told_nothing(tmp_path: Path) -> None:
    """A view leaves in answers to known agents alone: a stranger gets kubenurse's answer."""
    two = dict(list(NODES.items())[:2])
    with running(environs(tmp_path, two), tmp_path) as agents:
        first, second = agents
        for agent in agents:
            wait_for(lambda: hears(agent, 1), seconds=20, what="the other one's view")  # noqa: B023 - called at once
        stranger = first.get("/alwayshappy")
        assert 200 == stranger.status
        assert VIEW not in stranger.headers
        origin = {"KUBENURSE-NEIGHBOUR-ORIGIN": "kubenurse-node-b"}
        assert VIEW in first.get("/alwayshappy", origin).headers
        by_name = origin | {"Host": "kubenurse.example.com"}
        assert VIEW not in first.get("/alwayshappy", by_name).headers
        assert 0 == second.metrics()["kubenurse_invalid_views_total"]


def test_without_diagnosis_nothing_is_told_and_nothing_is_new(tmp_path: Path) -> None:
    """KUBENURSE_DIAGNOSIS=false: no header, no series, no endpoint; others get on with it."""
    two = dict(list(NODES.items())[:2])
    settings = environs(tmp_path, two)
    settings[0] |= {"KUBENURSE_DIAGNOSIS": "false"}
    with running(settings, tmp_path) as agents:
        silent, other = agents
        wait_for(lambda: "ok" in str(other.alive()), seconds=20, what="a check")
        origin = {"KUBENURSE-NEIGHBOUR-ORIGIN": "kubenurse-node-b"}
        assert VIEW not in silent.get("/alwayshappy", origin).headers
        assert [404, 404] == [silent.get(path).status for path in ENDPOINTS]
        told = silent.document("/metrics").body.decode()
        new = ("kubenurse_verdict", "kubenurse_suspicions", "kubenurse_doubt", "kubenurse_views")
        assert [] == [name for name in (*new, "kubenurse_invalid_views_total") if name in told]
        wait_for(lambda: verdicts(other)["judged_at"], seconds=20, what="a judgement")
        assert {"fresh": 0, "stale": 0} == verdicts(other)["views"]


def test_two_liars_name_nobody(tmp_path: Path) -> None:
    """What neighbours say of a node that we find well is no verdict; what is no view is counted."""
    lie = wire.encode(View(node="", targets={"node-b": Said(Symptom.SILENT, 9)}))
    says = {"node-b": "<script>alert(1)</script>", "node-c": lie, "node-d": lie}
    settings, *others = environs(tmp_path, dict(list(NODES.items())[:4]))
    port = int(settings["KUBENURSE_PORT"])
    with ExitStack() as stack:
        for environ in others:
            node, address = environ["KUBENURSE_NODE_NAME"], environ["KUBENURSE_LISTEN_ADDRESS"]
            headers = [("KUBENURSE-NODE-NAME", node), (VIEW, says[node])]
            stack.enter_context(FaultServer(answer(headers=headers), host=address, port=port))
        (agent,) = stack.enter_context(running([settings], tmp_path))
        wait_for(lambda: hears(agent, 2), seconds=20, what="both lies")
        wait_for(
            lambda: agent.metrics()["kubenurse_invalid_views_total"] >= 8,
            seconds=30,
            what="eight checks of each",
        )
        told = verdicts(agent)
        assert ([], []) == (named(agent), told["suspicions"])
        assert "culprit=node-b" not in agent.log()
