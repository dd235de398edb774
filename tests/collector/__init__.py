"""The real collector, Prometheus and Jaeger, with real agents in front of them."""
