from __future__ import annotations

import itertools

import pytest

from kubenurse_otel.demo.story import SCENES, Fault, scenes


@pytest.mark.parametrize("seconds", [5.0, 30.0, 600.0])
def test_the_whole_story_fits_into_the_given_time(seconds: float) -> None:
    """However short, every fault comes, in the order of the issue, and all is healed."""
    played = list(scenes(seconds))

    assert sum(lasts for _, lasts in played) == pytest.approx(seconds)
    assert [scene.fault for scene, _ in played if scene.fault is not Fault.NONE] == [
        Fault.SLOW_INGRESS,
        Fault.NODE_DOWN,
        Fault.EXPIRED_CERTIFICATE,
    ]
    assert played[0][0].fault is played[-1][0].fault is Fault.NONE
    assert all(lasts > 0 for _, lasts in played)


def test_without_a_time_the_story_begins_again() -> None:
    """A demo that nobody ends goes on."""
    twice = [scene for scene, _ in itertools.islice(scenes(None), 2 * len(SCENES))]

    assert twice == [*SCENES, *SCENES]


def test_every_fault_says_what_should_be_seen_of_it() -> None:
    """The summary can tell whether it was."""
    assert all((scene.expected is None) == (scene.fault is Fault.NONE) for scene in SCENES)
