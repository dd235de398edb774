"""The page for a browser that asks too often: it reloads by itself, so that no screen goes dark.

It is made once: a client that asks too often costs no more than these bytes.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import htpy as h

from kubenurse_otel.page import frame as framing

AGAIN_SECONDS: Final = 2


@cache
def view(*, is_still: bool = False) -> bytes:
    return framing.bare(
        "Asked too often",
        [
            h.h1["Asked too often"],
            h.p[
                "This agent makes only so many pages a second, for its checks come first. "
                "That says nothing about the cluster."
            ],
            h.p["Ask again in a second."]
            if is_still
            else h.p[f"This page asks again by itself, in {AGAIN_SECONDS} s."],
        ],
        refresh_seconds=None if is_still else AGAIN_SECONDS,
    )
