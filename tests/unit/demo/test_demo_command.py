from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ports import free_port

from kubenurse_otel.demo import main
from kubenurse_otel.demo.agents import Agent, DemoError, agent_environment, choose_port


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--seconds", "0"], "no number of seconds"),
        (["--seconds", "soon"], "no number of seconds"),
        (["--seconds", "nan"], "no number of seconds"),
        (["--port", "80"], "no port from 1024"),
        (["--port", "x"], "no port from 1024"),
        (["--port", "65536"], "no port from 1024"),
        (["now"], "unrecognized arguments"),
    ],
)
def test_bad_arguments_are_refused(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Usage errors exit with 2 and say what was wrong."""
    with pytest.raises(SystemExit, match="2"):
        main(arguments)

    assert problem in capsys.readouterr().err


def test_help_tells_what_it_does_and_where_traces_go(capsys: pytest.CaptureFixture[str]) -> None:
    """A person finds the options and the variable without reading code."""
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out

    assert "--seconds" in shown
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in shown


def test_a_free_port_is_taken_as_it_is_and_a_taken_one_replaced() -> None:
    """One agent's address in use is enough to move all of them."""
    free = free_port()
    assert choose_port(free) == free
    with socket.create_server(("127.0.1.3", free)):
        chosen = choose_port(free)

    assert chosen != free


def test_a_machine_without_the_addresses_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be bound, the reason is said in one sentence."""

    def refuse(*_: object) -> socket.socket:
        raise OSError(99, "Cannot assign requested address")

    monkeypatch.setattr(socket, "create_server", refuse)

    with pytest.raises(DemoError, match=r"127\.0\.1\.5: Cannot assign requested address"):
        choose_port(18080)


PORTS = {"api_server": 6443, "ingress": 8443}
AGENT = Agent(2, 18080)


def test_an_agent_gets_a_pods_variables_and_the_users_telemetry() -> None:
    """OTEL_* and extra checks are passed on; what would point to a real cluster is not."""
    environ = agent_environment(
        AGENT,
        Path("/tmp/x"),
        PORTS,
        {
            "PATH": "/bin",
            "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
            "KUBENURSE_EXTRA_CHECKS": "a:http://example.com/",
            "KUBERNETES_SERVICE_HOST": "10.0.0.1",
            "KUBECONFIG": "/root/.kube/config",
        },
    )

    assert environ["PATH"] == "/bin"
    assert environ["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"
    assert environ["KUBENURSE_TRACE_RATIO"] == "1"
    assert environ["KUBERNETES_SERVICE_HOST"] == "127.0.0.1"
    assert environ["KUBENURSE_LISTEN_ADDRESS"] == "127.0.1.2"
    assert environ["KUBENURSE_NODE_NAME"] == "node-2"
    assert environ["KUBENURSE_EXTRA_CHECKS"] == "a:http://example.com/"
    assert "KUBECONFIG" not in environ


@pytest.mark.parametrize(
    ("given", "ratio"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "KUBENURSE_TRACE_RATIO": "0.5"}, "0.5"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_SAMPLER": "always_off"}, None),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://c"}, "1"),
    ],
)
def test_traces_are_all_sent_unless_the_user_says_otherwise(
    given: dict[str, str], ratio: str | None
) -> None:
    """Who names a collector sees every check at once."""
    environ = agent_environment(AGENT, Path("/tmp/x"), PORTS, given)

    assert environ.get("KUBENURSE_TRACE_RATIO") == ratio
