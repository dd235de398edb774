"""Real servers that misbehave, each behaviour by name: for tests, the bench and the demo.

Blocking sockets and threads, so that a busy or blocked event loop of the asking side never
touches the answering side. Everything listens on loopback and is gone after ``with``.
"""

from servers.behaviours import (
    BEHAVIOURS,
    answer,
    answer_bytes,
    bare_close_notify,
    big_body,
    chunked,
    cut,
    cut_mid_body,
    dribble_body,
    dribble_head,
    endless_head,
    http_1_0,
    interim,
    redirect,
    reset_after_request,
    reset_before_reading,
    reset_mid_body,
    reset_on_accept,
    silent,
    silent_after_request,
    speaks_first,
)
from servers.certificates import Certificates, Kind
from servers.fault_server import Behaviour, Connection, FaultServer, Request, full_backlog
from servers.proxies import http_proxy, tunnel

__all__ = [
    "BEHAVIOURS",
    "Behaviour",
    "Certificates",
    "Connection",
    "FaultServer",
    "Kind",
    "Request",
    "answer",
    "answer_bytes",
    "bare_close_notify",
    "big_body",
    "chunked",
    "cut",
    "cut_mid_body",
    "dribble_body",
    "dribble_head",
    "endless_head",
    "full_backlog",
    "http_1_0",
    "http_proxy",
    "interim",
    "redirect",
    "reset_after_request",
    "reset_before_reading",
    "reset_mid_body",
    "reset_on_accept",
    "silent",
    "silent_after_request",
    "speaks_first",
    "tunnel",
]
