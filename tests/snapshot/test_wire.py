"""The wire form: what goes in comes out, equal is equal, and nothing odd gets in."""

from __future__ import annotations

import json
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshd.errors import ConfigError
from meshd.snapshot.cluster import Cluster, Endpoint, EndpointGroup
from meshd.snapshot.route import DirectResponse, Forward, Route, RouteMatch, RouteTable, VirtualHost, WeightedCluster
from meshd.snapshot.snapshot import Snapshot
from meshd.snapshot.wire import (
    FANOUT,
    DecodeMemo,
    Encoded,
    EncodeMemo,
    Limits,
    canonical,
    decode,
    digest,
    encode,
    wanted,
)
from tests.strategies import snapshots

NOTHING: dict[str, bytes] = {}
MODERATE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def group(number: int, port: int = 80) -> EndpointGroup:
    return EndpointGroup(f"outbound|80||s{number}.default", (Endpoint("10.0.0.1", port),))


def wide(count: int) -> Snapshot:
    groups = sorted((group(number) for number in range(count)), key=lambda each: each.cluster)
    clusters = tuple(Cluster(each.cluster) for each in groups)
    return Snapshot(clusters=clusters, endpoints=tuple(groups))


def read(encoded: Encoded, **arguments: object) -> Snapshot:
    return decode(encoded.manifest, encoded.parts.__getitem__, **arguments)  # type: ignore[arg-type]


@MODERATE
@given(snapshots())
def test_what_was_encoded_is_decoded(snapshot: Snapshot) -> None:
    encoded = encode(snapshot)
    assert read(encoded) == attrs.evolve(snapshot, version=encoded.version)
    assert encode(read(encoded)) == encoded
    assert encoded.version == digest(encoded.manifest)
    assert all(digest(content) == name for name, content in encoded.parts.items())


@MODERATE
@given(snapshots(), st.randoms(use_true_random=False))
def test_order_of_collections_does_not_matter(snapshot: Snapshot, random: object) -> None:
    shuffled: dict[str, Any] = {}
    for field in ("listeners", "clusters", "endpoints", "secrets"):
        items = list(getattr(snapshot, field))
        random.shuffle(items)  # type: ignore[attr-defined]
        shuffled[field] = tuple(items)
    assert encode(attrs.evolve(snapshot, **shuffled)).version == encode(snapshot).version


def test_numbers_that_are_equal_have_equal_bytes() -> None:
    def with_timeout(timeout: float) -> Snapshot:
        forward = Forward((WeightedCluster("a"),), timeout=timeout)
        host = VirtualHost("h", ("*",), (Route("r", RouteMatch(), forward),))
        return Snapshot(route_tables=(RouteTable("80", (host,)),))

    assert encode(with_timeout(3)) == encode(with_timeout(3.0))
    assert encode(with_timeout(-0.0)) == encode(with_timeout(0))


def test_defaults_are_left_out() -> None:
    cluster = Snapshot(clusters=(Cluster("a"),))
    assert b'{"name":"a"}' in encode(cluster).parts.values()


def test_a_changed_endpoint_group_sends_one_leaf_and_its_nodes() -> None:
    before = wide(1000)
    changed = tuple(attrs.evolve(each, endpoints=()) if each == group(7) else each for each in before.endpoints)
    old, new = encode(before), encode(attrs.evolve(before, endpoints=changed))
    sent = [content for name, content in new.parts.items() if name not in old.parts]
    assert len(sent) <= 4
    assert sum(map(len, sent)) < 20_000
    assert len(new.manifest) < 1000


def test_a_changed_virtual_host_does_not_send_its_table() -> None:
    hosts = tuple(VirtualHost(f"h{number:04}", (f"h{number}",), ()) for number in range(500))
    other = tuple(attrs.evolve(host, require_tls=host.name == "h0100") for host in hosts)
    old = encode(Snapshot(route_tables=(RouteTable("80", hosts),)))
    new = encode(Snapshot(route_tables=(RouteTable("80", other),)))
    assert sum(len(content) for name, content in new.parts.items() if name not in old.parts) < 15_000


