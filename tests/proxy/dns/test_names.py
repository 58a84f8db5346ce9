"""Which names there are, and where they lead."""

from __future__ import annotations

import attrs

from meshd.proxy.dns.names import allocate, table_of, with_virtual_listeners
from meshd.snapshot.chains import select_listener
from meshd.snapshot.cluster import Cluster, Discovery, Endpoint, EndpointGroup
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, FilterChainMatch, HttpManager, Listener, TcpProxy
from meshd.snapshot.snapshot import Snapshot


def cluster(host: str, port: int = 9080, **more: object) -> Cluster:
    name, _, rest = host.partition(".")
    namespace = rest.partition(".svc.")[0] if ".svc." in rest else "default"
    short = name if ".svc." in rest else host
    return Cluster(
        f"outbound|{port}||{host}", service=host, service_name=short, service_namespace=namespace, port=port, **more
    )


REVIEWS = "reviews.default.svc.cluster.local"
DB = "db.data.svc.cluster.local"


def names(*clusters: Cluster, namespace: str = "default", endpoints: tuple[EndpointGroup, ...] = ()):
    return table_of(Snapshot(clusters=clusters, endpoints=endpoints), namespace)


def test_a_service_has_its_short_names() -> None:
    table = names(cluster(REVIEWS, addresses=("10.0.0.1",)), cluster(DB, addresses=("10.0.0.2", "fd00::2")))

    for name in (REVIEWS, "reviews", "reviews.default", "reviews.default.svc"):
        assert table.find(name) == ("10.0.0.1",)
    assert table.find("db.data") == ("10.0.0.2", "fd00::2")
    assert table.find("db") is None
    assert table.find("reviews.example.com") is None


def test_what_has_no_address_gets_a_virtual_one() -> None:
    table = names(cluster(REVIEWS), cluster("api.example.com", 443, discovery=Discovery.DNS))

    (virtual,) = table.find("reviews") or ()
    assert virtual.startswith("240.240.")
    assert table.virtual[REVIEWS] == virtual
    assert table.find("api.example.com") != (virtual,)


def test_what_is_wherever_its_name_says_is_not_ours() -> None:
    table = names(
        cluster("anywhere.example.com", discovery=Discovery.ORIGINAL_DESTINATION),
        cluster("*.wild.example.com", discovery=Discovery.DNS),
    )

    assert table.find("anywhere.example.com") is None
    assert table.find("a.wild.example.com") is None


def test_a_wildcard_with_an_address_is_for_all_its_names() -> None:
    table = names(cluster("*.example.com", addresses=("10.0.0.7",)), cluster("a.example.com", addresses=("10.0.0.8",)))

    assert table.find("a.example.com") == ("10.0.0.8",)
    assert table.find("b.example.com") == table.find("c.d.example.com") == ("10.0.0.7",)
    assert table.find("example.com") is None


def test_a_headless_service_is_its_endpoints() -> None:
    one = cluster(REVIEWS, headless=True)
    group = EndpointGroup(one.name, (Endpoint("10.0.0.3", 1), Endpoint("10.0.0.4", 1), Endpoint("name", 1)))

    assert names(one, endpoints=(group,)).find("reviews") == ("10.0.0.3", "10.0.0.4")
    assert names(one).find("reviews") is None


def test_subsets_and_other_clusters_are_no_names() -> None:
    other = attrs.evolve(cluster(REVIEWS), name=f"outbound|9080|v1|{REVIEWS}", subset="v1")
    assert names(other, Cluster("PassthroughCluster")).names == {}


def test_virtual_addresses_are_the_same_every_time() -> None:
    hosts = [f"service-{each}.default.svc.cluster.local" for each in range(2000)]
    found = allocate(hosts)

    assert allocate(reversed(hosts)) == found
    assert len(set(found.values())) == len(hosts)
    assert not any(address.endswith((".0", ".255")) for address in found.values())
    alone = sum(allocate([host])[host] == found[host] for host in hosts)
    assert alone > 1900


def outbound(port: int, *chains: FilterChain, default: FilterChain | None = None) -> Listener:
    return Listener(f"0.0.0.0_{port}", port, Direction.OUTBOUND, chains, bound=False, default_chain=default)


def test_services_that_share_a_port_are_told_apart_by_their_addresses() -> None:
    one, two = cluster("one.data.svc.cluster.local", 5432), cluster("two.data.svc.cluster.local", 5432)
    shared = outbound(5432, FilterChain("first", tcp=TcpProxy(((one.name, 1),), idle_timeout=7)))
    snapshot = Snapshot(clusters=(one, two), listeners=(shared,))
    table = table_of(snapshot, "default")
    adapted = with_virtual_listeners(snapshot, table)

    for each in (one, two):
        (address,) = table.find(f"{each.service_name}.data") or ()
        listener = select_listener(adapted.listeners, address, 5432)
        assert listener is not None
        assert listener.host == address
        (chain,) = listener.chains
        assert chain.tcp is not None
        assert chain.tcp.clusters == ((each.name, 1),)
        # The rules that hold at the shared port hold here.
        assert chain.tcp.idle_timeout == (7 if each is one else 0)
    assert select_listener(adapted.listeners, "10.9.9.9", 5432) is shared


def test_http_is_told_apart_by_its_host() -> None:
    http = FilterChain("http", FilterChainMatch(application_protocols=("http/1.1",)), http=HttpManager())
    snapshot = Snapshot(clusters=(cluster(REVIEWS),), listeners=(outbound(9080, http),))

    assert with_virtual_listeners(snapshot, table_of(snapshot, "default")) is snapshot


def test_where_both_meet_http_stays_http() -> None:
    http = FilterChain("http", FilterChainMatch(application_protocols=("http/1.1",)), http=HttpManager())
    one = cluster("one.data.svc.cluster.local", 5432)
    rest = FilterChain("first", FilterChainMatch(transport_protocol="raw_buffer"), tcp=TcpProxy((("other", 1),)))
    snapshot = Snapshot(clusters=(one,), listeners=(outbound(5432, http, rest),))
    adapted = with_virtual_listeners(snapshot, table_of(snapshot, "default"))

    (listener,) = (each for each in adapted.listeners if each.host)
    assert listener.chains == (http,)
    assert listener.default_chain is not None
    assert listener.default_chain.tcp == TcpProxy(((one.name, 1),))
