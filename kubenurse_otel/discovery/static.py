"""Neighbours from a file: no cluster needed. Reread when it changes; a broken edit changes nothing.

Owns the file's format (a YAML or JSON list) and its bounds. The ring and the rules are those of
the API server's source; ``listed_at`` is when the file was last seen and good.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Final

import msgspec

from kubenurse_otel import files
from kubenurse_otel.discovery import is_old_news
from kubenurse_otel.discovery.candidates import candidate, choose, youngest
from kubenurse_otel.model import Neighbour, Neighbourhood, is_dns_subdomain
from kubenurse_otel.text import is_address, printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubenurse_otel.config import Config

log = logging.getLogger(__name__)

MAX_BYTES: Final = 4 * 1024 * 1024
MAX_ENTRIES: Final = 10_000
POLL_SECONDS: Final = 5.0
HEARD_SECONDS: Final = 15.0
"""Seconds between two moves of ``listed_at`` by an unchanged good file."""
_LONGEST_PROBLEM: Final = 1000
"""Characters; the path of a file may have 4,096."""


class FileError(Exception):
    """The file is no list of neighbours; the message says where and why."""


class Entry(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """One neighbour as the file has it."""

    pod_name: str
    node_name: str
    pod_ip: str = msgspec.field(name="podIP")
    pod_ips: list[str] = msgspec.field(name="podIPs", default_factory=list)
    host_ip: str = msgspec.field(name="hostIP", default="")
    port: int | None = None
    zone: str = ""


def parse(text: bytes) -> tuple[Neighbour, ...]:
    """Return the file's neighbours in its order. Raises FileError."""
    if len(text) > MAX_BYTES:
        raise FileError(f"is larger than {MAX_BYTES // 1024 // 1024} MiB")
    try:
        # JSON is YAML, too, but ten times faster to read as what it is.
        content = msgspec.json.decode(text) if text.lstrip()[:1] == b"[" else _yaml(text)
    except (msgspec.DecodeError, RecursionError):
        content = _yaml(text)
    if not isinstance(content, list):
        raise FileError("is no list; it wants a list of podName, nodeName, podIP")
    if len(content) > MAX_ENTRIES:
        raise FileError(f"has {len(content)} entries; at most {MAX_ENTRIES} are taken")
    neighbours = tuple(_neighbour(number, one) for number, one in enumerate(content, start=1))
    _refuse_doubles(neighbours)
    return neighbours


def _yaml(text: bytes) -> object:
    import yaml  # noqa: PLC0415 - most of a megabyte, for nothing where the file is JSON

    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark is not None else ""
        problem = getattr(error, "problem", None) or type(error).__name__
        raise FileError(f"is neither YAML nor JSON{where}: {problem}") from None


def _neighbour(number: int, content: object) -> Neighbour:
    try:
        entry = msgspec.convert(content, Entry)
    except msgspec.ValidationError as error:
        raise FileError(f"entry {number}: {error}") from None
    except UnicodeEncodeError:  # msgspec looks for the field by its UTF-8
        raise FileError(f"entry {number}: the name of a field is no text") from None
    for field, name in (("podName", entry.pod_name), ("nodeName", entry.node_name)):
        if not is_dns_subdomain(name):
            raise FileError(
                f"entry {number}: {field} {_shown(name)} is no DNS name"
                " (lower-case letters, digits, '-' and '.')"
            )
    for address in (entry.pod_ip, *entry.pod_ips, *([entry.host_ip] if entry.host_ip else [])):
        _require_address(number, address)
    if entry.port is not None and not 0 < entry.port < 65536:
        raise FileError(f"entry {number}: port {entry.port} is not within 1 and 65535")
    if len(entry.zone) > 63 or not entry.zone.isprintable():
        raise FileError(
            f"entry {number}: zone {_shown(entry.zone)} is no printable text"
            " of at most 63 characters"
        )
    return Neighbour(
        pod_name=entry.pod_name,
        node_name=entry.node_name,
        pod_ip=entry.pod_ip,
        pod_ips=tuple(dict.fromkeys((entry.pod_ip, *entry.pod_ips))),
        host_ip=entry.host_ip,
        port=entry.port,
        zone=entry.zone,
    )


def _require_address(number: int, address: str) -> None:
    if not is_address(address):
        raise FileError(f"entry {number}: {_shown(address)} is no IP address (without a zone)")


def _refuse_doubles(neighbours: tuple[Neighbour, ...]) -> None:
    names: set[str] = set()
    for neighbour in neighbours:
        if neighbour.pod_name in names:
            raise FileError(f"podName {neighbour.pod_name} stands there twice")
        names.add(neighbour.pod_name)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:60] + "...")


