"""kubenurse_otel.diagnosis.wire: what an agent sees, in a header and back."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenurse_otel.diagnosis import wire
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.view import MOST_RUN, Accused, Said, Shared, View
from kubenurse_otel.ring import short_hash

NODES = [f"node-{number}" for number in range(200)]
KNOWN = wire.by_hash(NODES)
SAID = st.builds(
    lambda symptom, run, lossy, proven: Said(
        symptom, 1 if symptom is Symptom.OK else run, lossy, proven
    ),
    st.sampled_from(Symptom),
    st.integers(1, MOST_RUN),
    st.booleans(),
    st.booleans(),
)
VIEWS = st.builds(
    View,
    node=st.just("node-0"),
    zone=st.sampled_from(["", "eu-1a", "a" * 63]),
    doubt=st.integers(0, wire.MOST_DOUBT),
    accused=st.sampled_from(Accused),
    compares=st.booleans(),
    targets=st.dictionaries(st.sampled_from(NODES), SAID, max_size=100),
    shared=st.dictionaries(st.sampled_from(Shared), SAID),
    half_open=st.lists(st.sampled_from(NODES), max_size=12, unique=True).map(tuple),
)
EXAMPLE = View(
    node="node-1",
    zone="eu-1a",
    targets={"node-2": Said(Symptom.SILENT, 3), "node-3": Said(Symptom.OK, lossy=True)},
    shared={**dict.fromkeys(Shared, Said(Symptom.OK)), Shared.DNS: Said(Symptom.DNS_PART, 3)},
)
WORDS = f"1 d=0 z=eu-1a a=- p={short_hash('node-2')}!s3,{short_hash('node-3')}~ t=D,I,N,Q!p3,S h="


def decoded(text: str, *, zone: str = "") -> View | None:
    return wire.decode(text, KNOWN, node="node-0", zone=zone)


def is_good(said: Said) -> bool:
    return said.symptom is Symptom.OK and not said.lossy


def test_the_form_is_the_designed_one() -> None:
    """Who reads headers by hand can read it."""
    assert WORDS == wire.encode(EXAMPLE)


@given(VIEWS)
def test_what_is_said_is_heard(view: View) -> None:
    """Nothing but what did not fit is missing, and nothing is there that was not said."""
    heard = decoded(wire.encode(view), zone=view.zone)
    assert heard is not None
    assert heard == replace(
        view,
        targets={node: view.targets[node] for node in heard.targets},
        half_open=view.half_open[: wire.MOST_HALF_OPEN],
    )
    left_out = [said for node, said in view.targets.items() if node not in heard.targets]
    if len(view.targets) <= 20:
        assert left_out == []
    if any(not is_good(said) for said in left_out):
        assert all(not is_good(said) for said in heard.targets.values())


@given(VIEWS)
def test_a_view_has_at_most_512_bytes(view: View) -> None:
    """However much there is to say."""
    text = wire.encode(view)
    assert len(text.encode("ascii")) <= wire.MOST_BYTES


def test_the_zone_is_what_discovery_says() -> None:
    """A label never comes off the wire, whatever the speaker calls its zone."""
    heard = decoded(WORDS, zone="eu-1b")
    assert heard is not None
    assert "eu-1b" == heard.zone


def test_a_zone_that_is_no_label_is_not_said() -> None:
    """A neighbours file may call a zone anything."""
    assert wire.encode(View(node="n", zone="a b\r\nc")).startswith("1 d=0 z= a=- ")


def test_a_node_that_discovery_does_not_know_is_not_heard_of() -> None:
    """No name comes off the wire."""
    heard = wire.decode(WORDS, wire.by_hash(["node-3"]), node="node-0", zone="")
    assert heard is not None
    assert {"node-3": Said(Symptom.OK, lossy=True)} == heard.targets


def test_two_nodes_of_one_hash_are_neither() -> None:
    """Which one was meant nobody knows (the two were found by search)."""
    assert short_hash("node-31705") == short_hash("node-40730")
    assert {short_hash("x"): "x"} == wire.by_hash(["node-31705", "x", "node-40730"])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        WORDS + " ",
        " " + WORDS,
        WORDS.replace("1 d", "2 d"),
        WORDS.replace("d=0", "d=8"),
        WORDS.replace("d=0", "d=00"),
        WORDS.replace("z=eu-1a", "z=eu 1a"),
        WORDS.replace("z=eu-1a", "z=" + "a" * 64),
        WORDS.replace("a=-", "a=oi"),
        WORDS.replace("!s3", "!s0"),
        WORDS.replace("!s3", "!s33"),
        WORDS.replace("!s3", "!z3"),
        WORDS.replace("!s3", "!o3"),
        WORDS.replace("!s3,", "!s3,,"),
        WORDS.replace("t=D,", "t=X,"),
        WORDS.replace("t=D,", "t=D,D,D,D,"),
        WORDS + ",".join(["00000000"] * 9),
        WORDS.replace("p=", "p=" + "00000000," * 32),
        WORDS.replace("eu-1a", "eu-\N{ARABIC-INDIC DIGIT ONE}a"),
        WORDS.replace("d=0", "d=\N{ARABIC-INDIC DIGIT ZERO}"),
        WORDS + "\n",
    ],
)
def test_what_has_not_the_form_is_nothing(text: str) -> None:
    """One character too many, a letter that is none, a longer list: all of it is dropped."""
    assert decoded(text) is None


def test_random_bytes_are_nothing() -> None:
    """100,000 texts, of noise and of mutants of a good one: each a whole view, or none."""
    random.seed(13)
    alphabet = "1 d=0z-euapt!~+,shDNISQQabcdef0123456789ioxlmrcw"
    good = 0
    for _ in range(50_000):
        noise = bytes(random.choices(range(256), k=random.randrange(600))).decode("latin-1")
        assert decoded(noise) is None
        mutant = list(WORDS)
        for _ in range(random.randrange(1, 4)):
            at = random.randrange(len(mutant))
            mutant[at : at + random.randrange(2)] = random.choices(alphabet, k=random.randrange(3))
        heard = decoded("".join(mutant))
        if heard is not None:
            good += 1
            assert set(heard.targets) <= set(NODES)
            assert decoded(wire.encode(heard)) == heard
    assert 0 < good < 50_000
