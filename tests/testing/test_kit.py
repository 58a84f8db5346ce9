"""The kit as a test uses it: what is loaded, who takes part, what a call is told, and what a mistake is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from meshd.errors import ConfigError, DeadlineExceeded, MeshdError
from meshd.net.connection import Connection
from meshd.testing import Mesh, Received, echo, hang, open_mesh, reset, respond, run_mesh
from tests.journeys.documents import virtual_service

SHOP = """
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: store, tier: front}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: v1
kind: Service
metadata: {name: stock}
spec:
  selector: {app: stock}
  ports: [{name: http, port: 9080}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: stock}
spec:
  host: stock
  subsets:
  - {name: old, labels: {version: v1}}
  - {name: new, labels: {version: v2}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop-canary}
spec:
  selector: {matchLabels: {app: store}}
  template:
    metadata: {labels: {app: store, tier: front, version: canary}}
    spec: {serviceAccountName: shopkeeper, containers: [{name: shop, image: shop}]}
"""


async def test_nothing_has_to_be_awaited_but_calls(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(virtual_service("  - directResponse: {status: 202}"))
    mesh.load(tmp_path / "one.yaml")
    mesh.service("reviews", v1=b"one", v2=b"two")
    mesh.service("productpage")
    assert (await mesh.call("productpage", "GET http://reviews/")).status == 202
    mesh.delete(tmp_path / "one.yaml")
    answer = await mesh.call("productpage", "GET http://reviews/x?y=1", headers={"x-a": "b"}, body="data")
    answer.expect(status=200, served_by="reviews", mtls=True, attempts=1)
    assert answer.hosts == (answer.served_by,)
    received = mesh.services["reviews"].requests[-1]
    assert (received.path, received.headers["x-a"], received.body) == ("/x?y=1", "b", b"data")
    assert (await mesh.call("productpage", "GET", "http://reviews/")).status == 200
    assert (await mesh.workload("productpage").call("GET http://reviews/")).status == 200


async def test_each_try_has_its_host(mesh: Mesh) -> None:
    mesh.service("reviews", v1=[503, 503], v2=[reset(), 200])
    mesh.service("page")
    retries = "retries: {attempts: 3, retryOn: '5xx,reset'}"
    mesh.apply(virtual_service(f"  - {retries}\n    route: [{{destination: {{host: reviews}}}}]"))
    answer = await mesh.call("page", "GET http://reviews/")
    assert answer.attempts == len(answer.hosts) > 1
    assert answer.hosts[-1] == answer.served_by
    assert set(answer.hosts) == {"reviews-v1", "reviews-v2"}


async def test_hosts_of_what_never_reached_an_application(mesh: Mesh) -> None:
    reviews = mesh.service("reviews")
    mesh.service("page")
    await mesh.call("page", "GET http://reviews/")
    await reviews.app.stop()
    assert not reviews.app.running
    answer = await mesh.call("page", "GET http://reviews/")
    assert (answer.status, answer.hosts) == (503, ("reviews",) * answer.attempts)
    reviews.app.start()
    assert (await mesh.call("page", "GET http://reviews/")).status == 200
    with pytest.raises(RuntimeError, match="running already"):
        reviews.app.start()


async def test_versions_that_are_no_words(mesh: Mesh) -> None:
    reviews = mesh.service("reviews", versions={"2.0": b"new"}, v1=b"old")
    assert [workload.name for workload in reviews] == ["reviews-2.0", "reviews-v1"]
    with pytest.raises(KeyError, match=r"reviews has no version 'v2'; did you mean \"reviews-v1\"\?"):
        reviews["v2"]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({"name": "reviews", "nmespace": "shop"}, TypeError, r"did you mean namespace=\?"),
        ({"name": "reviews", "versions": {"v1": 200}, "v1": 200}, TypeError, "v1 is given twice"),
        ({"name": "Reviews"}, ValueError, "'Reviews' is no name of a service"),
        ({"name": "reviews", "namespace": "a.b"}, ValueError, "'a.b' is no name of a namespace"),
        ({"name": "reviews", "protocol": "grcp"}, ValueError, "must be one of http, http2, grpc, tcp"),
        ({"name": "reviews", "account": "a/b"}, ValueError, "'a/b' is no name of a service account"),
        ({"name": "reviews", "versions": {"../v1": 200}}, ValueError, "'../v1' is no name of a version"),
        ({"name": "reviews", "port": 70000}, ValueError, "70000 is no port"),
        ({"name": "reviews", "v1": None}, TypeError, "does not say how to answer"),
        ({"name": "reviews", "v1": 42}, ValueError, "42 is no status"),
        ({"name": "page"}, ValueError, "there is a service 'page' in namespace 'default' already"),
    ],
)
async def test_what_is_no_service_is_refused(
    mesh: Mesh, given: dict[str, object], error: type[Exception], said: str
) -> None:
    mesh.service("page")
    with pytest.raises(error, match=said):
        mesh.service(**given)  # type: ignore[arg-type]


async def test_what_is_no_call_is_refused_at_once(mesh: Mesh) -> None:
    with pytest.raises(KeyError, match=r"no service or workload 'page'; nobody has been added yet"):
        _ = mesh.call("page", "GET http://reviews/")
    mesh.service("productpage")
    with pytest.raises(KeyError, match=r'did you mean "productpage"\?'):
        _ = mesh.call("prodctpage", "GET http://reviews/")
    for request, said in (
        ("http://reviews/", "is no request: expected a method and a URL"),
        ("GET", "is no request"),
        ("get http://reviews/", "is no request"),
        ("GET reviews/", "is no URL"),
    ):
        with pytest.raises(ValueError, match=said):
            _ = mesh.call("productpage", request)
    with pytest.raises(ValueError, match="has a URL already"):
        _ = mesh.call("productpage", "GET http://reviews/", "http://reviews/")
    with pytest.raises(ValueError, match="'h3' is no protocol"):
        _ = mesh.call("productpage", "GET http://reviews/", protocol="h3")


async def test_a_call_to_nobody_is_given_a_hint(mesh: Mesh) -> None:
    mesh.service("productpage")
    mesh.service("reviews")
    answer = await mesh.call("productpage", "GET http://revews/")
    assert 'did you mean "reviews"?' in answer.hint
    with pytest.raises(AssertionError, match="no service of this mesh is called 'revews'"):
        answer.expect(status=200)
    assert (await mesh.call("productpage", "GET http://reviews/")).hint == ""


def test_a_call_that_is_not_awaited_fails_the_test() -> None:
    async def forgets(mesh: Mesh) -> None:
        mesh.service("page")
        _ = mesh.call("page", "GET http://page/")

    with pytest.raises(RuntimeError, match=r"never awaited.*test_kit.py:\d+: mesh.call\(..., 'GET http://page/'\)"):
        run_mesh(forgets)


def test_a_test_that_waits_for_ever_is_ended() -> None:
    async def waits(mesh: Mesh) -> None:
        mesh.service("page")
        await trio.sleep_forever()

    with pytest.raises(RuntimeError, match=r"0.2 real seconds and \d+ virtual ones, and waits at .*test_kit.py:\d+"):
        run_mesh(waits, patience=0.2)


async def test_a_call_without_an_answer_says_who_has_it(mesh: Mesh) -> None:
    mesh.service("page")
    mesh.service("reviews", hang())
    with pytest.raises(DeadlineExceeded, match="reviews has GET /x and has not answered it; GET http://reviews/x: 300"):
        await mesh.call("page", "GET http://reviews/x")
    assert mesh.now() > 300


async def test_paths_that_lead_nowhere(mesh: Mesh, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file or directory 'nowhere.yaml' in .*, nor beside the test in"):
        mesh.load("nowhere.yaml")
    with pytest.raises(ValueError, match="no YAML file in this directory"):
        mesh.load(tmp_path)
    with pytest.raises(ValueError, match=r"load\(\) takes paths"):
        mesh.load(SHOP)


async def test_wrong_documents_are_told_at_once(mesh: Mesh, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {host: [x]}\n"
    )
    with pytest.raises(ConfigError, match=r'bad.yaml:4:8: .*unknown field; did you mean "hosts"\?'):
        mesh.load(tmp_path / "bad.yaml")
    with pytest.raises(ConfigError, match=r"2 errors in the configuration:\n  "):
        mesh.apply("kind: A\n---\nkind: B\n")


async def test_relative_paths_start_beside_the_test(tmp_path: Path, autojump_clock: object) -> None:
    (tmp_path / "direct.yaml").write_text(virtual_service("  - directResponse: {status: 202}"))
    async with open_mesh(beside=tmp_path) as mesh:
        mesh.load("direct.yaml")
        mesh.service("reviews")
        assert (await mesh.call("reviews", "GET http://reviews/")).status == 202


async def test_the_configuration_says_who_a_service_is(mesh: Mesh) -> None:
    mesh.apply(SHOP)
    shop = mesh.service("shop", canary=b"new")
    assert shop.workload.address.port == 8080
    # Who is declared and only calls need not be added.
    (await mesh.call("stock", "GET http://shop/")).expect(status=200, body="new", served_by="shop-canary")
    assert shop.sidecar.identity is not None
    assert shop.sidecar.identity.spiffe_id.endswith("/sa/shopkeeper")


async def test_everybody_whom_the_configuration_knows(mesh: Mesh) -> None:
    mesh.apply(SHOP)
    everybody = mesh.populate()
    assert [[workload.name for workload in service] for service in everybody] == [
        ["shop-canary"],
        ["stock-v1", "stock-v2"],
    ]
    assert mesh.populate() == []
    (await mesh.call("stock-v2", "GET http://shop/")).expect(status=200, served_by="shop")


async def test_http2_and_grpc(mesh: Mesh) -> None:
    def greet(request: Received) -> object:
        assert (request.headers["te"], request.headers["content-type"]) == ("trailers", "application/grpc")
        return respond(200, request.body, {"content-type": "application/grpc"}, trailers={"grpc-status": "5"})

    mesh.service("greeter", greet, protocol="grpc")
    mesh.service("page", b"page")
    answer = await mesh.call("page", "POST http://greeter/hello.Greeter/Hello", body=b"\0\0\0\0\0", protocol="grpc")
    answer.expect(status=200, grpc_status=5, mtls=True, body=b"\0\0\0\0\0")
    assert (await mesh.call("page", "GET http://page/", protocol="h2")).text == "page"
    assert (await mesh.call("page", "GET http://page/")).grpc_status is None


async def test_gateways_are_called_by_name(mesh: Mesh) -> None:
    mesh.service("reviews", b"[1]")
    mesh.gateway("door", labels={"istio": "door"})
    mesh.apply("""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: door}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door}
