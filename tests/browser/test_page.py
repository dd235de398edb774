"""The page in a real browser: Debian's Chromium, headless, told what to do by playwright.

`make page` runs it; where Chromium, playwright or axe-core is not there it is skipped, by name.
Pictures go to KUBENURSE_PAGE_PICTURES, if that is set.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests" / "unit" / "page"))

import pages
import test_front

from kubenurse_otel.config.load import load
from kubenurse_otel.page import agent, busy, front, pair, target
from kubenurse_otel.page.front import Now
from kubenurse_otel.page.style import POLICY

if TYPE_CHECKING:
    from collections.abc import Iterator

sync_api = pytest.importorskip("playwright.sync_api", reason="not installed: playwright (PyPI)")
CHROMIUM = shutil.which("chromium")
AXE = "axe-core@4.10.3"
CACHE = Path(os.environ.get("KUBENURSE_TEST_CACHE", ROOT / ".cache")) / "axe"
PICTURES = os.environ.get("KUBENURSE_PAGE_PICTURES")
ORIGIN = "http://agent.test"
WIDTHS = (360, 1440)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="not installed: chromium (Debian: chromium)"
)


def now(sight: Any, checks: Any = None) -> Now:
    listed = pages.targets(5) if checks is None else checks
    return Now(sight=sight, checks=listed, known=len(listed), interval_seconds=5.0)


def expired() -> Now:
    """As the demo's agents say it."""
    told = pages.Told(
        sentence="the ingress shows a certificate that is not to be trusted, or has expired",
        kind="certificate", culprit="ingress", cause="certificate", state="raised",
        confidence=0.9, since="2027-01-15T07:59:15.000Z", traces=(pages.TRACE,),
        evidence=("from node-1, me_ingress: its certificate is not accepted, for 9 intervals",
                  "node-2, node-3, node-4, node-5 see the same"),
        second="ingress node-1",
    )  # fmt: skip
    failed = pages.target(
        "me_ingress", outcome="failed", error_type="tls_certificate_expired", phases={},
        message="the certificate of kubenurse.example.com has expired 1 day ago",
        certificate_expiry="2027-01-14T08:00:00.000Z", duration_seconds=None,
    )  # fmt: skip
    sight = pages.cluster(
        5,
        seen=tuple(pages.agent(f"node-{n}", verdicts=(told,), good=7, bad=1) for n in range(1, 6)),
    )
    return now(sight, [failed, *(pages.target(f"path_node-{n}") for n in range(2, 6))])


def lossy() -> Now:
    """As five agents say it, of which one loses 12 % of what it sends."""
    told = pages.Told(
        sentence="the network of node node-2 loses packets, of what it sends", kind="node_loss",
        culprit="node-2", direction="out", cause="loss", state="raised", confidence=0.8,
        since="2027-01-15T07:58:30.000Z", traces=(pages.TRACE,), second="pair_loss node-1|node-2",
        evidence=("segments are lost between node-1 and node-2",
                  "node-2 says that it loses on the ways to most neighbours"),
    )  # fmt: skip
    others = (1, 3, 4, 5)
    seen = [
        pages.agent(
            f"node-{n}",
            verdicts=(told,),
            bad_ways=(pages.Way(f"node-{n}", "node-2", pages.Symptom.OK, 9, lossy=True),),
            slower=(pages.slower(f"node-{n}", "path_node-2", "loss", 0.2),),
        )
        for n in others
    ]
    ways = tuple(pages.Way("node-2", f"node-{n}", pages.Symptom.OK, 9, lossy=True) for n in others)
    slow = tuple(pages.slower("node-2", f"path_node-{n}", "loss", 0.2) for n in others)
    seen.insert(1, pages.agent("node-2", verdicts=(told,), bad_ways=ways, slower=slow))
    phases = {**pages.target().phases, "loss": 0.2, "request": 0.2011}
    slowly = pages.target(retransmits=1, phases=phases, duration_seconds=0.2013)
    checks = [slowly, *(pages.target(f"path_node-{n}") for n in range(3, 6))]
    return now(pages.cluster(5, seen=tuple(seen)), checks)


HOSTILE = "\u202e<script>alert(1)</script>'\"><img src=x onerror=alert(2)></style>" + "w" * 300


def hostile() -> tuple[bytes, bytes, bytes]:
    """Node, zone, pod, extra check, and what an agent says: the front, a target, a pair."""
    told = pages.replace(pages.DOWN, sentence=HOSTILE, culprit=HOSTILE, evidence=(HOSTILE,))
    way = pages.Way(HOSTILE, "node-1", pages.Symptom.SILENT, 3)
    ill = pages.agent(HOSTILE, verdicts=(told,), bad=1, bad_ways=(way,),
                      slower=(pages.slower(HOSTILE, HOSTILE, "network"),))  # fmt: skip
    sight = pages.cluster(
        2, seen=(ill,), zones={HOSTILE: HOSTILE, "node-1": "b"}, silent=(("node-1", HOSTILE),)
    )
    extra = pages.target(HOSTILE, outcome="failed", message=HOSTILE, error_type=HOSTILE)
    frame = pages.replace(STILL, node=HOSTILE, zone=HOSTILE, cluster=HOSTILE, pod=HOSTILE)
    there = pair.Direction(HOSTILE, "node-1", HOSTILE, extra)
    back = pair.Direction("node-1", HOSTILE, HOSTILE, problem=HOSTILE)
    return (
        front.view(frame, now(sight, [extra])),
        target.view(frame, extra),
        pair.view(frame, there, back),
    )


