"""DNS, asked by sockets of our own: messages, one query, the system's rules for names.

Our own, because neither getaddrinfo nor any library tells which server was asked, what it answered,
and what was lost. No tracing here.
"""
