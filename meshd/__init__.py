"""meshd: a service mesh in one Python program."""

__version__ = "0.1.0.dev0"
