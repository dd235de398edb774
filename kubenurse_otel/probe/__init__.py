"""Makes and measures one exchange, on our own sockets, timed by the kernel. No tracing here."""
