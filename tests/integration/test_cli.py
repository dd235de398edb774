"""The command line, as a person uses it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from agents import inherited
from servers import FaultServer, answer

Serve = Callable[..., FaultServer]


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kubenurse_otel", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=inherited() | {"PYTHONIOENCODING": "utf-8"} | environ,
    )


def test_version_and_help_tell_what_there_is() -> None:
    """For a person at a terminal."""
    assert command("--version").stdout.startswith("kubenurse-otel ")
    usage = command("--help").stdout
    for word in ("run", "check", "config", "demo", "docs/configuration.md", "exit codes"):
        assert word in usage


def test_check_draws_where_the_time_went(serve: Serve) -> None:
    """Exit 0, the slow far end named."""
    server = serve(answer(delay_seconds=0.08))
    done = command("check", server.url())
    assert done.returncode == 0, done.stderr
    assert f"{server.url()} 200 in 8" in done.stdout
    for word in ("connect", "far end", "network", "own delay"):
        assert word in done.stdout


def test_check_as_json_is_an_object_a_line(serve: Serve) -> None:
    """For scripts; the order is that of the arguments."""
    good, bad = serve(answer()), serve(answer(503))
    done = command("check", "--json", good.url(), bad.url())
    assert done.returncode == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["url"], first["outcome"]) == (good.url(), "ok")
    assert first["measurement"]["timing_source"] == "kernel"
    assert second["failure"]["error_type"] == "http_status"


def test_check_takes_the_status_that_is_expected(serve: Serve) -> None:
    """A redirect may be what a front door should answer."""
    server = serve(answer(302))
    assert command("check", "--expect", "200-399", server.url()).returncode == 0


def test_a_check_that_gets_no_answer_fails_with_a_sentence(closed_port: int) -> None:
    """What failed, where, what to look at; no traceback."""
    done = command("check", f"http://127.0.0.1:{closed_port}/?token=secret")
    assert done.returncode == 1
    assert "connection_refused" in done.stdout
    assert "secret" not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("check",),
        ("check", "ftp://x"),
        ("check", "--timeout", "0", "http://x"),
        ("check", "--timeout", "soon", "http://x"),
        ("check", "--expect", "20", "http://x"),
        ("check", "--expect", "a-b", "http://x"),
        ("check", "--expect", "300-200", "http://x"),
        ("nonsense",),
    ],
)
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...]) -> None:
    """With what is wrong, before anything is sent."""
    done = command(*arguments)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_config_shows_each_value_and_its_source_and_masks_secrets() -> None:
    """What the agent would run with."""
    done = command(
        "config",
        KUBENURSE_CHECK_INTERVAL="7s",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://collector:4318",
        OTEL_EXPORTER_OTLP_HEADERS="authorization=Bearer%20abcdef",
    )
    assert done.returncode == 0
    interval = next(ln for ln in done.stdout.splitlines() if "KUBENURSE_CHECK_INTERVAL " in ln)
    assert "7s" in interval
    assert "environment" in interval
    assert "abcdef" not in done.stdout
    assert "default" in done.stdout


def test_a_bad_configuration_is_exit_2_for_every_command(serve: Serve) -> None:
    """Also for a one-off check, which trusts what the configuration says."""
    for arguments in (("config",), ("run",), ("check", serve(answer()).url())):
        done = command(*arguments, KUBENURSE_CHECK_TIMEOUT="never")
        assert done.returncode == 2
        assert "KUBENURSE_CHECK_TIMEOUT" in done.stderr
