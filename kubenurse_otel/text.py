"""Text from elsewhere, fit for a log line or a message."""

from __future__ import annotations


def printable(text: str, limit: int) -> str:
    """Return ``text`` with every control character escaped (as Python writes it), cut at ``limit``.

    A text that was cut ends in "...". ``limit`` counts characters of the result.
    """
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: max(0, limit - 3)] + "..."[:limit]
