"""Who is believed: every form of certificate and CA file, by checks, discovery and exporters."""

from __future__ import annotations

import json
import ssl
import subprocess
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
import urllib3
from cryptography import x509
from probing import Prober
from servers import Kind, answer
from verification.forms import BAD, FORMS, below
from verification.showing import server_context

from kubenurse_otel import semconv
from kubenurse_otel.config import ChecksConfig, Config, DiscoveryConfig, TrustConfig
from kubenurse_otel.discovery.api import ApiError, ApiServer
from kubenurse_otel.model import Trust
from kubenurse_otel.probe.trust import TrustStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from servers import Certificates, FaultServer

    Serve = Callable[..., FaultServer]


@pytest.mark.parametrize("name", FORMS)
async def test_a_check_believes_a_far_end_as_go_does(
    serve: Serve, tmp_path: Path, name: str
) -> None:
    """Each form is good, or bad for the reason that the table has; the exceptions are in docs."""
    form = FORMS[name]()
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(form.ca_file)
    server = serve(answer(), tls=server_context(form, tmp_path))

    async with Prober(ca_file=ca_file, names={form.host: ["127.0.0.1"]}) as prober:
        checked = await prober.check(f"https://{form.host}:{server.port}/", trust=Trust.API_SERVER)

    failure = checked.probe.failure
    assert BAD.get(name) == (failure and failure.error_type)


@pytest.mark.parametrize("name", [name for name, form in FORMS.items() if "." in form().host])
def test_discovery_believes_whom_a_check_believes(serve: Serve, tmp_path: Path, name: str) -> None:
    """The Kubernetes client's connection is verified as checks are, on every Python."""
    form = FORMS[name]()
    (tmp_path / "ca.crt").write_bytes(form.ca_file)
    (tmp_path / "token").write_text("token")
    server = serve(answer(), tls=server_context(form, tmp_path))
    api = ApiServer(
        Config(
            checks=ChecksConfig(api_server_host="127.0.0.1", api_server_port=server.port),
            trust=TrustConfig(ca_file=tmp_path / "ca.crt", token_file=tmp_path / "token"),
        )
    )
    with closing(api):
        try:
            access, _headers = api._reach()
            # By its name, though the agent knows the API server by its address.
            access.pools.connection_pool_kw["server_hostname"] = form.host.rstrip(".")
            api.get("/version", {}, asked="get the version", read_seconds=5, max_bytes=1_000).read()
        except ApiError:
            good = False
        else:
            good = True

    assert good is (name not in BAD)


def test_a_kubeconfigs_authority_may_be_an_intermediate(serve: Serve, tmp_path: Path) -> None:
    """As kubectl takes it."""
    form = FORMS["intermediate alone, IP address"]()
    (tmp_path / "ca.crt").write_bytes(form.ca_file)
    server = serve(answer(), tls=server_context(form, tmp_path))
    cluster = {"server": server.url(), "certificate-authority": str(tmp_path / "ca.crt")}
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(
        json.dumps(
            {
                "current-context": "x",
                "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
                "clusters": [{"name": "x", "cluster": cluster}],
                "users": [{"name": "x", "user": {"token": "token"}}],
            }
        )
    )
    discovery = DiscoveryConfig(kubeconfig=str(kubeconfig))
    with closing(ApiServer(Config(discovery=discovery))) as api:
        api.get("/version", {}, asked="get the version", read_seconds=5, max_bytes=1_000).read()


