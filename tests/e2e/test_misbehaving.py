"""e2e.misbehaving, each for real: two nodes and a fabric of our own. Needs root, as `make e2e`."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from agents import Agent, environment, running, wait_for, write_neighbours
from servers import BEHAVIOURS, Certificates, FaultServer
from servers.certificates import write_pair

from e2e.cluster.machine import Machine, network_of, remove_cgroups
from e2e.misbehaving import clock, delay, dns, hostile, program, proxy, server

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

CLUSTER = "kne-h4"
FAR = "10.90.0.12"
NAME_SERVICE = "10.96.0.10"
POD = "10.91.1.2"
TCP_INFO = 11


@dataclass
class Fabric:
    control: Machine
    near: Machine
    far: Machine


@pytest.fixture(scope="module")
def fabric(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fabric]:
    """control with its bridge, node-1 and node-2; a pod's network on node-1."""
    folder = tmp_path_factory.mktemp("machines")
    control, near, far = (
        Machine(CLUSTER, name, address, folder / name)
        for name, address in (
            ("control", "10.90.0.2"),
            ("node-1", "10.90.0.11"),
            ("node-2", FAR),
        )
    )
    try:
        for machine in (control, near, far):
            machine.start()
        ip(control, "link add fabric type bridge", "addr add 10.90.0.2/24 dev fabric")
        ip(control, "link set fabric up")
        for node in (near, far):
            port = f"p-{node.name}"
            ip(control, f"link add {port} type veth peer name eth0 netns {node.pid}")
            ip(control, f"link set {port} master fabric up")
            ip(node, f"addr add {node.address}/24 dev eth0", "link set eth0 up")
        ip(far, f"addr add {NAME_SERVICE}/32 dev lo", f"route add {POD} via {near.address}")
        ip(near, f"route add {NAME_SERVICE} via {far.address}")
        add_pod(near)
        yield Fabric(control, near, far)
    finally:
        for machine in (control, near, far):
            machine.stop()
        remove_cgroups(CLUSTER)


def ip(machine: Machine, *commands: str) -> None:
    # From outside of its PID namespace, so that another machine's process has a number.
    for command in commands:
        machine.net("ip", *command.split())


def add_pod(node: Machine) -> None:
    """A network of its own behind node's eth0, as CNI's bridge plugin makes it."""
    node.daemon("pod", "unshare", "--net", "sleep", "infinity")
    wait_for(lambda: has_network_of_its_own(node), seconds=10, what="the pod's network")
    pid = pod_pid(node)
    ip(node, f"link add cni0 type veth peer name eth0 netns {pid}")
    ip(node, "addr add 10.91.1.1/24 dev cni0", "link set cni0 up")
    node.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    for command in (
        "link set lo up",
        f"addr add {POD}/24 dev eth0",
        "link set eth0 up",
        "route add default via 10.91.1.1",
    ):
        node.run(*program.in_network(pid), "ip", *command.split())


def has_network_of_its_own(node: Machine) -> bool:
    pids = node.daemon_pids("pod")
    network = Path("/proc/self/ns/net").readlink(), Path(f"/proc/{node.pid}/ns/net").readlink()
    return bool(pids) and Path(f"/proc/{pids[0]}/ns/net").readlink() not in network


def pod_pid(node: Machine) -> int:
    return node.daemon_pids("pod")[0]


@contextlib.contextmanager
def serving(machine: Machine, behaviour: str = "ok", *, port: int) -> Iterator[FaultServer]:
    with network_of(machine.pid):
        far = FaultServer(BEHAVIOURS[behaviour], host="0.0.0.0", port=port).__enter__()
    try:
        yield far
    finally:
        far.__exit__()


def connect_round_trips(pid: int, address: tuple[str, int], *, count: int = 100) -> list[float]:
    """Milliseconds from SYN to SYN-ACK by the kernel, of connections whose SYN was sent once."""
    found = []
    for _ in range(count):
        with network_of(pid), socket.create_connection(address, timeout=10) as sock:
            info = sock.getsockopt(socket.IPPROTO_TCP, TCP_INFO, 104)
        if not struct.unpack_from("=I", info, 100)[0]:
            found.append(struct.unpack_from("=I", info, 68)[0] / 1e3)
    return found


def ask(pid: int, address: tuple[str, int], *, timeout: float = 5.0) -> bytes:
    """What comes back for one HTTP request, from the network of ``pid``."""
    with network_of(pid), socket.create_connection(address, timeout=timeout) as sock:
        sock.sendall(b"GET /alwayshappy HTTP/1.1\r\nHost: far\r\nConnection: close\r\n\r\n")
        answer = b""
        while b"ok\n" not in answer and (piece := sock.recv(65536)):
            answer += piece
        return answer