class StaticDiscovery:
    """Follows ``config.discovery.neighbours_file``.

    ``on_change`` is called on the event loop with each new Neighbourhood.
    """

    def __init__(
        self,
        config: Config,
        *,
        on_change: Callable[[Neighbourhood], None],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        self._config = config
        self._on_change = on_change
        self._poll_seconds = poll_seconds
        self._listed: tuple[Neighbour, ...] | None = None
        self._problem: str | None = None
        self._is_new = True
        """Whether the list or the problem may have changed since they were published."""
        self._current: Neighbourhood | None = None
        self._path = config.discovery.neighbours_file
        self._file = files.Reread(
            [self._path] if self._path is not None else [],
            self._read,
            report=self._cannot_be_read,
            every_seconds=0.0,
        )

    async def run(self) -> None:
        """Look at the file until cancelled."""
        cancelled = threading.Event()
        try:
            while True:
                # A file system that hangs (a lost network mount) must not stop the event loop,
                # and a look that finds nothing new need not wake it.
                await asyncio.to_thread(self._await_news, cancelled)
                self._publish()
        finally:
            cancelled.set()

    def target_failed(self, node_name: str) -> None:
        """Ignored: a file knows nothing of nodes."""

    def _await_news(self, cancelled: threading.Event) -> None:
        """Look, the first time at once, until there is something to publish."""
        if self._current is not None:
            cancelled.wait(self._poll_seconds)
        self._look()
        while not self._has_news() and not cancelled.wait(self._poll_seconds):
            self._look()

    def _has_news(self) -> bool:
        heard = self._current.listed_at if self._current is not None else None
        return self._is_new or heard is None or time.monotonic() - heard >= HEARD_SECONDS

    def _look(self) -> None:
        try:
            self._file.get()
        except OSError as error:
            self._cannot_be_read(error)

    def _read(self) -> bool:
        """Take the file's list. A broken file leaves the list before. Returns True: the file was
        read.
        """
        self._is_new = True
        if self._path is None:
            self._problem = "KUBENURSE_NEIGHBOURS_FILE is not set"
            return True
        try:
            self._listed = parse(files.read(self._path, longest=MAX_BYTES))
            self._problem = None
        except FileError as error:
            self._refuse(str(error))
        return True

    def _cannot_be_read(self, error: OSError | ValueError) -> None:
        self._is_new = True
        self._refuse(f"cannot be read: {getattr(error, 'strerror', None) or error}")

    def _refuse(self, why: str) -> None:
        """Keep the list before. A path and a field's name may hold what is no text: /alive shows
        this.
        """
        kept = "; the last good list stays" if self._listed is not None else ""
        what = printable(f"the neighbours file {self._path} {why}", _LONGEST_PROBLEM)
        self._problem = what + kept

    def _publish(self) -> None:
        self._is_new = False
        before, neighbourhood = self._current, self._neighbourhood(time.monotonic())
        if before is not None and is_old_news(before, neighbourhood, within_seconds=HEARD_SECONDS):
            return
        self._current = neighbourhood
        if before is None or before.state != neighbourhood.state:
            level = logging.INFO if neighbourhood.state == "ok" else logging.WARNING
            log.log(level, "neighbourhood: %s", neighbourhood.state)
        self._on_change(neighbourhood)

    def _neighbourhood(self, now: float) -> Neighbourhood:
        identity, discovery = self._config.identity, self._config.discovery
        listed = self._listed or ()
        own = next((one for one in listed if one.pod_name == identity.pod_name), None)
        own_node = identity.node_name or (own.node_name if own is not None else "")
        own_zone = next((one.zone for one in listed if one.node_name == own_node), "")
        candidates = [
            candidate(one)
            for one in listed
            if one.node_name != own_node and one.pod_name != identity.pod_name
        ]
        last_heard = self._current.listed_at if self._current is not None else None
        return Neighbourhood(
            chosen=choose(candidates, own_node, discovery.neighbour_limit),
            known=tuple(one.neighbour for one in youngest(candidates)),
            agents=tuple(one for one in listed if one.pod_name != identity.pod_name),
            state=self._problem or _state(own_node, candidates=len(candidates)),
            own_node_name=own_node,
            own_zone=own_zone,
            listed_at=now if self._problem is None else last_heard,
        )


def _state(own_node: str, *, candidates: int) -> str:
    if not own_node:
        return (
            "our own node is unknown: KUBENURSE_NODE_NAME is not set"
            " and no entry of the neighbours file has our pod's name"
        )
    if not candidates:
        return "the neighbours file has no neighbour on another node"
    return "ok"
