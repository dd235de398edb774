"""Who our neighbours are: from a real API server (kubernetes.py) or from a file (static.py).

Owns the ring and the two sources; each replaces the whole Neighbourhood and never raises for what
a cluster or a file does. Import the source that is used: `kubernetes` costs memory.
"""
