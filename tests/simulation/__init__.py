"""The package's diagnosis in simulated time, in clusters of which all is known."""
