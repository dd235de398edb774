"""e2e.cluster.ingress: nginx.conf from API objects, on a real nginx; then with a real API server.

Everything listens in a machine of its own, which has the addresses of a few pods on its loopback.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pytest
import trustme
from apiserver.real import RealApiServer, real_api_server
from hypothesis import example, given, settings
from hypothesis import strategies as st

from e2e.cluster import ingress
from e2e.cluster.ingress import Objects, Settings
from e2e.cluster.machine import Machine, network_of, remove_cgroups
from e2e.cluster.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a machine of its own needs root")

NAMESPACE = "kubenurse"
HOST = "kubenurse.example.test"
PODS = [f"10.91.1.{number}" for number in range(1, 7)]
PORT = 8080
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
Object = dict[str, Any]


# --- objects, as the API server has them ---------------------------------------------------------


def service(name: str = "agents", ports: Sequence[tuple[str, int]] = (("http", 80),)) -> Object:
    spec = {"ports": [{"name": port_name, "port": port} for port_name, port in ports]}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def endpoint(address: str, **conditions: bool) -> Object:
    return {"addresses": [address], "conditions": conditions}


def endpoint_slice(
    *endpoints: Object,
    of: str = "agents",
    ports: Sequence[tuple[str, int]] = (("http", PORT),),
    family: str = "IPv4",
) -> Object:
    labels = {"kubernetes.io/service-name": of}
    return {
        "metadata": {"name": f"{of}-{family.lower()}", "namespace": NAMESPACE, "labels": labels},
        "addressType": family,
        "endpoints": list(endpoints),
        "ports": [{"name": port_name, "port": port} for port_name, port in ports],
    }


def rule(path: str, kind: str = "Exact", *, to: str = "agents", host: str = HOST) -> Object:
    backend = {"service": {"name": to, "port": {"number": 80}}}
    http_rule = {"paths": [{"path": path, "pathType": kind, "backend": backend}]}
    return {"host": host, "http": http_rule} if host else {"http": http_rule}


def ingress_of(
    *rules: Object, name: str = "one", created: str = "2026-01-01", **spec: Any
) -> Object:
    meta = {"name": name, "namespace": NAMESPACE, "creationTimestamp": f"{created}T00:00:00Z"}
    return {"metadata": meta, "spec": {"rules": list(rules), **spec}}


# --- pure ----------------------------------------------------------------------------------------

TWO_PORTS = (("http", 80), ("admin", 81))


@pytest.mark.parametrize(
    ("port", "services", "slices", "expected"),
    [
        pytest.param(
            {"number": 80},
            [service()],
            [endpoint_slice(endpoint("10.0.0.2", ready=True), endpoint("10.0.0.1", ready=True))],
            ["10.0.0.1:8080", "10.0.0.2:8080"],
            id="ready",
        ),
        pytest.param(
            {"number": 80},
            [service()],
            [
                endpoint_slice(
                    endpoint("10.0.0.1"),
                    endpoint("10.0.0.2", ready=False),
                    endpoint("10.0.0.3", ready=True, serving=True, terminating=True),
                )
            ],
            ["10.0.0.1:8080"],
            id="unset is ready, terminating is not",
        ),
        pytest.param(
            {"name": "admin"},
            [service(ports=TWO_PORTS)],
            [endpoint_slice(endpoint("10.0.0.1"), ports=(("http", 8080), ("admin", 9090)))],
            ["10.0.0.1:9090"],
            id="port by name",
        ),
        pytest.param(
            {"number": 81},
            [service(ports=TWO_PORTS)],
            [endpoint_slice(endpoint("10.0.0.1"), ports=(("http", 8080), ("admin", 9090)))],
            ["10.0.0.1:9090"],
            id="port by number, through the Service's name of it",
        ),
        pytest.param(
            {"number": 82},
            [service()],
            [endpoint_slice(endpoint("10.0.0.1"))],
            [],
            id="no such port",
        ),
        pytest.param(
            {"number": 80}, [], [endpoint_slice(endpoint("10.0.0.1"))], [], id="no such Service"
        ),
        pytest.param(
            {"number": 80},
            [service(), service("others")],
            [
                endpoint_slice(endpoint("10.0.0.1")),
                endpoint_slice(endpoint("fd00::1"), family="IPv6"),
                endpoint_slice(endpoint("10.0.0.9"), of="others"),
            ],
            ["10.0.0.1:8080", "[fd00::1]:8080"],
            id="all slices of the Service, and of no other",
        ),
    ],
)
def test_endpoints(
    port: Object, services: list[Object], slices: list[Object], expected: list[str]
) -> None:
    """A backend is the ready endpoints of that port."""
    objects = Objects([], services, slices)
    assert ingress.endpoints(objects, NAMESPACE, {"name": "agents", "port": port}) == expected


def test_order_of_the_answer(tmp_path: Path) -> None:
    """The API server's order of objects and endpoints makes no new configuration."""
    ingresses = [ingress_of(rule("/a"), name="a"), ingress_of(rule("/a", to="b"), name="b")]
    pods = [endpoint(address) for address in PODS]
    at = Settings(tmp_path, tmp_path / "tls.pem")
    services = [service(), service("b")]
    one = Objects(ingresses, services, [endpoint_slice(*pods)])
    other = Objects(ingresses[::-1], services[::-1], [endpoint_slice(*pods[::-1])])
    assert ingress.render(one, at) == ingress.render(other, at)


