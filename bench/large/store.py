"""What a real Prometheus needs for our series: memory a series, CPU a sample, bytes a sample.

It scrapes many targets, all of them one server here that answers with an agent's exposition and
with values that rise from scrape to scrape.
"""

from __future__ import annotations

import http.server
import json
import re
import threading
import time
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any, Final

from bench.large import borrowed, place
from bench.network import BenchError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TARGETS: Final = 100
INTERVAL_SECONDS: Final = 10
SCRAPES: Final = 9
_PORT: Final = 9400
_COUNT: Final = re.compile(r"(_total|_count|_bucket|_sum)(\{.*\})? (\d+(?:\.\d+)?)$", re.MULTILINE)


def versions(text: str, count: int) -> list[bytes]:
    """The exposition again and again, its counters a little higher each time."""

    def at(turn: int) -> bytes:
        def higher(found: re.Match[str]) -> str:
            rise = turn * (6 if "." not in found[3] else 0.0317)
            return f"{found[1]}{found[2] or ''} {float(found[3]) + rise:.9g}"

        return _COUNT.sub(higher, text).encode()

    return [at(turn) for turn in range(count)]


def measure(text: str, series: int, directory: Path) -> dict[str, float]:
    """Scrape TARGETS times the exposition ``text`` for SCRAPES rounds."""
    prometheus = borrowed.programs.binaries.prometheus_target()
    if not prometheus.exists():
        raise BenchError(f"{prometheus} is not built: `make dashboards` builds it")
    server = _serve(versions(text, SCRAPES + 4))
    here = directory / "prometheus"
    here.mkdir()
    targets = [f"127.1.{i // 250}.{i % 250 + 1}:{_PORT}" for i in range(TARGETS)]
    job = {"job_name": "kubenurse", "static_configs": [{"targets": targets}]}
    general = {"scrape_interval": f"{INTERVAL_SECONDS}s", "scrape_timeout": f"{INTERVAL_SECONDS}s"}
    (here / "prometheus.yml").write_text(json.dumps({"global": general, "scrape_configs": [job]}))
    command = (
        str(prometheus),
        f"--config.file={here / 'prometheus.yml'}",
        f"--storage.tsdb.path={here / 'data'}",
        "--web.listen-address=127.0.0.1:9090",
    )
    try:
        with place.daemon(command, here / "log") as process:
            first = _wait_for("prometheus_tsdb_head_series", series * TARGETS, here / "log")
            cpu, samples = place.cpu_seconds(process.pid), _value(first, _SAMPLES)
            time.sleep(INTERVAL_SECONDS * SCRAPES)
            metrics = _metrics()
            spent = place.cpu_seconds(process.pid) - cpu
            return {
                "series": _value(metrics, "prometheus_tsdb_head_series"),
                "rss_mib": _value(metrics, "process_resident_memory_bytes") / 1024**2,
                "heap_bytes_a_series": _value(metrics, "go_memstats_heap_inuse_bytes")
                / _value(metrics, "prometheus_tsdb_head_series"),
                "cpu_us_a_sample": spent / (_value(metrics, _SAMPLES) - samples) * 1e6,
                "wal_bytes_a_sample": sum(
                    one.stat().st_size for one in (here / "data" / "wal").iterdir() if one.is_file()
                )
                / _value(metrics, _SAMPLES),
            }
    finally:
        server.shutdown()


_SAMPLES: Final = "prometheus_tsdb_head_samples_appended_total"


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 1024

    def handle_error(self, *_: Any) -> None:
        """Prometheus hangs up when it ends."""


def _serve(bodies: Sequence[bytes]) -> http.server.ThreadingHTTPServer:
    began = time.monotonic()

    class Answer(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            turn = int((time.monotonic() - began) / INTERVAL_SECONDS)
            body = bodies[min(turn, len(bodies) - 1)]
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nobody reads it."""

    server = _Server(("0.0.0.0", _PORT), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def _metrics() -> str:
    with urllib.request.urlopen("http://127.0.0.1:9090/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
        return text


def _value(text: str, name: str) -> float:
    """The sum of a metric's samples."""
    return sum(float(v) for v in re.findall(rf"^{name}(?:\{{.*\}})? (\S+)", text, re.MULTILINE))


def _wait_for(name: str, least: float, log: Path) -> str:
    deadline = time.monotonic() + 240
    text = ""
    while time.monotonic() < deadline:
        try:
            text = _metrics()
        except OSError:
            text = ""
        if text and _value(text, name) >= least:
            return text
        time.sleep(1)
    raise BenchError(f"{name}: {_value(text, name)} of {least}; {log.read_text()[-500:]}")
