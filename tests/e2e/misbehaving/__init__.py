"""Servers, forwarders and clients that misbehave, for the fault runs. Each is honest about it."""
