"""What our own checks add up to: runs, look-ups, lost segments, round trips, doubt."""

from __future__ import annotations

import random
from dataclasses import replace
from math import inf

import pytest
from test_symptoms import TARGET, failed

from kubenurse_otel.diagnosis.case import LosingWay
from kubenurse_otel.diagnosis.cusum import ALARM
from kubenurse_otel.diagnosis.detours import Detours
from kubenurse_otel.diagnosis.dns import LookUps, Ports
from kubenurse_otel.diagnosis.doubt import Doubt
from kubenurse_otel.diagnosis.loss import Losses, lost_segments
from kubenurse_otel.diagnosis.runs import Runs
from kubenurse_otel.diagnosis.slow import LATEST, LEAST_POINTS, RoundTrips
from kubenurse_otel.diagnosis.symptoms import Symptom
from kubenurse_otel.diagnosis.verdict import Direction
from kubenurse_otel.diagnosis.view import Said
from kubenurse_otel.errors import ErrorType
from kubenurse_otel.model import CheckResult, Measurement, Outcome, Split
from kubenurse_otel.plan.ticks import tick_at

# --- runs ---------------------------------------------------------------------------------------


def test_a_run_counts_intervals_and_not_checks() -> None:
    """Three checks in one interval are one; a check that took up the next tick is two."""
    runs, lengths = Runs(), []
    for at in (0, 1, 2, 5, 15, 16, 100):
        runs.note("n2", Symptom.SILENT, at, interval_seconds=5.0)
        lengths.append(next(runs.current(at)).length)
    assert lengths == [1, 1, 1, 2, 4, 4, 9]


@pytest.mark.parametrize("first", range(40))
def test_a_run_is_as_long_as_its_checks_though_their_train_sways(first: int) -> None:
    """Nor does it matter that one of them is answered, or begun, a little late."""
    runs, lengths = Runs(), []
    for number in range(9):
        at = tick_at(first + number, 0.7, 5.0) + 0.2 * (number % 2)
        runs.note("n2", Symptom.REFUSED, at, interval_seconds=5.0)
        lengths.append(next(runs.current(at)).length)
    assert lengths == [1, 2, 3, 4, 5, 6, 7, 8, 9]


def test_a_run_goes_on_within_a_class_and_begins_anew_in_another() -> None:
    runs, seen = Runs(), []
    for at, symptom in enumerate((Symptom.SILENT, Symptom.MUTE, Symptom.OK, Symptom.BROKEN)):
        runs.note("n2", symptom, 5.0 * at, interval_seconds=5.0)
        seen.append(next(runs.current(5.0 * at)).said)
    assert seen == [
        Said(Symptom.SILENT, 1),
        Said(Symptom.MUTE, 2),
        Said(Symptom.OK, 1),
        Said(Symptom.BROKEN, 1),
    ]


def test_an_old_word_is_not_spoken_and_a_clock_that_is_set_back_ends_no_run_early() -> None:
    runs = Runs()
    runs.note("n2", Symptom.SILENT, 100.0, interval_seconds=5.0)
    assert [list(runs.current(at)) != [] for at in (120.0, 120.1)] == [True, False]
    runs.note("n2", Symptom.SILENT, 50.0, interval_seconds=5.0)
    assert next(runs.current(50.0)).length == 1


# --- DNS ----------------------------------------------------------------------------------------


def dns(*look_ups: tuple[str, float, str], now: float) -> Said | None:
    """``look_ups`` are (name, when it began, letter); a silent one takes five seconds."""
    seen = LookUps(interval_seconds=5.0)
    ended = [
        (began + (5.0 if letter == "d" else 0.0), name, began, letter)
        for name, began, letter in look_ups
    ]
    for at, name, began, letter in sorted(ended):
        seen.note(name, Symptom(letter), began=began, now=at)
    return seen.said(now)


def test_all_that_fail_from_one_moment_on_are_silent_dns() -> None:
    said = dns(("a", 0, "o"), ("b", 2, "o"), ("a", 5, "d"), ("b", 7, "d"), ("a", 15, "d"), now=20)
    assert said == Said(Symptom.DNS_SILENT, 2)  # of three intervals: may be few


def test_few_that_fail_may_all_have_asked_the_one_silent_replica() -> None:
    """Of two replicas one is asked three times in a row by an agent in eight."""
    assert letters("oooddd") == Said(Symptom.DNS_SILENT, 1)
    assert letters("ooodddd") == Said(Symptom.DNS_SILENT, 1)
    assert letters("ooodddddd") == Said(Symptom.DNS_SILENT, 3)


