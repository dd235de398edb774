"""The command line, as a person uses it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from agents import inherited
from hypothesis import given
from hypothesis import strategies as st
from servers import FaultServer, answer

from kubenurse_otel import usage

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
    for word in (
        "run",
        "check",
        "diagnose",
        "config",
        "demo",
        "docs/configuration.md",
        "exit codes",
    ):
        assert word in usage


def test_check_draws_where_the_time_went(serve: Serve) -> None:
    """Exit 0, the slow far end named."""
    server = serve(answer(delay_seconds=0.08))
    done = command("check", server.url())
    assert done.returncode == 0, done.stderr
    assert f"{server.url()} 200 in " in done.stdout
    ((far_end, unit),) = re.findall(r"far end +█+ +([\d.]+) (m?s)\n", done.stdout)
    assert float(far_end) * {"ms": 1, "s": 1000}[unit] >= 80
    for word in ("connect", "far end", "network", "own delay"):
        assert word in done.stdout


def test_check_as_json_is_an_object_a_line(serve: Serve) -> None:
    """For scripts; the order is that of the arguments."""
    good, bad = serve(answer()), serve(answer(503))
    done = command("check", "--json", good.url(), bad.url())
    assert done.returncode == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert (first["url"], first["outcome"]) == (good.url(), "ok")
    assert first["timing_source"] == "kernel"
    assert second["error_type"] == "http_status"


def test_check_takes_every_kind_with_its_options(serve: Serve, closed_port: int) -> None:
    """As KUBENURSE_EXTRA_CHECKS has them; what a URL says itself wins over --expect."""
    server = serve(answer(302))
    done = command(
        "check",
        "--expect=200",
        f"tcp://127.0.0.1:{server.port}",
        f"{server.origin}/;expect=3xx;method=HEAD",
        f"dns://127.0.0.1:{closed_port}/a.test;timeout=2s",
    )
    assert done.returncode == 1
    assert f"tcp://127.0.0.1:{server.port} connected in " in done.stdout
    assert f"{server.origin}/ 302 in " in done.stdout
    assert "connection_refused" in done.stdout
    assert [request.line for request in server.requests] == ["HEAD / HTTP/1.1"]


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
    ("arguments", "says"),
    [
        (("check",), "URL"),
        (("check", "ftp://x"), "'ftp://x' is nothing that can be asked, wants an http, https"),
        (("check", "tcp://x"), "one with a port"),
        (("check", "tcp://[fe80::1%eth0]:80"), "one without a zone"),
        (("check", "dns://x"), "one with one name"),
        (("check", "http://x;expect=1;method=PUT"), "as ;expect=, and GET or HEAD as ;method="),
        (("check", "http://[::1"), "one with brackets around an IPv6 address"),
        (("check", "http://127.0.0.1:99999"), "one with a port from 1 to 65535"),
        (("check", "http://127.0.0.1:abc"), "one with a port from 1 to 65535"),
        (("check", "http://127.0.0.1:0"), "one with a port from 1 to 65535"),
        (("check", "http://\U0001f4a9.la"), "one of printable ASCII"),
        (("check", "http://h:+80"), "one with a port from 1 to 65535"),
        (("check", "x.example:80"), "one that begins with http://, https://, tcp:// or dns://"),
        (("check", "http://1.2.3"), "one with a host name or an IP address"),
        (("check", "http://user:hunter2@x"), "without user and password"),
        (("check", "http://x\x1b[2J"), "\\x1b[2J"),
        (("check", "http://fd00::1:5"), "in brackets"),
        (("check", "--timeout", "0", "http://x"), "'0s' is not a duration"),
        (("check", "--timeout", "soon", "http://x"), "'soon' is not a duration"),
        (("check", "--timeout", "2h", "http://x"), "'2h' is not a duration"),
        (("check", "--expect", "20", "http://x"), "'20' is not status codes"),
        (("check", "--expect", "a-b", "http://x"), "'a-b' is not status codes"),
        (("check", "--expect", "300-200", "http://x"), "'300-200' is not status codes"),
        (("nonsense",), "nonsense"),
    ],
)
def test_wrong_usage_is_exit_2(arguments: tuple[str, ...], says: str) -> None:
    """One line with what is wrong, before anything is sent."""
    done = command(*arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert says in line
    assert line.isprintable()
    assert "hunter2" not in line


@given(
    st.from_regex(r"(https?|HTTP|ftp)?:?/?/?[a-zA-Z0-9._@:\[\]%?#/\\ -]{0,40}", fullmatch=True)
    | st.text(st.characters(exclude_categories=(), exclude_characters="\0"), max_size=40).map(
        "http://".__add__
    ),
    st.sampled_from(["", "5", "5s", "1.5", "1m30s", "-1s", "1e3"]) | st.text(max_size=10),
)
def test_any_url_and_any_timeout_is_taken_or_one_line_and_exit_2(url: str, timeout: str) -> None:
    """What a person typed makes no traceback, whatever it is."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = usage.parser().parse_args(["check", f"--timeout={timeout}", "--", url])
    except SystemExit as exit_:
        code = exit_.code
    else:
        assert 0 < parsed.timeout <= 3600
        assert httpx.URL(parsed.checks[0].url.text).raw_host
        return
    assert code == 2
    assert said.getvalue().endswith("\n")
    assert said.getvalue()[:-1].isprintable()


def test_a_url_may_be_in_capitals_and_a_timeout_as_in_the_configuration(serve: Serve) -> None:
    """One parser for all of them, the configuration's."""
    url = serve(answer()).url()
    for timeout in ("5", "1.5", "500ms", "1m30s"):
        assert command("check", "--timeout", timeout, url.replace("http", "HTTP")).returncode == 0


def test_a_reader_that_has_had_enough_is_no_error(serve: Serve) -> None:
    """As with head -1: no traceback, and the exit code is the check's."""
    url = serve(answer()).url()
    for arguments, code in (
        (["config"], 0),
        (["--help"], 0),
        (["check", "--json", url, url], 0),
        (["check", "http://127.0.0.1:1/"], 1),
    ):
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "wb") as broken:
            done = subprocess.run(
                [sys.executable, "-m", "kubenurse_otel", *arguments],
                stdout=broken,
                stderr=subprocess.PIPE,
                timeout=30,
                check=False,
                env=inherited(),
            )
        assert (done.returncode, done.stderr) == (code, b""), arguments


@pytest.mark.parametrize("arguments", [("config",), ("--help",), ("check", "http://127.0.0.1:1/")])
def test_a_full_disk_under_standard_output_is_one_line(arguments: tuple[str, ...]) -> None:
    """And exit code 1; a closed one is nobody who listens."""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "kubenurse_otel", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=30,
            check=False,
            env=inherited(),
        )
    assert done.returncode == 1
    assert done.stderr == (
        "kubenurse-otel: cannot write to standard output: No space left on device\n"
    )
    closed = subprocess.run(
        ["sh", "-c", 'exec "$0" -m kubenurse_otel "$@" >&-', sys.executable, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        timeout=30,
        check=False,
        env=inherited(),
    )
    assert closed.returncode == (arguments[0] == "check")
    assert "Traceback" not in closed.stderr


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
