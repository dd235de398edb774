"""Whom TLS trusts: authorities, contexts, OpenSSL's verdicts. Also what a ClientHello offers."""
