"""One exchange, asked and measured: sockets of our own, timed by the kernel. No tracing here."""
