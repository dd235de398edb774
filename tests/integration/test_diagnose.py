"""`kubenurse-otel diagnose`, as a person on call uses it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from agents import inherited
from apiserver import stand_in
from apiserver.objects import LABELS, pod
from apiserver.stand_in import Handler, StandIn
from servers import Behaviour, Connection, FaultServer, answer, http_proxy
from servers.proxies import splice

Serve = Callable[..., FaultServer]
COMMAND = [sys.executable, "-m", "kubenurse_otel", "diagnose"]
TOLD = {
    "sentence": "the agent on node node-e refuses connections: nothing listens there",
    "kind": "agent",
    "culprit": "node-e",
    "direction": "",
    "cause": "refused",
    "state": "raised",
    "confidence": 0.9,
    "since": "2026-11-28T19:52:03Z",
    "evidence": [{"words": "from node-a, path_node-e: refused", "trace_id": "1" * 32}],
    "against": ["node-d sees it well"],
    "second": "node node-e",
}
TOLD_START = "The agent on node node-e"
USAGE = "no agent to ask: give the URL of one, or set KUBECONFIG to ask all of a cluster"


def document(node: str = "node-a", **more: Any) -> bytes:
    empty = {"judged_at": "2026-11-28T19:52:09Z", "verdicts": [], "suspicions": [], "doubt": 0}
    return json.dumps({"node": node} | empty | more).encode()


def diagnose(*words: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words],
        env=inherited() | {"HOME": "/nonexistent", "PYTHONIOENCODING": "utf-8"} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("more", "status", "said"),
    [
        ({}, 0, "Nothing is wrong, says node-a."),
        ({"verdicts": [TOLD]}, 1, "The agent on node node-e refuses connections"),
        ({"suspicions": [TOLD]}, 3, "Suspected, and too few others confirm it:"),
        ({"checks": {"good": 3, "bad": 1}}, 3, "Nobody is named, and yet: 1 check fails."),
    ],
)
def test_the_exit_code_says_what_the_words_say(
    serve: Serve, more: dict[str, Any], status: int, said: str
) -> None:
    """For scripts as for people."""
    server = serve(answer(body=document(**more)))
    done = diagnose(server.origin)
    assert (status, "") == (done.returncode, done.stderr)
    assert said in done.stdout
    assert "GET /api/v1/report HTTP/1.0" == server.requests[0].line


def test_a_verdict_is_printed_with_what_speaks_for_and_against_it(serve: Serve) -> None:
    """Its evidence, what contradicts it, what was ruled out, a trace to look at."""
    done = diagnose(serve(answer(body=document(verdicts=[TOLD]))).origin)
    for said in (
        "since 2026-11-28T19:52:03Z; confidence 0.9; said by 1 of 1: node-a",
        "seen: from node-a, path_node-e: refused",
        "against: node-d sees it well",
        "ruled out: node node-e",
        f"trace: {'1' * 32}",
    ):
        assert f"    {said}\n" in done.stdout


def test_as_json(serve: Serve) -> None:
    """The same, an object on a line."""
    done = diagnose("--json", serve(answer(body=document(verdicts=[TOLD]))).origin)
    found = json.loads(done.stdout)
    assert ("node-e", ["node-a"]) == tuple(
        found["verdicts"][0][key] for key in ("culprit", "reporters")
    )
    assert ["node-a"] == found["heard"]


def test_no_agent_answers(serve: Serve, closed_port: int) -> None:
    """4, and who did not, and why: an old agent, or nobody at all."""
    done = diagnose(f"http://127.0.0.1:{closed_port}")
    assert (4, f"127.0.0.1:{closed_port}: connection refused") == (
        done.returncode,
        done.stdout.splitlines()[1].strip(),
    )
    old = diagnose(serve(answer(404)).origin)
    assert 4 == old.returncode
    assert "it has no diagnosis: an older agent" in old.stdout
    other = diagnose(serve(answer(body=b"[]")).origin)
    assert (4, "its answer is no agent's") == (
        other.returncode,
        other.stdout.rpartition(": ")[2].strip(),
    )


def test_without_anybody_to_ask_it_says_how(tmp_path: Path) -> None:
    """Bad usage: 2."""
    done = diagnose()
    assert (2, f"kubenurse-otel: {USAGE}\n") == (done.returncode, done.stderr)
    assert 2 == diagnose("ftp://somewhere").returncode


def test_in_a_pod_its_own_agent_is_asked(serve: Serve) -> None:
    """By the variables that the agent has itself; the admin port where there is one."""
    server = serve(answer(body=document(verdicts=[TOLD])))
    pod_s = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBENURSE_ADMIN_PORT": str(server.port)}
    assert 1 == diagnose(**pod_s).returncode
    assert 1 == len(server.requests)


def test_all_asks_whom_the_asked_one_knows(serve: Serve, closed_port: int) -> None:
    """Each at its address; what several report is one verdict, and the silent are named."""
    other = serve(answer(body=document("node-b", verdicts=[TOLD])))
    agents = [
        {"node": "node-b", "pod": "b", "address": "127.0.0.1", "port": other.port},
        {"node": "node-e", "pod": "e", "address": "127.0.0.1", "port": closed_port},
        {"node": "no name", "pod": "x", "address": "127.0.0.1", "port": 1},
        {"node": "node-x", "pod": "x", "address": "example.com", "port": 1},
        "nonsense",
    ]
    asked = serve(answer(body=document(verdicts=[TOLD], agents=agents)))
    done = diagnose("--all", asked.origin)
    assert 1 == done.returncode
    assert "said by 2 of 2: node-a, node-b" in done.stdout
    assert "No answer from 1 agent:\n    node-e: connection refused\n" in done.stdout
    assert {"/api/v1/view", "/api/v1/report"} == {
        request.line.split()[1] for request in asked.requests
    }


def test_who_cannot_reach_whom_and_what_is_slow_are_printed(serve: Serve) -> None:
    """As the page has it, also of an agent that is asked alone: nobody lists the nodes."""
    bad = {"node-e": {"symptom": "silent", "run": 4, "lossy": False}}
    slow = {"type": "me_ingress", "whose": "far_end", "usual_seconds": 0.01, "now_seconds": 0.5}
    told = document(ways={"checked": 2, "bad": bad}, slower=[slow])
    done = diagnose(serve(answer(body=told)).origin)
    assert "    node-a  node-e  no answer     4 intervals\n" in done.stdout
    assert "    the ingress  the far end  500 ms  10.0 ms  1: node-a\n" in done.stdout


def by_path(verdicts: bytes, view: bytes, *, status: int = 200) -> Callable[[Any], None]:
    """An agent's two documents; ``status`` is the view's."""

    def behave(connection: Any) -> None:
        request = connection.read_request()
        if request is not None:
            is_view = request.line.split()[1] == "/api/v1/view"
            body = view if is_view else verdicts
            head = b"HTTP/1.1 %d A\r\nContent-Length: %d\r\n\r\n"
            connection.send(head % (status if is_view else 200, len(body)) + body)

    return behave


def test_who_speaks_is_told_by_where_it_was_asked(serve: Serve) -> None:
    """An agent that calls itself by others' names is one reporter, however often it is listed."""
    liar = serve(answer(body=document("node-c", verdicts=[TOLD])))
    named = {"node": "node-b", "pod": "b", "address": "127.0.0.1", "port": liar.port}
    asked = serve(by_path(document(), document(agents=[named] * 500)))
    done = diagnose("--all", asked.origin)
    assert "said by 1 of 2: node-b" in done.stdout
    assert 1 == len(liar.requests)


