"""Bookinfo on a mesh of its own, in one command."""
