"""A mesh inside a test: who is in it, what can be done to it, and what it costs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import trio
import trio.testing

from meshd.errors import ConfigError, MeshdError
from meshd.testing import Mesh, hang, open_mesh, respond, run_mesh
from meshd.testing.process import ProcessNetwork
from tests.certs.pki import make_ca
from tests.journeys.documents import virtual_service

TIMEOUT = "  - timeout: 60s\n    route: [{destination: {host: reviews}}]"


async def test_a_virtual_minute_costs_milliseconds(mesh: Mesh) -> None:
    await mesh.service("reviews", hang())
    await mesh.service("productpage")
    await mesh.apply(virtual_service(TIMEOUT))
    spent = []
    for _ in range(5):
        before, virtual = time.process_time(), mesh.now()
        answer = await mesh.call("productpage", "GET", "http://reviews:9080/")
        spent.append(time.process_time() - before)
        assert (answer.status, answer.took, round(mesh.now() - virtual, 6)) == (504, 60.0, 60.0)
    # 8 to 12 ms of processor time on a machine with nothing else to do; the bound is for busy ones.
    assert min(spent) < 0.05, spent


async def test_time_is_virtual_and_begins_where_it_is_told(mesh: Mesh) -> None:
    assert mesh.now() < 1
    before = mesh.wall_clock()
    await mesh.sleep(3600)
    assert mesh.wall_clock() - before == pytest.approx(3600)
    assert 1_767_225_600 <= before < 1_767_225_601


async def test_without_virtual_time_it_is_refused() -> None:
    with pytest.raises(RuntimeError, match="needs virtual time"):
        async with open_mesh():
            pass


def test_what_a_test_raises_leaves_as_it_is() -> None:
    async def fails(mesh: Mesh) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        run_mesh(fails)


def test_a_bug_in_a_process_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    from meshd.agent.agent import Agent

    async def broken(self: Agent) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Agent, "run", broken)

    async def waits(mesh: Mesh) -> None:
        await mesh.service("reviews")

    with pytest.raises(ExceptionGroup) as caught:
        run_mesh(waits)
    assert caught.group_contains(ZeroDivisionError)


def test_there_are_no_threads_and_no_children(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> object:
        raise AssertionError("on virtual time there is one thread, and one process")

    for taken in ("trio.to_thread.run_sync", "trio.lowlevel.open_process", "trio.run_process", "subprocess.Popen"):
        monkeypatch.setattr(taken, forbidden)
    monkeypatch.setattr("socket.getaddrinfo", forbidden)
    monkeypatch.setattr("threading.Thread.start", forbidden)

    async def story(mesh: Mesh) -> int:
        await mesh.service("reviews")
        await mesh.service("page")
        await mesh.apply(virtual_service(TIMEOUT))
        await mesh.sleep(60)
        await mesh.workload("reviews").proxy.restart()
        return (await mesh.call("page", "GET", "http://reviews:9080/")).status

    assert run_mesh(story) == 200


async def test_services_with_and_without_sidecars(mesh: Mesh) -> None:
    reviews = await mesh.service("reviews", versions={"v1": respond(), "v2": respond()}, labels={"tier": "back"})
    assert [workload.name for workload in reviews] == ["reviews-v1", "reviews-v2"]
    assert reviews["v2"] is mesh.workload("reviews-v2")
    assert reviews.workload is mesh.workload("reviews")
    with pytest.raises(KeyError):
        reviews["v3"]
    legacy = await mesh.service("legacy", sidecar=False, port=80)
    with pytest.raises(RuntimeError, match="legacy has no sidecar"):
        _ = legacy.sidecar
    # Reached by those whom a document tells of it.
    await mesh.apply(f"""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: legacy}}
spec:
  hosts: [legacy.example.com]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints: [{{address: {legacy.workload.ip}}}]
""")
    answer = await mesh.call("reviews-v2", "GET", "http://legacy.example.com/")
    assert (answer.status, answer.served_by, answer.mtls) == (200, "legacy", False)
    assert (await mesh.outsider().call("GET", "http://legacy/", to=legacy.workload)).body == b"legacy"


async def test_names_resolve_as_a_test_says(mesh: Mesh) -> None:
    await mesh.service("page")
    database = await mesh.service("database", sidecar=False, port=80)
    mesh.names["db.example.com"] = (database.workload.ip,)
    await mesh.apply("""
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: database}
spec:
  hosts: [db.example.com]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