def test_one_that_succeeds_between_two_that_fail_is_one_replica_of_several() -> None:
    said = dns(("a", 0, "d"), ("b", 3, "o"), ("a", 10, "d"), ("b", 13, "o"), now=15)
    assert said == Said(Symptom.DNS_PART, 1)  # of 15 seconds: one alone may be a lost packet


def test_a_name_that_always_fails_among_others_is_a_matter_of_the_name() -> None:
    look_ups = [("a", 5.0 * n, "n") for n in range(5)] + [("b", 5.0 * n + 2, "o") for n in range(5)]
    said = dns(*sorted(look_ups, key=lambda one: one[1]), now=22)
    assert said == Said(Symptom.DNS_UNKNOWN, 2)  # of five intervals: it looked like a replica


def test_dns_that_is_well_again_is_well_at_once() -> None:
    said = dns(("a", 0, "d"), ("b", 2, "d"), ("a", 10, "o"), ("b", 12, "o"), now=12)
    assert said is not None
    assert said.symptom is Symptom.OK
    assert dns(now=12) is None


def letters(text: str) -> Said | None:
    """A look-up every two seconds, of three names in turn; all end at once."""
    seen = LookUps(interval_seconds=5.0)
    for at, letter in enumerate(text):
        seen.note("abc"[at % 3], Symptom(letter), began=2.0 * at, now=2.0 * at)
    return seen.said(2.0 * len(text))


@pytest.mark.parametrize(
    ("look_ups", "symptom"),
    [
        ("oooodoeeeeee", Symptom.DNS_FAILING),  # servers that stop one after the other
        ("oooooeeeoeeoooo", Symptom.DNS_PART),  # and that come so
        ("oooooeeeoeeoooooo", Symptom.OK),
        ("oooooeoeeoeoeoeoooo", Symptom.DNS_PART),
        ("oooooeoeeoeoeoeoooooooo", Symptom.OK),
    ],
)
def test_an_outage_is_no_silent_replica_at_its_edges(look_ups: str, symptom: Symptom) -> None:
    """So many in a row would not end alike where one of two replicas is silent."""
    said = letters(look_ups)
    assert said is not None
    assert said.symptom is symptom


def test_a_success_between_two_failures_is_a_replica_later_than_several_are() -> None:
    """It is so for a moment where servers stop one after the other."""
    assert letters("oooeddoddd") == Said(Symptom.DNS_PART, 1)
    assert letters("oooedodoed") == Said(Symptom.DNS_PART, 2)


def probed(*silent: int) -> Said | None:
    """So many of four ports were silent in each check of the name servers."""
    seen = LookUps(interval_seconds=5.0)
    for at, number in enumerate(silent):
        seen.note("a", Symptom.OK if number < 4 else Symptom.DNS_SILENT, began=5.0 * at, now=5 * at)
        seen.probed(Ports(4, number, 0), 5.0 * at)
    return seen.said(5.0 * len(silent))


@pytest.mark.parametrize(
    ("silent", "symptom"),
    [
        ((0, 0, 4), Symptom.DNS_SILENT),  # by the look-ups
        ((0, 4, 4), Symptom.DNS_SILENT),
        ((0, 2, 4, 4), Symptom.DNS_SILENT),
        ((2, 2, 2), Symptom.DNS_PART),
        ((1, 0, 3), Symptom.DNS_PART),
        ((4, 4, 0), Symptom.OK),
        ((4, 0, 0), Symptom.OK),
    ],
)
def test_ports_that_fall_silent_at_once_are_no_replica(
    silent: tuple[int, ...], symptom: Symptom
) -> None:
    said = probed(*silent)
    assert said is not None
    assert said.symptom is symptom


def ports(silent: int, half: int, *, look_ups: str = "o", probes: int = 3) -> Said | None:
    """So many of 4 ports in each of the last checks of the name servers, beside look-ups."""
    seen = LookUps(interval_seconds=5.0)
    for number in range(probes):
        now = 5.0 * number
        for at, letter in enumerate(look_ups):
            seen.note(f"name-{at}", Symptom(letter), began=now + at, now=now + at)
        seen.probed(Ports(4, silent, half), now + 3)
    return seen.said(5.0 * probes)


