"""Attacks on a real agent at 160 MiB, as programs, and what they did to it (docs/hostile.md).

`PYTHONPATH=tests python -m hostile`, or `make hostile`. Inputs are harmless and bounded in number
and time, and nothing leaves the network namespaces that are made for a run.
"""
