"""Whom TLS believes: authorities, contexts, OpenSSL's verdicts; and what a ClientHello offers."""
