"""The page for people: pure functions from records to HTML (htpy), which escapes what it is given.

Nothing here waits, asks or concludes. Each view is one document without a script and without a
request to anywhere; server/pages.py serves them.
"""
