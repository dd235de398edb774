"""Ask the servers of resolv.conf for one name, as glibc's resolver does: which, when and how often.

The order of events is that of send_dg and send_vc (glibc, resolv/res_send.c). Owns tries,
time-outs, and whether the next server is asked after an answer. Every query leaves a Reply.
"""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from kubenurse_otel.errors import without_frames
from kubenurse_otel.probe.dns import tcp
from kubenurse_otel.probe.dns.ask import reply
from kubenurse_otel.probe.dns.message import MalformedMessageError, Question, Rcode, RecordType
from kubenurse_otel.probe.dns.reply import Ending, Reply, Server, Transport
from kubenurse_otel.probe.dns.udp import Conversation
from kubenurse_otel.record import record

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from kubenurse_otel.probe.dns.resolv_conf import ResolvConf
    from kubenurse_otel.probe.dns.udp import Answered

_GIVES_UP: Final = frozenset({Rcode.SERVFAIL, Rcode.NOTIMP, Rcode.REFUSED})
"""After an answer with one of these codes the next server is asked."""


class OutOfTimeError(Exception):
    """The look-up's own deadline came."""


@dataclass(slots=True)
class Turn:
    """Which server is asked first, if resolv.conf says ``rotate``. A process has one of these."""

    number: int = field(default_factory=lambda: os.urandom(1)[0])

    def next(self, servers: int) -> int:
        self.number += 1
        return self.number % servers


@record(frozen=True, slots=True)
class Answers:
    """What came for a name: the answers that count, A before AAAA. Empty if there are none.

    ``last_rcode`` is the code of the first answer of the server that answered last, because glibc
    looks at that. ``nobody`` is true if every server's port was closed.
    """

    answers: tuple[Answered, ...] = ()
    last_rcode: int = Rcode.NOERROR
    nobody: bool = False


@dataclass(slots=True)
class LookUp:
    """The state of one look-up, over all names of the search path. ``deadline`` is loop time.

    ``waited_ns`` is how long servers were waited for so far. Our own time is not in it.
    """

    conf: ResolvConf
    types: tuple[RecordType, ...]
    deadline: float
    turn: Turn
    replies: list[Reply] = field(default_factory=list)
    waited_ns: int = 0
    ended_ns: int = 0
    """CLOCK_MONOTONIC: when the last query ended."""
    place: int = 0
    """The place of the present name in the search path, for the replies."""
    single_request: bool = False
    single_request_reopen: bool = False

    def __post_init__(self) -> None:
        options = self.conf.options
        self.single_request_reopen = options.single_request_reopen
        self.single_request = options.single_request or options.single_request_reopen

    def ask(self, name: str) -> Awaitable[Answers]:
        """Ask for exactly ``name``. Raises OutOfTimeError or BadNameError."""
        return _Round(self, tuple(Question(name, type_) for type_ in self.types)).run()


@dataclass(slots=True)
class _Try:
    """One try: the questions of a name, each sent once to one server."""

    waiting: list[Question]
    started_ns: dict[Question, int] = field(default_factory=dict)
    """CLOCK_MONOTONIC ns at which each question left."""
    kept: dict[Question, Answered] = field(default_factory=dict)
    """The answers that count."""
    has_failed: bool = False
    """True if one of two questions was answered with a failure."""

    def send(self, conversation: Conversation, question: Question) -> None:
        self.started_ns[question] = conversation.send(question).started_ns


