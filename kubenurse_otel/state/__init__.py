"""What is known at this moment, for /alive and the gauges."""
