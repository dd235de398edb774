"""The page's pictures in docs/pictures: `cd tests; ../.venv/bin/python -m browser.pictures`.

Real agents: the demo's (all well, a dead node, an expired certificate), and five in namespaces of
their own, of which one loses 12 % of what it sends (root, ip, nft). 1,000 nodes are a test's
records. KUBENURSE_PAGE_PICTURES=FOLDER: each also there, at 360 and 1,440 px, light and dark.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents import environment, launch, wait_for, write_neighbours
from browser import test_page
from playwright.sync_api import sync_playwright
from ports import free_port
from servers.far_end import Namespace, _shell, nft

from kubenurse_otel.config import take_environment
from kubenurse_otel.demo.cluster import START_SECONDS, Cluster
from kubenurse_otel.demo.patience import Patience
from kubenurse_otel.demo.play import until_up

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCS = test_page.ROOT / "docs" / "pictures"
WIDTH = 1000
NODES = {f"node-{number}": f"10.88.0.{number}" for number in range(1, 6)}
LOSSY = "node-2"
BRIDGE = """
ip link set lo up
ip link add name br0 type bridge
ip addr add 10.88.0.254/24 dev br0
ip link set br0 up
"""
LOSS = """
table netdev lossy {
  chain out {
    type filter hook egress device eth0 priority 0
    meta l4proto tcp numgen random mod 100 < 12 drop
  }
}
"""


def take(name: str, url: str, *words: str, scheme: str = "light") -> None:
    """Once the page says all ``words``, and no answer is to come."""
    with browsing() as browser:
        context = browser.new_context(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)
        page = context.new_page()

        def says() -> bool:
            page.goto(f"{url}?still=1", timeout=60_000)
            text = page.inner_text("main")
            return "to come" not in text and all(word in text for word in words)

        wait_for(lambda: says() or time.sleep(1), seconds=150, what=f"{words} on {url}")
        keep(page, name)
        for width in test_page.WIDTHS if test_page.PICTURES else ():
            for colours in ("light", "dark"):
                page.set_viewport_size({"width": width, "height": 900})
                page.emulate_media(color_scheme=colours)
                path = f"{test_page.PICTURES}/real-{name}-{width}-{colours}.png"
                page.screenshot(path=path, full_page=True)


@contextmanager
def browsing() -> Iterator[Any]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=test_page.CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def keep(page: Any, name: str) -> None:
    """A picture of 256 colours, where pngquant is there, is a third as large."""
    path = DOCS / f"{name}.png"
    page.screenshot(path=path, full_page=True)
    if shutil.which("pngquant"):
        subprocess.run(["pngquant", "--force", "--output", path, path], check=True)


async def story() -> None:
    """What the demo breaks, one thing after the other, as its first agent has it."""
    async with Cluster(port=free_port(), environ=take_environment()) as cluster:
        url = f"{cluster.agents[0].url}/"
        await until_up(cluster, patience=Patience(START_SECONDS))
        await cluster.set_ingress(f"certificate {cluster.folder / 'expired.pem'}")
        named = ("The ingress shows a certificate", "5 of 5:")
        await asyncio.to_thread(take, "page-expired-certificate", url, *named, scheme="dark")
        await cluster.set_ingress(f"certificate {cluster.folder / 'ingress.pem'}")
        well = ("Nothing is wrong, says each", "Heard 5 agents of 5", "Nothing is amiss")
        await asyncio.to_thread(take, "page-well", url, *well)
        await cluster.stop_agent(cluster.agents[3])
        named = ("The agent on node node-4", "4 of 4:", "4 nodes: node-1")
        await asyncio.to_thread(take, "page", url, *named)


def lossy() -> None:
    """Five networks on a bridge; ours is beside them."""
    with Namespace().entered(), ExitStack() as stack:
        _shell(BRIDGE)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "neighbours.json"
        write_neighbours(file, NODES)
        for number, (node, address) in enumerate(NODES.items(), start=1):
            network = Namespace()
            _shell(
                f"ip link add name n{number} master br0 up type veth "
                f"peer name eth0 netns /proc/self/fd/{network.file}",
                network.file,
            )
            with network.entered():
                _shell(f"ip link set lo up; ip addr add {address}/24 dev eth0; ip link set eth0 up")
                environ = environment(
                    address,
                    node,
                    8080,
                    KUBENURSE_NEIGHBOURS_FILE=str(file),
                    KUBENURSE_CHECK_INTERVAL="1s",
                    KUBENURSE_CLUSTER_NAME="demo",
                )
                stack.enter_context(started(environ, folder / f"{node}.log"))
                if node == LOSSY:
                    lossy_network = network
        url = f"http://{NODES['node-1']}:8080/"
        wait_for(lambda: answers(url), seconds=120, what=url)
        take("page-lossy-node", url, "Nothing is wrong, says each", "Heard 5 agents of 5")
        with lossy_network.entered():
            nft(LOSS)
        said = "The network of node node-2 loses packets"
        take("page-lossy-node", url, said, "Slow now", "5 of 5")


@contextmanager
def started(environ: dict[str, str], log: Path) -> Iterator[None]:
    process = launch(environ, log)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}ready", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def records() -> None:
    """As the tests make it up: nobody has 1,000 nodes at hand."""
    with (
        browsing() as browser,
        test_page.opened(browser, test_page.VIEWS["1000-nodes"], width=WIDTH) as page,
    ):
        keep(page, "page-1000-nodes")


if __name__ == "__main__":
    for scene in sys.argv[1:] or ("story", "lossy", "records"):
        {"story": lambda: asyncio.run(story()), "lossy": lossy, "records": records}[scene]()
