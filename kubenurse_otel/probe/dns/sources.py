"""Whether this host's names come from hosts(5) and DNS alone, in that order. Pure."""

from __future__ import annotations


def other_sources(nsswitch: str, gai_conf: str) -> str:
    """Return what else is asked for, as a reader knows it; nothing: files, then dns, and no more.

    Without a line for hosts the C library has these two. ``gai_conf`` changes the order of
    addresses where it has a line that is no comment.
    """
    for line in nsswitch.split("\n"):
        database, colon, sources = line.partition("#")[0].partition(":")
        if colon and database.strip() == "hosts":
            words = sources.split()
            if words not in (["files", "dns"], ["files"], []):
                return f"nsswitch.conf has hosts: {' '.join(words)}"[:200]
            if words == ["files"]:
                return "nsswitch.conf has hosts: files"
    if any(line.partition("#")[0].strip() for line in gai_conf.split("\n")):
        return "gai.conf has an order of its own"
    return ""