def test_the_same_host_in_two_tables_with_a_memo() -> None:
    host = VirtualHost("h", ("*",), ())
    snapshot = Snapshot(route_tables=(RouteTable("80", (host,)), RouteTable("81", (host,))))
    memo = EncodeMemo()
    assert encode(snapshot, memo) == encode(snapshot, memo) == encode(snapshot)
    assert read(encode(snapshot, memo)).route_tables == snapshot.route_tables


def test_memos_change_nothing_but_the_work() -> None:
    encode_memo, decode_memo = EncodeMemo(), DecodeMemo()
    first = wide(200)
    second = attrs.evolve(first, endpoints=(group(0, 81), *first.endpoints[1:]))
    for snapshot in (first, second, first):
        encoded = encode(snapshot, encode_memo)
        assert encoded == encode(snapshot)
        encode_memo.turn()
        assert read(encoded, memo=decode_memo) == attrs.evolve(snapshot, version=encoded.version)
    kept = read(encode(first), memo=decode_memo)
    assert kept.clusters[0] is read(encode(second), memo=decode_memo).clusters[0]


@pytest.mark.parametrize("count", [0, 1, FANOUT, FANOUT + 1, 20 * FANOUT])
def test_wanted_is_asked_until_nothing_is_missing(count: int) -> None:
    encoded = encode(wide(count))
    held: dict[str, bytes] = {}
    rounds = 0
    while missing := wanted(encoded.manifest, held.get):
        rounds += 1
        assert not set(missing) & set(held)
        held.update({name: encoded.parts[name] for name in missing})
    assert held == encoded.parts
    assert rounds <= 4
    assert decode(encoded.manifest, held.__getitem__).version == encoded.version


def test_wanted_asks_again_for_a_part_that_was_damaged_on_disk() -> None:
    encoded = encode(wide(3))
    held = dict(encoded.parts)
    for name in encoded.parts:
        assert wanted(encoded.manifest, {**held, name: b"damaged"}.get) == (name,)


def test_two_values_of_one_name_cannot_travel() -> None:
    with pytest.raises(ConfigError, match="two clusters named 'a'"):
        encode(Snapshot(clusters=(Cluster("a"), Cluster("a", port=1))))


def resealed(encoded: Encoded, old: bytes, new: bytes) -> Encoded:
    """The same tree with one leaf's bytes replaced, every digest made right again."""
    parts = dict(encoded.parts)
    manifest = encoded.manifest
    replaced = {digest(old): new}
    while replaced:
        was, content = replaced.popitem()
        parts.pop(was, None)
        parts[digest(content)] = content
        for name, each in list(parts.items()):
            if was.encode() in each:
                replaced[name] = each.replace(was.encode(), digest(content).encode())
        manifest = manifest.replace(was.encode(), digest(content).encode())
    return Encoded(digest(manifest), manifest, parts)


ROUTE = Route("r", RouteMatch(), DirectResponse(200, "x"))
SMALL = Snapshot(
    clusters=(Cluster("a", port=1),), route_tables=(RouteTable("80", (VirtualHost("h", ("*",), (ROUTE,)),)),)
)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b'"port":1', b'"prt":1', "unknown field 'prt' in Cluster"),
        (b'"port":1', b'"port":"1"', "expected an integer, found a string"),
        (b'"port":1', b'"port":true', "expected an integer, found a boolean"),
        (b'"port":1', b'"port":1.0', "expected an integer, found a number"),
        (b'"port":1', b'"port":null', "expected an integer, found nothing"),
        (b'"port":1', b'"port":' + b"9" * 5000, "not JSON"),
        (b'"port":1', b'"discovery":"guess"', "'guess' is none of endpoints"),
        (b'"port":1', b'"tls":[]', "expected an object, found a list"),
        (b'"name":"a",', b"", "Cluster is incomplete"),
        (b'"port":1', b'"limits":{"connect_timeout":NaN}', "expected a finite number"),
        (b'"port":1', b'"limits":{"connect_timeout":1e999}', "expected a finite number"),
        (b'"DirectResponse"', b'"Teleport"', "unknown type 'Teleport', expected DirectResponse, Forward, Redirect"),
        (b'"type":"DirectResponse"', b'"type":7', "unknown type 7"),
        (b'{"name":"a","port":1}', b"[" * 100_000, "not JSON"),
        (b'{"name":"a","port":1}', b"\xff", "not JSON"),
        (b'"table":"80"', b'"table":"81"', "virtual host 'h' belongs to no route table"),
    ],
)
def test_what_a_snapshot_cannot_hold_is_refused(old: bytes, new: bytes, message: str) -> None:
    encoded = encode(SMALL)
    leaf = next(content for content in encoded.parts.values() if old in content)
    with pytest.raises(ConfigError, match=message):
        read(resealed(encoded, leaf, leaf.replace(old, new)))


