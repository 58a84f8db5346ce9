"""What a peer says of itself."""

from __future__ import annotations

import attrs
from hypothesis import given
from hypothesis import strategies as st

from meshd.proxy.peer_metadata import decode, encode, namespace_of
from meshd.snapshot.cluster import Peer

ID = "cluster.local/ns/default/sa/reviews"
text = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=40)


@given(workload=text, app=text, version=text, service=text, revision=text, cluster=text)
def test_there_and_back(workload, app, version, service, revision, cluster):
    peer = Peer(workload, "default", app, version, service, revision, cluster)
    value = encode(peer)
    assert all(0x20 <= byte < 0x7F for byte in value)
    expected = attrs.evolve(peer, principal=f"spiffe://{ID}")
    printable = [c for field in (workload, app, version, service, revision, cluster) for c in field]
    if all(c.isprintable() for c in printable):
        assert decode(value, ID) == expected


def test_the_namespace_is_the_certificate_s():
    peer = decode(encode(Peer(workload="x", namespace="admin")), ID)
    assert peer is not None
    assert peer.namespace == "default"


def test_nonsense_is_no_peer():
    assert decode(b"", ID) is None
    assert decode(b"x=1,,=,zz=2", ID) is None
    assert decode(b"w=" + b"a" * 4000, ID) is None


def test_control_characters_and_broken_escapes_do_no_harm():
    peer = decode(b"w=%0d%0aevil: 1,a=%zz%,v=%ff", ID)
    assert peer is not None
    assert "\r" not in peer.workload
    assert "\n" not in peer.workload
    assert peer.app == "%zz%"


def test_values_are_cut():
    peer = decode(b"w=" + b"a" * 1000, ID)
    assert peer is not None
    assert len(peer.workload) == 256


def test_namespaces_of_ids():
    assert namespace_of(ID) == "default"
    assert namespace_of("cluster.local/workload/x") == ""
    assert namespace_of("") == ""
