"""Which listener, which filter chain."""

from __future__ import annotations

import pytest

from meshd.snapshot.chains import ConnectionFacts, needs_inspection, select_chain, select_listener
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, Listener
from meshd.snapshot.match import Step


def chain(name: str, **match: object) -> FilterChain:
    return FilterChain(name, FilterChainMatch(**match))  # type: ignore[arg-type]


INBOUND = Listener(
    "virtualInbound",
    15006,
    Direction.INBOUND,
    (
        chain("catch-all"),
        chain("9080-mtls", destination_port=9080, transport_protocol="tls", application_protocols=("istio-http/1.1",)),
        chain("9080-app-tls", destination_port=9080, transport_protocol="tls"),
        chain("80-plain", destination_port=80),
        chain("80-h2c", destination_port=80, application_protocols=("h2c",)),
        chain("443-a", destination_port=443, server_names=("a.example.com", "b.example.com"), transport_protocol="tls"),
        chain("443-wild", destination_port=443, server_names=("*.example.com",), transport_protocol="tls"),
        chain("443-wilder", destination_port=443, server_names=("*.com",)),
    ),
)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (ConnectionFacts(1234), "catch-all"),
        (ConnectionFacts(1234, "x.example.com", "tls", ("h2",)), "catch-all"),
        (ConnectionFacts(9080, "", "tls", ("istio-http/1.1", "istio")), "9080-mtls"),
        (ConnectionFacts(9080, "", "tls", ("h2",)), "9080-app-tls"),
        # A STRICT port: plaintext finds no chain rather than the catch-all.
        (ConnectionFacts(9080), None),
        (ConnectionFacts(80, application_protocols=("http/1.1",)), "80-plain"),
        (ConnectionFacts(80, application_protocols=("h2c",)), "80-h2c"),
        (ConnectionFacts(443, "a.example.com", "tls"), "443-a"),
        (ConnectionFacts(443, "B.EXAMPLE.COM", "tls"), "443-a"),
        (ConnectionFacts(443, "x.y.example.com", "tls"), "443-wild"),
        (ConnectionFacts(443, "example.com", "tls"), "443-wilder"),
        (ConnectionFacts(443, "example.org", "tls"), None),
        (ConnectionFacts(443, "", "tls"), None),
        # No way back: the exact server name has a chain, for TLS only.
        (ConnectionFacts(443, "a.example.com", "raw_buffer"), None),
    ],
)
def test_filter_chains(facts: ConnectionFacts, expected: str | None) -> None:
    steps: list[Step] = []
    found = select_chain(INBOUND, facts, steps.append)
    assert (found.name if found is not None else None) == expected
    assert [step.matched for step in steps if step.matched] == [True] * (expected is not None)
    assert steps[-1].matched == (expected is not None)
    assert steps[-1].name == (expected or "")


def test_the_client_s_order_of_protocols_decides() -> None:
    listener = Listener(
        "l", 1, Direction.GATEWAY, (chain("a", application_protocols=("a",)), chain("b", application_protocols=("b",)))
    )
    found = select_chain(listener, ConnectionFacts(application_protocols=("x", "b", "a")))
    assert found is not None
    assert found.name == "b"


def test_first_bytes_are_wanted_only_where_they_decide() -> None:
    assert needs_inspection(INBOUND, 9080)
    assert needs_inspection(INBOUND, 80)
    assert not needs_inspection(INBOUND, 1234)


def test_each_chain_that_is_left_out_says_at_what() -> None:
    steps: list[Step] = []
    select_chain(INBOUND, ConnectionFacts(443, "example.com", "tls"), steps.append)
    assert [(step.name, step.because) for step in steps] == [
        ("catch-all", "is for anything else, not destination port 443"),
        ("9080-mtls", "is for port 9080, TLS, protocol istio-http/1.1, not destination port 443"),
        ("9080-app-tls", "is for port 9080, TLS, not destination port 443"),
        ("80-plain", "is for port 80, not destination port 443"),
        ("80-h2c", "is for port 80, protocol h2c, not destination port 443"),
        (
            "443-a",
            "is for port 443, server name a.example.com or b.example.com, TLS, not server name 'example.com'",
        ),
        ("443-wild", "is for port 443, server name *.example.com, TLS, not server name 'example.com'"),
        ("443-wilder", "port 443, TLS, server name 'example.com'"),
    ]


BY_ADDRESS = Listener(
    "0.0.0.0_9999",
    9999,
    Direction.OUTBOUND,
    (
        chain("wide", prefix_ranges=("1234::/16", "10.0.0.0/8")),
        chain("narrow", prefix_ranges=("1234::7/128",), server_names=("narrow.example",)),
    ),
    default_chain=FilterChain("default"),
)


@pytest.mark.parametrize(
    ("address", "server_name", "expected"),
    [
        ("10.1.2.3", "", "wide"),
        ("1234::1", "", "wide"),
        ("1234::7", "narrow.example", "narrow"),
        # No way back from the longer prefix to the shorter one.
        ("1234::7", "other.example", "default"),
        ("11.0.0.1", "", "default"),
        ("", "", "default"),
        ("reviews", "", "default"),
    ],
)
def test_the_longest_prefix_counts_and_what_no_chain_takes_the_default_one_does(
    address: str, server_name: str, expected: str
) -> None:
    steps: list[Step] = []
    facts = ConnectionFacts(9999, server_name, destination_ip=address)
    found = select_chain(BY_ADDRESS, facts, steps.append)
    assert found is not None
    assert found.name == expected
    assert steps[-1].matched


def test_chains_that_match_alike_take_no_connection() -> None:
    steps: list[Step] = []
    twins = Listener("l", 443, Direction.GATEWAY, (chain("a"), chain("b")), default_chain=FilterChain("default"))
    assert select_chain(twins, ConnectionFacts(443), steps.append) is None
    assert steps[-1].because == "2 filter chains match alike (a, b), so none can be chosen"


LISTENERS = (
    Listener("0.0.0.0_80", 80, Direction.OUTBOUND, ()),
    Listener("2.2.2.2_80", 80, Direction.OUTBOUND, (), host="2.2.2.2"),
    Listener("1234::7_80", 80, Direction.OUTBOUND, (), host="1234::7"),
    Listener("2.2.2.2_81", 81, Direction.OUTBOUND, (), host="2.2.2.2"),
    Listener("virtualInbound", 15006, Direction.INBOUND, ()),
    Listener("virtualOutbound", 15001, Direction.OUTBOUND, ()),
)


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("2.2.2.2", 80, "2.2.2.2_80"),
        ("1234:0:0::7", 80, "1234::7_80"),
        ("3.3.3.3", 80, "0.0.0.0_80"),
        ("", 80, "0.0.0.0_80"),
        ("2.2.2.2", 81, "2.2.2.2_81"),
        ("3.3.3.3", 81, "virtualOutbound"),
        ("3.3.3.3", 15006, "virtualInbound"),
        ("reviews", 15001, "virtualOutbound"),
    ],
)
def test_a_captured_connection_goes_to_its_address_s_listener_or_its_port_s(
    host: str, port: int, expected: str
) -> None:
    found = select_listener(LISTENERS, host, port)
    assert found is not None
    assert found.name == expected


def test_a_gateway_takes_only_what_it_listens_for() -> None:
    assert select_listener(LISTENERS[:2], "3.3.3.3", 443) is None