@pytest.mark.parametrize(
    ("silent", "half", "expected"),
    [
        (0, 0, Symptom.OK),
        (4, 0, Symptom.DNS_SILENT),
        (2, 0, Symptom.DNS_PART),
        (1, 0, Symptom.DNS_PART),
        (0, 1, Symptom.DNS_LOSSY),
        (1, 2, Symptom.DNS_LOSSY),
    ],
)
def test_ports_tell_a_dead_server_from_a_replica_and_from_loss(
    silent: int, half: int, expected: Symptom
) -> None:
    said = ports(silent, half)
    assert said is not None
    assert said.symptom is expected


def said_of(seed: int, *, lost: float = 0.0, dead: float = 0.0) -> dict[Symptom, float]:
    """Five minutes of four ports each 5 s: when each word was first said for three intervals.

    ``lost``: share of the tries that are not answered; ``dead``: share of the servers.
    """
    chance = random.Random(seed)
    seen, first = LookUps(interval_seconds=5.0), dict[Symptom, float]()
    for number in range(60):
        alive = [chance.random() >= dead for _ in range(4)]
        tries = [(chance.random() >= lost, chance.random() >= lost) for _ in range(4)]
        answers = [up and (one, other) for up, (one, other) in zip(alive, tries, strict=True)]
        silent = sum(not answer or not any(answer) for answer in answers)
        half = sum(answer == (False, True) for answer in answers)
        seen.note("a", Symptom.OK, began=5.0 * number, now=5.0 * number)
        seen.probed(Ports(4, silent, half), 5.0 * number)
        said = seen.said(5.0 * number)
        if said is not None and said.run >= 3:
            first.setdefault(said.symptom, 5.0 * number)
    return first


def test_packets_that_are_lost_at_random_are_hardly_ever_a_replica() -> None:
    """Each port has two tries, and loses both now and then."""
    mild, hard = ([said_of(seed, lost=lost) for seed in range(100)] for lost in (0.2, 0.3))
    assert sum(Symptom.DNS_LOSSY in said for said in mild) >= 95
    assert sum(Symptom.DNS_PART in said for said in mild) <= 1
    assert sum(Symptom.DNS_LOSSY in said for said in hard) == 100
    assert sum(Symptom.DNS_PART in said for said in hard) <= 3


@pytest.mark.parametrize(("dead", "seconds"), [(0.5, 20.0), (1 / 3, 20.0), (1 / 6, 60.0)])
def test_a_dead_replica_is_one_though_a_packet_is_lost_now_and_then(
    dead: float, seconds: float
) -> None:
    found = [said_of(seed, dead=dead, lost=0.01) for seed in range(100)]
    times = sorted(said.get(Symptom.DNS_PART, inf) for said in found)
    assert times[50] <= seconds
    assert times[-1] < inf
    assert sum(Symptom.DNS_LOSSY in said for said in found) <= 5


@pytest.mark.parametrize(
    ("look_ups", "expected"),
    [("e", Symptom.DNS_FAILING), ("n", Symptom.DNS_UNKNOWN), ("od", Symptom.OK)],
)
def test_where_every_port_is_answered_look_ups_tell_of_names_alone(
    look_ups: str, expected: Symptom
) -> None:
    said = ports(0, 0, look_ups=look_ups)
    assert said is not None
    assert said.symptom is expected


def test_a_few_ports_that_are_lost_leave_the_word_to_look_ups() -> None:
    seen = LookUps(interval_seconds=5.0)
    for number, half in enumerate((1, 1, 0)):
        now = 5.0 * number
        for at, letter in enumerate("odooo"):
            seen.note(f"name-{at}", Symptom(letter), began=now + at / 2, now=now + at / 2)
        seen.probed(Ports(4, 0, half), now + 3)
    said = seen.said(15.0)
    assert said is not None
    assert said.symptom in (Symptom.DNS_PART, Symptom.DNS_LOSSY)


def test_one_check_of_the_name_servers_says_nothing_yet() -> None:
    said = ports(2, 0, probes=1)
    assert said is not None
    assert said.symptom is Symptom.OK


def detours(*look_ups: tuple[int, float]) -> float:
    """``look_ups`` are (queries, detour), one a second."""
    seen = Detours(interval_seconds=5.0)
    for at, (queries, detour) in enumerate(look_ups):
        split = Split(dns=detour + 0.001)
        seen.note(Measurement(split=split, look_up_queries=queries, detour=detour), float(at))
    return seen.seconds(float(len(look_ups)))


