"""The DNS proxy: names of the mesh for programs that know nothing of it."""