def test_an_agent_without_a_name_is_called_as_it_was_asked(serve: Serve) -> None:
    """Its node's name is unknown where nobody told it."""
    server = serve(answer(body=document("")))
    done = diagnose(server.origin)
    assert f"Nothing is wrong, says 127.0.0.1:{server.port}." == done.stdout.splitlines()[0]


def test_all_without_a_list_of_them_is_said(serve: Serve) -> None:
    """Or else one agent's word would look like everybody's."""
    asked = serve(by_path(document(), b"", status=500))
    done = diagnose("--all", asked.origin)
    told = f"all others, of whom 127.0.0.1:{asked.port} knows: it answered 500"
    assert told in " ".join(done.stdout.split())


def test_verdicts_are_small(serve: Serve) -> None:
    """5,000 agents' are kept: one of 256 KiB is none."""
    done = diagnose(serve(answer(body=document(more="x" * 300_000))).origin)
    assert (4, True) == (done.returncode, "more than 262144 bytes" in done.stdout)


def test_names_are_shown_in_any_alphabet(serve: Serve) -> None:
    """Also on a terminal that has not got it."""
    server = serve(answer(body=document("node-\u2192")))
    done = diagnose(server.origin, PYTHONIOENCODING="latin-1")
    assert (0, "") == (done.returncode, done.stderr)
    assert "Nothing is wrong, says node-\\u2192." == done.stdout.splitlines()[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may become another user")
def test_a_user_without_a_home_asks(serve: Serve) -> None:
    """As in a container, whose user has no name."""
    server = serve(answer(body=document()))
    program = (
        "import os, sys; from kubenurse_otel.cli import main; "
        "main(); "  # so that all is imported while we may read it
        "os.setuid(54321); os.environ.pop('HOME'); sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "diagnose", server.origin],
        # Not what measures coverage: this user may not write its file.
        env={"PATH": inherited()["PATH"], "HOME": "/"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)


def test_watching_ends_with_its_reader(serve: Serve) -> None:
    """`diagnose --watch | head -1` is over when head is, though nothing changes."""
    command = [*COMMAND, "--watch", serve(answer(body=document())).origin]
    with subprocess.Popen(command, env=inherited(), stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.stdout.close()
            assert 0 == process.wait(10)
        finally:
            process.kill()


def test_in_a_terminal_what_is_watched_fits(serve: Serve) -> None:
    """Never wider, nor higher: the last line says how much is left out."""
    nodes = {f"node-{one}.eu-central-1.compute.internal": one for one in range(30)}
    bad = {
        node: {"symptom": "silent", "run": 4, "lossy": one % 2 > 0} for node, one in nodes.items()
    }
    told = document(verdicts=[TOLD], ways={"checked": 30, "bad": bad})
    master, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 12, 70, 0, 0))
    command = [*COMMAND, "--watch", serve(answer(body=told)).origin]
    with subprocess.Popen(command, env=inherited(), stdout=terminal) as process:
        os.close(terminal)
        shown = b""
        while b"lines more" not in shown and b"Heard" not in shown:
            shown += os.read(master, 4096)
        process.kill()
    os.close(master)
    lines = shown.decode().splitlines()
    assert len(lines) < 12
    assert max(map(len, lines)) <= 70


def test_watch_says_what_changes(serve: Serve, tmp_path: Path) -> None:
    """And ends with Ctrl-C."""
    said = [document(), document(), document(verdicts=[TOLD])]

    def tell(connection: Any) -> None:
        body = said.pop(0) if len(said) > 1 else said[0]
        answer(body=body, requests=1)(connection)

    with subprocess.Popen(
        # Where the tests run in a shell's background, SIGINT is ignored by all that they start.
        ["env", "--default-signal=INT", *COMMAND, "--watch", "--json", serve(tell).origin],
        env=inherited(),
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            first, second = (json.loads(process.stdout.readline()) for _ in range(2))
            process.send_signal(signal.SIGINT)
            assert -signal.SIGINT == process.wait(60)  # a shell says 130
        finally:
            process.kill()
    assert ([], "node-e") == (first["verdicts"], second["verdicts"][0]["culprit"])


# --- with a kubeconfig --------------------------------------------------------------------------


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[StandIn]:
    with stand_in.stand_in(tmp_path) as server:
        for number, node in enumerate(("node-a", "node-b", "node-e"), start=1):
            one = pod(node, f"10.0.0.{number}")
            one["spec"]["containers"][0]["ports"] = [
                {"name": "http", "containerPort": 8080},
                {"name": "admin", "containerPort": 9090},
            ]
            server.put(one)
        server.put(pod("node-f", name="pending", phase="Pending"), pod("node-g", labels={}))
        yield server


@pytest.fixture
def kubeconfig(cluster: StandIn, tmp_path: Path) -> str:
    file = tmp_path / "kubeconfig"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "clusters": [
            {
                "name": "it",
                "cluster": {
                    "server": f"https://127.0.0.1:{cluster.port}",
                    "certificate-authority": str(cluster.ca_file),
                },
            }
        ],
        "users": [{"name": "me", "user": {"token": "good"}}],
    }
    file.write_text(yaml.safe_dump(content))
    return str(file)


def by_proxy(handler: Handler) -> None:
    """An agent's document by its pod; node-e's cannot be reached."""
    path = handler.path.split("/")
    name, _, port = path[path.index("pods") + 1].partition(":")
    assert ("9090", ["proxy", "api", "v1", "report"]) == (port, path[path.index("proxy") :])
    node = name.removeprefix("kubenurse-")
    if node == "node-e":
        handler.refuse(503)
    else:
        handler.answer_bytes(document(node, verdicts=[TOLD]))


def test_a_kubeconfig_leads_to_all_agents(cluster: StandIn, kubeconfig: str) -> None:
    """Through the API server, which alone gets the token: no port-forward, no ingress."""
    cluster.always["proxy pods"] = by_proxy
    done = diagnose(KUBECONFIG=kubeconfig)
    assert (1, "") == (done.returncode, done.stderr)
    assert "said by 2 of 2: node-a, node-b" in done.stdout
    assert "No answer from 1 agent:\n    node-e: the API server has no time for us" in done.stdout
    assert 3 == cluster.count("proxy pods")
    listed = next(one for one in cluster.queries if "labelSelector" in one)
    assert "app.kubernetes.io/name=kubenurse" == listed["labelSelector"]
    assert "/api/v1/pods" == listed["path"]


def test_which_pods_are_agents_can_be_said(cluster: StandIn, kubeconfig: str) -> None:
    """By namespace and labels, as kubectl has them; none is no cluster of ours."""
    done = diagnose("-n", "kube-system", "-l", "a=b", KUBECONFIG=kubeconfig)
    assert (4, "no running pod has a=b in namespace kube-system: see --selector") == (
        done.returncode,
        done.stderr.partition(": ")[2].strip(),
    )
    assert "/api/v1/namespaces/kube-system/pods" == cluster.queries[-1]["path"]
    assert LABELS == {"app.kubernetes.io/name": "kubenurse"}


def test_an_api_server_that_refuses_is_said(cluster: StandIn, kubeconfig: str) -> None:
    """4, with its reason and without the token."""
    cluster.tokens.clear()
    done = diagnose(KUBECONFIG=kubeconfig)
    assert 4 == done.returncode
    assert "does not accept our token (401)" in done.stderr
    assert "good" not in done.stderr + done.stdout


def test_watching_outlasts_the_api_server(cluster: StandIn, kubeconfig: str) -> None:
    """What is watched may take it along for a while: that is said, and then who is at fault."""
    cluster.always["proxy pods"] = by_proxy
    with subprocess.Popen(
        [*COMMAND, "--watch"],
        env=inherited() | {"KUBECONFIG": kubeconfig, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            assert next(line for line in process.stdout if line.startswith(TOLD_START))
            cluster.always["list pods"] = lambda handler: handler.refuse(503)
            assert "has no time for us (503)" in process.stderr.readline()
            del cluster.always["list pods"]
            assert next(line for line in process.stdout if line.startswith(TOLD_START))
        finally:
            process.kill()


def test_without_tls_no_token_is_sent(serve: Serve, tmp_path: Path) -> None:
    """As kubectl has it: whoever listens on the way would have it."""
    server = serve(answer(401))
    file = tmp_path / "kubeconfig"
    content = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "me"}}],
        "clusters": [{"name": "it", "cluster": {"server": server.origin}}],
        "users": [{"name": "me", "user": {"token": "good"}}],
    }
    file.write_text(yaml.safe_dump(content))
    assert 4 == diagnose(KUBECONFIG=str(file)).returncode
    (request,) = server.requests
    assert "authorization" not in {name.lower() for name in request.headers}