def test_the_search_path_costs_what_it_does_in_the_median() -> None:
    """One look-up that lost a packet says nothing, nor do few, nor those that ask for one name."""
    assert detours(*[(10, 0.3)] * 6) == pytest.approx(0.3)
    assert detours(*[(10, 0.3)] * 5) == 0.0
    assert detours(*[(10, 0.002)] * 5, (10, 5.0)) == pytest.approx(0.002)
    assert detours(*[(3, 0.3)] * 6) == 0.0
    assert detours(*[(0, 0.0)] * 6, *[(10, 0.3)] * 6) == pytest.approx(0.3)  # others' resolver
    assert detours(*[(10, 0.3)] * 6, *[(2, 0.0)] * 40) == 0.0


# --- loss ---------------------------------------------------------------------------------------


def checked(
    *, out: float = 0.0, into: float = 0.0, repeats: int = 0, wait: float = 0.0, **more: int
) -> CheckResult:
    return CheckResult(
        target=TARGET,
        outcome=Outcome.OK,
        started_at=0.0,
        measurement=Measurement(
            split=Split(loss=out + into, loss_out=out, loss_in=into, far_end_wait=wait),
            retransmits=repeats,
            **more,
        ),
    )


@pytest.mark.parametrize(
    ("result", "out", "into"),
    [
        (checked(), 0, 0),
        (checked(out=0.2, repeats=1), 1, 0),
        (checked(out=0.6, repeats=2), 2, 0),
        (checked(into=0.2), 0, 1),
        (checked(into=1.0, repeats=1), 0, 1),  # our SYN again, for its answer was lost
        (checked(repeats=1, dsacks=1), 0, 0),  # it had our request, and acknowledged late
    ],
)
def test_lost_segments_have_a_direction(result: CheckResult, out: int, into: int) -> None:
    assert lost_segments(result) == {Direction.OUT: out, Direction.IN: into}


def test_each_way_is_summed_by_itself_and_all_together() -> None:
    """What the rules make of it is theirs (test_loss.py)."""
    bad, good = checked(out=0.2, repeats=1), checked()
    losses = Losses()
    for at in range(30):
        for peer in ("n2", "n3", "n4"):
            losses.note(peer, bad if peer == "n2" else good, at)
    (direction,) = losses.of_all(now=29.0)
    ways = losses.of_all(now=29.0)[direction]
    assert (direction, ways.since, ways.seconds) == (Direction.OUT, 0.0, 19.0)
    assert [node for node, each in ways.sums.items() if each] == ["n2"]
    assert losses.alarming(before=30.0) == {"n2": LosingWay(Direction.OUT, 0.0)}
    assert losses.alarming(before=5.0) == {}  # it has to last
    assert losses.lossy() == {"n2"}


def test_loss_that_is_over_is_over_soon() -> None:
    """A third was lost: after 20 segments without a loss it is not any more."""
    losses = Losses()
    for at in range(60):
        losses.note("n2" if at % 2 else "n3", checked(into=0.2 if at % 3 == 0 else 0.0), at)
    assert [*losses.of_all(60.0)] == [Direction.IN]
    for at in range(60, 84):
        losses.note("n2" if at % 2 else "n3", checked(), at)
    assert losses.of_all(84.0) == {}
    assert losses.lossy() == frozenset()


def test_one_in_a_thousand_is_normal() -> None:
    losses = Losses()
    for number in range(100_000):
        losses.note(f"n{number % 10}", checked(out=0.2 * (number % 500 == 0), repeats=1), number)
    assert max(one.sum for one in losses._all.values()) < ALARM / 4


def test_haste_is_after_a_loss_and_within_a_budget() -> None:
    losses = Losses()
    assert not losses.wants_haste(0.0)
    for number in range(3):
        losses.note("n2", checked(out=0.2, repeats=1), number)
    hasty = [losses.wants_haste(at) for at in range(1, 200)]
    assert hasty.index(False) in range(115, 125)  # two minutes, then a second in six


def test_a_loss_on_the_way_to_what_is_no_neighbour_is_reason_for_haste() -> None:
    """It may be our node's, and of neighbours alone it is known which way they go."""
    losses = Losses()
    losses.note_elsewhere(checked(), 0.0)
    lost = checked(out=0.2, repeats=1)
    gone = failed(ErrorType.RESPONSE_TIMEOUT)
    losses.note_elsewhere(replace(gone, measurement=lost.measurement), 0.0)
    assert not losses.wants_haste(0.0)
    losses.note_elsewhere(lost, 1.0)
    assert [losses.wants_haste(at) for at in (1.0, 11.0, 12.0)] == [True, True, False]


# --- round trips --------------------------------------------------------------------------------


