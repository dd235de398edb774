"""How the process ends: by a signal, in time whatever hangs, and not by a bug in a callback."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from typing import Any, Final

from kubenurse_otel import log_writer, unhandled
from kubenurse_otel.unhandled import Part

_log = logging.getLogger(__name__)

LAST_LINE_SECONDS: Final = 0.2
"""For the log line of an end at once."""


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Set ``stopping`` at SIGTERM or SIGINT; where it is set already, end at once.

    For the running loop.
    """

    def signalled(number: signal.Signals) -> None:
        if stopping.is_set():
            _log.warning("told to stop again: gone at once")
            log_writer.flush(LAST_LINE_SECONDS)
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signalled, number)


def exit_after(seconds: float) -> None:
    """End the process then; what hangs, a thread of a library included, is left behind."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


def bug_in_a_callback(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What asyncio meets where nobody awaits: a callback's exception, or a forgotten task's."""
    error = context.get("exception")
    if isinstance(error, Exception):
        unhandled.caught(Part.EVENT_LOOP, error, about=str(context.get("message")))
    else:
        loop.default_exception_handler(context)