def test_a_broken_kubeconfig_is_said_in_a_line(tmp_path: Path) -> None:
    """With its name, and where in it."""
    file = tmp_path / "kubeconfig"
    file.write_text("a: [b")
    done = diagnose(KUBECONFIG=str(file))
    assert (4, 1) == (done.returncode, done.stderr.count("\n"))
    assert f'in "{file}", line 1' in done.stderr


@pytest.mark.parametrize("text", ["word", "- a list", "42"])
def test_what_is_no_kubeconfig_is_said_in_a_line(tmp_path: Path, text: str) -> None:
    """YAML it is, and nothing that a kubeconfig has."""
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    done = diagnose(KUBECONFIG=str(file))
    assert (4, 1) == (done.returncode, done.stderr.count("\n"))
    assert "it is no kubeconfig: kind Config, clusters, users, contexts" in done.stderr
    assert str(file) in done.stderr


def test_a_proxy_of_the_kubeconfig_is_obeyed(
    cluster: StandIn, kubeconfig: str, serve: Serve
) -> None:
    """As by kubectl: the API server is reached through it, in a tunnel."""
    cluster.always["proxy pods"] = by_proxy
    file, proxy = Path(kubeconfig), serve(http_proxy())
    content = yaml.safe_load(file.read_text())
    content["clusters"][0]["cluster"]["proxy-url"] = proxy.origin
    file.write_text(yaml.safe_dump(content))
    done = diagnose(KUBECONFIG=kubeconfig)
    assert "said by 2 of 2: node-a, node-b" in done.stdout
    asked = {tuple(request.line.split()[:2]) for request in proxy.requests}
    assert {("CONNECT", f"127.0.0.1:{cluster.port}")} == asked


