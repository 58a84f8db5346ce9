"""Where a connection was going, as the kernel writes it. That it does is tested in network namespaces."""

from __future__ import annotations

import socket
import struct
import sys

import pytest

from meshd.net.address import Address
from meshd.net.original_destination import decode, original_destination

IPV4 = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 9080) + bytes([10, 1, 2, 3]) + bytes(8)
IPV6 = (
    struct.pack("=H", socket.AF_INET6)
    + struct.pack("!HI", 443, 0)
    + socket.inet_pton(socket.AF_INET6, "fd00::1")
    + bytes(4)
)


def test_both_families_are_read() -> None:
    assert decode(IPV4) == Address("10.1.2.3", 9080)
    assert decode(IPV6) == Address("fd00::1", 443)


@pytest.mark.parametrize("raw", [b"", IPV4[:8], IPV6[:20], b"\xff\xff" + IPV4[2:]])
def test_what_is_no_address_is_none(raw: bytes) -> None:
    assert decode(raw) is None


class Tracked(socket.socket):
    """A socket whose original destination is known."""

    answer = b""

    def getsockopt(self, *arguments: int) -> bytes:  # type: ignore[override]
        assert arguments[1] == 80
        return self.answer


@pytest.mark.skipif(sys.platform != "linux", reason="asked of Linux alone")
def test_a_client_that_was_coming_here_was_not_captured() -> None:
    with Tracked() as sock:
        sock.answer = IPV4
        assert original_destination(sock, Address("127.0.0.1", 15001)) == Address("10.1.2.3", 9080)
        assert original_destination(sock, Address("10.1.2.3", 9080)) is None


def test_where_nothing_tracks_connections_nobody_knows() -> None:
    with socket.socket() as sock:
        assert original_destination(sock, Address("127.0.0.1", 1)) is None
