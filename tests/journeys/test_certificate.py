"""docs/life-of-a-certificate.md, from the first token to the last root, on virtual time."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import trio
import trio.testing
from attrs import evolve as attrs_evolve

from meshd.certs.authority import make_root
from meshd.errors import StartError
from meshd.testing import Mesh, Workload, open_mesh, respond

REVIEWS = "http://reviews:9080/"
MINUTE = 60.0
TEN_MINUTES = 10 * MINUTE
DAY = 24 * 60 * MINUTE


async def shop(mesh: Mesh) -> Workload:
    """A page and reviews; returns the page's workload."""
    await mesh.service("reviews", versions={"v1": respond()})
    return (await mesh.service("productpage")).workload


def serials(mesh: Mesh) -> dict[str, str]:
    """The serial number of the certificate that each workload shows now."""
    found = {}
    for workload in mesh.workloads:
        identity = workload.proxy.identity
        assert identity is not None
        found[workload.name] = identity.serial
    return found


def audit(mesh: Mesh) -> list[dict[str, str]]:
    """The audit log."""
    return [json.loads(line) for line in (mesh.control.state / "audit.log").read_text().splitlines()]


def seen_certificate(mesh: Mesh) -> str:
    """The hash of the page's certificate as the last request's server saw it."""
    header = mesh.services["reviews"].requests[-1].headers["x-forwarded-client-cert"]
    found = re.search(r"Hash=([0-9a-f]{64});", header)
    assert found, header
    return found[1]


async def call(mesh: Mesh) -> None:
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, answer.mtls) == (200, True), answer


# The first one.


async def test_identity_is_what_the_token_says(mesh: Mesh) -> None:
    page = await shop(mesh)
    identity = page.proxy.identity
    assert identity is not None
    assert identity.spiffe_id == "spiffe://cluster.local/ns/default/sa/productpage"
    # Backdated by two minutes, valid for a day.
    assert identity.not_after == pytest.approx(mesh.wall_clock() + DAY, abs=5)
    assert identity.not_before == pytest.approx(mesh.wall_clock() - 120, abs=5)
    issued = [row for row in audit(mesh) if row["event"] == "certificate_issued"]
    assert {row["identity"] for row in issued} >= {identity.spiffe_id}
    assert identity.serial in {row["serial"] for row in issued}


async def test_a_token_is_worth_one_join(mesh: Mesh) -> None:
    page = await shop(mesh)
    text = (mesh.directory / "control" / "audit.log").read_text()
    assert "meshd1." not in text, "tokens are never written down"
    used = mesh.control.token("productpage")
    with_token(mesh, used)
    await mesh.service("first", account="productpage")
    with pytest.raises(StartError, match="used already"):
        await mesh.service("second", account="productpage")
    assert page.proxy.status.ready


async def test_a_token_expires(mesh: Mesh) -> None:
    old = mesh.control.token("late", ttl=600)
    await mesh.sleep(601)
    with_token(mesh, old)
    with pytest.raises(StartError, match="expired"):
        await mesh.service("late")
    refused = [row for row in audit(mesh) if row["event"] == "certificate_refused"]
    assert refused
    assert old not in json.dumps(refused)


async def test_a_token_is_for_one_identity(mesh: Mesh) -> None:
    with_token(mesh, mesh.control.token("somebody"))
    with pytest.raises(StartError, match="somebody"):
        await mesh.service("somebody-else")