# --- delay ----------------------------------------------------------------------------------------


def test_the_forwarder_itself_adds_little(fabric: Fabric) -> None:
    """At 0 ms a round trip through it is under a millisecond longer, and everything arrives."""
    with serving(fabric.far, port=5001):
        plain = min(connect_round_trips(fabric.near.pid, (FAR, 5001)))
        delay.insert(fabric.control, "p-node-1")
        try:
            through = min(connect_round_trips(fabric.near.pid, (FAR, 5001)))
        finally:
            report = delay.remove(fabric.control, "p-node-1")
        assert plain < through < plain + 1
        for way in ("to_node", "from_node"):
            assert report[way]["passed"] > 100
            assert not report[way]["dropped"] + report[way]["overflowed"] + report[way]["errors"]
        assert min(connect_round_trips(fabric.near.pid, (FAR, 5001), count=20)) < through


@pytest.mark.parametrize(
    ("to_node_ms", "from_node_ms", "expected"), [(20, 0, 20), (0, 20, 20), (20, 10, 30)]
)
def test_one_direction_is_late_by_what_was_asked(
    fabric: Fabric, to_node_ms: float, from_node_ms: float, expected: float
) -> None:
    """The round trip grows by the delay: never by less, and to a millisecond at best."""
    delay.insert(fabric.control, "p-node-1", to_node_ms=to_node_ms, from_node_ms=from_node_ms)
    try:
        with serving(fabric.far, port=5001):
            found = connect_round_trips(fabric.near.pid, (FAR, 5001))
    finally:
        delay.remove(fabric.control, "p-node-1")
    assert expected <= min(found) < expected + 1