def test_what_a_starved_agent_answers_late_is_no_loss() -> None:
    """On a loaded node an agent's request waited for its process, and so may its answer have."""
    losses = Losses()
    waited = checked(wait=0.15)
    late = checked(into=0.25)
    losses.note("n2", waited, 0.0)
    for at in range(1, 15):
        losses.note("n2", late, float(at))
    assert losses.lossy() == frozenset()
    for at in range(1, 15):
        losses.note("n3", late, float(at))  # of whom nothing says that it is starved
        losses.note(
            "n2", checked(into=1.0, repeats=1), float(at)
        )  # its SYN-ACK: our SYN went again
    assert losses.lossy() == {"n2", "n3"}


def test_a_way_that_is_well_again_is_so_beside_one_that_is_not() -> None:
    """Below its alarm as well: what is left of it would speak for the node."""
    losses = Losses()
    for at in range(200):
        is_lost = at % 3 == 0
        losses.note("n2", checked(out=0.2 * is_lost, repeats=1), float(at))
        losses.note("n3", checked(out=0.2 * (is_lost and at < 12), repeats=1), float(at))
    assert losses.lossy() == {"n2"}
    assert losses.of_all(200.0)[Direction.OUT].sums["n3"] == 0.0


PEERS = ("n2", "n3", "n4")


def round_trips(*, seconds: float, checks: int) -> RoundTrips:
    """A check of each peer in each interval, the last one at ``checks`` * 5."""
    trips = RoundTrips(interval_seconds=5.0)
    for number in range(1, checks + 1):
        for peer in PEERS:
            trips.note(peer, seconds, number * 5.0)
    return trips


def test_round_trips_are_long_where_half_of_the_latest_to_most_are() -> None:
    trips = round_trips(seconds=0.001, checks=LATEST * LEAST_POINTS)
    runs = []
    for number in range(1, 6):
        for place, peer in enumerate(PEERS):
            trips.note(peer, 0.020, 300.0 + number * 5.0 + place)
        longer = trips.longer(300.0 + number * 5.0 + 2)
        runs.append(0 if longer is None else longer.run)
    assert runs == [0, 0, 1, 2, 3]
    assert longer is not None
    assert dict(longer.factors) == dict.fromkeys(PEERS, 20.0)
    for peer in PEERS[:2]:  # of the third alone it is no more
        for _ in range(4):
            trips.note(peer, 0.001, 330.0)
    assert trips.longer(330.0) is None


def test_round_trips_without_a_history_are_not_longer_than_usual() -> None:
    trips = round_trips(seconds=0.001, checks=LATEST * LEAST_POINTS - 5)
    for _ in range(5):
        for peer in PEERS:
            trips.note(peer, 0.020, 305.0)
    assert trips.longer(305.0) is None


def test_a_way_that_stays_long_for_an_hour_is_as_usual() -> None:
    trips = round_trips(seconds=0.001, checks=60)
    found = []
    for checks in (6 * 119, 6 * 12):
        for _ in range(checks):
            for peer in PEERS:
                trips.note(peer, 0.02, 300.0)
        found.append(trips.longer(300.0) is not None)
    assert found == [True, False]


# --- doubt --------------------------------------------------------------------------------------


def test_doubt_rises_with_what_we_did_late_and_falls_with_each_clean_interval() -> None:
    doubt = Doubt(interval_seconds=5.0, timeout_seconds=5.0)
    doubt.own_timeout(0.0)
    doubt.missed(5.0, 1.0)
    doubt.lagged(1.0, 2.0)  # a fifth of a time-out: not yet
    assert [doubt.level(at) for at in (2.0, 5.9, 6.0, 11.0, 16.0, 30.0)] == [3, 3, 2, 1, 0, 0]
    for _ in range(9):
        doubt.lagged(2.0, 40.0)
    assert doubt.level(40.0) == 7


def test_a_short_pause_is_no_doubt_however_many_ticks_it_took() -> None:
    """An extra check may be made every 100 ms: half a second without CPU is five of its ticks."""
    doubt = Doubt(interval_seconds=5.0, timeout_seconds=5.0)
    for ticks in (5, 1, 49):
        doubt.missed(ticks * 0.1, 1.0)
    assert doubt.level(1.0) == 0
    doubt.missed(3 * 5.0, 2.0)
    assert doubt.level(2.0) == 3


def test_half_of_the_latest_checks_late_is_a_sick_prober() -> None:
    doubt = Doubt(interval_seconds=5.0, timeout_seconds=5.0)
    for number in range(8):
        doubt.checked(0.2 if number % 2 else 0.001, float(number))
    assert [doubt.is_sick(at) for at in (8.0, 30.0)] == [True, False]
