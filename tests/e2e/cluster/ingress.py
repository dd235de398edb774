"""nginx as the ingress of machine `edge`: Ingresses, EndpointSlices and TLS Secrets -> nginx.conf.

A process polls the API server, renders, checks with `nginx -t` and reloads on change. What it
cannot read or use changes nothing. Exact and Prefix paths; no annotations, no defaultBackend.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import http.client
import json
import logging
import re
import signal
import ssl
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from e2e.cluster.errors import ClusterError
from e2e.cluster.machine import network_of
from e2e.cluster.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from e2e.cluster.machine import Machine

    Object = dict[str, Any]

NAME: Final = "ingress"
NGINX: Final = "/usr/sbin/nginx"
STATE: Final = Path("/run/ingress")
"""On the machine: the configuration in force, certificates, temporary files, the access log."""
OVERRIDE: Final = "override.conf.json"
"""In the machine's folder: what a fault changes, see `override`."""
POLL_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 0.2
API_TIMEOUT_SECONDS: Final = 10.0
START_SECONDS: Final = 10.0
_LISTENING_WORKER: Final = "nginx: worker process"
"""There is one (worker_processes 1), and during a reload one of each configuration."""
ACCESS_LOG_BYTES: Final = 4 << 20
"""Then it is moved to access.log.1, of which there is one."""
_log: Final = logging.getLogger(NAME)

# --- pure: objects of the API server -> the text of nginx.conf -----------------------------------


@dataclass(frozen=True, slots=True)
class Objects:
    """What was read, as the API server's JSON. Secrets are those which the Ingresses name."""

    ingresses: Sequence[Object] = ()
    services: Sequence[Object] = ()
    slices: Sequence[Object] = ()
    secrets: Sequence[Object] = ()


