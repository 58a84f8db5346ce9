"""Streams and addresses: sockets, memory pairs, TLS over either, names and time."""
