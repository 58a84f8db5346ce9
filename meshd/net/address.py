"""Addresses as people write them: ``[HOST]:PORT``. Pure."""

from __future__ import annotations

import ipaddress

import attrs

from meshd.errors import ConfigError


@attrs.frozen
class Address:
    """A TCP address.

    ``host`` is an IP literal or a name; IPv6 without brackets. "" means all
    interfaces when listening. ``port`` 0 means any free port.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str, *, default_host: str = "") -> Address:
        """Read ``host:port``, ``[v6]:port``, ``:port`` or ``port``.

        Raises:
            ConfigError: when it is none of these.
        """
        host, colon, port = text.strip().rpartition(":")
        if not colon:
            host, port = "", text.strip()
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise ConfigError(f"{text!r} is no address: put IPv6 in brackets, as in [::1]:8080")
        if not (port.isascii() and port.isdigit()) or int(port) > 65535:
            raise ConfigError(f"{text!r} is no address: expected [HOST]:PORT, as in :8080 or 127.0.0.1:8080")
        return cls(host or default_host, int(port))

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_ip_literal(host: str) -> bool:
    """True for an IPv4 or IPv6 address (no brackets; a zone such as ``fe80::1%eth0`` is allowed)."""
    if ":" not in host and not host.rpartition(".")[2].isdecimal():
        # Names end in a label that is not all digits (RFC 3696, section 2): the quick way out.
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach it ("" is every interface)."""
    return host.startswith("127.") or host in ("::1", "localhost")
