"""Whom TLS believes: authorities, contexts, and OpenSSL's verdicts."""
