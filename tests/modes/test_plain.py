"""A sidecar that nobody configures lets everything through; ``--bind`` adds to whatever is configured."""

from __future__ import annotations

import attrs

from meshd.modes.binds import bindings_of, with_binds
from meshd.modes.no_identity import without_identity
from meshd.modes.plain import plain_snapshot
from meshd.modes.settings import ServiceBind
from meshd.net.address import Address
from meshd.snapshot.chains import ConnectionFacts, select_chain
from meshd.snapshot.cluster import Cluster, Discovery, Peer
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import DownstreamTls, FilterChain, Listener
from meshd.snapshot.route import RouteTable, VirtualHost
from meshd.snapshot.snapshot import Snapshot
from meshd.snapshot.wire import decode, encode

LOCAL = Address("127.0.0.1", 7001)


def test_plain_takes_in_and_lets_out() -> None:
    snapshot = plain_snapshot(Address("127.0.0.1", 8080), Peer())
    assert [each.name for each in snapshot.listeners] == ["virtualInbound", "virtualOutbound"]
    assert {each.name for each in snapshot.clusters} == {
        "InboundPassthroughCluster",
        "PassthroughCluster",
        "inbound|8080||",
    }
    # Captured on the way to another port, a connection is none of the application's.
    inbound = snapshot.listeners[0]
    for port, cluster in ((8080, "inbound|8080||"), (9999, "InboundPassthroughCluster")):
        chain = select_chain(inbound, ConnectionFacts(destination_port=port))
        assert chain is not None
        assert chain.tcp is not None
        assert chain.tcp.clusters == ((cluster, 1),)
    assert snapshot.endpoints[0].endpoints[0].port == 8080


def test_plain_without_an_application_takes_nothing_in() -> None:
    assert [each.name for each in plain_snapshot(None, Peer()).listeners] == ["virtualOutbound"]


def test_an_application_with_a_name_is_looked_up() -> None:
    clusters = plain_snapshot(Address("app.example", 8080), Peer()).clusters
    assert {each.discovery for each in clusters} == {Discovery.DNS, Discovery.ORIGINAL_DESTINATION}


def test_plain_is_a_snapshot_like_any_other() -> None:
    snapshot = plain_snapshot(Address("127.0.0.1", 8080), Peer(app="a"))
    encoded = encode(snapshot)
    again = decode(encoded.manifest, lambda digest: encoded.parts[digest])
    assert attrs.evolve(again, version="plain") == snapshot


def test_without_a_certificate_chains_that_show_one_are_gone() -> None:
    tls = FilterChain("tls", tls=DownstreamTls())
    credential = FilterChain("web", tls=DownstreamTls(certificate="kubernetes://web"))
    plain, strict = Listener("a", 1, Direction.INBOUND, (tls, credential)), Listener("b", 2, Direction.INBOUND, (tls,))
    found = without_identity(Snapshot(listeners=(plain, strict)))
    assert [listener.chains for listener in found.listeners] == [(credential,), ()]


def mesh_snapshot() -> Snapshot:
    host = VirtualHost("reviews.default.svc.cluster.local:9080", ("reviews", "reviews.default.svc.cluster.local"), ())
    tcp = Cluster(
        "outbound|5432||db.default.svc.cluster.local", service_name="db", service_namespace="default", port=5432
    )
    return Snapshot(route_tables=(RouteTable("9080", (host,)),), clusters=(tcp,))


def test_a_bind_pins_the_virtual_host() -> None:
    snapshot = with_binds(mesh_snapshot(), [ServiceBind("reviews", 9080, LOCAL)])
    manager = snapshot.listeners[0].chains[0].http
    assert manager is not None
    assert (manager.route_table, manager.virtual_host) == ("9080", "reviews.default.svc.cluster.local:9080")


def test_a_bind_to_a_service_of_bytes() -> None:
    snapshot = with_binds(mesh_snapshot(), [ServiceBind("db.default", 5432, LOCAL)])
    proxy = snapshot.listeners[0].chains[0].tcp
    assert proxy is not None
    assert proxy.clusters == (("outbound|5432||db.default.svc.cluster.local", 1),)


def test_a_bind_to_nobody_goes_nowhere() -> None:
    snapshot = with_binds(mesh_snapshot(), [ServiceBind("other", 9080, LOCAL)])
    proxy = snapshot.listeners[0].chains[0].tcp
    assert proxy is not None
    assert proxy.clusters == (("BlackHoleCluster", 1),)


def test_names_of_listeners_and_bindings_agree() -> None:
    binds = [ServiceBind("reviews", 9080, LOCAL)]
    snapshot = with_binds(mesh_snapshot(), binds)
    assert [name for name, _ in bindings_of(binds)] == [each.name for each in snapshot.listeners]


def test_without_binds_nothing_is_added() -> None:
    snapshot = mesh_snapshot()
    assert with_binds(snapshot, ()) is snapshot
