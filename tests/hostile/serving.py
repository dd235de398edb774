"""Attackers that are asked: servers which run for as long as the attack does."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import grpc
from servers import FaultServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from servers import Behaviour
    from servers.fault_server import Connection

    from hostile.attack import Target


def serving(
    behaviour: Behaviour,
    host: str,
    port: int,
    *,
    tls: Callable[[Target], ssl.SSLContext] | None = None,
) -> Callable[[Target], None]:
    """Return a program: a server that does this to every connection."""

    def run(target: Target) -> None:
        context = tls(target) if tls is not None else None

        def counted(connection: Connection) -> None:
            target.count()
            behaviour(connection)

        with FaultServer(counted, host, port, context):
            time.sleep(max(0.0, target.seconds_left()))

    return run


def grpc_answering(host: str, port: int, *, size: int) -> Callable[[Target], None]:
    """Return a program: a gRPC server that answers any call with ``size`` zeros."""

    def run(target: Target) -> None:
        answer = bytes(size)

        def behave(_request: bytes, _context: object) -> bytes:
            target.count()
            return answer

        handler = grpc.unary_unary_rpc_method_handler(behave)

        class Any(grpc.GenericRpcHandler):
            def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                return handler

        server = grpc.server(ThreadPoolExecutor(4), handlers=[Any()])
        server.add_insecure_port(f"{host}:{port}")
        server.start()
        time.sleep(max(0.0, target.seconds_left()))
        server.stop(0).wait(5)

    return run
