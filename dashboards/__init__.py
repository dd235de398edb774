"""Grafana dashboards, made with grafana-foundation-sdk: `python -m dashboards --write | --check`.

Owns the chart's files/dashboards; files/alerts beside it is written by hand. Names of metrics and
labels are kubenurse_otel.semconv's, which tests/dashboards holds every expression to.
"""
