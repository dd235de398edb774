"""bench/wire.py: exchanges made of segments."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from bench.pcap import ACK, SYN, Segment
from bench.wire import Exchange, exchanges

CLIENT = ("10.0.0.1", 4000)
SERVER = ("10.0.0.2", 80)
HELLO = b"\x16\x03\x01"
RECORD = b"\x17\x03\x03"


@dataclass
class Talk:
    """Segments of one connection; times in microseconds."""

    client: tuple[str, int] = CLIENT
    segments: list[Segment] = field(default_factory=list)

    def add(self, at: int, *, up: bool, seq: int, ack: int, size: int = 0, **more: object) -> Talk:
        flags = more.get("flags", ACK)
        assert isinstance(flags, int)
        payload = more.get("payload", b"G")
        assert isinstance(payload, bytes)
        doubled = more.get("doubled")
        assert doubled is None or isinstance(doubled, int)
        self.segments.append(
            Segment(
                at_ns=at * 1000,
                source=self.client if up else SERVER,
                destination=SERVER if up else self.client,
                sequence=seq % (1 << 32),
                acknowledgement=ack % (1 << 32),
                flags=flags,
                payload_bytes=size,
                payload=payload[:size],
                doubled=doubled,
            )
        )
        return self

    def shake(self, *, syns: tuple[int, ...] = (0,), accepted: int = 30, first: int = 1) -> Talk:
        for at in syns:
            self.add(at, up=True, seq=first - 1, ack=0, flags=SYN)
        self.add(accepted, up=False, seq=0, ack=first, flags=SYN | ACK)
        return self.add(accepted + 5, up=True, seq=first, ack=1)

    def one(self) -> Exchange:
        (found,) = exchanges(self.segments, server_port=80)
        return found


def test_plain_exchange() -> None:
    """Connect, request and round trip run from the segment that asks to the one that answers."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=50)
    talk.add(120, up=False, seq=1, ack=51)
    talk.add(500, up=False, seq=1, ack=51, size=700)
    found = talk.one()
    assert found.connect_ns == 30_000
    assert found.round_trip_ns == 20_000
    assert found.request_ns == 400_000
    assert (found.loss_ns, found.tls_ns, found.syn_count) == (0, None, 1)


def test_lost_request() -> None:
    """Loss is between the first and the last transmission; the round trip starts at the last."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=50)
    talk.add(204_100, up=True, seq=1, ack=1, size=50)
    talk.add(204_130, up=False, seq=1, ack=51)
    talk.add(204_500, up=False, seq=1, ack=51, size=700)
    found = talk.one()
    assert found.loss_ns == 204_000_000
    assert found.round_trip_ns == 30_000
    assert found.request_ns == 204_400_000


def test_first_of_two_segments_lost() -> None:
    """The repair of any segment is loss; the round trip starts at the repair."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=1448)
    talk.add(101, up=True, seq=1449, ack=1, size=200)
    talk.add(130, up=False, seq=1, ack=1)
    talk.add(6_101, up=True, seq=1, ack=1, size=1448)
    talk.add(6_131, up=False, seq=1, ack=1649)
    talk.add(6_500, up=False, seq=1, ack=1649, size=700)
    found = talk.one()
    assert found.loss_ns == 6_000_000
    assert found.round_trip_ns == 30_000
    assert found.request_ns == 6_399_000


