"""probe/half_open.py before the real kernel: SYNs that arrived, and when."""

from __future__ import annotations

from math import inf
from pathlib import Path

from servers.namespace import run_in_namespace


def test_a_connection_came_after_the_look_that_did_not_find_it(tmp_path: Path) -> None:
    """After a look that could not be made, nothing is known of when it came."""
    found = run_in_namespace(
        Path(__file__).parent / "half_open_in_namespace.py", directory=tmp_path, resolv_conf=""
    )
    assert found == {
        "none yet": {},
        "one": {"127.0.0.1": 1.0},
        "the same": {"127.0.0.1": 1.0},
        "a second one": {"127.0.0.1": 3.0},
        "not to be asked": {},
        "seen once before": {"127.0.0.1": -inf},
        "a third one": {"127.0.0.1": 6.0},
    }