@dataclass(frozen=True, slots=True)
class Settings:
    """What does not come from the API server. A certificate is one PEM file with its key."""

    state: Path
    certificate: Path
    """Of every host without a usable Secret."""
    secrets: Mapping[tuple[str, str], Path] = field(default_factory=dict)
    """The usable Secrets' certificates, by namespace and name."""
    extra: tuple[str, ...] = ()
    """Lines of every server block."""
    access_log: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One path of one rule. ``host`` is empty for all hosts that have no rule of their own."""

    host: str
    path: str
    exact: bool
    upstream: str


# As ingress-nginx has it by default: at most three endpoints are asked, none is shunned for having
# failed, no answer is buffered, X-Forwarded-* is what we saw ourselves.
_CONF: Final = """\
daemon off;
user www-data;
worker_processes 1;
worker_rlimit_nofile 8192;
worker_shutdown_timeout 60s;
pid {state}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 4096; }}
http {{
  server_tokens off;
  server_names_hash_bucket_size 512;
  underscores_in_headers on;
  ssl_protocols TLSv1.2 TLSv1.3;
  client_body_temp_path {state}/body;
  proxy_temp_path {state}/proxy;
  fastcgi_temp_path {state}/fastcgi;
  uwsgi_temp_path {state}/uwsgi;
  scgi_temp_path {state}/scgi;
  map $http_traceparent $traceparent {{
    default "-";
    "~^[0-9a-f-]{{55}}$" $http_traceparent;
  }}
  log_format bounded "$msec $remote_addr $server_port $traceparent $status $request_time "
    "[$upstream_addr] [$upstream_status] [$upstream_connect_time] [$upstream_header_time]";
  access_log {access_log};
  proxy_http_version 1.1;
  proxy_buffering off;
  proxy_connect_timeout 5s;
  proxy_read_timeout 60s;
  proxy_next_upstream error timeout;
  proxy_next_upstream_tries 3;
  proxy_set_header Host $http_host;
  proxy_set_header X-Real-IP $remote_addr;
  proxy_set_header X-Forwarded-For $remote_addr;
  proxy_set_header X-Forwarded-Host $http_host;
  proxy_set_header X-Forwarded-Port $server_port;
  proxy_set_header X-Forwarded-Proto $scheme;
{upstreams}{servers}}}
"""


def render(objects: Objects, settings: Settings) -> str:
    """Return nginx.conf. Hosts and names are as the API server admits them; paths are quoted."""
    ours = sorted(filter(_is_ours, objects.ingresses), key=_age)
    upstreams: dict[str, list[str]] = {}
    hosts: dict[str, list[Route]] = {"": []}
    for ingress in ours:
        for route, backend in _routes(ingress):
            if route.upstream not in upstreams:
                namespace = ingress["metadata"]["namespace"]
                upstreams[route.upstream] = endpoints(objects, namespace, backend)
            hosts.setdefault(route.host, []).append(route)
    servers = (
        _server(host, locations(routes), upstreams, _certificate(host, ours, settings), settings)
        for host, routes in sorted(hosts.items())
    )
    return _CONF.format(
        state=settings.state,
        access_log=f"{settings.state}/access.log bounded" if settings.access_log else "off",
        upstreams="".join(_upstream(*one) for one in sorted(upstreams.items()) if one[1]),
        servers="".join(servers),
    )


def endpoints(objects: Objects, namespace: str, backend: Object) -> list[str]:
    """Return `address:port` of the ready endpoints behind a port of a Service, sorted."""
    service = next((one for one in objects.services if _is(one, namespace, backend["name"])), {})
    wanted = backend.get("port", {}).items()  # A name or a number, which Services call port.
    for port in service.get("spec", {}).get("ports") or ():
        if wanted <= {("name", port.get("name")), ("number", port["port"])}:
            return sorted(_ready(objects.slices, namespace, backend["name"], port.get("name", "")))
    return []


def _ready(slices: Iterable[Object], namespace: str, service: str, port_name: str) -> set[str]:
    found: set[str] = set()
    for one in slices:
        meta = one["metadata"]
        of_service = meta.get("labels", {}).get("kubernetes.io/service-name")
        if (meta["namespace"], of_service) != (namespace, service):
            continue
        ports = [p["port"] for p in one.get("ports") or () if p.get("name", "") == port_name]
        shape = "[{}]:{}" if one["addressType"] == "IPv6" else "{}:{}"
        for endpoint in one.get("endpoints") or ():
            conditions = endpoint.get("conditions", {})
            # Unset is ready; terminating endpoints can be ready by publishNotReadyAddresses.
            if conditions.get("ready", True) and not conditions.get("terminating"):
                found.update(shape.format(endpoint["addresses"][0], port) for port in ports)
    return found


def locations(routes: Sequence[Route]) -> dict[tuple[bool, str], str]:
    """Return the upstream ("" for 404) of each location of a host: (exact, path).

    Exact beats Prefix, the longer path the shorter, the earlier route the later.
    """
    found: dict[tuple[bool, str], str] = {}
    for route in sorted(routes, key=lambda one: not one.exact):
        if route.exact:
            found.setdefault((True, route.path), route.upstream)
        else:
            bare = route.path.rstrip("/")
            found.setdefault((False, f"{bare}/"), route.upstream)
            if bare:
                found.setdefault((True, bare), route.upstream)
    found.setdefault((False, "/"), "")
    for exact, path in list(found):
        # nginx would answer /path with a redirect to an Exact /path/ (ngx_http_proxy_module).
        if exact and path.endswith("/") and path != "/":
            found.setdefault((True, path[:-1]), _covering(found, path[:-1]))
    return found


def _covering(found: Mapping[tuple[bool, str], str], path: str) -> str:
    while (False, path := path[: path.rindex("/") + 1]) not in found:
        path = path[:-1]
    return found[False, path]


def _routes(ingress: Object) -> Iterable[tuple[Route, Object]]:
    namespace = ingress["metadata"]["namespace"]
    for rule in ingress["spec"].get("rules") or ():
        for path in rule.get("http", {}).get("paths") or ():
            backend = path["backend"].get("service") or {"name": ""}
            port = backend.get("port", {})
            # No name has an underscore, so no two backends share an upstream.
            upstream = f"{namespace}_{backend['name']}_{port.get('name') or port.get('number')}"
            exact = path["pathType"] == "Exact"
            yield Route(rule.get("host", ""), path.get("path") or "/", exact, upstream), backend


def _is_ours(ingress: Object) -> bool:
    return str(ingress["spec"].get("ingressClassName", "nginx")) == "nginx"


def _age(ingress: Object) -> tuple[str, str, str]:
    meta = ingress["metadata"]
    return meta.get("creationTimestamp", ""), meta["namespace"], meta["name"]


def _is(one: Object, namespace: str, name: str) -> bool:
    meta = one["metadata"]
    return bool(meta["namespace"] == namespace and meta["name"] == name)


def _certificate(host: str, ingresses: Iterable[Object], settings: Settings) -> Path:
    for ingress in ingresses:
        for tls in ingress["spec"].get("tls") or ():
            secret = (ingress["metadata"]["namespace"], tls.get("secretName", ""))
            names = (host, "*." + host.partition(".")[2])
            if secret in settings.secrets and any(one in names for one in tls.get("hosts") or ()):
                return settings.secrets[secret]
    return settings.certificate


def _upstream(name: str, addresses: Iterable[str]) -> str:
    lines = "".join(f"    server {address} max_fails=0;\n" for address in addresses)
    return f"  upstream {name} {{\n{lines}  }}\n"


def _server(
    host: str,
    paths: Mapping[tuple[bool, str], str],
    upstreams: Mapping[str, list[str]],
    certificate: Path,
    settings: Settings,
) -> str:
    default = "" if host else " default_server"
    lines = [f"listen 80{default};", f"listen 443 ssl{default};"]
    lines.append(f"server_name {_quoted(_server_name(host))};")
    lines += [f"ssl_certificate {certificate};", f"ssl_certificate_key {certificate};"]
    lines += settings.extra
    for (exact, path), upstream in sorted(paths.items()):
        answer = "return 404;"
        if upstream:
            answer = f"proxy_pass http://{upstream};" if upstreams[upstream] else "return 503;"
        lines.append(f"location {'= ' if exact else ''}{_quoted(path)} {{ {answer} }}")
    return "  server {\n" + "".join(f"    {line}\n" for line in lines) + "  }\n"


def _server_name(host: str) -> str:
    if host.startswith("*."):  # One label (nginx's own *. would be any number of them).
        return f"~^[^.]+{re.escape(host[1:])}$"
    return host or "_"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


# --- what it reads -------------------------------------------------------------------------------


class ApiReader:
    """Reads Objects over one connection; a call raises OSError, HTTPException or ValueError."""

    def __init__(self, url: str, ca_file: Path, token_file: Path) -> None:
        self._address, self._ca_file, self._token_file = urlsplit(url), ca_file, token_file
        self._connection: http.client.HTTPSConnection | None = None

    def __call__(self) -> Objects:
        try:
            ingresses = self._items("/apis/networking.k8s.io/v1/ingresses")
            named = {
                (one["metadata"]["namespace"], tls["secretName"])
                for one in filter(_is_ours, ingresses)
                for tls in one["spec"].get("tls") or ()
                if tls.get("secretName")
            }
            secrets = (self._get(f"/api/v1/namespaces/{n}/secrets/{s}") for n, s in sorted(named))
            return Objects(
                ingresses,
                self._items("/api/v1/services"),
                self._items("/apis/discovery.k8s.io/v1/endpointslices"),
                [one for one in secrets if one],
            )
        except BaseException:
            if self._connection:
                self._connection.close()
            self._connection = None
            raise

    def _items(self, path: str) -> list[Object]:
        answer = self._get(path)
        if answer is None:
            raise ValueError(f"{path}: 404")
        items: list[Object] = answer["items"]
        return items

    def _get(self, path: str) -> Object | None:
        if self._connection is None:
            tls = ssl.create_default_context(cafile=self._ca_file)
            host, port = str(self._address.hostname), self._address.port
            self._connection = http.client.HTTPSConnection(
                host, port, context=tls, timeout=API_TIMEOUT_SECONDS
            )
        token = self._token_file.read_text().strip()
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "e2e-ingress"}
        # Version 0: out of the API server's cache, etcd is left alone.
        self._connection.request("GET", f"{path}?resourceVersion=0", headers=headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status == 404:
            return None
        if answer.status != 200:
            raise ValueError(f"{path}: {answer.status} {content[:200]!r}")
        document: Object = json.loads(content)
        return document


class Follower(threading.Thread):
    """Reads again and again, so that a slow API server delays no override."""

    def __init__(self, read: Callable[[], Objects]) -> None:
        super().__init__(daemon=True)
        self._read = read
        self.newest: Objects | None = None
        """The last that could be read, however long ago."""

    def run(self) -> None:
        last = ""
        while True:
            problem = ""
            try:
                self.newest = self._read()
            except (OSError, http.client.HTTPException, ValueError) as error:
                problem = f"the API server cannot be read: {type(error).__name__}: {error}"
            if problem != last:
                _log.warning(problem or "the API server can be read again")
            last = problem
            time.sleep(POLL_SECONDS)


def store(folder: Path, certificate: bytes, key: bytes) -> Path:
    """Keep a certificate as a file named by its content: a new one is a new configuration.

    Raises ssl.SSLError if the key is not that of the certificate.
    """
    pem = certificate + b"\n" + key
    path = folder / f"{hashlib.sha256(pem).hexdigest()[:32]}.pem"
    if not path.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_bytes(pem)
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(fresh)
        fresh.replace(path)
    return path


# --- the controller ------------------------------------------------------------------------------


class Nginx:
    """The child process, and the configuration that it runs with. It ends with us."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._seen = ""
        self._process: subprocess.Popen[bytes] | None = None

    def apply(self, text: str) -> None:
        """Start or reload nginx if the text is new and valid. Raises ClusterError if it ended."""
        if self._process and self._process.poll() is not None:
            raise ClusterError(f"nginx ended with {self._process.returncode}")
        if text == self._seen:
            return
        self._seen = text  # A refused one is refused once.
        candidate = self._state / "candidate.conf"
        candidate.write_text(text)
        check = [NGINX, "-t", "-q", "-e", "stderr", "-c", str(candidate)]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        if done.returncode:
            _log.error("nginx refuses this configuration, the last one stays: %s", done.stderr)
            return
        candidate.replace(self._state / "nginx.conf")
        if self._process:
            self._process.send_signal(signal.SIGHUP)
            _log.info("nginx reloads")
        else:
            self._start()

    def _start(self) -> None:
        pid_file = self._state / "nginx.pid"
        pid_file.unlink(missing_ok=True)
        # Whatever happens to us, SIGKILL included, it ends with us.
        command = ["setpriv", "--pdeathsig=TERM", NGINX, "-e", "stderr", "-c"]
        self._process = subprocess.Popen([*command, str(self._state / "nginx.conf")])
        deadline = time.monotonic() + START_SECONDS
        while not (pid_file.exists() and pid_file.read_text().strip() == str(self._process.pid)):
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ClusterError(f"nginx does not start (exit code {self._process.returncode})")
            time.sleep(0.01)

    def bound_access_log(self) -> None:
        """Begin a new access log when it is long."""
        file = self._state / "access.log"
        with suppress(FileNotFoundError):
            if self._process and file.stat().st_size > ACCESS_LOG_BYTES:
                file.replace(file.with_suffix(".log.1"))
                self._process.send_signal(signal.SIGUSR1)

    def end(self) -> None:
        if self._process:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(START_SECONDS)
            self._process.kill()
            self._process.wait()