""")
    assert (await mesh.call("page", "GET", "http://db.example.com/")).body == b"database"


async def test_namespaces_and_accounts(mesh: Mesh) -> None:
    await mesh.service("page", account="page-account")
    shop = await mesh.service("shop", namespace="store", account="shop-account")
    assert (await mesh.call("page", "GET", "http://shop.store:9080/")).status == 200
    assert shop.sidecar.log[-1].principal == "cluster.local/ns/default/sa/page-account"
    identity = shop.sidecar.identity
    assert identity is not None
    assert identity.spiffe_id == "spiffe://cluster.local/ns/store/sa/shop-account"


async def test_a_directory_of_documents(mesh: Mesh, tmp_path: Path) -> None:
    await mesh.service("reviews")
    await mesh.service("page")
    (tmp_path / "one.yaml").write_text(virtual_service("  - directResponse: {status: 201}"))
    await mesh.apply(tmp_path)
    assert (await mesh.call("page", "GET", "http://reviews:9080/")).status == 201
    (tmp_path / "one.yaml").write_text(virtual_service("  - directResponse: {status: 202}"))
    await mesh.apply(tmp_path)
    assert (await mesh.call("page", "GET", "http://reviews:9080/")).status == 202
    assert mesh.store.files == (str(tmp_path / "one.yaml"),)
    (tmp_path / "two.yaml").write_text("kind: Nonsense\n")
    with pytest.raises(ConfigError, match=r"two.yaml:1:1"):
        await mesh.apply(tmp_path)


async def test_what_does_not_settle_says_why(mesh: Mesh) -> None:
    page = (await mesh.service("page")).workload
    with mesh.unplugged(page.ip):
        mesh.put(virtual_service("  - directResponse: {status: 201}"))
        with pytest.raises(RuntimeError, match=r"not settled within 5 seconds: page.default"):
            await mesh.settled(timeout=5)
    await mesh.settled()
    await mesh.control.kill()
    with pytest.raises(RuntimeError, match="has not published"):
        await mesh.settled(timeout=5)


async def test_processes_die_and_come_back(mesh: Mesh) -> None:
    page = (await mesh.service("page")).workload
    await mesh.service("reviews")
    assert (await mesh.call("page", "GET", "http://reviews:9080/")).status == 200
    await page.proxy.kill()
    assert not page.proxy.running
    with pytest.raises(RuntimeError, match=r"page.default is not running"):
        _ = page.proxy.status
    with pytest.raises(MeshdError):
        await mesh.call("page", "GET", "http://reviews:9080/")
    page.proxy.start()
    with pytest.raises(RuntimeError, match="running already"):
        page.proxy.start()
    await page.proxy.ready()
    assert (await mesh.call("page", "GET", "http://reviews:9080/")).status == 200
    status, body = await page.proxy.admin("/ready")
    assert (status, bool(body)) == (200, True)


async def test_a_wire_can_be_slow_or_silent(mesh: Mesh) -> None:
    await mesh.service("page")
    reviews = (await mesh.service("reviews")).workload
    await mesh.call("page", "GET", "http://reviews:9080/")
    for wire in mesh.wires(reviews.ip):
        wire.latency = 0.1
    answer = await mesh.call("page", "GET", "http://reviews:9080/")
    assert answer.took == pytest.approx(0.2)


async def test_a_gateway_with_tls(mesh: Mesh) -> None:
    # Certificates of a test are dated by its mesh's clock.
    ca = make_ca(not_before=mesh.wall_clock())
    certificate = ca.issue(None, dns=("shop.example.com",), not_before=mesh.wall_clock())
    await mesh.service("reviews")
    gateway = await mesh.gateway()
    key = "\n".join(f"      {line}" for line in certificate.key_pem.splitlines())
    chain = "\n".join(f"      {line}" for line in certificate.chain_pem.splitlines())
    await mesh.apply(f"""
apiVersion: v1
kind: Secret
metadata: {{name: shop, namespace: istio-system}}
type: kubernetes.io/tls
stringData:
  tls.key: |
{key}
  tls.crt: |
{chain}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: shop}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: 443, name: https, protocol: HTTPS}}
    hosts: [shop.example.com]
    tls: {{mode: SIMPLE, credentialName: shop}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: shop}}
spec:
  hosts: [shop.example.com]
  gateways: [shop]
  http:
  - route: [{{destination: {{host: reviews, port: {{number: 9080}}}}}}]
""")
    answer = await gateway.call("GET", "https://shop.example.com/", trust=ca.root_pem)
    assert (answer.status, answer.body) == (200, b"reviews")
    with pytest.raises(MeshdError):
        await gateway.call(
            "GET", "https://shop.example.com/", trust=make_ca(name="another", not_before=mesh.wall_clock()).root_pem
        )


async def test_two_meshes_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with open_mesh(seed=1) as one, open_mesh(seed=2) as two:
        await one.service("reviews")
        await two.service("reviews")
        assert one.control.nodes[0].name == two.control.nodes[0].name
        assert one.directory != two.directory
    assert not one.directory.exists(), "nothing is left behind"


async def test_a_process_that_has_died_has_no_sockets(autojump_clock: trio.testing.MockClock) -> None:
    from meshd.net.address import Address
    from meshd.net.memory import MemoryNetwork

    network = MemoryNetwork()
    process = ProcessNetwork(network.machine("10.0.0.2"))
    listener = process.listen(Address("", 80))
    outside = await network.connect(Address("10.0.0.2", 80))
    taken = await listener.accept()
    process.die()
    with pytest.raises(MeshdError):
        await outside.receive()
    with pytest.raises(MeshdError):
        await network.connect(Address("10.0.0.2", 80))
    with pytest.raises(MeshdError):
        await process.connect(Address("10.0.0.2", 80))
    with pytest.raises(MeshdError):
        await taken.receive()