def test_big_segments_pass_whole(fabric: Fabric) -> None:
    """50 MB arrive as they were sent: what the kernel has not cut up yet is passed on as it is."""
    size = 50_000_000
    delay.insert(fabric.control, "p-node-1", to_node_ms=1)
    try:
        with network_of(fabric.far.pid):
            listener = socket.create_server(("", 5002))
        with network_of(fabric.near.pid):
            sender = socket.create_connection((FAR, 5002), timeout=10)
        with listener, sender:
            taker, _ = listener.accept()
            with taker:
                process = subprocess.Popen(
                    [sys.executable, "-c", COUNT], stdin=taker.fileno(), stdout=subprocess.PIPE
                )
            sender.sendall(b"0123456789" * (size // 10))
            sender.shutdown(socket.SHUT_WR)
            out, _ = process.communicate(timeout=60)
        assert int(out) == size
    finally:
        report = delay.remove(fabric.control, "p-node-1")
    # Fewer frames than segments of 1,448 bytes: the wire carries what TSO left for the device.
    assert report["from_node"]["passed"] < size / 1448
    assert report["from_node"]["errors"] == 0


COUNT = """
import socket
sock, size = socket.socket(fileno=0), 0
while piece := sock.recv(1 << 20):
    assert not piece.strip(b"0123456789")
    size += len(piece)
print(size)
"""


def test_a_share_is_dropped_and_a_share_is_overtaken(fabric: Fabric) -> None:
    """Datagrams from the node: some never arrive, some after later ones; the others in order."""
    delay.insert(fabric.control, "p-node-1", from_node_drop=0.1, from_node_late=0.1, late_ms=10)
    try:
        numbers = datagrams(fabric, 1_000)
    finally:
        report = delay.remove(fabric.control, "p-node-1")["from_node"]
    assert 1_000 - len(numbers) <= report["dropped"]  # an ARP request may be among them
    assert 50 < report["dropped"] < 160
    overtaken = sum(later < sooner for sooner, later in itertools.pairwise(numbers))
    assert 20 < overtaken <= report["late"]


def datagrams(fabric: Fabric, count: int) -> list[int]:
    with network_of(fabric.far.pid):
        taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with network_of(fabric.near.pid):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with taker, sender:
        taker.bind(("", 5003))
        taker.settimeout(0.5)
        taker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        for number in range(count):
            sender.sendto(number.to_bytes(4, "big"), (FAR, 5003))
            if number % 10 == 0:
                time.sleep(0.002)  # so that some go on their way while others are held
        numbers = []
        with contextlib.suppress(TimeoutError):
            while True:
                numbers.append(int.from_bytes(taker.recv(64), "big"))
    return numbers


def test_control_itself_stays_reachable(fabric: Fabric) -> None:
    """The bridge keeps its address, though it was the port's."""
    with serving(fabric.control, port=5001):
        before = ask(fabric.near.pid, ("10.90.0.2", 5001))
        delay.insert(fabric.control, "p-node-1", to_node_ms=5)
        try:
            found = connect_round_trips(fabric.near.pid, ("10.90.0.2", 5001), count=20)
        finally:
            delay.remove(fabric.control, "p-node-1")
        assert len(found) == 20
        assert min(found) >= 5
        assert before.endswith(b"ok\n")
        assert not fabric.control.run("nft", "list", "ruleset")


# --- DNS ------------------------------------------------------------------------------------------


@pytest.fixture
def name_service(fabric: Fabric) -> Iterator[None]:
    """dnsmasq stands for kube-dns, on node-2."""
    fabric.far.daemon(
        "dnsmasq",
        *("/usr/sbin/dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--pid-file="),
        *("--no-resolv", "--no-hosts", "--user=root", "--cache-size=0"),
        *(f"--listen-address={NAME_SERVICE}", "--bind-interfaces"),
        *("--address=/agent.test/10.0.0.1", "--address=/other.test/10.0.0.2"),
    )
    try:
        wait_for(
            lambda: look_up(fabric.near.pid, "agent.test", seconds=0.3).rcode == 0,
            seconds=10,
            what=f"dnsmasq answers: {fabric.far.log('dnsmasq')}",
        )
        yield
    finally:
        dns.remove(fabric.near)
        fabric.far.end("dnsmasq")


@dataclass
class LookUp:
    rcode: int | None
    """None: no answer."""
    address: str
    seconds: float


def look_up(pid: int, name: str, *, tcp: bool = False, seconds: float = 3.0) -> LookUp:
    """One query for an A record to kube-dns's address, by UDP or TCP."""
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + labels + b"\0\0\x01\0\x01"
    started = time.monotonic()
    with network_of(pid):
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
    with sock:
        sock.settimeout(seconds)
        try:
            sock.connect((NAME_SERVICE, 53))
            sock.send((len(query).to_bytes(2, "big") if tcp else b"") + query)
            answer = sock.recv(4096)
        except (TimeoutError, ConnectionError):
            return LookUp(None, "", time.monotonic() - started)
    if tcp:
        answer = answer[2:]
    assert answer[:2] == query[:2]
    address = socket.inet_ntoa(answer[-4:]) if answer[7] else ""
    return LookUp(answer[3] & 0x0F, address, time.monotonic() - started)


@pytest.mark.parametrize("tcp", [False, True])
@pytest.mark.parametrize(
    ("mode", "rcode"),
    [(dns.Mode.SERVFAIL, 2), (dns.Mode.NXDOMAIN, 3), (dns.Mode.REFUSED, 5)],
)
def test_names_of_a_suffix_fail_and_others_do_not(
    fabric: Fabric, name_service: None, mode: dns.Mode, rcode: int, *, tcp: bool
) -> None:
    """A pod of the node gets the code for agent.test, the address for other.test."""
    pod = pod_pid(fabric.near)
    dns.insert(fabric.near, mode, service=NAME_SERVICE, suffix="agent.test.")
    assert look_up(pod, "x.agent.test", tcp=tcp).rcode == rcode
    assert look_up(pod, "other.test", tcp=tcp).address == "10.0.0.2"
    dns.remove(fabric.near)
    assert look_up(pod, "agent.test", tcp=tcp).address == "10.0.0.1"


@pytest.mark.parametrize("tcp", [False, True])
def test_answers_are_slow(fabric: Fabric, name_service: None, *, tcp: bool) -> None:
    """The right answer, as late as was asked."""
    dns.insert(fabric.near, dns.Mode.SLOW, service=NAME_SERVICE, seconds=0.5)
    found = look_up(pod_pid(fabric.near), "agent.test", tcp=tcp)
    assert found.address == "10.0.0.1"
    assert 0.5 <= found.seconds < 1


def test_a_share_of_answers_is_lost(fabric: Fabric, name_service: None) -> None:
    """As many queries stay without an answer as the server says."""
    dns.insert(fabric.near, dns.Mode.LOSSY, service=NAME_SERVICE, share=0.3)
    pod = pod_pid(fabric.near)
    with ThreadPoolExecutor(100) as threads:
        found = list(threads.map(lambda _: look_up(pod, "agent.test"), range(100)))
    report = program.end(fabric.near, "misbehaving-dns", event="report")
    assert 10 < report["lost"] < 55
    assert report == {"event": "report", "asked": 100, "touched": 100, "lost": report["lost"]}
    assert sum(one.rcode is None for one in found) == report["lost"]


# --- the transparent proxy ------------------------------------------------------------------------


def test_a_proxied_pod_shakes_hands_with_the_proxy(fabric: Fabric) -> None:
    """Connects take no time though the link is 20 ms slow; the far end sees the pod's address."""
    pod = pod_pid(fabric.near)
    delay.insert(fabric.control, "p-node-1", to_node_ms=20)
    try:
        with serving(fabric.far, port=5001) as far:
            assert min(connect_round_trips(pod, (FAR, 5001), count=5)) >= 20
            proxy.insert(fabric.near, pod)
            assert max(connect_round_trips(pod, (FAR, 5001), count=5)) < 5
            started = time.monotonic()
            assert ask(pod, (FAR, 5001)).endswith(b"ok\n")
            assert time.monotonic() - started >= 0.02
            assert far.requests[-1].peer[0] == POD
            with pytest.raises(ConnectionResetError):  # connected, to whom nobody listens
                ask(pod, (FAR, 5999))
            proxy.remove(fabric.near, pod)
            assert min(connect_round_trips(pod, (FAR, 5001), count=5)) >= 20
    finally:
        proxy.remove(fabric.near, pod)
        delay.remove(fabric.control, "p-node-1")


def test_a_pod_is_proxied_inbound(fabric: Fabric) -> None:
    """Who connects to the agent's port meets the proxy; the agent is asked from the pod itself."""
    pod = pod_pid(fabric.near)
    with network_of(pod):
        agent = FaultServer(BEHAVIOURS["ok"], host=POD, port=8080).__enter__()
    try:
        proxy.insert(fabric.near, pod, outbound=False, inbound_port=8080)
        assert ask(fabric.far.pid, (POD, 8080)).endswith(b"ok\n")
        assert agent.requests[-1].peer[0] == POD
        report = program.end(fabric.near, f"proxy-{pod}", event="report")
        assert (report["inbound"], report["outbound"]) == (1, 0)
    finally:
        agent.__exit__()
        proxy.remove(fabric.near, pod)


# --- servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        ("ok", "HTTP/1.1 200"),
        ("reset_on_accept", "ConnectionResetError"),
        ("reset_after_request", "ConnectionResetError"),
        ("half_closed_at_once", "closed"),
        ("half_closed_without_answer", "closed"),
        ("silent", "TimeoutError"),
        ("full_backlog", "TimeoutError in connect"),
        ("slow", "HTTP/1.1 200"),
        ("truncated_body", "HTTP/1.1 200"),
    ],
)
def test_a_server_misbehaves_as_named(fabric: Fabric, behaviour: str, outcome: str) -> None:
    """From another node: what becomes of one request."""
    server.start(fabric.far, behaviour, port=8443, delay_seconds=0.3)
    try:
        started = time.monotonic()
        found = one_request(fabric.near.pid, (FAR, 8443))
        assert found.startswith(outcome)
        assert (time.monotonic() - started >= 0.3) == (behaviour == "slow" or "Timeout" in outcome)
        assert found.endswith("123456789") == (behaviour == "truncated_body")
    finally:
        server.stop(fabric.far, 8443)


