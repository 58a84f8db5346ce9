"""What is captured, and for which proxy. Pure values.

Names and defaults are those of Istio's ``istio-iptables``; whoever asks for
nothing captures nothing that comes in and nothing that goes out.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum

import attrs

from meshd.errors import ConfigError

MOST_GROUPS = 64
"""Of ``groups``: each is a match in one rule (Istio's bound)."""


class Mode(StrEnum):
    """How connections that come in are led to the proxy."""

    REDIRECT = "REDIRECT"
    """Their destination is changed; the kernel remembers what it was."""
    TPROXY = "TPROXY"
    """They keep both addresses, and the proxy's socket takes them as they are."""


@attrs.frozen
class CaptureConfig:
    """One installation of rules.

    Ports are ``1`` to ``65535``; address ranges are CIDRs of either family;
    users and groups are numbers or names.
    """

    outbound_port: int = 15001
    """Where the proxy takes what goes out."""
    inbound_port: int = 15006
    """Where it takes what comes in."""
    tunnel_port: int = 15008
    """Never captured: tunnels of other meshes end there."""
    dns_port: int = 15053
    """Where it answers questions for names."""
    uids: tuple[str, ...] = ("1337",)
    """The proxy's own users, whose connections must not be captured again."""
    gids: tuple[str, ...] = ("1337",)
    mode: Mode = Mode.REDIRECT
    mark: int = 1337
    """TPROXY: the mark of packets that belong to the proxy."""
    route_table: int = 133
    """TPROXY: the routing table for marked packets."""
    all_inbound: bool = False
    """Every port; then ``excluded_inbound_ports`` counts, else ``inbound_ports``."""
    inbound_ports: tuple[int, ...] = ()
    excluded_inbound_ports: tuple[int, ...] = ()
    all_outbound: bool = False
    """Every address; else ``outbound_ranges``."""
    outbound_ranges: tuple[str, ...] = ()
    excluded_outbound_ranges: tuple[str, ...] = ()
    outbound_ports: tuple[int, ...] = ()
    """Captured wherever they are."""
    excluded_outbound_ports: tuple[int, ...] = ()
    groups: tuple[str, ...] | None = None
    """Only connections of programs of these groups go to the proxy; None: of all but ``excluded_groups``."""
    excluded_groups: tuple[str, ...] = ()
    excluded_interfaces: tuple[str, ...] = ()
    rerouted_interfaces: tuple[str, ...] = ()
    """Interfaces of virtual machines: what comes from there is treated as going out."""
    dns: bool = False
    """Questions to ``dns_servers`` go to the proxy."""
    all_dns: bool = False
    """Questions to any server do."""
    dns_servers: tuple[str, ...] = ()
    drop_invalid: bool = False
    """Drop packets that belong to no connection, which would otherwise be answered with a reset."""
    ipv6: bool = False
    loopback: str = "127.0.0.1/32"
    """IPv4 addresses that are this machine's alone and are not captured."""

    def check(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: says which setting, and why.
        """
        if self.groups is not None and self.excluded_groups:
            raise ConfigError("groups to capture and groups to leave out cannot both be given")
        if len(self.groups or ()) > MOST_GROUPS:
            raise ConfigError(f"{len(self.groups or ())} groups to capture: the kernel's rules take {MOST_GROUPS}")
        for text in (*self.outbound_ranges, *self.excluded_outbound_ranges, self.loopback):
            cidr(text)
        if not cidr(self.loopback).ip.is_loopback:
            raise ConfigError(f"{self.loopback!r} is no loopback address: expected one of 127.0.0.0/8")
        for server in self.dns_servers:
            _address(server)
        if not (self.uids or self.gids):
            raise ConfigError("no user and no group of the proxy: its own connections would be captured for ever")


def cidr(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """An address range as it is written, ``10.0.0.0/8``.

    Raises:
        ConfigError: it is none.
    """
    if "/" not in text:
        raise ConfigError(f"{text!r} is no address range: expected a CIDR, as in 10.0.0.0/8 or 10.1.2.3/32")
    try:
        return ipaddress.ip_interface(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no address range: expected a CIDR, as in 10.0.0.0/8") from error


def _address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as error:
        raise ConfigError(f"{text!r} is no IP address of a name server") from error