def to_cluster(cluster: StandIn) -> Behaviour:
    """A proxy that knows where ``api.example.com`` is."""

    def behave(connection: Connection) -> None:
        if connection.read_request() is None:
            return
        connection.send(b"HTTP/1.1 200 Connected\r\n\r\n")
        with socket.create_connection(("127.0.0.1", cluster.port), timeout=10) as onward:
            onward.settimeout(None)
            splice(connection, onward)

    return behave


def asked_at(kubeconfig: str, host: str, port: int) -> None:
    """Let the kubeconfig lead to ``host``; the certificate stays that of 127.0.0.1."""
    file = Path(kubeconfig)
    content = yaml.safe_load(file.read_text())
    content["clusters"][0]["cluster"] |= {
        "server": f"https://{host}:{port}",
        "tls-server-name": "127.0.0.1",
    }
    file.write_text(yaml.safe_dump(content))


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
def test_a_proxy_of_the_environment_is_used_as_by_kubectl(
    cluster: StandIn, kubeconfig: str, serve: Serve, name: str
) -> None:
    """In a tunnel, with the proxy's own password, and without the token."""
    cluster.always["proxy pods"] = by_proxy
    proxy = serve(to_cluster(cluster))
    asked_at(kubeconfig, "api.example.com", 443)
    url = f"me:pass%40word@127.0.0.1:{proxy.port}"  # of no scheme: http, as Go has it
    done = diagnose(KUBECONFIG=kubeconfig, **{name: url})
    assert "said by 2 of 2: node-a, node-b" in done.stdout, done.stderr
    asked = {tuple(request.line.split()[:2]) for request in proxy.requests}
    assert {("CONNECT", "api.example.com:443")} == asked
    login = "Basic " + base64.b64encode(b"me:pass@word").decode()
    for request in proxy.requests:
        assert login == request.headers["proxy-authorization"]
        assert "authorization" not in request.headers


