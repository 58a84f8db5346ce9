"""Address blocks of policies, as integer masks. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from meshd.errors import ConfigError

_REMEMBERED = 1024
"""Addresses remembered with their answer: a connection asks again at every request."""

_LONGEST = 64
"""Characters of an address, zone included."""


def compile_blocks(blocks: Iterable[str]) -> Callable[[str], bool]:
    """Is an address (an IP literal) in one of the blocks? What is no address is in none.

    Raises:
        ConfigError: a block is neither an address nor a CIDR.
    """
    masks = [_mask(block) for block in blocks]
    remembered: dict[str, bool] = {}

    def contains(host: str) -> bool:
        known = remembered.get(host)
        if known is not None:
            return known
        if len(remembered) >= _REMEMBERED:
            remembered.clear()
        answer = _contains(masks, host)
        if len(host) <= _LONGEST:
            remembered[host] = answer
        return answer

    return contains


def _mask(block: str) -> tuple[int, int, int]:
    """(IP version, mask, network)."""
    try:
        network = ip_network(block, strict=False)
    except ValueError as error:
        raise ConfigError(
            f"{block!r} is no address block: expected 10.0.0.0/8, 2001:db8::/32 or one address"
        ) from error
    return network.version, int(network.netmask), int(network.network_address)


def _contains(masks: list[tuple[int, int, int]], host: str) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    number = int(address)
    return any(version == address.version and number & mask == network for version, mask, network in masks)
