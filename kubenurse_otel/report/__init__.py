"""For people and programs: a check drawn and as JSON, many agents' verdicts, and what those say."""
