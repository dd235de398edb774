"""probe/dns/message.py, compared with dnspython: bytes of DNS, theirs and anybody's."""

from __future__ import annotations

import ipaddress
import struct

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.probe.dns import message
from kubenurse_otel.probe.dns.message import (
    MOST_RECORDS,
    BadNameError,
    MalformedMessageError,
    Question,
    RecordType,
)

LABELS = st.text("abcXYZ019-_", min_size=1, max_size=63)
NAMES = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
TYPES = st.sampled_from([RecordType.A, RecordType.AAAA])
NAME = "web.example"
BYTES = message.question_bytes(Question(NAME, RecordType.A))


@given(NAMES, TYPES, st.integers(0, 65_535), st.booleans(), st.booleans())
def test_a_query_is_what_dnspython_reads(
    name: str, type_: RecordType, ident: int, edns: bool, trust_ad: bool
) -> None:
    """id, name, type, recursion desired; EDNS and AD where they were asked for."""
    wire = message.query(
        ident, message.question_bytes(Question(name, type_)), edns=edns, trust_ad=trust_ad
    )
    read = dns.message.from_wire(wire)
    assert read.id == ident
    assert read.question[0].name == dns.name.from_text(name)
    assert read.question[0].rdtype == type_
    assert read.flags == dns.flags.RD | (dns.flags.AD if trust_ad else 0)
    assert (read.edns, read.payload) == ((0, message.EDNS_BYTES) if edns else (-1, 0))


@pytest.mark.parametrize(
    "name", ["", ".", "a..b", ".a", "x" * 64, ".".join(["x" * 63] * 4), "é.example"]
)
def test_a_name_that_no_query_can_hold_is_said(name: str) -> None:
    """An empty label, one over 63 bytes, 255 in all, letters that are not ASCII."""
    with pytest.raises(BadNameError):
        message.question_bytes(Question(name, RecordType.A))


ADDRESSES = {
    RecordType.A: st.ip_addresses(v=4).map(str),
    RecordType.AAAA: st.ip_addresses(v=6).map(str),
}


@given(NAMES, TYPES, st.data(), st.lists(NAMES, max_size=3), st.sampled_from(range(16)))
def test_an_answer_is_read_as_dnspython_wrote_it(
    name: str, type_: RecordType, data: st.DataObject, aliases: list[str], rcode: int
) -> None:
    """Addresses at the end of a chain of CNAMEs, with names compressed and in any letters."""
    addresses = data.draw(st.lists(ADDRESSES[type_], max_size=5, unique=True))
    query = dns.message.from_wire(message.query(7, message.question_bytes(Question(name, type_))))
    reply = dns.message.make_response(query)
    reply.set_rcode(dns.rcode.Rcode(rcode))
    owner = name
    for alias in aliases:
        reply.answer.append(dns.rrset.from_text(f"{owner}.", 5, "IN", "CNAME", f"{alias}."))
        owner = alias
    for one in addresses:  # a set each: dnspython shuffles what is in one
        reply.answer.append(dns.rrset.from_text(f"{owner}.", 5, "IN", type_.name, one))
    wire = reply.to_wire()
    head = message.read_head(wire)
    assert (head.ident, head.rcode) == (7, rcode)
    assert head.answers == len(aliases) + len(addresses)
    assert head.question == message.question_bytes(Question(name, type_)).lower()
    found = message.read_addresses(wire, head)  # inet_ntop and Python write ::ffff:0:0 differently
    assert [*map(ipaddress.ip_address, found)] == [*map(ipaddress.ip_address, addresses)]


def answer_of(*records: bytes, answers: int | None = None) -> bytes:
    counts = len(records) if answers is None else answers
    return struct.pack("!HHHHHH", 7, 0x8180, 1, counts, 0, 0) + BYTES + b"".join(records)


