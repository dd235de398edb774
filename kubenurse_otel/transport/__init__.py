"""An httpx transport whose stopwatch is the kernel's: HTTP/1.1 on sockets that it owns."""
