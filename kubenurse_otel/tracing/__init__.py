"""Spans around a probe, and what becomes of ended spans. No sockets here."""
