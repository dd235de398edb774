"""From what an agent sees, and what its neighbours say that they see, to a named culprit.

Pure: no clock, no socket, no metric. docs/diagnosis.md says how it concludes.
"""
