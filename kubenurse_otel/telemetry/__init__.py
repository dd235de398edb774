"""Telemetry out: instruments, the series store, the scrape's text, OTLP, and their shutdown.

providers.Telemetry joins the parts; nothing here knows what a check is.
"""