def one_request(pid: int, address: tuple[str, int]) -> str:
    where = " in connect"
    try:
        with network_of(pid), socket.create_connection(address, timeout=0.7) as sock:
            where = ""
            sock.sendall(b"GET / HTTP/1.1\r\nHost: far\r\n\r\n")
            return sock.recv(65536).decode() or "closed"
    except OSError as error:
        return type(error).__name__ + where


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [("handshake_cut", ssl.SSLEOFError), ("handshake_stalled", TimeoutError), ("ok", None)],
)
def test_a_handshake_ends_as_named(
    fabric: Fabric, tmp_path: Path, behaviour: str, error: type[OSError] | None
) -> None:
    """Cut after the ClientHello, stalled after it, or good with the certificate given."""
    certificates = Certificates(tmp_path)
    chain, key = write_pair(certificates.leaf(), tmp_path)
    shown, secret = (str(chain), str(key)) if error is None else ("", "")
    server.start(fabric.far, behaviour, port=8443, certificate=shown, key=secret)
    context = ssl.create_default_context(cafile=str(certificates.ca_file))
    try:
        with network_of(fabric.near.pid):
            sock = socket.create_connection((FAR, 8443), timeout=0.7)
        with sock, pytest.raises(error) if error else contextlib.nullcontext():
            context.wrap_socket(sock, server_hostname="localhost").close()
    finally:
        server.stop(fabric.far, 8443)


