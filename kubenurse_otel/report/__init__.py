"""A check's result for people and programs: the drawing of one, and one JSON document."""