def test_needless_retransmission() -> None:
    """What the far end got twice was not lost."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=50)
    talk.add(5_100, up=True, seq=1, ack=1, size=50)
    talk.add(5_120, up=False, seq=1, ack=51, doubled=51)
    talk.add(9_000, up=False, seq=1, ack=51, size=700)
    assert talk.one().loss_ns == 0


@pytest.mark.parametrize(
    ("doubled", "loss_ns"), [(None, 11_000_000), (501, 6_000_000), (551, 5_000_000)]
)
def test_a_needless_repeat_is_the_hellos_or_the_requests(doubled: int | None, loss_ns: int) -> None:
    """Both were sent again, and one of them had come before."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=500, payload=HELLO)
    talk.add(5_100, up=True, seq=1, ack=1, size=500, payload=HELLO)
    talk.add(5_130, up=False, seq=1, ack=501, size=1_400)
    talk.add(6_000, up=True, seq=501, ack=1_401, size=50)
    talk.add(12_000, up=True, seq=501, ack=1_401, size=50)
    talk.add(12_030, up=False, seq=1_401, ack=551, doubled=doubled)
    talk.add(13_000, up=False, seq=1_401, ack=551, size=700)
    assert talk.one().loss_ns == loss_ns


def test_lost_syn() -> None:
    """Connect runs from the first SYN."""
    talk = Talk().shake(syns=(0, 1_000_000), accepted=1_000_040)
    found = talk.one()
    assert found.connect_ns == 1_000_040_000
    assert found.syn_count == 2
    assert found.request_ns is None


def test_acknowledged_with_the_answer() -> None:
    """An acknowledgement that carries the answer tells no round trip."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=50)
    talk.add(500, up=False, seq=1, ack=51, size=700)
    assert talk.one().round_trip_ns is None


def test_sequence_numbers_wrap() -> None:
    """A connection whose numbers pass 2^32 is read like any other."""
    first = (1 << 32) - 20
    talk = Talk().shake(first=first)
    talk.add(100, up=True, seq=first, ack=1, size=50)
    talk.add(120, up=False, seq=1, ack=first + 50)
    talk.add(500, up=False, seq=1, ack=first + 50, size=700)
    found = talk.one()
    assert found.round_trip_ns == 20_000
    assert found.request_ns == 400_000


def test_tls_exchange() -> None:
    """The handshake ends with the server's flight; tickets are no answer, large flights neither."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=500, payload=HELLO)
    talk.add(120, up=False, seq=1, ack=501)
    talk.add(700, up=False, seq=1, ack=501, size=1400, payload=HELLO)
    talk.add(710, up=False, seq=1401, ack=501, size=800, payload=RECORD)
    talk.add(1500, up=True, seq=501, ack=2201, size=80, payload=RECORD)
    talk.add(1600, up=True, seq=581, ack=2201, size=120, payload=RECORD)
    talk.add(1650, up=False, seq=2201, ack=701, size=250, payload=RECORD)
    talk.add(2000, up=False, seq=2451, ack=701, size=700, payload=RECORD)
    found = talk.one()
    assert found.tls_ns == 610_000
    assert found.request_ns == 400_000
    assert found.round_trip_ns == 20_000


def test_lost_hello() -> None:
    """A hello that was sent again is loss, and part of the handshake."""
    talk = Talk().shake()
    talk.add(100, up=True, seq=1, ack=1, size=500, payload=HELLO)
    talk.add(200_100, up=True, seq=1, ack=1, size=500, payload=HELLO)
    talk.add(200_120, up=False, seq=1, ack=501)
    talk.add(200_700, up=False, seq=1, ack=501, size=1400, payload=HELLO)
    found = talk.one()
    assert found.tls_ns == 200_600_000
    assert found.loss_ns == 200_000_000


def test_connections_are_kept_apart_and_in_order() -> None:
    """Two clients at once are two exchanges, by their first SYN; half a connection is none."""
    second = Talk(client=("10.0.0.1", 4001)).shake(syns=(10,), accepted=50)
    first = Talk().shake()
    older = Talk(client=("10.0.0.1", 3999)).add(1, up=True, seq=1, ack=1, size=10)
    mixed = sorted(second.segments + first.segments + older.segments, key=lambda s: s.at_ns)
    assert [e.port for e in exchanges(mixed, server_port=80)] == [4000, 4001]
    assert exchanges(mixed, server_port=81) == []
