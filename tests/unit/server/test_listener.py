"""Binding: which sockets, and what is said when it does not work."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from kubenurse_otel.server.listener import ServerError, _sentence, bind


def families(address: str) -> list[tuple[int, int]]:
    """Return family and port of what was bound, closed again."""
    with ExitStack() as stack:
        listeners = [
            stack.enter_context(listener)
            for listener in bind(address, 0, variable="KUBENURSE_PORT")
        ]
        return [(listener.family, listener.getsockname()[1]) for listener in listeners]


def test_no_address_is_every_address_of_both_families() -> None:
    """Without an address IPv4 and IPv6 are served, on one port."""
    (four, port), (six, same) = families("")
    assert (four, six, port) == (socket.AF_INET, socket.AF_INET6, same)


@pytest.mark.parametrize(
    ("address", "family"),
    [
        ("127.0.0.1", socket.AF_INET),
        ("::1", socket.AF_INET6),
        ("[::1]", socket.AF_INET6),
    ],
)
def test_one_address_is_one_socket(address: str, family: int) -> None:
    """A given address is the only one that is served."""
    assert [found for found, _ in families(address)] == [family]


def test_a_taken_port_is_told_with_its_variable() -> None:
    """Who starts a second agent reads which port is taken, and nothing stays bound."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"KUBENURSE_PORT {port} on 127.0.0.1 is taken"):
            bind("127.0.0.1", port, variable="KUBENURSE_PORT")
        with pytest.raises(ServerError, match="is taken"):
            bind("", port, variable="KUBENURSE_PORT")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("192.0.2.1", "192.0.2.1 is no address of this host"),
        ("not an address", "KUBENURSE_LISTEN_ADDRESS 'not an address' is neither"),
    ],
)
def test_an_address_that_is_not_ours(address: str, sentence: str) -> None:
    """An address of another host, or none at all, is refused in a sentence."""
    with pytest.raises(ServerError, match=sentence):
        bind(address, 0, variable="KUBENURSE_PORT")


def test_a_privileged_port() -> None:
    """Without the privilege for a port below 1024 the message says so."""
    floor = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if floor <= 1:
        pytest.skip("every user may bind every port here")
    who = os.getuid()
    os.seteuid(65534 if who == 0 else who)  # CAP_NET_BIND_SERVICE goes with root's identity
    try:
        with pytest.raises(ServerError, match="may not be used by this user"):
            bind("127.0.0.1", 1, variable="KUBENURSE_PORT")
    finally:
        os.seteuid(who)


def test_other_problems_are_told_as_the_system_has_them() -> None:
    """What has no sentence of its own is passed on."""
    with pytest.raises(ServerError, match=r"cannot listen at KUBENURSE_PORT 0 on 0\.0\.0\.0: boom"):
        raise ServerError(_sentence(OSError(errno.EIO, "boom"), "0.0.0.0", 0, "KUBENURSE_PORT"))