def dead(count: int) -> Any:
    sight = pages.with_dead(pages.cluster(count), "node-4")
    named = tuple(
        pages.replace(one, report=pages.replace(one.report, verdicts=(pages.DOWN,)))
        if one.bad_ways else one
        for one in sight.seen
    )  # fmt: skip
    return pages.replace(sight, seen=named)


STILL = pages.replace(pages.FRAME, refresh_seconds=None)
PAIR = (
    pair.Direction("node-1", "node-2", "kubenurse-1", pages.target()),
    pair.Direction("node-2", "node-1", "kubenurse-2", problem="no answer within 2 s"),
)
VIEWS = {
    "well": front.view(STILL, now(pages.cluster(5))),
    "dead-node": front.view(STILL, now(dead(6))),
    "lossy-node": front.view(STILL, lossy()),
    "expired-certificate": front.view(STILL, expired()),
    "1000-nodes": front.view(STILL, now(dead(1_000))),
    "disaster": front.view(STILL, now(test_front.disaster(1_000))),
    "target": target.view(STILL, pages.target()),
    "pair": pair.view(STILL, *PAIR),
    "agent": agent.view(
        STILL,
        [
            agent.Group(
                "discovery",
                "Who its neighbours are",
                [
                    agent.Figure("state", "ok", "good"),
                    agent.Figure("neighbours", "10 are checked of 40; 40 are listed"),
                ],
            ),
            agent.Group("exports", "Exports", [], nothing="Nothing is exported."),
        ],
        load({"KUBENURSE_NODE_NAME": "node-1", "HTTPS_PROXY": "http://a:b@proxy:3128"}).sources,
    ),
    "busy": busy.view(is_still=True),
}


@cache
def axe() -> str:
    """The source of axe-core, packed by npm once; skipped where neither is to be had."""
    CACHE.mkdir(parents=True, exist_ok=True)
    packed = CACHE / f"{AXE.replace('@', '-')}.tgz"
    if not packed.is_file():
        if shutil.which("npm") is None:
            pytest.skip("not installed: npm, for axe-core")
        done = subprocess.run(["npm", "pack", AXE], cwd=CACHE, check=False, capture_output=True)
        if done.returncode or not packed.is_file():
            pytest.skip(f"npm cannot be asked for {AXE}")
    with tarfile.open(packed) as archive:
        source = archive.extractfile("package/axe.min.js")
        assert source is not None
        return source.read().decode()


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, body: bytes, *, width: int = 1440, scheme: str = "light") -> Iterator[Any]:
    """The view as an agent serves it; fails at another request, and at a word of the console."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=True
    )
    asked: list[str] = []
    said: list[str] = []

    def serve(route: Any) -> None:
        asked.append(route.request.url)
        route.fulfill(
            body=body,
            headers={
                "Content-Type": "text/html; charset=utf-8",
                "Content-Security-Policy": POLICY,
                "X-Content-Type-Options": "nosniff",
            },
        )

    context.route("**/*", serve)
    page = context.new_page()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(f"{ORIGIN}/", timeout=120_000)
    yield page
    assert asked == [f"{ORIGIN}/"]
    assert said == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", VIEWS)
def test_a_view_fits_and_asks_nobody(browser: Any, name: str, width: int, scheme: str) -> None:
    """No word on the console (the policy holds), nothing to scroll sideways, its style is used."""
    with opened(browser, VIEWS[name], width=width, scheme=scheme) as page:
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{name}-{width}-{scheme}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        background = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(15, 20, 25)"}[scheme]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_axe_finds_nothing(browser: Any, name: str, scheme: str) -> None:
    """axe-core, all its rules but the experimental ones, on a view that stands still.

    One that refreshes itself breaks a rule on purpose (meta-refresh); a link in it stops that.
    """
    source = axe()
    with opened(browser, VIEWS[name], width=1440, scheme=scheme) as page:
        page.evaluate(source)  # by the debugger: the page's policy does not apply
        found = page.evaluate("axe.run()")
        assert [
            (one["id"], [node["html"][:120] for node in one["nodes"][:3]])
            for one in found["violations"]
        ] == []


def test_the_page_can_be_walked_by_keyboard(browser: Any) -> None:
    """The first stop skips to the content; each link is reached, in order, and none twice."""
    with opened(browser, VIEWS["dead-node"]) as page:
        focused = "document.activeElement.textContent"
        page.keyboard.press("Tab")
        assert page.evaluate(focused) == "Skip to the content"
        shown = page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
        assert shown
        reachable = page.evaluate(
            "[...document.querySelectorAll('a[href]:not([tabindex=\"-1\"])')].length"
        )
        page.evaluate("window.seen = [document.activeElement]")
        for _ in range(reachable - 1):
            page.keyboard.press("Tab")
            page.evaluate("window.seen.push(document.activeElement)")
        assert page.evaluate("new Set(window.seen).size") == reachable
        assert page.evaluate("window.seen.every(one => one.tagName === 'A')")


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("number", range(3))
def test_no_hostile_name_runs_or_widens_anything(browser: Any, number: int, width: int) -> None:
    """Nothing is asked for, nothing said on the console, no dialog; and it fits on a phone."""
    with opened(browser, hostile()[number], width=width) as page:
        dialogs: list[str] = []
        page.on("dialog", lambda dialog: dialogs.append(dialog.message))
        assert page.evaluate("document.querySelectorAll('script, img').length") == 0
        assert page.evaluate("document.querySelectorAll('style').length") == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert dialogs == []
