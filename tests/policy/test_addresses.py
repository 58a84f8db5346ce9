"""Address blocks."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.errors import ConfigError
from meshd.policy.addresses import compile_blocks


@pytest.mark.parametrize(
    ("blocks", "host", "expected"),
    [
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.1.2.3/8",), "10.9.9.9", True),
        (("10.1.2.3",), "10.1.2.3", True),
        (("0.0.0.0/0",), "1.2.3.4", True),
        (("0.0.0.0/0",), "::1", False),
        (("2001:db8::/32",), "2001:db8:1::1", True),
        (("::/0",), "10.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.0.0.1", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("0.0.0.0/0", "::/0"), "client", False),
        (("0.0.0.0/0",), "", False),
        ((), "10.0.0.1", False),
    ],
)
def test_blocks(blocks: tuple[str, ...], host: str, *, expected: bool) -> None:
    contains = compile_blocks(blocks)
    assert contains(host) is expected
    assert contains(host) is expected, "remembered"


@pytest.mark.parametrize("block", ["10.0.0.0/33", "a", "", "10.0.0", "10.0.0.0/8/8"])
def test_what_is_no_block_is_refused(block: str) -> None:
    with pytest.raises(ConfigError, match="no address block"):
        compile_blocks((block,))


def test_many_addresses_do_not_pile_up() -> None:
    contains = compile_blocks(("10.0.0.0/16",))
    assert sum(contains(str(ip_address("10.0.0.0") + 40 * index)) for index in range(3000)) == 1639


@settings(max_examples=100)
@given(st.lists(st.ip_addresses(v=4), max_size=3), st.integers(0, 32), st.ip_addresses(v=4))
def test_as_ipaddress_says(networks: list[object], length: int, host: object) -> None:
    blocks = [f"{network}/{length}" for network in networks]
    expected = any(host in ip_network(block, strict=False) for block in blocks)
    assert compile_blocks(blocks)(str(host)) is expected