async def test_another_mesh_is_not_believed(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    async with open_mesh(directory=tmp_path) as mesh:
        access = mesh.control.access
        root = make_root("cluster.local", mesh.wall_clock()).certificate_pem
        mesh.control.access = lambda *who: attrs_evolve(access(*who), trust_bundle=root)  # type: ignore[method-assign]
        with pytest.raises(StartError):
            await mesh.service("misled")


def with_token(mesh: Mesh, token: str) -> None:
    """Every proxy that starts from now on shows this token."""
    access = mesh.control.access
    mesh.control.access = lambda *who: attrs_evolve(access(*who), token=token)  # type: ignore[method-assign]


def cut_between_sidecars(mesh: Mesh) -> None:
    """Cut every connection that goes into a sidecar of reviews."""
    inbound = mesh.workload("reviews").inbound
    for wire in mesh.wires():
        if wire.server.local == inbound:
            wire.cut()


# Renewal.


async def test_rotation_at_half_life_under_traffic(autojump_clock: trio.testing.MockClock) -> None:
    async with open_mesh(certificate_ttl=TEN_MINUTES) as mesh:
        await shop(mesh)
        before = serials(mesh)
        await call(mesh)
        shown = seen_certificate(mesh)
        # Its life began two minutes ago, so half of it is over in four, give or take a hundredth.
        while mesh.now() < 4 * MINUTE - 10:
            await mesh.sleep(10)
            await call(mesh)
        assert serials(mesh) == before, "not before half of its life"
        while mesh.now() < 4 * MINUTE + 15:
            await mesh.sleep(1)
            await call(mesh)
        after = serials(mesh)
        assert all(after[name] != before[name] for name in before)
        # Connections made with the old one live on; the next handshake shows the new one.
        assert seen_certificate(mesh) == shown
        cut_between_sidecars(mesh)
        await call(mesh)
        assert seen_certificate(mesh) != shown
        # Four lives later all is well.
        for _ in range(40):
            await mesh.sleep(MINUTE)
            cut_between_sidecars(mesh)
            await call(mesh)
            assert {workload.proxy.status.certificate for workload in mesh.workloads} <= {"fresh", "due"}


async def test_no_request_fails_while_certificates_are_short_lived(autojump_clock: trio.testing.MockClock) -> None:
    async with open_mesh(certificate_ttl=60) as mesh:
        await shop(mesh)
        shown = set()
        until = mesh.now() + 120

        async def caller() -> None:
            while mesh.now() < until:
                await call(mesh)
                shown.add(seen_certificate(mesh))
                await mesh.sleep(0.25)

        async def cut_idle_connections() -> None:
            # In between requests, so that the next ones must shake hands.
            await mesh.sleep(0.1)
            while mesh.now() < until:
                cut_between_sidecars(mesh)
                await mesh.sleep(10)

        async with trio.open_nursery() as callers:
            callers.start_soon(cut_idle_connections)
            for _ in range(4):
                callers.start_soon(caller)
        assert len(shown) >= 5
        issued = [
            row
            for row in audit(mesh)
            if row["event"] == "certificate_issued" and row["identity"].endswith("/productpage")
        ]
        assert len(issued) >= 5


async def test_an_expired_certificate_is_never_shown(autojump_clock: trio.testing.MockClock) -> None:
    async with open_mesh(certificate_ttl=TEN_MINUTES) as mesh:
        page = await shop(mesh)
        await call(mesh)
        await mesh.control.kill()
        await mesh.sleep(500)
        assert page.proxy.status.certificate == "alarm"
        await call(mesh)
        await mesh.sleep(200)
        assert page.proxy.status.certificate == "expired"
        assert "not valid now" in page.proxy.unready()
        # No handshake succeeds any more: what still works are connections made in time.
        cut_between_sidecars(mesh)
        answer = await mesh.call("productpage", "GET", REVIEWS)
        assert (answer.status, answer.served_by) == (503, "")
        # An expired certificate proves nothing and the token is used: now a person is needed, with a new one.
        await mesh.control.restart()
        await mesh.sleep(60)
        assert "certificate ended at 2026-01-01 00:10:00 UTC" in page.proxy.status.problem
        for workload in mesh.workloads:
            await workload.proxy.restart()
        await mesh.settled()
        await call(mesh)


# Roots.


async def test_a_new_root_is_trusted_before_it_signs(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """Two roots: trusted everywhere first, then one signs, and nobody is ever without trust."""
    async with open_mesh(directory=tmp_path, certificate_ttl=TEN_MINUTES) as mesh:
        await shop(mesh)
        await call(mesh)
        control = tmp_path / "control"
        second = make_root("cluster.local", mesh.wall_clock())
        # First: trusted.
        private(control / "roots" / "second.pem", second.certificate_pem)
        mesh.control.program.reload()
        await mesh.sleep(40)
        for workload in mesh.workloads:
            identity = workload.proxy.identity
            assert identity is not None
            assert identity.bundle_pem.count("BEGIN CERTIFICATE") == 2
        await call(mesh)
        # Then: it signs. The control plane shows a certificate of the new root, to agents that trust it already.
        await mesh.control.kill()
        private(control / "ca" / "root.pem", second.certificate_pem)
        private(control / "ca" / "key.pem", second.key_pem)
        await mesh.control.restart()
        await mesh.settled()
        newcomer = await mesh.service("newcomer")
        identity = newcomer.sidecar.identity
        assert identity is not None
        # Signed by different roots, they believe each other both ways.
        assert (await mesh.call("newcomer", "GET", REVIEWS)).status == 200
        assert (await mesh.call("productpage", "GET", "http://newcomer:9080/")).status == 200
        for _ in range(11):
            await mesh.sleep(MINUTE)
            cut_between_sidecars(mesh)
            await call(mesh)
        # At last: the old one is forgotten.
        for path in old_roots(control / "roots", second.certificate_pem):
            path.unlink()
        mesh.control.program.reload()
        await mesh.sleep(40)
        for workload in mesh.workloads:
            identity = workload.proxy.identity
            assert identity is not None
            assert identity.bundle_pem.count("BEGIN CERTIFICATE") == 1
        cut_between_sidecars(mesh)
        await mesh.sleep(10)
        await call(mesh)


def private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)


def old_roots(directory: Path, kept: str) -> list[Path]:
    return [path for path in directory.glob("*.pem") if path.read_text().strip() != kept.strip()]


async def test_a_stranger_with_another_meshs_certificate(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """Equal names, another CA: refused by both sides."""
    async with open_mesh(directory=tmp_path / "one") as mesh:
        page = await shop(mesh)
        async with open_mesh(directory=tmp_path / "two") as other:
            impostor = (await other.service("productpage")).sidecar.identity
            assert impostor is not None
            own = page.proxy.identity
            assert own is not None
            assert impostor.spiffe_id == own.spiffe_id
            feed = page.proxy.program.feed
            assert feed is not None
            feed.identity.current = impostor
            answer = await mesh.call("productpage", "GET", REVIEWS)
            assert (answer.status, answer.served_by) == (503, "")
            assert mesh.services["reviews"].requests == []
