"""Who is one source."""

from __future__ import annotations

from meshd.proxy.sources import Sources, source_of


def test_sources_are_bounded_each_for_itself():
    sources = Sources(2)
    first = sources.enter("10.0.0.1")
    assert first is not None
    assert sources.enter("10.0.0.1") == first
    assert sources.enter("10.0.0.1") is None
    assert sources.enter("10.0.0.2") is not None
    sources.leave(first)
    assert sources.enter("10.0.0.1") == first


def test_those_without_connections_are_forgotten():
    sources = Sources(1)
    for index in range(1000):
        source = sources.enter(f"10.0.{index // 256}.{index % 256}")
        assert source is not None
        sources.leave(source)
    assert len(sources) == 0


def test_no_limit_counts_nothing():
    sources = Sources(0)
    for _ in range(3):
        assert sources.enter("10.0.0.1") == ""
    sources.leave("")
    assert len(sources) == 0


def test_what_a_source_is():
    assert source_of("192.0.2.1") == "192.0.2.1"
    assert source_of("::ffff:192.0.2.1") == "192.0.2.1"
    assert source_of("2001:db8:1:2::1") == source_of("2001:db8:1:2:ffff::9") == "2001:db8:1:2::/64"
    assert source_of("2001:db8:1:3::1") != source_of("2001:db8:1:2::1")
    assert source_of("fe80::1%eth0") == "fe80::/64"
    assert source_of("no:address") == "no:address"