def test_to_this_machine_no_proxy_of_the_environment_is_used(
    cluster: StandIn, kubeconfig: str, serve: Serve
) -> None:
    cluster.always["proxy pods"] = by_proxy
    proxy = serve(http_proxy())
    done = diagnose(KUBECONFIG=kubeconfig, HTTPS_PROXY=proxy.origin)
    assert "said by 2 of 2: node-a, node-b" in done.stdout
    assert [] == proxy.requests


def test_what_a_kubeconfig_runs_has_the_proxies_too(kubeconfig: str, tmp_path: Path) -> None:
    """As from kubectl: a cloud's program asks the cloud for a token, from the same laptop."""
    plugin = tmp_path / "plugin"
    plugin.write_text(f'#!/bin/sh\necho "$HTTPS_PROXY $NO_PROXY" > {tmp_path}/seen\nexit 1\n')
    plugin.chmod(0o700)
    file = Path(kubeconfig)
    content = yaml.safe_load(file.read_text())
    ask = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)}
    content["users"][0]["user"] = {"exec": ask}
    file.write_text(yaml.safe_dump(content))
    diagnose(KUBECONFIG=kubeconfig, HTTPS_PROXY="http://127.0.0.1:1", NO_PROXY="example.com")
    assert "http://127.0.0.1:1 example.com\n" == (tmp_path / "seen").read_text()


def test_it_is_a_plugin_of_kubectl(serve: Serve) -> None:
    """`kubectl kubenurse` runs kubectl-kubenurse, with what follows."""
    server = serve(answer(body=document()))
    program = "import sys; from kubenurse_otel.cli import kubectl; sys.exit(kubectl())"
    done = subprocess.run(
        [sys.executable, "-c", program, "--json", server.origin],
        env=inherited(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (0, ["node-a"]) == (done.returncode, json.loads(done.stdout)["heard"])
