"""Transparent capture on Linux: connections of programs that know nothing of the mesh, led to the proxy."""
