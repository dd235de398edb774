"""kubenurse-otel: is the network slow, and whose fault is it? See docs/architecture.md."""

__version__ = "0.1.0"