# --- hostile clients, and the clock: towards real agents on loopback ------------------------------


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[Agent]:
    """An agent with a neighbour, and a library by which its clock can be stepped."""
    neighbours = tmp_path / "neighbours.yaml"
    nodes = {"node-a": "127.0.9.1", "node-b": "127.0.9.2"}
    write_neighbours(neighbours, nodes)
    with socket.create_server(("0.0.0.0", 0)) as free:
        port = free.getsockname()[1]
    environs = [
        environment(
            address,
            node,
            port,
            KUBENURSE_NEIGHBOURS_FILE=str(neighbours),
            KUBENURSE_CHECK_INTERVAL="200ms",
        )
        for node, address in nodes.items()
    ]
    environs[0] |= clock.environment(clock.library(tmp_path))
    with running(environs, tmp_path) as agents:
        yield agents[0]


def test_forged_origins_are_bounded(agent: Agent) -> None:
    """10,500 names: all answered, at most 10,000 counted."""
    found = hostile.forged_origins((agent.address, agent.port), count=10_500)
    assert found["answers"] == {"200": 10_500}
    metrics = agent.metrics()
    assert metrics["kubenurse_neighbourhood_incoming_checks"] == 10_000
    assert metrics["kubenurse_invalid_origins_total"] >= 500


def test_a_big_head_is_refused(agent: Agent) -> None:
    """1 MB of headers: 431, or a reset because we went on sending."""
    found = hostile.big_head((agent.address, agent.port))
    assert found["answers"] == {"431": 1}


def test_silent_and_slow_connections_are_ended(agent: Agent) -> None:
    """Both kinds at once, for 7 s: the agent ends them when their 5 s are over, and answers."""

    address = (agent.address, agent.port)
    with ThreadPoolExecutor(2) as threads:
        idling = threads.submit(hostile.idle_connections, address, count=150, seconds=7)
        slow = hostile.slow_loris(address, count=50, seconds=7)
    idle = idling.result()
    assert idle["connections"] == {"ended by the far end": 150}
    youngest, oldest = idle["ended_at_seconds_of_age"]
    assert 4.5 < youngest <= oldest < 7
    assert sum(slow["connections"].values()) == 50
    assert "held to the end" not in slow["connections"]
    assert agent.get("/ready").status == 200


def test_the_command_line_prints_one_document(agent: Agent) -> None:
    """A scrape four times a second, from a process of its own."""
    command = [sys.executable, "-m", "e2e.misbehaving.hostile", f"{agent.address}:{agent.port}"]
    done = subprocess.run(
        [*command, "scrapes", "--seconds=1", "--interval-seconds=0.25"],
        capture_output=True,
        check=True,
        timeout=30,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
    )
    found = json.loads(done.stdout)
    assert found["answers"] == {"200": 4}
    assert 0 < found["slowest_seconds"] < 1


NETWORK_FIGURES = (
    "kubenurse_check_phase_duration_seconds",
    "kubenurse_network_round_trip_seconds",
    "kubenurse_far_end_duration_seconds",
    "kubenurse_loss_delay_seconds",
)


@pytest.mark.parametrize("seconds", [60.0, -60.0])
def test_no_figure_moves_when_the_clock_is_stepped(agent: Agent, seconds: float) -> None:
    """Checks go on, by kernel stamps; the sum of every network figure stays under a second."""

    def timed() -> float:
        found = agent.metrics().items()
        by_kernel = 'source="kernel",reason="none"}'
        return sum(
            value
            for name, value in found
            if name.startswith("kubenurse_checks_timed_total{") and name.endswith(by_kernel)
        )

    def errors() -> float:
        found = agent.metrics().items()
        return sum(value for name, value in found if name.startswith("kubenurse_errors_total"))

    wait_for(lambda: timed() >= 3, seconds=10, what="checks before the step")
    errors_before = errors()
    clock.step(agent.process.pid, seconds)
    assert clock.stepped_seconds(agent.process.pid) == seconds
    before = timed()
    wait_for(lambda: timed() >= before + 10, seconds=10, what="checks after the step")
    metrics = agent.metrics()
    sums = {
        series: value
        for series, value in metrics.items()
        if series.startswith(tuple(f"{name}_sum" for name in NETWORK_FIGURES))
    }
    assert sums
    assert all(0 <= value < 1 for value in sums.values()), sums
    assert errors() == errors_before
    assert agent.metrics()['kubenurse_check_success{type="path_node-b"}'] == 1
    clock.step(agent.process.pid, 0)
