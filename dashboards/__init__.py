"""Grafana dashboards, made with grafana-foundation-sdk: `python -m dashboards --write | --check`.

Owns what is in generated/; alerts/rules.yaml beside it is written by hand. Names of metrics and
labels are kubenurse_otel.semconv's, which tests/dashboards holds every expression to.
"""
