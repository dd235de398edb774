"""DNS messages (RFC 1035 section 4): a question to bytes, an answer's bytes to addresses.

No I/O. Reads only what a check needs: the header, the question, and the A and AAAA records that the
question's name leads to through CNAMEs. dnspython, with which the tests compare it, costs 1 MiB and
0.25 ms of CPU per query; this costs 0.02 ms. One look-up through a cluster's search path is eight
queries.
"""

from __future__ import annotations

import socket
import struct
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

from kubenurse_otel.errors import CheckError

MOST_RECORDS: Final = 256
"""Only so many records of an answer are read. 64 KiB can hold 6,000."""
EDNS_BYTES: Final = 1200
"""With EDNS: the most bytes that an answer by UDP may have, as glibc asks for."""

MOST_KNOWN: Final = 512
"""The most questions whose bytes are cached, because the same names are asked for again and again.
"""

_HEADER: Final = struct.Struct("!HHHHHH")
"""id, flags, then how many questions, answers, authorities and additional records."""
_QUESTION_END: Final = struct.Struct("!HH")
_RECORD: Final = struct.Struct("!HHIH")
"""type, class, ttl, length"""
_IN: Final = 1
_FLAG_RESPONSE: Final = 0x8000
_FLAG_AUTHORITATIVE: Final = 0x0400
_FLAG_TRUNCATED: Final = 0x0200
_FLAG_RECURSION_DESIRED: Final = 0x0100
_FLAG_RECURSION_AVAILABLE: Final = 0x0080
_FLAG_AUTHENTIC_DATA: Final = 0x0020
_OPT: Final = b"\0" + struct.pack("!HHIH", 41, EDNS_BYTES, 0, 0)
"""The root's name and an OPT record without options (RFC 6891 section 6.1)."""
_POINTER: Final = 0xC0
_MOST_LABEL_BYTES: Final = 63
_MOST_NAME_BYTES: Final = 255


class RecordType(IntEnum):
    A = 1
    CNAME = 5
    AAAA = 28


class Rcode(IntEnum):
    """RFC 1035 section 4.1.1."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5


class MalformedMessageError(CheckError):
    """What came is not a DNS message, or not an answer."""


class BadNameError(ValueError):
    """The name is not ASCII, has more than 255 bytes, or a label that is empty or over 63 bytes."""


class Question(NamedTuple):
    """What is asked for. ``name`` is the full name, with or without the root's dot."""

    name: str
    type: RecordType


class Head(NamedTuple):
    """Header and question of an answer. ``question`` are the bytes on the wire, in lower case."""

    ident: int
    flags: int
    answers: int
    additional: int
    question: bytes

    @property
    def rcode(self) -> int:
        return self.flags & 0x000F

    @property
    def is_truncated(self) -> bool:
        return bool(self.flags & _FLAG_TRUNCATED)

    @property
    def is_lame(self) -> bool:
        """Whether it is empty and from a server that is not authoritative and does not ask others.
        Then glibc asks the next server.
        """
        knows = self.flags & (_FLAG_AUTHORITATIVE | _FLAG_RECURSION_AVAILABLE)
        return not (self.rcode or self.answers or self.additional or knows)


@lru_cache(maxsize=MOST_KNOWN)
def question_bytes(question: Question) -> bytes:
    """Return name, type and class as they are sent. Raises BadNameError."""
    try:
        labels = question.name.removesuffix(".").encode("ascii").split(b".")
    except UnicodeEncodeError:
        raise BadNameError(question.name) from None
    if any(not 0 < len(label) <= _MOST_LABEL_BYTES for label in labels):
        raise BadNameError(question.name)
    name = b"".join([bytes((len(label),)) + label for label in labels]) + b"\0"
    if len(name) > _MOST_NAME_BYTES:
        raise BadNameError(question.name)
    return name + _QUESTION_END.pack(question.type, _IN)


def query(ident: int, question: bytes, *, edns: bool = False, trust_ad: bool = False) -> bytes:
    """Return the query for ``question_bytes``. It asks for recursion.

    ``trust_ad`` asks for the bit that says "verified by DNSSEC" (resolv.conf's trust-ad).
    """
    flags = _FLAG_RECURSION_DESIRED | (_FLAG_AUTHENTIC_DATA if trust_ad else 0)
    head = _HEADER.pack(ident, flags, 1, 0, 0, int(edns))
    return head + question + (_OPT if edns else b"")


def read_head(data: bytes) -> Head:
    """Read the header and the one question. Raises MalformedMessageError."""
    try:
        ident, flags, questions, answers, _, additional = _HEADER.unpack_from(data)
        if not flags & _FLAG_RESPONSE or questions != 1:
            raise MalformedMessageError("not an answer to one question")
        at = _HEADER.size
        while length := data[at]:
            if length > _MOST_LABEL_BYTES:
                raise MalformedMessageError("a compressed question")
            at += 1 + length
        at += 1 + _QUESTION_END.size
    except (struct.error, IndexError):
        raise MalformedMessageError("cut short") from None
    if at > len(data):
        raise MalformedMessageError("cut short")
    return Head(ident, flags, answers, additional, data[_HEADER.size : at].lower())


def read_addresses(data: bytes, head: Head) -> tuple[str, ...]:
    """Return the answer's addresses: those of the question's type, for its name or its last CNAME.

    CNAMEs are followed in the order of the records, as glibc does. At most MOST_RECORDS records
    are read. Raises MalformedMessageError.
    """
    if not head.answers:
        return ()
    family, size = socket.AF_INET, 4
    wanted = int.from_bytes(head.question[-4:-2], "big")
    if wanted == RecordType.AAAA:
        family, size = socket.AF_INET6, 16
    owner = head.question[:-4]
    found: list[str] = []
    at = _HEADER.size + len(head.question)
    try:
        for _ in range(min(head.answers, MOST_RECORDS)):
            name, at = _name(data, at)
            kind, class_, _, length = _RECORD.unpack_from(data, at)
            at += _RECORD.size
            if at + length > len(data):
                raise MalformedMessageError("cut short")
            if class_ == _IN and name == owner:
                if kind == wanted and length == size:
                    found.append(socket.inet_ntop(family, data[at : at + size]))
                elif kind == RecordType.CNAME:
                    owner, _ = _name(data, at)
            at += length
    except (struct.error, IndexError):
        raise MalformedMessageError("cut short") from None
    return tuple(found)


def _name(data: bytes, at: int) -> tuple[bytes, int]:
    """Return the name at offset ``at``, uncompressed and in lower case, and the offset of its end.

    A pointer has to point backwards (RFC 1035 section 4.1.4), so there can be no loop.
    """
    labels: list[bytes] = []
    size = 1
    end, barrier = 0, at
    while length := data[at]:
        if length >= _POINTER:
            target = (length & 0x3F) << 8 | data[at + 1]
            end = end or at + 2
            if target >= barrier:
                raise MalformedMessageError("a name that points ahead")
            at = barrier = target
            continue
        if length > _MOST_LABEL_BYTES:
            raise MalformedMessageError("a label of an unknown kind")
        labels.append(data[at : at + 1 + length])
        size += 1 + length
        if size > _MOST_NAME_BYTES:
            raise MalformedMessageError("a name that is too long")
        at += 1 + length
    return b"".join(labels).lower() + b"\0", end or at + 1
