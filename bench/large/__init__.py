"""One agent in a cluster of 5,000 nodes, and what it asks of others: `python -m bench.large`."""
