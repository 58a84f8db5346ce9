"""A whole mesh inside a test: one process, memory connections, virtual time."""
