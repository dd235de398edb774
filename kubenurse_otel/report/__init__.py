"""Reports for people and programs: one check drawn and as JSON, and many agents' verdicts put
together.
"""