class _Round:
    """All tries at all servers for one name. As in glibc, sockets stay open until its end."""

    def __init__(self, look_up: LookUp, questions: tuple[Question, ...]) -> None:
        self._look_up = look_up
        self._questions = questions
        self._servers = look_up.conf.servers
        self._open: dict[int, Conversation] = {}
        self._last_rcode: int = Rcode.NOERROR
        self._got_somewhere = False
        self._by_tcp = look_up.conf.options.use_vc

    async def run(self) -> Answers:
        options = self._look_up.conf.options
        count = len(self._servers)
        first = self._look_up.turn.next(count) if options.rotate and count > 1 else 0
        try:
            for _ in range(options.attempts):
                for shift in range(count):
                    found = await self._ask((first + shift) % count)
                    if found is not None:
                        answers = tuple(found[one] for one in self._questions if one in found)
                        return Answers(answers, self._last_rcode)
                if self._by_tcp:  # by TCP, each server gets at most one attempt
                    break
        finally:
            self._close()
        return Answers((), self._last_rcode, nobody=not self._got_somewhere)

    async def _ask(self, number: int) -> dict[Question, Answered] | None:
        """Ask one server. None if the next one is to be asked."""
        if not self._by_tcp:
            found = await self._datagrams(number)
            if not self._by_tcp:
                return found
        return await self._stream(number)

    # --- UDP --------------------------------------------------------------------------------------

    async def _datagrams(self, number: int) -> dict[Question, Answered] | None:
        look_up = self._look_up
        seconds = self._seconds(number)
        while True:
            tried = _Try(list(self._questions))
            try:
                if await self._exchange(number, tried, seconds):
                    return tried.kept or None
            except (OSError, MalformedMessageError) as error:
                self._tell_failure(self._servers[number], tried, error)
                self._close()
                return None
            if not tried.kept:
                return None
            # One of the two was answered: some servers and firewalls handle one query per port.
            if not look_up.single_request:
                look_up.single_request = True
            elif not look_up.single_request_reopen:
                look_up.single_request_reopen = True
                self._close()
            else:
                return tried.kept

    async def _exchange(self, number: int, tried: _Try, seconds: float) -> bool:
        """Make one try. Return False if its time was up. Raises OSError, MalformedMessageError, or
        OutOfTimeError.
        """
        look_up = self._look_up
        loop = asyncio.get_running_loop()
        began = loop.time()
        until = min(look_up.deadline, began + seconds)
        conversation = self._conversation(number)
        for question in self._questions[: 1 if look_up.single_request else None]:
            tried.send(conversation, question)
        while True:
            answered = await conversation.answer(until)
            if answered is None:
                self._tell_silence(self._servers[number], tried, min(loop.time() - began, seconds))
                if loop.time() >= look_up.deadline:
                    raise OutOfTimeError
                self._got_somewhere = True
                return False
            if answered.sent.question not in tried.waiting:
                continue  # the late answer to an earlier try; this question is answered already
            self._got_somewhere = True
            self._tell(answered, self._servers[number], conversation)
            if self._is_over(tried, answered):
                return True
            following = tried.waiting[0]
            if following not in tried.started_ns:
                if look_up.single_request_reopen:
                    self._close()
                    conversation = self._conversation(number)
                tried.send(conversation, following)

    def _is_over(self, tried: _Try, answered: Answered) -> bool:
        """Take in an answer. Return whether this server need not be waited for any longer."""
        if len(tried.waiting) == len(self._questions):
            self._last_rcode = answered.head.rcode
        tried.waiting.remove(answered.sent.question)
        if _gives_up(answered):
            is_lone = len(self._questions) == 1
            if is_lone:
                self._close()
            over = is_lone or bool(tried.kept) or tried.has_failed
            tried.has_failed = True
            return over
        if answered.head.is_truncated:
            self._by_tcp = True
            tried.kept.clear()
            self._close()
            return True
        tried.kept[answered.sent.question] = answered
        return not tried.waiting

    def _conversation(self, number: int) -> Conversation:
        conversation = self._open.get(number)
        if conversation is None:
            options = self._look_up.conf.options
            conversation = self._open[number] = Conversation(
                self._servers[number], edns=options.edns0, trust_ad=options.trust_ad
            )
        return conversation

    def _close(self) -> None:
        for conversation in self._open.values():
            conversation.close()
        self._open.clear()

    def _seconds(self, number: int) -> float:
        """Return the time-out of a server. It doubles along the list, and from the second server on
        it is divided by their number (glibc's arithmetic).
        """
        seconds = self._look_up.conf.options.timeout_seconds << number
        if number > 0:
            seconds //= len(self._servers)
        return float(max(1, seconds))

    # --- TCP --------------------------------------------------------------------------------------

    async def _stream(self, number: int) -> dict[Question, Answered] | None:
        look_up, server = self._look_up, self._servers[number]
        options = look_up.conf.options
        loop = asyncio.get_running_loop()
        began, started_ns = loop.time(), time.monotonic_ns()
        seconds = self._seconds(number)
        error: OSError | None = None
        ending = Ending.SILENT
        found: dict[Question, Answered] = {}
        try:
            answers = await tcp.converse(
                server,
                self._questions,
                deadline=min(look_up.deadline, began + seconds),
                edns=options.edns0,
                trust_ad=options.trust_ad,
            )
            found = {one.sent.question: one for one in answers}
        except OSError as raised:
            ending, error = Ending.UNREACHABLE, without_frames(raised)
        except MalformedMessageError:
            ending = Ending.MALFORMED
        self._got_somewhere = not isinstance(error, ConnectionRefusedError)
        for question in self._questions:
            look_up.replies.append(
                reply(
                    found.get(question),
                    server=server,
                    question=question,
                    ending=ending,
                    started_ns=started_ns,
                    transport=Transport.TCP,
                    error=error,
                    place=look_up.place,
                )
            )
        look_up.ended_ns = time.monotonic_ns()
        look_up.waited_ns += look_up.ended_ns - started_ns
        if found:
            self._last_rcode = found[
                next(one for one in self._questions if one in found)
            ].head.rcode
        if len(found) < len(self._questions):
            if loop.time() >= look_up.deadline:
                raise OutOfTimeError
            return None
        return found

    # --- what is told -----------------------------------------------------------------------------

    def _tell(self, answered: Answered, server: Server, conversation: Conversation) -> None:
        told = reply(
            answered,
            server=server,
            question=answered.sent.question,
            ending=Ending.ANSWERED,
            started_ns=answered.started_ns,
            transport=Transport.UDP,
            ignored=conversation.ignored,
            place=self._look_up.place,
        )
        self._note(told)

    def _note(self, told: Reply) -> None:
        """Add a reply, and its time, without what another query at the same time has counted."""
        look_up = self._look_up
        look_up.waited_ns += max(0, told.ended_ns - max(told.started_ns, look_up.ended_ns))
        look_up.ended_ns = max(look_up.ended_ns, told.ended_ns)
        look_up.replies.append(told)

    def _tell_silence(self, server: Server, tried: _Try, waited_seconds: float) -> None:
        """Add a reply for each unanswered question. Time beyond the time-out is own delay."""
        waited_ns = int(waited_seconds * 1e9)
        for question in tried.waiting:
            if question in tried.started_ns:
                since_ns = tried.started_ns[question]
                self._tell_end(
                    server,
                    question,
                    Ending.SILENT,
                    started_ns=since_ns,
                    ended_ns=since_ns + waited_ns,
                )

    def _tell_failure(
        self, server: Server, tried: _Try, error: OSError | MalformedMessageError
    ) -> None:
        now_ns = time.monotonic_ns()
        ending = Ending.UNREACHABLE if isinstance(error, OSError) else Ending.MALFORMED
        for question in tried.waiting:
            self._tell_end(
                server,
                question,
                ending,
                started_ns=tried.started_ns.get(question, now_ns),
                ended_ns=now_ns,
                error=without_frames(error) if isinstance(error, OSError) else None,
            )

    def _tell_end(
        self,
        server: Server,
        question: Question,
        ending: Ending,
        *,
        started_ns: int,
        ended_ns: int,
        error: OSError | None = None,
    ) -> None:
        told = Reply(
            server=server,
            question=question,
            ending=ending,
            started_ns=started_ns,
            ended_ns=min(ended_ns, time.monotonic_ns()),
            error=error,
            place=self._look_up.place,
        )
        self._note(told)


def _gives_up(answered: Answered) -> bool:
    """Whether the next server is asked: this one failed, is lame, or its answer cannot be read."""
    head = answered.head
    return head.rcode in _GIVES_UP or head.is_lame or answered.addresses is None
