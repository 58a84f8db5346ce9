"""docs/life-of-a-document.md, from a file in the store to what every proxy does, on virtual time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio

from meshd.control.ingest import LONGEST, QUIET
from meshd.errors import ConfigError
from meshd.testing import Mesh, Service, open_mesh, respond
from tests.journeys.documents import subsets, virtual_service

REVIEWS = "http://reviews:9080/reviews/1"
TO = "  - route: [{{destination: {{host: reviews, subset: {}}}}}]".format
PRIVATE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: private, namespace: elsewhere}
spec:
  hosts: [reviews.default.svc.cluster.local]
  exportTo: ["."]
  http:
  - route: [{destination: {host: nobody}}]
"""
LIVE = 1.0
"""Seconds within which a change is live."""


async def shop(mesh: Mesh) -> Service:
    """A page, and reviews v1 and v2 of which v1 is asked."""
    await mesh.service("productpage")
    reviews = await mesh.service("reviews", versions={"v1": respond(), "v2": respond()})
    await mesh.apply(subsets("reviews", "v1", "v2"))
    await route_to(mesh, "v1")
    return reviews


async def route_to(mesh: Mesh, version: str) -> None:
    mesh.put(virtual_service(TO(version)), "reviews.yaml")
    await mesh.settled()


async def asked(mesh: Mesh) -> str:
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert answer.status == 200
    return answer.served_by


async def until_asked(mesh: Mesh, version: str) -> float:
    """Call until a version answers; the seconds that took."""
    began = mesh.now()
    while await asked(mesh) != version:
        await mesh.sleep(0.01)
        assert mesh.now() - began < 120, f"{version} is never asked"
    return mesh.now() - began


async def test_a_change_is_live_within_a_second(mesh: Mesh) -> None:
    await shop(mesh)
    for version in ("v2", "v1", "v2"):
        mesh.put(virtual_service(TO(version)), "reviews.yaml")
        assert QUIET <= await until_asked(mesh, f"reviews-{version}") < LIVE


async def test_changes_that_come_together_are_one(mesh: Mesh) -> None:
    await shop(mesh)
    publisher = mesh.control.office.publisher
    before = publisher.generation
    for _ in range(5):
        mesh.put(virtual_service(TO("v2")), "reviews.yaml")
        await mesh.sleep(QUIET / 2)
    await mesh.settled()
    assert publisher.generation == before + 1
    # Who never stops changing is heard all the same.
    began = mesh.now()
    while publisher.generation == before + 1:
        mesh.put(virtual_service(TO("v1") + f"\n    timeout: {1 + mesh.now():.3f}s"), "reviews.yaml")
        await mesh.sleep(QUIET / 2)
    assert mesh.now() - began <= LONGEST + QUIET


async def test_equal_documents_make_an_equal_version(mesh: Mesh) -> None:
    await shop(mesh)
    page = mesh.workload("productpage").proxy
    version = page.version
    await route_to(mesh, "v2")
    assert page.version != version
    # Another file, another order of keys, comments: the same meaning.
    text = f"# again\n{virtual_service(TO('v1'))}\n---\n# nothing more"
    mesh.put(text, "another.yaml")
    await mesh.settled()
    assert page.version == version


async def test_a_broken_document_never_takes_down_what_worked(mesh: Mesh) -> None:
    await shop(mesh)
    page = mesh.workload("productpage").proxy
    good = page.version
    broken = {
        "no YAML": "kind: [",
        "nested 100,000 deep": "[" * 100_000,
        "an unknown field": virtual_service(TO("v2")).replace("hosts:", "hots:"),
        "a wrong type": virtual_service(TO("v2") + "\n    timeout: soon"),
        "a regex that is none": virtual_service('  - match: [{uri: {regex: "("}}]\n  ' + TO("v2").strip(" -")),
        "weights of nothing": virtual_service("  - route: [{destination: {host: reviews, subset: v2}, weight: -1}]"),
    }
    for what, text in broken.items():
        mesh.put(text, "reviews.yaml")
        await mesh.settled()
        assert page.version == good, what
        assert await asked(mesh) == "reviews-v1", what
        assert any(str(finding.origin).startswith("reviews.yaml:") for finding in mesh.control.findings), what
    # The rest of the store goes on being heard.
    await mesh.apply(virtual_service("  - directResponse: {status: 418}", "productpage"))
    assert (await mesh.call("reviews", "GET", "http://productpage:9080/")).status == 418
    assert await asked(mesh) == "reviews-v1"
    await route_to(mesh, "v2")
    assert await asked(mesh) == "reviews-v2"
    assert not [finding for finding in mesh.control.findings if str(finding.origin).startswith("reviews.yaml:")]


async def test_what_is_refused_says_where(mesh: Mesh) -> None:
    with pytest.raises(ConfigError, match=r"applied-1.yaml:7:3: .*hots.*hosts"):
        await mesh.apply(virtual_service(TO("v2")).replace("hosts:", "hots:"))


async def test_deleting_and_defining_twice(mesh: Mesh) -> None:
    await shop(mesh)
    mesh.put(virtual_service(TO("v2")), "newer.yaml")
    await mesh.settled()
    assert await asked(mesh) == "reviews-v2"
    assert [finding.code for finding in mesh.control.findings if "newer.yaml" in finding.message] == ["MD0006"]
    await mesh.delete("newer.yaml")
    assert await asked(mesh) == "reviews-v1"
    await mesh.delete("reviews.yaml")
    assert {await asked(mesh) for _ in range(20)} == {"reviews-v1", "reviews-v2"}


