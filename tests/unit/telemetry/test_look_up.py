"""A collector's name is looked up within a deadline, whatever the resolver does."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from kubenurse_otel.telemetry.look_up import LookUp


def soon(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_name_or_an_address_has_addresses(host: str) -> None:
    """What getaddrinfo has of it, with the port."""
    found = LookUp(host, 4318).addresses(soon())
    assert (socket.AF_INET, ("127.0.0.1", 4318)) in found


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%lo"])
def test_an_address_is_had_at_once(host: str) -> None:
    """It asks nobody: a busy machine may not start a thread before the deadline."""
    assert LookUp(host, 4318).addresses(time.monotonic() - 1.0)


@pytest.mark.parametrize(
    "host", ["name.invalid", "xn--ls8h.invalid", "a..b", "x" * 70 + ".invalid"]
)
def test_a_name_that_is_none_is_an_error_with_a_sentence(host: str) -> None:
    """Also where Python's IDNA would refuse it: what it is, the resolver says."""
    with pytest.raises(OSError, match=r"[a-z]") as caught:
        LookUp(host, 4318).addresses(soon(30.0))
    assert caught.value.strerror


def test_a_resolver_that_is_silent_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline holds, and one thread at most waits on; when it is done, the next may ask."""
    release, asked = threading.Event(), threading.Semaphore(0)
    infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 4318))]

    def silent(*_arguments: Any, **_options: Any) -> Any:
        asked.release()
        release.wait(30)
        return infos

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    look_up = LookUp("collector.example.com", 4318)
    for _ in range(5):
        with pytest.raises(TimeoutError):
            look_up.addresses(time.monotonic())
    assert asked.acquire(timeout=10)
    assert not asked.acquire(blocking=False)
    waiting = [one for one in threading.enumerate() if one.name == "otlp-look-up"]
    assert len(waiting) == 1
    release.set()
    waiting[0].join(10)
    assert look_up.addresses(soon()) == [(socket.AF_INET, ("192.0.2.1", 4318))]
