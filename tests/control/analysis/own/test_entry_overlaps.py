"""ServiceEntries beside each other and beside Services."""

from __future__ import annotations

import pytest

from meshd.control.analysis.own.entry_overlaps import overlaps, shared_addresses
from tests.control.analysis.cases import text
from tests.control.analysis.own.cases import lines, service


def entry(fields: str, *, name: str = "e", namespace: str = "default") -> str:
    return text("ServiceEntry", f"{{{fields}}}", name=name, metadata=f"namespace: {namespace}")


HTTP = "ports: [{number: 80, name: http, protocol: HTTP}]"
TCP = "ports: [{number: 9000, name: tcp, protocol: TCP}]"


def test_a_short_host() -> None:
    [line] = lines(overlaps, entry(f"hosts: [db], {HTTP}, resolution: DNS"))
    assert line.startswith('MD0039 4:16 the short host "db" is taken as it stands')
    assert "mean db.default.svc.cluster.local and do not find it" in line


def test_the_host_of_a_service() -> None:
    here = entry(f"hosts: [db.default.svc.cluster.local], {HTTP}, resolution: DNS")
    [line] = lines(overlaps, here, service("db", "{name: http, port: 80}"))
    assert line.startswith("MD0038 4:16 Service default/db has the host db.default.svc.cluster.local too")


def test_two_that_disagree() -> None:
    found = lines(
        overlaps,
        entry(f"hosts: [a.example], {HTTP}, resolution: DNS", name="one"),
        entry(f"hosts: [b.example, a.example], {HTTP}, location: MESH_INTERNAL, resolution: NONE", name="two"),
    )
    assert len(found) == 1
    assert found[0].startswith("MD0038 9:27 ServiceEntry default/one (f.yaml:1:1) has the host a.example too")
    assert "its resolution and location count" in found[0]


@pytest.mark.parametrize(
    "other",
    [
        entry(f"hosts: [a.example], {TCP}, resolution: DNS", name="two"),
        entry(f"hosts: [b.example], {HTTP}, resolution: NONE", name="two"),
        entry(f"hosts: [a.example], {HTTP}, resolution: NONE, exportTo: [.]", name="two", namespace="other"),
        service("a", "{name: http, port: 80}"),
    ],
)
def test_what_goes_together(other: str) -> None:
    first = entry(f"hosts: [a.example], {HTTP}, resolution: DNS, exportTo: [.]", name="one")
    assert lines(overlaps, first, other) == []


def test_one_address_for_two() -> None:
    found = lines(
        shared_addresses,
        entry(f"hosts: [a.example], addresses: [10.1.1.1], {TCP}, resolution: DNS", name="one"),
        entry(f"hosts: [b.example], addresses: [10.1.1.2, 10.1.1.1], {TCP}, resolution: DNS", name="two"),
    )
    assert len(found) == 1
    assert found[0].startswith("MD0040 9:50 connections to 10.1.1.1 port 9000 go to a.example (namespace default)")


@pytest.mark.parametrize(
    "other",
    [
        f"hosts: [b.example], addresses: [10.1.1.1], {HTTP}, resolution: DNS",
        f"hosts: [b.example], addresses: [10.1.1.2], {TCP}, resolution: DNS",
        "hosts: [b.example], addresses: [10.1.1.1], ports: [{number: 9000, name: tls, protocol: TLS}], resolution: DNS",
        f"hosts: [a.example], addresses: [10.1.1.1], {TCP}, resolution: DNS",
    ],
)
def test_addresses_that_can_be_told_apart(other: str) -> None:
    first = entry(f"hosts: [a.example], addresses: [10.1.1.1], {TCP}, resolution: DNS", name="one")
    assert lines(shared_addresses, first, entry(other, name="two")) == []
