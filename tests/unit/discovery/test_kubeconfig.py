"""Which proxy the API server of a kubeconfig is reached through."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kubenurse_otel.config.environment import KubectlProxies
from kubenurse_otel.discovery.kubeconfig import by_kubeconfig

OF_ENVIRONMENT = KubectlProxies(http="http://p:1", https="http://p:2", none_for="a.test,10.0.0.0/8")


def proxy_to(server: str, folder: Path, proxies: KubectlProxies | None, **more: str) -> str | None:
    file = folder / "kubeconfig"
    content = {
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        "clusters": [{"name": "x", "cluster": {"server": server} | more}],
        "users": [{"name": "x", "user": {}}],
    }
    file.write_text(yaml.safe_dump(content))
    proxy = by_kubeconfig(str(file), proxies).pools.proxy
    return None if proxy is None else proxy.url


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("https://b.test", "http://p:2"),
        ("http://b.test", "http://p:1"),
        ("https://11.0.0.1:6443", "http://p:2"),
        ("https://10.1.2.3:6443", None),
        ("https://a.test:6443", None),
        ("https://x.a.test", None),
        ("https://localhost:6443", None),
        ("https://127.9.9.9", None),
        ("https://[::1]:6443", None),
    ],
)
def test_as_kubectl_does_it(server: str, expected: str | None, tmp_path: Path) -> None:
    """By the scheme, unless NO_PROXY has it or it is this machine."""
    assert expected == proxy_to(server, tmp_path, OF_ENVIRONMENT)


def test_its_own_proxy_comes_first_and_no_proxy_is_not_for_it(tmp_path: Path) -> None:
    own = {"proxy-url": "http://own:3"}
    for server in ("https://b.test", "https://a.test", "https://127.0.0.1"):
        assert "http://own:3" == proxy_to(server, tmp_path, OF_ENVIRONMENT, **own)


def test_an_agent_goes_through_none_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://p:2")
    assert proxy_to("https://b.test", tmp_path, None) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, KubectlProxies()),
        ({"HTTPS_PROXY": "a", "https_proxy": "b"}, KubectlProxies(https="a")),
        (
            {"http_proxy": "c", "HTTPS_PROXY": "", "https_proxy": "b", "no_proxy": "*"},
            KubectlProxies("c", "b", "*"),
        ),
    ],
)
def test_capitals_come_first(environ: dict[str, str], expected: KubectlProxies) -> None:
    assert expected == KubectlProxies.of(environ)
