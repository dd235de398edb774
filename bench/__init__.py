"""The bench: what the agent measures against what the wire saw, and what it costs to run."""
