from __future__ import annotations

import pytest

from meshd.errors import ConfigError
from meshd.net.address import Address, is_ip_literal


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":8080", Address("", 8080)),
        ("8080", Address("", 8080)),
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("reviews:9080", Address("reviews", 9080)),
        ("[::1]:80", Address("::1", 80)),
        (" :80 ", Address("", 80)),
    ],
)
def test_addresses_as_people_write_them(text, address):
    assert Address.parse(text) == address


def test_a_default_host():
    assert Address.parse(":80", default_host="127.0.0.1") == Address("127.0.0.1", 80)


@pytest.mark.parametrize(
    "text", ["", "host", "host:", "host:x", "host:-1", "host:65536", "::1:80", "host:\uff18\uff10"]
)
def test_what_is_no_address_says_how_to_write_one(text):
    with pytest.raises(ConfigError, match=r"is no address"):
        Address.parse(text)


@pytest.mark.parametrize("address", [Address("", 80), Address("::1", 80), Address("reviews", 1)])
def test_an_address_reads_back(address):
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0", "::ffff:1.2.3.4"])
def test_literals(host):
    assert is_ip_literal(host)


@pytest.mark.parametrize("host", ["", "reviews", "1.2.3", "1.2.3.4.", "256.1.1.1", "[::1]", "a:b", "10", "1.2.3.04"])
def test_no_literals(host):
    assert not is_ip_literal(host)
