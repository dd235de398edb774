"""One POST and its answer on a Stream, by h11, and whether the stream is good for another.

Owns HTTP's state. An answer has MAX_ANSWER_BYTES in all: head, interim answers, chunks and body,
and the records around them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h11

from kubenurse_otel.telemetry.answers import MAX_ANSWER_BYTES

if TYPE_CHECKING:
    from kubenurse_otel.telemetry.stream import Stream


class Exchanges:
    """Exchanges on one stream, one after the other."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_ANSWER_BYTES)

    def post(
        self, target: str, headers: list[tuple[str, str]], body: bytes, deadline: float
    ) -> tuple[int, dict[str, str], bytes]:
        """Post, and return status, headers (names in lower case, the last of a name) and body.

        Raises OSError (TimeoutError past the deadline), TooLongError, h11.RemoteProtocolError for
        what is no HTTP and h11.LocalProtocolError for headers that cannot be sent.
        """
        length = ("content-length", str(len(body)))
        request = h11.Request(method="POST", target=target, headers=[*headers, length])
        for part in (request, h11.Data(data=body), h11.EndOfMessage()):
            self.stream.send(self._http.send(part) or b"", deadline)
        self.stream.budget = MAX_ANSWER_BYTES
        head: h11.Response | None = None
        answer = bytearray()
        while True:
            event = self._next_event(deadline)
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                answer += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                named = {name.decode(): value.decode("latin-1") for name, value in head.headers}
                return head.status_code, named, bytes(answer)
            elif not isinstance(event, h11.InformationalResponse):
                raise h11.RemoteProtocolError("the protocol was switched")

    def _next_event(self, deadline: float) -> object:
        """Return h11's next event, reading until it is complete."""
        ended = False
        while True:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError:
                if ended:
                    raise ConnectionError("the connection was closed within it") from None
                raise
            if event is not h11.NEED_DATA:
                return event
            data = self.stream.receive(deadline)
            ended = not data
            if ended and self.stream.budget == MAX_ANSWER_BYTES:
                raise ConnectionError("the connection was closed without an answer")
            self._http.receive_data(data)

    def renew(self) -> bool:
        """Whether both sides are ready for another exchange."""
        http = self._http
        if http.trailing_data[0] or (http.our_state, http.their_state) != (h11.DONE, h11.DONE):
            return False
        http.start_next_cycle()
        return True