class Controller:
    """Joins what was read, the certificates and the override into a configuration."""

    def __init__(self, state: Path, certificate: Path, key: Path, overrides: Path) -> None:
        self._state, self._pair, self._overrides = state, (certificate, key), overrides
        self._problems: set[str] = set()

    def configuration(self, objects: Objects, *, access_log: bool = False) -> str | None:
        """Return nginx.conf; None if the override or the default certificate is unusable."""
        problems: set[str] = set()
        text = None
        try:
            text = render(objects, self._settings(objects, problems, access_log=access_log))
        except (OSError, ValueError) as error:
            problems.add(f"nothing is changed: {type(error).__name__}: {error}")
        for problem in sorted(problems - self._problems):
            _log.warning(problem)
        self._problems = problems
        return text

    def _settings(self, objects: Objects, problems: set[str], *, access_log: bool) -> Settings:
        given: Object = {}
        with suppress(FileNotFoundError):
            given = json.loads(self._overrides.read_text())
        certificate, key = given.get("certificate") or self._pair
        folder = self._state / "certificates"
        secrets: dict[tuple[str, str], Path] = {}
        for secret in () if given.get("certificate") else objects.secrets:
            name = (secret["metadata"]["namespace"], secret["metadata"]["name"])
            data = secret.get("data") or {}
            try:
                pem = [base64.b64decode(data.get(one, "")) for one in ("tls.crt", "tls.key")]
                secrets[name] = store(folder, pem[0], pem[1])
            except (ssl.SSLError, ValueError) as error:
                problems.add(f"the certificate of Secret {'/'.join(name)} is not usable: {error}")
        default = store(folder, Path(certificate).read_bytes(), Path(key).read_bytes())
        return Settings(
            self._state, default, secrets, tuple(given.get("extra", ())), access_log=access_log
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run until SIGTERM. Without ever having reached the API server there is no nginx."""
    parser = argparse.ArgumentParser(prog="e2e.cluster.ingress")
    for name in ("--api-url", "--ca-file", "--token-file", "--certificate", "--key", "--override"):
        parser.add_argument(name, required=True, type=str if name == "--api-url" else Path)
    parser.add_argument("--state", type=Path, default=STATE)
    parser.add_argument("--access-log", action="store_true")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    given.state.mkdir(parents=True, exist_ok=True)
    controller = Controller(given.state, given.certificate, given.key, given.override)
    follower = Follower(ApiReader(given.api_url, given.ca_file, given.token_file))
    follower.start()
    nginx = Nginx(given.state)
    try:
        while follower.is_alive():
            if follower.newest:
                text = controller.configuration(follower.newest, access_log=given.access_log)
                nginx.apply(text) if text else None
                nginx.bound_access_log()
            time.sleep(LOOK_SECONDS)
    finally:
        nginx.end()
    raise ClusterError("the reader of the API server ended")


# --- what the cluster does with it ---------------------------------------------------------------


def start(
    machine: Machine,
    *,
    api_url: str,
    ca_file: Path,
    token_file: Path,
    certificate: Path,
    key: Path,
    access_log: bool = False,
) -> None:
    """Start the ingress; files are re-read when they change. Does nothing if it runs."""
    if machine.runs(NAME):
        return
    files = {"ca-file": ca_file, "token-file": token_file, "certificate": certificate, "key": key}
    options = [f"--{name}={path.resolve()}" for name, path in files.items()]
    options += [f"--api-url={api_url}", f"--override={(machine.folder / OVERRIDE).resolve()}"]
    options += ["--access-log"] if access_log else []
    tests = str(Path(__file__).parents[2])
    machine.daemon(
        NAME, sys.executable, "-m", "e2e.cluster.ingress", *options, env={"PYTHONPATH": tests}
    )


def stop(machine: Machine) -> None:
    """End the ingress, so that its ports are free. Connections are cut."""
    machine.end(NAME)


def override(
    machine: Machine, *, certificate: tuple[Path, Path] | None = None, extra: Sequence[str] = ()
) -> None:
    """Show another certificate (with key) for all hosts; add lines to all servers (`return 503;`).

    Nothing is left of it after a call without arguments. In force within a second.
    """
    file = machine.folder / OVERRIDE
    pair = [str(path.resolve()) for path in certificate or ()]
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"certificate": pair, "extra": list(extra)}))
    fresh.replace(file)


def wait_until_serving(
    machine: Machine,
    *,
    host: str = "",
    path: str = "/",
    status: int | None = None,
    seconds: float = 30.0,
) -> None:
    """Wait until port 80 answers (with ``status``, if given). Raises ClusterError."""

    def answers() -> bool | str:
        try:
            with network_of(machine.pid):
                seen = _status(host, path)
        except (OSError, http.client.HTTPException) as error:
            return f"{error!r}; its log: {machine.log(NAME)[-2000:]}"
        return True if status in {None, seen} else f"{seen}; its log: {machine.log(NAME)[-2000:]}"

    wait_for(answers, seconds=seconds, what=f"{host}{path} through the ingress")


def wait_until_reloaded(machine: Machine, *, seconds: float = 20.0) -> None:
    """Wait until every new connection meets the configuration that an answer has shown.

    One answer says that a worker has it, and so do several: until the worker before it stops to
    listen, the kernel may hand it the next connections, all of them. nginx renames it then
    ("worker process is shutting down", ngx_worker_process_cycle). Raises ClusterError.
    """

    def one_worker_listens() -> bool | str:
        running = machine.run("ps", "-A", "-o", "args")
        return running.splitlines().count(_LISTENING_WORKER) == 1 or running

    wait_for(one_worker_listens, seconds=seconds, what="one nginx worker that takes connections")


def _status(host: str, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": host} if host else {})
        return connection.getresponse().status
    finally:
        connection.close()


if __name__ == "__main__":
    main()
