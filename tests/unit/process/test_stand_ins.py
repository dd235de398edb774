"""What a running agent does not import, and that nobody else misses it."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys

import pytest

from kubenurse_otel.process import stand_ins

# As cli._run does it: in a process of its own, for here all is imported already.
_AGENT = """
import sys
from kubenurse_otel.process import stand_ins

with stand_ins.in_place():
    from kubenurse_otel.app import App
    from kubenurse_otel.telemetry import exporters

    exporters.load(traces=object(), metrics=object())
"""


def run(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _AGENT + script],
        env={},  # coverage would follow, and import decimal for its own part
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_agent_imports_none_of_them_and_leaves_no_stand_in_behind() -> None:
    """Nor what only they need: mail, cookies, HTTP of the standard library."""
    unused = [*stand_ins._HTTPX, *stand_ins._OTHERS, "http.client", "email.utils", "statistics"]
    run(f"assert not set(sys.modules).intersection({unused!r}), set(sys.modules)\n")


def test_an_agent_at_whose_page_nobody_looks_imports_nothing_of_it() -> None:
    """Nor the SDK's metrics, with OTLP. Megabytes, one import away."""
    rooms = (
        "kubenurse_otel.page",
        "kubenurse_otel.report.seen",
        "htpy",
        "opentelemetry.sdk.metrics",
    )
    run(f"assert not [one for one in sys.modules if one.startswith({rooms!r})], set(sys.modules)\n")


def test_only_packages_that_never_use_them_have_stand_ins() -> None:
    """No module of ours, of the standard library or of anybody who is not named here."""
    script = """
found = set()
for name, module in list(sys.modules.items()):
    for value in list(vars(module).values()):
        if isinstance(value, type) and issubclass(value, stand_ins.StandIn):
            if value is not stand_ins.StandIn:
                found.add(name)
print(*sorted(found))
"""
    assert run(script).split() == [
        "httptools",
        "httptools.parser",
        "msgspec.json",
        "opentelemetry.attributes",
        "opentelemetry.instrumentation._semconv",
        "opentelemetry.instrumentation.httpx",
        "opentelemetry.instrumentation.utils",
    ]


def test_who_imports_httpx_beside_an_agent_has_all_of_it() -> None:
    """Its client, its cookies and its decoders work; so do the other packages."""
    run("""
import httpx, wrapt, packaging.version, typing_extensions, msgspec.inspect
answer = httpx.Response(200, content=b"a", headers={"set-cookie": "b=c"})
client = httpx.Client(transport=httpx.MockTransport(lambda _: answer))
assert client.get("http://example.org").text == "a" and client.cookies["b"] == "c"
assert httpx.URL("http://b\\u00fccher.example").raw_host == b"xn--bcher-kva.example"
assert str(packaging.version.Version("1.2")) == "1.2" and wrapt.__file__
""")


def test_whatever_url_a_configuration_takes_needs_none_of_them() -> None:
    """httpx asks idna for what is not ASCII, which the configuration refuses, and for ``xn--``."""
    run("""
from kubenurse_otel.config.urls import parse_url
from kubenurse_otel.tracing import httpx_adapter, instrumentation
for text in (
    "http://xn--bcher-kva.example/a?b=c", "http://XN--ls8h.localhost/", "http://EXAMPLE.org./%C3%BC",
    "http://a_b.c/", "https://[2001:db8::1]:6443/", "http://1.2.3.4:80/",
):
    instrumentation._asked("GET", httpx_adapter.request_url(parse_url(text).text))
""")


def test_a_stand_in_that_is_used_after_all_says_what_it_is() -> None:
    """A bug is seen at once, with its name."""
    said = run("""
import kubenurse_otel.tracing.httpx_adapter as adapter
try:
    adapter.httpx.AsyncClient()
except RuntimeError as error:
    print(error)
""")
    assert said == "httpx.AsyncClient is not imported by an agent\n"


def test_a_name_that_nobody_said_is_missing_at_once() -> None:
    """A new version that imports more of them does not start, rather than err at some check."""
    said = run("""
with stand_ins.in_place():
    from wrapt import wrap_function_wrapper
    try:
        from wrapt import decorator
    except ImportError as error:
        print(error.name)
""")
    assert said == "wrapt\n"


@pytest.mark.parametrize(
    ("package", "version"),
    [("httpx", "0.28.1"), ("opentelemetry-instrumentation-httpx", "0.66b2"), ("msgspec", "0.22.0")],
)
def test_these_are_the_versions_whose_imports_it_knows(package: str, version: str) -> None:
    """Whoever raises one looks at its imports again."""
    assert importlib.metadata.version(package) == version
