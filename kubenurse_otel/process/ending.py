"""End the process: at a signal, and in time whatever hangs. A bug in a callback does not end it."""

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
"""Time for the last log line, if a second signal ends the process at once."""


def stop_on_signals(stopping: asyncio.Event) -> None:
    """Set ``stopping`` at SIGTERM or SIGINT. If it is set already, end the process at once.

    The handlers are those of the running loop.
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
    """End the process after so many seconds, whatever still hangs (a library's thread, too)."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


def bug_in_a_callback(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Report an exception that nobody awaits: that of a callback, or of a forgotten task.

    The event loop's exception handler.
    """
    error = context.get("exception")
    if isinstance(error, Exception):
        unhandled.caught(Part.EVENT_LOOP, error, about=str(context.get("message")))
    else:
        loop.default_exception_handler(context)
