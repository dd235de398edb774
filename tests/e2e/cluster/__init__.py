"""A real Kubernetes cluster on one machine without Docker: every node is a set of namespaces.

`python -m e2e.cluster` (in tests/) is its command line; cluster.py reads as what it consists of.
"""