def test_bytes_that_are_not_their_digest_are_refused() -> None:
    encoded = encode(SMALL)
    for name in encoded.parts:
        with pytest.raises(ConfigError, match="bytes are not what its name says"):
            decode(encoded.manifest, {**encoded.parts, name: encoded.parts[name] + b" "}.__getitem__)
        with pytest.raises(ConfigError, match="missing"):
            decode(encoded.manifest, {k: v for k, v in encoded.parts.items() if k != name}.__getitem__)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"", "not JSON"),
        (b"[]", "not a manifest"),
        (canonical({"branches": {}, "format": 2, "trust_domain": "x"}), "format 2 is not 1"),
        (canonical({"branches": {}, "format": 1, "trust_domain": 1}), "trust_domain is no string"),
        (canonical({"branches": {"extra": "0" * 64}, "format": 1, "trust_domain": "x"}), "unknown branch 'extra'"),
        (canonical({"branches": {"routes": "../../etc"}, "format": 1, "trust_domain": "x"}), "no SHA-256 digest"),
        (canonical({"branches": [], "format": 1, "trust_domain": "x"}), "expected names and digests"),
    ],
)
def test_manifests_that_are_none(manifest: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        decode(manifest, NOTHING.__getitem__)
    with pytest.raises(ConfigError, match=message):
        wanted(manifest, NOTHING.get)


def test_nodes_that_are_none() -> None:
    nodes: tuple[Any, ...] = ({"leaves": {}, "shards": {}}, {}, [], {"leaves": {"a": 1}}, {"shards": 3})
    for node in nodes:
        content = json.dumps(node).encode()
        manifest = canonical({"branches": {"routes": digest(content)}, "format": 1, "trust_domain": "x"})
        with pytest.raises(ConfigError, match=r"not a node|digest"):
            decode(manifest, {digest(content): content}.__getitem__)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(manifest_size=100), "the manifest has"),
        (Limits(part_size=1000), "a part of more than 1000"),
        (Limits(total_size=2000), "a snapshot of more than 2000 bytes"),
        (Limits(parts=20), "more than 20 parts"),
    ],
)
def test_limits(limits: Limits, message: str) -> None:
    encoded = encode(wide(20))
    with pytest.raises(ConfigError, match=message):
        read(encoded, limits=limits)


def test_a_deep_chain_of_nodes_is_refused() -> None:
    parts: dict[str, bytes] = {}
    content = canonical({"leaves": {}})
    for _ in range(66):
        parts[digest(content)] = content
        content = canonical({"shards": {"0": digest(content)}})
    parts[digest(content)] = content
    manifest = canonical({"branches": {"routes": digest(content)}, "format": 1, "trust_domain": "x"})
    with pytest.raises(ConfigError, match="nested too deeply"):
        decode(manifest, parts.__getitem__)


def test_an_encode_memo_forgets_what_two_turns_did_not_use() -> None:
    memo = EncodeMemo()
    snapshot = wide(2)
    made: list[str] = []

    def make() -> bytes:
        made.append("made")
        return b"{}"

    def leaf() -> None:
        memo.leaf("clusters", "a", snapshot.clusters[0], make)

    leaf()
    leaf()
    memo.turn()
    leaf()
    assert len(made) == 1
    memo.turn()
    memo.turn()
    leaf()
    assert len(made) == 2