def test_discovery_names_the_authority_that_is_gone(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No public authority takes its place, no token is sent, and the sentence names the file."""
    form = FORMS["IP address"]()
    ca_file = tmp_path / "ca.crt"
    ca_file.write_bytes(form.ca_file)
    (tmp_path / "public").write_bytes(form.ca_file)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public"))
    (tmp_path / "token").write_text("token")
    server = serve(answer(), tls=server_context(form, tmp_path))
    config = Config(
        checks=ChecksConfig(api_server_host="127.0.0.1", api_server_port=server.port),
        trust=TrustConfig(ca_file=ca_file, token_file=tmp_path / "token"),
    )
    with closing(ApiServer(config)) as api:
        with api.get("/version", {}, asked="get the version", read_seconds=5, max_bytes=1_000):
            pass
        ca_file.unlink()
        with pytest.raises(ApiError, match=f"{ca_file}: No such file"):
            api.get("/version", {}, asked="get the version", read_seconds=5, max_bytes=1_000)

    assert len(server.requests) == 1


async def test_a_replaced_ca_is_believed_at_the_next_connection(
    serve: Serve, tmp_path: Path
) -> None:
    """By kubelet's swap of `..data`: the new CA vouches at once, the old one no longer."""
    form, other = FORMS["IP address"](), below("127.0.0.1")
    for version, ca_file in (("1", form.ca_file), ("2", other.ca_file)):
        (tmp_path / version).mkdir()
        (tmp_path / version / "ca.crt").write_bytes(ca_file)
        (tmp_path / version / "token").write_text("token")
    for name in ("ca.crt", "token"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    (tmp_path / "..data").symlink_to("1")
    trust = TrustConfig(ca_file=tmp_path / "ca.crt", token_file=tmp_path / "token")
    now = 0.0
    old = serve(answer(), tls=server_context(form, tmp_path))
    new = serve(answer(), tls=server_context(other, tmp_path))

    def discovered(port: int) -> bool:
        try:
            access, _headers = api._reach()
            url = f"https://127.0.0.1:{port}/"
            answered = access.pools.request("GET", url, retries=False)
            access.pools.clear()  # as an answer's end closes its connection
            return bool(answered.status == 200)
        except urllib3.exceptions.SSLError:
            return False

    with closing(ApiServer(Config(trust=trust, checks=ChecksConfig(api_server_host="x")))) as api:
        async with Prober(trust=TrustStore(trust, clock=lambda: now)) as prober:
            seen = []
            for _ in range(2):
                for server in (old, new):
                    checked = await prober.check_api_server(server.url())
                    seen.append((checked.probe.failure is None, discovered(server.port)))
                (tmp_path / "..data_tmp").symlink_to("2")
                (tmp_path / "..data_tmp").replace(tmp_path / "..data")
                now += 60

    assert seen == [(True, True), (False, False), (False, False), (True, True)]


async def test_a_certificate_for_any_purpose_can_be_pinned(serve: Serve, tmp_path: Path) -> None:
    """The way out that docs/compatibility.md names for anyExtendedKeyUsage alone."""
    form = FORMS["anyExtendedKeyUsage alone"]()
    pem, ca_file = tmp_path / "leaf.pem", tmp_path / "ca.pem"
    pem.write_bytes(form.chain[0].pem)
    command = ["openssl", "x509", "-in", pem, "-addtrust", "serverAuth", "-trustout"]
    subprocess.run([*command, "-out", ca_file], check=True)  # noqa: ASYNC221 - nothing runs beside
    server = serve(answer(), tls=server_context(form, tmp_path))

    async with Prober(ca_file=ca_file, names={form.host: ["127.0.0.1"]}) as prober:
        url = f"https://{form.host}:{server.port}/"
        checked = await prober.check(url, trust=Trust.API_SERVER)

    assert checked.probe.failure is None


@pytest.mark.parametrize(
    ("url_host", "server_name"),
    [("agent.test.", None), ("127.0.0.1", "agent.test."), ("agent.test.", "agent.test.")],
)
async def test_the_dot_of_the_root_is_in_no_certificate(
    serve: Serve, certificates: Certificates, url_host: str, server_name: str | None
) -> None:
    """SNI and verification go without it; the look-up and the Host header have it as it stands."""
    asked: list[str | None] = []
    context = certificates.context()
    context.sni_callback = lambda _sock, name, _context: asked.append(name)
    server = serve(answer(), tls=context)

    async with Prober(ca_file=certificates.ca_file, names={url_host: ["127.0.0.1"]}) as prober:
        url = f"https://{url_host}:{server.port}/"
        checked = await prober.check(url, server_name=server_name)

    assert checked.probe.failure is None
    assert asked == ["agent.test"]
    assert server.requests[0].headers["host"] == f"{url_host}:{server.port}"


@pytest.mark.parametrize("kind", [Kind.EXPIRED, Kind.UNTRUSTED, Kind.SELF_SIGNED, Kind.WRONG_NAME])
async def test_insecure_knows_when_a_certificate_expires(
    serve: Serve, certificates: Certificates, kind: Kind
) -> None:
    """What is not verified is read all the same: the expiry stands on the span."""
    context = certificates.context(kind)
    server = serve(answer(), tls=context)
    shown = ssl.get_server_certificate((server.host, server.port))
    expected = x509.load_pem_x509_certificate(shown.encode()).not_valid_after_utc.timestamp()

    async with Prober(insecure=True) as prober:
        checked = await prober.check(server.url())

    assert checked.attributes[semconv.CERTIFICATE_EXPIRY] == expected
