"""Where a connection was going before the kernel's rules led it here (Linux).

Connection tracking remembers it, for REDIRECT and DNAT alike; TPROXY changes
nothing, so there it is the socket's own address.

Source: linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h.
"""

from __future__ import annotations

import socket
import struct
import sys

from meshd.net.address import Address

SO_ORIGINAL_DST = 80
"""Also ``IP6T_SO_ORIGINAL_DST``."""
_SOL_IP = 0
_SOL_IPV6 = 41
_SIZE_IPV4 = 16
"""``struct sockaddr_in``."""
_SIZE_IPV6 = 28
"""``struct sockaddr_in6``."""
_LINUX = sys.platform == "linux"


def original_destination(sock: socket.socket, local: Address) -> Address | None:
    """Ask the kernel; None where it does not know, or where the client was coming here.

    Args:
        sock: A connection that was accepted.
        local: Its own end; an IPv4 address for IPv4 on a socket of both families.
    """
    if not _LINUX:
        return None
    ipv6 = ":" in local.host
    try:
        raw = sock.getsockopt(_SOL_IPV6 if ipv6 else _SOL_IP, SO_ORIGINAL_DST, _SIZE_IPV6 if ipv6 else _SIZE_IPV4)
    except OSError:
        # ENOENT: not tracked; ENOPROTOOPT: nothing tracks connections here.
        return None
    found = decode(raw)
    return None if found == local else found


def decode(raw: bytes) -> Address | None:
    """A ``sockaddr`` as the kernel lays it out: the family in the machine's order, the port in the network's."""
    if len(raw) < _SIZE_IPV4:
        return None
    family = int.from_bytes(raw[:2], sys.byteorder)
    (port,) = struct.unpack_from("!H", raw, 2)
    if family == socket.AF_INET:
        return Address(socket.inet_ntop(socket.AF_INET, raw[4:8]), port)
    if family == socket.AF_INET6 and len(raw) >= _SIZE_IPV6:
        return Address(socket.inet_ntop(socket.AF_INET6, raw[8:24]), port)
    return None