async def test_only_whom_it_concerns_hears_of_it(mesh: Mesh) -> None:
    await shop(mesh)
    before = {node.name: node.applied for node in mesh.control.nodes}
    # What concerns nobody changes nobody's version.
    await mesh.apply(PRIVATE)
    assert {node.name: node.applied for node in mesh.control.nodes} == before
    assert {node.status for node in mesh.control.nodes} == {"SYNCED"}


async def test_the_dump_of_a_proxy_is_what_was_published(mesh: Mesh) -> None:
    await shop(mesh)
    page = mesh.workload("productpage").proxy
    status, body = await page.admin("/config_dump")
    assert status == 200
    dump = json.loads(body)
    assert page.version in body.decode()
    assert "PRIVATE KEY" not in body.decode()
    assert dump
    (row,) = [node for node in mesh.control.nodes if node.service == "productpage"]
    assert (row.applied, row.published, row.status) == (page.version, page.version, "SYNCED")


# When the control plane goes.


async def test_the_data_plane_goes_on_without_it(mesh: Mesh) -> None:
    reviews = await shop(mesh)
    await mesh.control.kill()
    for _ in range(4):
        assert await asked(mesh) == "reviews-v1"
        await mesh.sleep(300)
    status = mesh.workload("productpage").proxy.status
    assert (status.connected, status.ready) == (False, True)
    assert status.problem
    # It comes back with what it had: the same configuration has the same version, so nothing changes.
    version = reviews["v1"].proxy.version
    await mesh.control.restart()
    await mesh.settled()
    assert reviews["v1"].proxy.version == version
    mesh.put(virtual_service(TO("v2")), "reviews.yaml")
    assert await until_asked(mesh, "reviews-v2") < LIVE


async def test_its_restart_is_noticed_by_nobody(mesh: Mesh) -> None:
    await shop(mesh)
    failed: list[int] = []
    stop = trio.Event()

    async def caller() -> None:
        while not stop.is_set():
            answer = await mesh.call("productpage", "GET", REVIEWS)
            if answer.status != 200:
                failed.append(answer.status)
            await mesh.sleep(0.02)

    async with trio.open_nursery() as callers:
        for _ in range(4):
            callers.start_soon(caller)
        for end in (mesh.control.kill, mesh.control.stop):
            await end()
            await mesh.sleep(3)
            mesh.control.start()
            await mesh.control.ready()
            await mesh.settled()
        # What was saved while nobody looked is live soon after somebody does.
        await mesh.control.kill()
        mesh.put(virtual_service(TO("v2")), "reviews.yaml")
        await mesh.sleep(2)
        await mesh.control.restart()
        assert await until_asked(mesh, "reviews-v2") < 5
        stop.set()
    assert failed == []


async def test_a_silent_control_plane_is_as_good_as_none(mesh: Mesh) -> None:
    await shop(mesh)
    with mesh.unplugged("10.0.0.1"):
        for _ in range(5):
            assert await asked(mesh) == "reviews-v1"
            await mesh.sleep(60)
    await route_to(mesh, "v2")
    assert await asked(mesh) == "reviews-v2"


def exposed(directory: Path) -> list[str]:
    """What others than its owner can read of a mesh's state."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert files
    return [str(path) for path in files if path.stat().st_mode & 0o077]


async def test_sidecars_start_from_their_disk(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with open_mesh(directory=tmp_path) as mesh:
        reviews = await shop(mesh)
        await mesh.control.kill()
        for workload in mesh.workloads:
            await workload.proxy.restart()
            assert workload.proxy.status.from_disk
        answer = await mesh.call("productpage", "GET", REVIEWS)
        assert (answer.status, answer.served_by, answer.mtls) == (200, "reviews-v1", True)
        assert reviews.sidecar.log[-1].principal == "cluster.local/ns/default/sa/productpage"
        # And they are found by the control plane when it is back.
        await mesh.control.restart()
        await mesh.settled()
        # A poll that waits is answered after half a minute.
        await mesh.sleep(31)
        assert not any(workload.proxy.status.from_disk for workload in mesh.workloads)
        assert {node.status for node in mesh.control.nodes} == {"SYNCED"}
        assert exposed(tmp_path) == []


async def test_instances_come_and_go(mesh: Mesh) -> None:
    reviews = await shop(mesh)
    mesh.store.remove("reviews.yaml")
    await mesh.settled()
    # One that leaves politely is gone at once.
    await reviews["v2"].proxy.stop()
    await mesh.settled()
    assert {(await mesh.call("productpage", "GET", REVIEWS)).attempts for _ in range(10)} == {1}
    assert [node.name for node in mesh.control.nodes if node.service == "reviews"] == ["reviews-v1.reviews-v1.15006"]
    reviews["v2"].proxy.start()
    await reviews["v2"].proxy.ready()
    await mesh.settled()
    assert {await asked(mesh) for _ in range(20)} == {"reviews-v1", "reviews-v2"}
    # One that fell silent is forgotten when its time is over.
    with mesh.unplugged(reviews["v1"].ip):
        await mesh.sleep(120)
        assert {await asked(mesh) for _ in range(10)} == {"reviews-v2"}
    await mesh.sleep(30)
    assert {await asked(mesh) for _ in range(20)} == {"reviews-v1", "reviews-v2"}