# --- a machine, pods on it, and nginx ------------------------------------------------------------


class Pod(BaseHTTPRequestHandler):
    """Answers with the address that it was asked at and with what it got; /slow when it may."""

    may_answer: ClassVar = threading.Event()
    was_asked: ClassVar = threading.Event()

    def do_GET(self) -> None:
        if self.path == "/slow":
            self.was_asked.set()
            self.may_answer.wait(30)
        address = self.connection.getsockname()[0]
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = json.dumps({"pod": address, "path": self.path, "headers": headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@dataclass(frozen=True)
class Answer:
    status: int
    body: Object = field(default_factory=dict)

    @property
    def pod(self) -> str | None:
        return self.body.get("pod")


def ask(path: str, *, host: str = HOST, **headers: str) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=30)
    try:
        connection.request("GET", quote(path, safe="/"), headers={"Host": host, **headers})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    return Answer(answer.status, json.loads(content) if answer.status == 200 else {})


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine; the test's own sockets and processes are in its network."""
    cluster = f"ingress-test-{os.getpid()}"
    one = Machine(cluster, "edge", "10.90.0.3", tmp_path_factory.mktemp("machine") / "edge")
    try:
        one.start()
        for address in PODS:
            one.net("ip", "address", "add", f"{address}/32", "dev", "lo")
        with network_of(one.pid):
            yield one
    finally:
        one.stop()
        remove_cgroups(cluster)


@pytest.fixture(scope="module")
def pods(machine: Machine) -> Iterator[None]:
    """A server at every pod's address."""
    with ThreadingHTTPServer(("0.0.0.0", PORT), Pod) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield
        Pod.may_answer.set()
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@contextmanager
def nginx_with(objects: Objects, directory: Path, authority: trustme.CA) -> Iterator[None]:
    """Run nginx with what is rendered, without an API server."""
    leaf = authority.issue_cert(HOST)
    crt, key = leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()
    certificate = ingress.store(directory / "certificates", crt, key)
    nginx = ingress.Nginx(directory)
    try:
        nginx.apply(ingress.render(objects, Settings(directory, certificate)))
        yield
    finally:
        nginx.end()


# Whatever the API server admits in a path, the parts of nginx's own grammar above all.
ELEMENTS = st.sampled_from(["a", "b", 'q"', "se;mi", "{$x}", "back\\slash", "# '", "~^", "é"])
PATHS = st.builds(
    lambda elements, end: "/" + "/".join(elements) + (end if elements else ""),
    st.lists(ELEMENTS, max_size=3),
    st.sampled_from(["", "/"]),
)
RULES = st.lists(
    st.tuples(st.sampled_from(["Exact", "Prefix", "ImplementationSpecific"]), PATHS),
    max_size=len(PODS),
)


def by_the_book(rules: Sequence[tuple[str, str]], path: str) -> str | None:
    """Kubernetes' words: Exact first, else the longest Prefix, element by element."""

    def elements(of: str) -> list[str]:
        return [element for element in of.split("/") if element]

    exact = [n for n, (kind, of) in enumerate(rules) if kind == "Exact" and of == path]
    prefix = [
        n
        for n, (kind, of) in enumerate(rules)
        if kind != "Exact" and elements(path)[: len(elements(of))] == elements(of)
    ]
    prefix.sort(key=lambda n: -len(elements(rules[n][1])))
    return next((PODS[n] for n in (*exact, *prefix)), None)


# The same path as both kinds, either first; what nginx would redirect, under a Prefix and not.
@example(hosts=[[("Prefix", "/a"), ("Exact", "/a"), ("Prefix", "/a/"), ("Exact", "/a/")]])
@example(hosts=[[("Exact", "/a/b/"), ("Prefix", "/a")], [("Exact", "/a/"), ("Exact", "/b")]])
@settings(max_examples=20)
@given(hosts=st.lists(RULES, min_size=1, max_size=8))
def test_paths(
    machine: Machine,
    pods: None,
    authority: trustme.CA,
    tmp_path_factory: pytest.TempPathFactory,
    hosts: list[list[tuple[str, str]]],
) -> None:
    """nginx sends each path where Kubernetes' rules of Exact and Prefix say."""
    services = [service(f"s{n}") for n in range(len(PODS))]
    slices = [endpoint_slice(endpoint(pod), of=f"s{n}") for n, pod in enumerate(PODS)]
    ingresses = [
        ingress_of(
            *(rule(p, k, to=f"s{n}", host=f"h{h}.test") for n, (k, p) in enumerate(rules)),
            name=f"h{h}",
        )
        for h, rules in enumerate(hosts)
    ]
    objects = Objects(ingresses, services, slices)
    with nginx_with(objects, tmp_path_factory.mktemp("nginx"), authority):
        for h, rules in enumerate(hosts):
            bare = {path.rstrip("/") for _, path in rules} - {""}
            for path in ["/", "/z", *(b + end for b in bare for end in ("", "/", "z", "/z"))]:
                expected = by_the_book(rules, path)
                answer = ask(path, host=f"h{h}.test")
                assert (answer.status, answer.pod) == (200 if expected else 404, expected), path
                assert answer.body.get("path", quote(path)) == quote(path)


def test_hosts(machine: Machine, pods: None, authority: trustme.CA, tmp_path: Path) -> None:
    """A host's own rules, else those of one-label wildcards, else those without a host."""
    services = [service(f"s{n}") for n in range(5)]
    slices = [endpoint_slice(endpoint(PODS[n]), of=f"s{n}") for n in range(4)]
    ingresses = [
        ingress_of(rule("/a", to="s3"), name="young", created="2026-02-02"),
        ingress_of(rule("/a", to="s0"), rule("/none", to="s4"), name="old", created="2026-01-01"),
        ingress_of(rule("/a", to="s1", host="*.example.test"), name="wild"),
        ingress_of(rule("/a", to="s2", host=""), name="all", ingressClassName="nginx"),
        ingress_of(rule("/b", host=""), name="not-ours", ingressClassName="other"),
    ]
    with nginx_with(Objects(ingresses, services, slices), tmp_path, authority):
        for host, path, expected in (
            (HOST, "/a", Answer(200, {"pod": PODS[0]})),
            (HOST.upper(), "/a", Answer(200, {"pod": PODS[0]})),
            (HOST, "/none", Answer(503)),
            (HOST, "/b", Answer(404)),
            ("x.example.test", "/a", Answer(200, {"pod": PODS[1]})),
            ("x.y.example.test", "/a", Answer(200, {"pod": PODS[2]})),
            ("10.90.0.3", "/a", Answer(200, {"pod": PODS[2]})),
            ("10.90.0.3", "/b", Answer(404)),
        ):
            answer = ask(path, host=host)
            assert (answer.status, answer.pod) == (expected.status, expected.pod), (host, path)


def test_refused_configuration(
    machine: Machine, authority: trustme.CA, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What `nginx -t` refuses is said, and nginx goes on with what it has."""
    with nginx_with(Objects(), tmp_path, authority):
        before = (tmp_path / "nginx.conf").read_text()
        ingress.Nginx(tmp_path).apply(before.replace("return 404", "retrun 404"))
        assert 'unknown directive "retrun"' in caplog.text
        assert (tmp_path / "nginx.conf").read_text() == before
        assert ask("/").status == 404


# --- with a real API server ----------------------------------------------------------------------

SLICES = f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
INGRESSES = f"/apis/networking.k8s.io/v1/namespaces/{NAMESPACE}/ingresses"
SECRETS = f"/api/v1/namespaces/{NAMESPACE}/secrets"
SERVICES = f"/api/v1/namespaces/{NAMESPACE}/services"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
RIGHTS = [
    {"apiGroups": ["networking.k8s.io"], "resources": ["ingresses"], "verbs": ["list"]},
    {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["services"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]},
]


@pytest.fixture(scope="module")
def api(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealApiServer]:
    with real_api_server(tmp_path_factory.mktemp("apiserver")) as server:
        server.must("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        accounts = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts"
        server.must("POST", accounts, {"metadata": {"name": "ingress"}})
        role = {"metadata": {"name": "ingress"}, "rules": RIGHTS}
        server.must("POST", f"{RBAC}/clusterroles", role)
        reference = {"kind": "ClusterRole", "name": "ingress", "apiGroup": RBAC.split("/")[2]}
        subject = {"kind": "ServiceAccount", "name": "ingress", "namespace": NAMESPACE}
        binding = {"metadata": {"name": "ingress"}, "roleRef": reference, "subjects": [subject]}
        server.must("POST", f"{RBAC}/clusterrolebindings", binding)
        yield server


@dataclass(frozen=True)
class Setting:
    """What the tests change: objects through ``api``, the default certificate's files."""

    api: RealApiServer
    machine: Machine
    authority: trustme.CA
    folder: Path

    def start(self, *, access_log: bool = False) -> None:
        ingress.start(
            self.machine,
            api_url=f"https://127.0.0.1:{self.api.port}",
            ca_file=self.api.ca_file,
            token_file=self.folder / "token",
            certificate=self.folder / "tls.crt",
            key=self.folder / "tls.key",
            access_log=access_log,
        )

    def issue(self, name: str, folder: str = "") -> tuple[Path, Path]:
        """Write a new certificate and its key."""
        leaf = self.authority.issue_cert(name)
        at = self.folder / folder
        at.mkdir(exist_ok=True)
        leaf.private_key_pem.write_to_path(at / "tls.key")
        leaf.cert_chain_pems[0].write_to_path(at / "tls.crt")
        return at / "tls.crt", at / "tls.key"

    def put_endpoints(self, *endpoints: Object) -> None:
        self.api.merge(f"{SLICES}/agents-ipv4", {"endpoints": list(endpoints)})

    def put_secret(self, crt: bytes, key: bytes) -> None:
        data = {
            "tls.crt": base64.b64encode(crt).decode(),
            "tls.key": base64.b64encode(key).decode(),
        }
        secret = {"metadata": {"name": "tls"}, "type": "kubernetes.io/tls", "data": data}
        if self.api.request("POST", SECRETS, secret)[0] == 409:
            self.api.merge(f"{SECRETS}/tls", secret)


@pytest.fixture
def setting(
    api: RealApiServer, machine: Machine, pods: None, authority: trustme.CA, tmp_path: Path
) -> Iterator[Setting]:
    """One Service of two pods, published at /alwayshappy and /slow, and an ingress that runs."""
    one = Setting(api, machine, authority, tmp_path)
    (tmp_path / "token").write_text(api.token(NAMESPACE, "ingress"))
    one.issue("default.test")
    slices = endpoint_slice(endpoint(PODS[0], ready=True), endpoint(PODS[1], ready=True))
    published = ingress_of(
        rule("/alwayshappy"),
        rule("/slow"),
        ingressClassName="nginx",
        tls=[{"hosts": [HOST], "secretName": "tls"}],
    )
    api.must("POST", SERVICES, service())
    api.must("POST", SLICES, slices)
    api.must("POST", INGRESSES, published)
    try:
        one.start()
        ingress.wait_until_serving(machine, host=HOST, path="/alwayshappy", status=200)
        ingress.wait_until_reloaded(machine)
        yield one
    finally:
        ingress.stop(machine)
        ingress.override(machine)
        for path in (f"{SERVICES}/agents", SLICES, INGRESSES, SECRETS):
            api.must("DELETE", path)


def shown_certificate(name: str) -> list[str]:
    """The names of the certificate that the ingress shows for ``name``, with its serial number."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", 443), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=name) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
    assert shown
    return certificate_id(ssl.DER_cert_to_PEM_cert(shown).encode())


def shown_for_host() -> list[str]:
    return shown_certificate(HOST)


def certificate_id(pem: bytes) -> list[str]:
    from cryptography import x509

    one = x509.load_pem_x509_certificate(pem)
    names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*names.get_values_for_type(x509.DNSName), str(one.serial_number)]


def eventually(look: Callable[[], object], expected: object) -> None:
    """Wait until ``look`` sees what is expected; nothing else than an answer may be seen."""

    def condition() -> bool | str:
        seen = look()
        return True if seen == expected else f"expected {expected}, seen last {seen}"

    wait_for(condition, seconds=20, what=getattr(look, "__name__", "a condition"))


def asked_pods(path: str = "/alwayshappy", times: int = 4) -> set[str | int]:
    answers = [ask(path) for _ in range(times)]
    return {answer.pod or answer.status for answer in answers}


def test_publishes(setting: Setting) -> None:
    """What the Ingress names is passed on, with all headers; anything else is 404."""
    answer = ask("/alwayshappy", traceparent=TRACE, X_Under="1", X_Forwarded_For="forged")
    headers = answer.body["headers"]
    assert headers["traceparent"] == TRACE
    assert headers["x_under"] == "1"
    assert headers["host"] == headers["x-forwarded-host"] == HOST
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", "80")
    assert asked_pods() == set(PODS[:2])
    assert ask("/metrics").status == 404
    assert ask("/alwayshappy/").status == 404
    assert ask("/alwayshappy", host="other.test").status == 404


def test_endpoints_leave(setting: Setting) -> None:
    """A pod that is not ready gets no request any more; the one that it has is answered."""
    Pod.may_answer.clear()
    Pod.was_asked.clear()
    answers: list[Answer] = []
    in_flight = threading.Thread(target=lambda: answers.append(ask("/slow")))
    in_flight.start()
    assert Pod.was_asked.wait(10)
    leaving = [endpoint(pod, ready=False, serving=True, terminating=True) for pod in PODS[:2]]
    setting.put_endpoints(*leaving, endpoint(PODS[2], ready=True))
    eventually(asked_pods, {PODS[2]})
    setting.put_endpoints(endpoint(PODS[2], ready=False))
    eventually(asked_pods, {503})
    assert not answers
    Pod.may_answer.set()
    in_flight.join(10)
    assert [one.status for one in answers] == [200]
    assert answers[0].pod in PODS[:2]


def test_changes_cost_no_request(setting: Setting) -> None:
    """While pods come and go, every request is answered by a pod."""
    answers: list[str | int] = []
    enough = threading.Event()

    def go_on() -> None:
        while not enough.is_set():
            answers.extend(asked_pods(times=1))

    clients = [threading.Thread(target=go_on) for _ in range(3)]
    for client in clients:
        client.start()
    try:
        for number in range(12):
            pod = PODS[number % len(PODS)]
            setting.put_endpoints(endpoint(pod, ready=True))
            eventually(lambda: answers[-1:], [pod])
    finally:
        enough.set()
        for client in clients:
            client.join()
    assert set(answers) == set(PODS)


def test_unreachable_endpoint(setting: Setting) -> None:
    """An endpoint that cannot be reached costs the client nothing: the next one is asked."""
    setting.put_endpoints(endpoint("10.91.9.9", ready=True), endpoint(PODS[3], ready=True))
    eventually(partial(asked_pods, times=20), {PODS[3]})
    setting.put_endpoints(endpoint("10.91.9.9", ready=True))
    eventually(asked_pods, {502})


def test_certificates(setting: Setting) -> None:
    """The Secret's certificate for its host, the default for others; new ones are taken."""
    default = certificate_id((setting.folder / "tls.crt").read_bytes())
    assert shown_certificate(HOST) == default
    for folder in ("first", "second"):
        crt, key = setting.issue(HOST, folder)
        setting.put_secret(crt.read_bytes(), key.read_bytes())
        eventually(shown_for_host, certificate_id(crt.read_bytes()))
        assert shown_certificate("other.test") == default
    setting.put_secret(b"no certificate", b"no key")
    eventually(shown_for_host, default)
    crt, _ = setting.issue("default.test")
    eventually(shown_for_host, certificate_id(crt.read_bytes()))


def test_override(setting: Setting) -> None:
    """A fault's certificate is shown for every host, its lines answer every request."""
    default = certificate_id((setting.folder / "tls.crt").read_bytes())
    pair = setting.issue("wrong.test", "wrong")
    ingress.override(setting.machine, certificate=pair, extra=["return 503;"])
    eventually(shown_for_host, certificate_id(pair[0].read_bytes()))
    eventually(asked_pods, {503})
    ingress.override(setting.machine)
    eventually(asked_pods, set(PODS[:2]))
    eventually(shown_for_host, default)


def test_dead_api_server(setting: Setting) -> None:
    """Without the API server the last configuration stays, and an override works."""
    before = len(setting.machine.log(ingress.NAME))

    def said(text: str) -> bool:
        return text in setting.machine.log(ingress.NAME)[before:]

    setting.api.stop()
    try:
        eventually(lambda: said("cannot be read"), expected=True)
        assert asked_pods() == set(PODS[:2])
        ingress.override(setting.machine, extra=["return 503;"])
        eventually(asked_pods, {503})
        ingress.override(setting.machine)
        eventually(asked_pods, set(PODS[:2]))
    finally:
        setting.api.start()
    setting.put_endpoints(endpoint(PODS[3], ready=True))
    eventually(asked_pods, {PODS[3]})
    assert said("can be read again")


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_end(setting: Setting, how: signal.Signals) -> None:
    """nginx ends with the ingress, however it ends, and the port is free for another server."""
    setting.machine.signal(ingress.NAME, how)

    def port_is_free() -> bool:
        with socket.socket() as sock, suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("0.0.0.0", 80))
            return True
        return False

    eventually(port_is_free, expected=True)
    eventually(lambda: setting.machine.runs(ingress.NAME), expected=False)
    assert "nginx" not in setting.machine.run("ps", "-A", "-o", "comm")
    setting.start()
    ingress.wait_until_serving(setting.machine, host=HOST, path="/alwayshappy", status=200)


def test_access_log(setting: Setting) -> None:
    """On demand each answer is a line: who was asked, when, how long; the file stays small."""
    ingress.stop(setting.machine)
    setting.start(access_log=True)
    ingress.wait_until_serving(setting.machine, host=HOST, path="/alwayshappy", status=200)

    def lines() -> str:
        return setting.machine.run("cat", f"{ingress.STATE}/access.log")

    pod = ask("/alwayshappy", traceparent=TRACE).pod
    eventually(lambda: f" {TRACE} 200 " in lines() and f"[{pod}:{PORT}] [200]" in lines(), True)
    ask("/alwayshappy", traceparent="forged " * 900)
    assert "forged" not in lines()
    setting.machine.run("truncate", "-s", "5M", f"{ingress.STATE}/access.log")
    eventually(lambda: len(lines()), 0)
    ask("/alwayshappy")
    eventually(lambda: lines().count("\n"), 1)
