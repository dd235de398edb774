"""Faults of a real cluster, each injected for real, each with what must be seen of it.

`python -m e2e.faults` (in tests/) runs them; a module of this package holds those of one area.
"""
