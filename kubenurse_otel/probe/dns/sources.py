"""Find out whether this host's names come from hosts(5) and DNS only, in that order. No I/O."""

from __future__ import annotations


def other_sources(nsswitch: str, gai_conf: str) -> str:
    """Return what else these files ask for, in words for people. Empty if there is nothing else.

    Without a line for hosts, the C library asks files and then DNS. If ``gai_conf`` has a line that
    is no comment, it changes the order of addresses.
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
