"""Our resolver beside glibc's: who is asked what, in which order, from how many ports, and the end.

Where we differ on purpose, DIFFERENCES says so, as docs/dns.md does.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from resolvers_in_namespace import CASES
from servers.namespace import run_in_namespace

from kubenurse_otel.probe.resolve import MAX_ADDRESSES

SHARDS: Final = 6
TRIES: Final = 3
"""A busy machine lets a time-out of a second pass beside an answer: no finding, if it is once."""
ONCE_BY_TCP: Final = "glibc asks again and again with a larger buffer"
DIFFERENCES: Final = {
    "records_60": ONCE_BY_TCP,
    "records_200": ONCE_BY_TCP,
}
"""Of the queries; the addresses are the same."""

Found = dict[str, dict[str, Any]]


def asked(cases: list[str], directory: Path) -> Found:
    directory.mkdir()
    given = json.dumps({"cases": cases, "directory": str(directory)})
    found = run_in_namespace(
        Path(__file__).parent / "resolvers_in_namespace.py",
        directory=directory,
        resolv_conf="",
        programs=("ip",),
        timeout_seconds=300,
        given=given,
    )
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def resolvers(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What both did in every case; what differs is asked again."""
    directory = tmp_path_factory.mktemp("resolvers")
    found: Found = {}
    left = list(CASES)
    for again in range(TRIES):
        shards = [left[n::SHARDS] for n in range(min(SHARDS, len(left)))]
        with ThreadPoolExecutor(SHARDS) as pool:
            places = [directory / f"{again}-{n}" for n in range(len(shards))]
            for part in pool.map(asked, shards, places):
                found |= part
        left = [name for name in found if not is_alike(name, found[name])]
    return found


def is_alike(name: str, both: dict[str, Any]) -> bool:
    glibc, ours = both["glibc"], both["ours"]
    same_queries = glibc["queries"] == ours["queries"] or name in DIFFERENCES
    return same_queries and expected(glibc["result"]) == ours["result"]


def expected(result: Any) -> Any:
    """Of glibc's addresses those that we try: families alternate, up to a bound."""
    if not isinstance(result, list):
        return result
    first = [one for one in result if (":" in one) == (":" in result[0])]
    other = [one for one in result if one not in first]
    mixed = [one for pair in zip(first, other, strict=False) for one in pair]
    return [*mixed, *(first[len(other) :] or other[len(first) :])][:MAX_ADDRESSES]


@pytest.mark.parametrize("name", CASES)
def test_what_glibc_asks_and_finds(resolvers: Found, name: str) -> None:
    """Queries, their order, servers, sockets, options and the result."""
    both = resolvers[name]
    assert both["ours"]["result"] == expected(both["glibc"]["result"])
    if name not in DIFFERENCES:
        assert both["ours"]["queries"] == both["glibc"]["queries"]


@pytest.mark.parametrize("name", ["records_60", "records_200"])
def test_a_long_answer_is_asked_for_once(resolvers: Found, name: str) -> None:
    """By UDP, and then by TCP."""
    asked_by = [query[1] for query in resolvers[name]["ours"]["queries"]]
    assert asked_by == ["udp", "udp", "tcp", "tcp"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("timeout", "127.0.0.53 did not answer 4 of 4 queries"),
        ("nobody", "127.0.0.53 is unreachable for"),
        (
            "no_nameserver",
            "resolv.conf has no nameserver, so 127.0.0.1 is asked, which is unreachable for 4 of 4",
        ),
        ("all_servfail", "127.0.0.53 said SERVFAIL to"),
        ("all_nxdomain", "127.0.0.53 said NXDOMAIN to 8 of 8 queries"),
        ("a_silent", "did not answer 3 of 4"),
    ],
)
def test_a_look_up_that_failed_says_which_server_did_what(
    resolvers: Found, name: str, words: str
) -> None:
    """The error's own text, which goes into the check's sentence."""
    assert words in resolvers[name]["ours"]["told"]


@pytest.mark.parametrize(
    ("name", "is_silent"),
    [
        ("timeout", True),
        ("nxdomain_then_silent", True),
        ("servfail_then_silent", False),
        ("all_refused", False),
        ("nobody", False),
    ],
)
def test_silence_is_told_from_a_failure(resolvers: Found, name: str, is_silent: bool) -> None:
    """For glibc both are EAI_AGAIN; a name that another domain lacks is neither."""
    assert resolvers[name]["ours"]["silent"] is is_silent


@pytest.mark.parametrize("name", ["other_id", "other_question", "other_address", "twice"])
def test_what_is_no_answer_is_counted(resolvers: Found, name: str) -> None:
    """It changes nothing, and the query tells it."""
    assert resolvers[name]["ours"]["ignored"][-1] >= 1
