"""`python -m apiserver` (in tests/): build the API server into the cache and say where it is."""

from apiserver.real import build

print(build())