def record(owner: bytes, kind: int, data: bytes, *, class_: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", kind, class_, 5, len(data)) + data


HERE = b"\xc0\x0c"
OTHER = b"\x05other\x07example\0"


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([record(OTHER, 1, bytes([10, 0, 0, 1]))], ()),
        ([record(HERE, 1, bytes([10, 0, 0, 1]), class_=3)], ()),
        ([record(HERE, 1, bytes([10, 0, 0]))], ()),
        ([record(HERE, 28, bytes(16))], ()),
        ([record(HERE, 46, b"RRSIG"), record(HERE, 1, bytes([10, 0, 0, 1]))], ("10.0.0.1",)),
        ([record(b"\x03WEB\xc0\x10", 1, bytes([10, 0, 0, 1]))], ("10.0.0.1",)),
    ],
)
def test_records_of_others_are_passed_over(records: list[bytes], expected: tuple[str, ...]) -> None:
    """Another owner, class, size or type; letters do not matter."""
    wire = answer_of(*records)
    assert message.read_addresses(wire, message.read_head(wire)) == expected


QUESTION_END = 12 + len(BYTES)


@pytest.mark.parametrize(
    "wire",
    [
        answer_of(record(struct.pack("!H", 0xC000 | QUESTION_END), 1, bytes(4))),
        answer_of(record(struct.pack("!H", 0xC000 | QUESTION_END + 2), 1, bytes(4))),
        answer_of(record(b"\x01a" + struct.pack("!H", 0xC000 | QUESTION_END), 1, bytes(4))),
        answer_of(record(b"\x80a\0", 1, bytes(4))),
        answer_of(record((b"\x3f" + b"x" * 63) * 4 + b"\0", 1, bytes(4))),
        answer_of(record(HERE, 5, b"\xc0\xff")),
        answer_of(record(HERE, 1, bytes(4))[:-1]),
        answer_of(answers=1),
    ],
    ids=["itself", "ahead", "loop", "kind", "long", "cname", "short", "none"],
)
def test_names_that_loop_and_records_that_end_early_are_malformed(wire: bytes) -> None:
    """A pointer leads backwards, or the message is none."""
    head = message.read_head(wire)
    with pytest.raises(MalformedMessageError):
        message.read_addresses(wire, head)


@pytest.mark.parametrize("records", [1_000, 6_000])
def test_an_answer_of_any_length_is_read_to_the_bound(records: int) -> None:
    """Of a thousand records the first 256 are taken."""
    wire = answer_of(*(record(HERE, 1, struct.pack("!I", n)) for n in range(records)))
    assert len(message.read_addresses(wire, message.read_head(wire))) == MOST_RECORDS


def test_cnames_without_end_are_read_to_the_bound() -> None:
    """A chain that leads round and round ends with the records that are looked at."""
    wire = answer_of(*(record(HERE, 5, HERE) for _ in range(5_000)))
    assert message.read_addresses(wire, message.read_head(wire)) == ()


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        bytes(11),
        message.query(7, BYTES),
        struct.pack("!HHHHHH", 7, 0x8180, 2, 0, 0, 0) + BYTES * 2,
        struct.pack("!HHHHHH", 7, 0x8180, 1, 0, 0, 0) + b"\xc0\x0c\0\1\0\1",
        struct.pack("!HHHHHH", 7, 0x8180, 1, 0, 0, 0) + BYTES[:-1],
    ],
    ids=["empty", "short", "query", "two", "pointer", "cut"],
)
def test_what_is_no_answer_to_one_question_is_malformed(wire: bytes) -> None:
    """Nothing, half a header, a query, two questions, a question that is compressed or cut."""
    with pytest.raises(MalformedMessageError):
        message.read_head(wire)


@given(st.binary(max_size=600) | st.binary(max_size=400).map(answer_of))
def test_any_bytes_are_an_answer_or_malformed(wire: bytes) -> None:
    """Nothing else is raised, whatever comes."""
    _read(wire)


@given(st.data())
def test_a_changed_answer_is_an_answer_or_malformed(data: st.DataObject) -> None:
    """A few bytes of a sound one, changed: lengths and pointers among them."""
    wire = bytearray(
        answer_of(
            record(HERE, 5, OTHER),
            record(OTHER, 1, bytes([10, 0, 0, 1])),
            record(HERE, 1, bytes(4)),
        )
    )
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    _read(bytes(wire))


def _read(wire: bytes) -> None:
    try:
        head = message.read_head(wire)
        found = message.read_addresses(wire, head)
    except MalformedMessageError:
        return
    assert len(found) <= min(head.answers, MOST_RECORDS)