spec:
  hosts: [shop.example.com]
  gateways: [door]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
""")
    answer = await mesh.call("door", "GET http://shop.example.com/")
    assert answer.expect(status=200, hosts=["reviews"]).json() == [1]


async def test_connections_that_are_not_http(mesh: Mesh) -> None:
    async def shout(connection: Connection) -> None:
        await connection.send((await connection.receive()).upper())
        await connection.aclose()

    database = mesh.service("db", [b"hello", echo(), shout, reset(), hang()], protocol="tcp", port=5432)
    page = mesh.service("page", binds=["db:5432"]).workload
    connection = await page.connect("db:5432")
    assert await connection.receive() == b"hello"
    connection.close()
    for said, heard in ((b"echo", b"echo"), (b"shout", b"SHOUT")):
        connection = await page.connect("db:5432")
        await connection.send(said)
        assert await connection.receive() == heard
        await connection.aclose()
    connection = await page.connect("db:5432")
    try:
        heard = await connection.receive()
    except MeshdError:
        heard = b""
    assert heard == b"", "a reset, or the end that a proxy makes of one"
    assert database.app.connections == 4
    connection = await page.connect("db:5432")
    with trio.move_on_after(5) as waited:
        await connection.receive()
    assert waited.cancelled_caught
    with pytest.raises(KeyError, match=r"page has no local port for 'db:5433'; did you mean \"db:5432\"\?"):
        await page.connect("db:5433")
    with pytest.raises(ValueError, match="names no service and port"):
        mesh.service("other", binds=["db"])
    with pytest.raises(TypeError, match="nothing that an application does with a TCP connection"):
        mesh.service("another", 503, protocol="tcp")
