"""Where listeners are bound."""

from __future__ import annotations

from meshd.net.address import Address
from meshd.proxy.bindings import Binding, Bindings
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import Listener


def listener(name: str = "0.0.0.0_80", port: int = 80, host: str = "", *, bound: bool = True) -> Listener:
    return Listener(name, port, Direction.GATEWAY, (), host=host, bound=bound)


def test_a_name_goes_before_a_port_and_a_port_before_the_snapshot():
    by_name = Binding(Address("127.0.0.1", 1))
    by_port = Binding(Address("", 2))
    bindings = Bindings(names=(("a", by_name),), ports=((80, by_port),), default_host="127.0.0.9")
    assert bindings.of(listener("a")) == by_name
    assert bindings.of(listener("b")) == by_port
    assert bindings.of(listener("c", 81)) == Binding(Address("127.0.0.9", 81))
    assert bindings.of(listener("d", 81, "10.0.0.1")) == Binding(Address("10.0.0.1", 81))


def test_a_port_that_the_gateways_service_translates_is_bound_by_either_number():
    translated = Listener("0.0.0.0_8080", 8080, Direction.GATEWAY, (), server_ports=(80, 81))
    for port in (80, 81, 8080):
        asked = Binding(Address("", 7000 + port))
        assert Bindings(ports=((port, asked),)).of(translated) == asked
    assert Bindings(ports=((82, Binding(Address("", 1))),)).of(translated) == Binding(Address("", 8080))


def test_an_unbound_listener_is_bound_only_when_named():
    bindings = Bindings(names=(("a", Binding(Address("", 1))),), ports=((80, Binding(Address("", 2))),))
    assert bindings.of(listener("a", bound=False)) is not None
    assert bindings.of(listener("b", bound=False)) is None


def test_a_movable_binding_tries_the_next_ports_and_stops_at_the_last():
    assert Binding(Address("", 8080)).candidates(5) == (Address("", 8080),)
    assert [a.port for a in Binding(Address("", 8080), movable=True).candidates(3)] == [8080, 8081, 8082]
    assert [a.port for a in Binding(Address("", 65534), movable=True).candidates(9)] == [65534, 65535]
    assert Binding(Address("", 0), movable=True).candidates(9) == (Address("", 0),)
