"""docs/life-of-a-request.md, walked through two proxies that are real, on virtual time."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from meshd.errors import DeadlineExceeded, MeshdError
from meshd.modes.settings import DRAIN_TIMEOUT
from meshd.testing import Mesh, Service, echo, hang, reset, respond
from tests.journeys.documents import subsets, virtual_service

REVIEWS = "http://reviews:9080/reviews/1"

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: istio-system}
spec:
  mtls: {mode: STRICT}
"""

ONLY_THE_PAGE = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: only-the-page}
spec:
  selector: {matchLabels: {app: reviews}}
  action: ALLOW
  rules:
  - from: [{source: {principals: [cluster.local/ns/default/sa/productpage]}}]
    to: [{operation: {methods: [GET], paths: [/reviews/*]}}]
"""

GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: front}
spec:
  selector: {istio: ingressgateway}
  servers:
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: [shop.example.com]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: front}
spec:
  hosts: [shop.example.com]
  gateways: [front]
  http:
  - match: [{uri: {prefix: /reviews}}]
    route: [{destination: {host: reviews, port: {number: 9080}}}]
  - match: [{uri: {exact: /old}}]
    redirect: {uri: /reviews/1, redirectCode: 308}
"""


async def shop(mesh: Mesh, **versions: object) -> Service:
    """A page that asks reviews, of these versions."""
    await mesh.service("productpage")
    return await mesh.service("reviews", versions=versions or {"v1": respond(), "v2": respond()})  # type: ignore[arg-type]


# Where to.


async def test_headers_choose_the_version(mesh: Mesh) -> None:
    await shop(mesh)
    http = """
  - name: for-jason
    match: [{headers: {end-user: {exact: jason}}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - match: [{method: {exact: POST}}, {uri: {regex: "/reviews/[0-9]{3}"}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews, subset: v1}}]
"""
    await mesh.apply(subsets("reviews", "v1", "v2"), virtual_service(http))
    jason = await mesh.call("productpage", "GET", REVIEWS, headers={"End-User": "jason"})
    assert (jason.served_by, jason.body, jason.cluster) == (
        "reviews-v2",
        b"reviews-v2",
        "outbound|9080|v2|reviews.default.svc.cluster.local",
    )
    for method, url, version in (
        ("GET", REVIEWS, "v1"),
        ("POST", REVIEWS, "v2"),
        ("GET", "http://reviews:9080/reviews/123", "v2"),
        ("GET", "http://reviews:9080/reviews/1234", "v1"),
        ("GET", "http://reviews.default:9080/reviews/123", "v2"),
        ("GET", "http://reviews.default.svc.cluster.local:9080/reviews/123", "v2"),
    ):
        answer = await mesh.call("productpage", method, url, headers={"end-user": "Jason"})
        assert answer.served_by == f"reviews-{version}", url


async def test_weights_are_exact_for_a_seed(mesh: Mesh) -> None:
    await shop(mesh)
    http = """
  - route:
    - {destination: {host: reviews, subset: v1}, weight: 80}
    - {destination: {host: reviews, subset: v2}, weight: 20}
"""
    await mesh.apply(subsets("reviews", "v1", "v2"), virtual_service(http))
    seen = Counter([(await mesh.call("productpage", "GET", REVIEWS)).served_by for _ in range(200)])
    # What seed 1 draws; another count means that a request draws more or less than before.
    assert seen == {"reviews-v1": 157, "reviews-v2": 43}


async def test_what_is_sent_on(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=echo())
    http = """
  - match: [{uri: {prefix: /old/}}]
    rewrite: {uri: /reviews/, authority: reviews.example.com}
    headers:
      request: {set: {x-tier: gold}, add: {x-seen: mesh}, remove: [cookie]}
      response: {set: {x-version: "1"}, remove: [x-echo-method]}
    route: [{destination: {host: reviews}}]
"""
    await mesh.apply(virtual_service(http))
    body = b"x" * 100_000
    headers = {"cookie": "secret", "x-seen": "app", "x-forwarded-client-cert": "By=spiffe://evil"}
    answer = await mesh.call("productpage", "POST", "http://reviews:9080/old/7?page=2", headers=headers, body=body)
    assert (answer.status, answer.body) == (200, body)
    assert answer.headers["x-echo-path"] == "/reviews/7?page=2"
    assert (answer.headers["x-version"], answer.headers.get("x-echo-method")) == ("1", None)
    received = reviews.requests[0]
    assert (received.host, received.headers["x-tier"], received.headers.get_all("x-seen")) == (
        "reviews.example.com",
        "gold",
        ("app", "mesh"),
    )
    assert "cookie" not in received.headers
    assert received.headers["x-envoy-original-path"] == "/old/7?page=2"
    # The sidecar's own word about the caller, never the caller's.
    assert "evil" not in received.headers["x-forwarded-client-cert"]
    assert "URI=spiffe://cluster.local/ns/default/sa/productpage" in received.headers["x-forwarded-client-cert"]


async def test_nobody_there(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=respond())
    await mesh.apply(
        subsets("reviews", "v1", "v9"), virtual_service("  - route: [{destination: {host: reviews, subset: v9}}]")
    )
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, answer.flags, answer.served_by) == (503, ("UH",), "")
    assert "UH" in answer.headers["x-meshd-reason"]
    await mesh.apply(
        virtual_service("  - match: [{uri: {prefix: /only}}]\n    route: [{destination: {host: reviews}}]")
    )
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, answer.flags, answer.detail) == (404, ("NR",), "route_not_found")
    assert reviews.requests == []


# How long, how often.


async def test_a_timeout_is_exact(mesh: Mesh) -> None:
    await shop(mesh, v1=hang())
    await mesh.apply(virtual_service("  - timeout: 60s\n    route: [{destination: {host: reviews}}]"))
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, answer.flags, answer.took, answer.attempts) == (504, ("UT",), 60.0, 1)
    assert answer.body == b"upstream request timeout"


async def test_retries_go_on_until_one_succeeds(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=[503, reset(), respond(200, delay=0.25)])
    http = """
  - retries: {attempts: 3, perTryTimeout: 2s, retryOn: "5xx,reset"}
    route: [{destination: {host: reviews}}]
"""
    await mesh.apply(virtual_service(http))
    answer = await mesh.call("productpage", "POST", REVIEWS, body=b"the whole body, each time")
    assert (answer.status, answer.attempts, answer.served_by) == (200, 3, "reviews-v1")
    assert [request.body for request in reviews.requests] == [b"the whole body, each time"] * 3
    # Two pauses of the back-off, each of at most 25 and 75 ms, and the answer's own quarter second.
    assert 0.25 <= answer.took <= 0.35


async def test_retries_end(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=503)
    http = """
  - retries: {attempts: 2, retryOn: "5xx"}
    route: [{destination: {host: reviews}}]
"""
    await mesh.apply(virtual_service(http))
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, answer.attempts, answer.flags) == (503, 3, ("URX",))
    assert len(reviews.requests) == 3


async def test_every_try_has_its_own_time(mesh: Mesh) -> None:
    await shop(mesh, v1=[hang(), hang(), respond(200)])
    http = """
  - timeout: 10s
    retries: {attempts: 2, perTryTimeout: 3s, retryOn: "gateway-error"}
    route: [{destination: {host: reviews}}]
"""
    await mesh.apply(virtual_service(http))
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, answer.attempts) == (200, 3)
    assert 6.0 <= answer.took <= 6.1
    mesh.services["reviews"].behave(hang())
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, set(answer.flags)) == (504, {"UT", "URX"})
    assert 9.0 <= answer.took <= 9.1


async def test_faults_are_injected_before_anybody_is_asked(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=respond())
    http = """
  - match: [{uri: {prefix: /slow}}]
    fault: {delay: {percentage: {value: 100}, fixedDelay: 7s}}
    route: [{destination: {host: reviews}}]
  - match: [{uri: {prefix: /broken}}]
    fault: {abort: {percentage: {value: 100}, httpStatus: 418}}
    route: [{destination: {host: reviews}}]
  - route: [{destination: {host: reviews}}]
"""
    await mesh.apply(virtual_service(http))
    slow = await mesh.call("productpage", "GET", "http://reviews:9080/slow")
    assert (slow.status, slow.took, slow.flags, slow.served_by) == (200, 7.0, ("DI",), "reviews-v1")
    broken = await mesh.call("productpage", "GET", "http://reviews:9080/broken")
    assert (broken.status, broken.took, broken.flags, broken.attempts) == (418, 0.0, ("FI",), 0)
    assert len(reviews.requests) == 1


async def test_who_gives_up_is_let_go(mesh: Mesh) -> None:
    await shop(mesh, v1=hang())
    with pytest.raises(DeadlineExceeded):
        await mesh.call("productpage", "GET", REVIEWS, timeout=5)
    await mesh.sleep(0.1)
    record = mesh.workload("productpage").proxy.log[-1]
    assert (record.flags, record.took) == (("DC",), 5.0)
    assert mesh.workload("reviews").proxy.log[-1].flags == ("DC",)
    assert mesh.workload("reviews").proxy.engine.statistics().requests_active == 0


# Who may.


async def test_only_whom_the_policy_names(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=respond())
    await mesh.service("ratings")
    await mesh.apply(ONLY_THE_PAGE)
    assert (await mesh.call("productpage", "GET", REVIEWS)).status == 200
    denied = await mesh.call("ratings", "GET", REVIEWS)
    assert (denied.status, denied.body) == (403, b"RBAC: access denied")
    assert "ns/default/sa/ratings" in denied.reason
    record = reviews.sidecar.log[-1]
    assert (record.status, record.principal) == (403, "cluster.local/ns/default/sa/ratings")
    assert record.detail.startswith("rbac_access_denied")
    assert (await mesh.call("productpage", "DELETE", REVIEWS)).status == 403
    assert (await mesh.call("productpage", "GET", "http://reviews:9080/admin")).status == 403
    # Not by another spelling of the path either.
    for path in ("/reviews/../admin", "/reviews/%2e%2e/admin", "//admin"):
        answer = await mesh.call("productpage", "GET", f"http://reviews:9080{path}")
        assert answer.status in {400, 403}, path
    assert len(reviews.requests) == 1


async def test_strict_refuses_plaintext(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=respond())
    stranger = mesh.outsider()
    plain = await stranger.call("GET", REVIEWS, to=reviews.workload.inbound)
    assert (plain.status, plain.body) == (200, b"reviews-v1"), "PERMISSIVE is the default"
    await mesh.apply(STRICT)
    with pytest.raises(MeshdError, match="reset"):
        await mesh.outsider().call("GET", REVIEWS, to=reviews.workload.inbound)
    # Whoever was connected before is let go when the drain's time is over.
    await mesh.sleep(DRAIN_TIMEOUT + 0.1)
    assert [wire.server.closed for wire in mesh.wires(stranger.ip)] == [True]
    with pytest.raises(MeshdError, match="reset"):
        await stranger.call("GET", REVIEWS, to=reviews.workload.inbound)
    answer = await mesh.call("productpage", "GET", REVIEWS)
    assert (answer.status, answer.mtls) == (200, True)
    assert len(reviews.requests) == 2


# Through the gateway.


async def test_from_outside(mesh: Mesh) -> None:
    reviews = await shop(mesh, v1=respond())
    gateway = await mesh.gateway()
    await mesh.apply(GATEWAY)
    answer = await gateway.call(
        "GET", "http://shop.example.com/reviews/1", headers={"x-forwarded-client-cert": "Hash=1"}
    )
    assert (answer.status, answer.served_by, answer.mtls) == (200, "reviews-v1", True)
    assert "Hash=1;" not in reviews.requests[0].headers["x-forwarded-client-cert"]
    assert reviews.requests[0].headers["x-forwarded-for"].startswith("203.0.113.")
    redirect = await gateway.call("GET", "http://shop.example.com/old")
    assert (redirect.status, redirect.headers["location"]) == (308, "http://shop.example.com/reviews/1")
    # To strangers the flag alone is told.
    for url in ("http://shop.example.com/nothing", "http://other.example.com/reviews/1"):
        answer = await gateway.call("GET", url)
        assert (answer.status, answer.headers["x-meshd-reason"]) == (404, "NR")
    reviews.behave(reset())
    answer = await gateway.call("POST", "http://shop.example.com/reviews/1")
    assert (answer.status, answer.headers["x-meshd-reason"]) == (503, "UC")


# While everything changes.


async def test_no_request_fails_while_everything_changes(mesh: Mesh) -> None:
    """Slow requests are under way while routes, subsets, policies, endpoints and listeners come and go."""
    versions = {"v1": respond(200, b"slow", delay=3), "v2": respond(200, b"slow", delay=3)}
    await shop(mesh, **versions)
    gateway = await mesh.gateway()
    await mesh.apply(GATEWAY)
    statuses: Counter[int] = Counter()
    stop = trio.Event()

    async def caller(number: int) -> None:
        while not stop.is_set():
            if number % 2:
                answer = await mesh.call("productpage", "GET", REVIEWS)
            else:
                answer = await gateway.call("GET", "http://shop.example.com/reviews/1")
            assert answer.body == b"slow"
            statuses[answer.status] += 1

    async with trio.open_nursery() as callers:
        for number in range(16):
            callers.start_soon(caller, number)
        for round_ in range(6):
            split = f"""
  - timeout: {20 + round_}s
    route:
    - {{destination: {{host: reviews, subset: v1}}, weight: {90 - 10 * round_}}}
    - {{destination: {{host: reviews, subset: v2}}, weight: {10 + 10 * round_}}}
"""
            await mesh.apply(subsets("reviews", "v1", "v2", more=policy(round_)), virtual_service(split))
            mesh.put(STRICT if round_ % 2 else ONLY_THE_PAGE_AND_THE_GATEWAY, "policy.yaml")
            mesh.put(another_gateway(8000 + round_), "gateway.yaml")
            await mesh.settled()
            extra = await mesh.service(f"extra-{round_}")
            await mesh.sleep(0.7)
            await extra.sidecar.stop()
        stop.set()
    assert set(statuses) == {200}
    assert statuses[200] > 30


ONLY_THE_PAGE_AND_THE_GATEWAY = ONLY_THE_PAGE.replace(
    "sa/productpage]", "sa/productpage, cluster.local/ns/istio-system/sa/istio-ingressgateway]"
)


def policy(round_: int) -> str:
    return f"  trafficPolicy: {{loadBalancer: {{simple: {('ROUND_ROBIN', 'LEAST_REQUEST', 'RANDOM')[round_ % 3]}}}}}\n"


def another_gateway(port: int) -> str:
    return f"""
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: other}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - port: {{number: {port}, name: http, protocol: HTTP}}
    hosts: [other.example.com]
"""


async def test_an_instance_that_dies_is_left_alone(mesh: Mesh) -> None:
    reviews = await shop(mesh)
    await reviews["v2"].proxy.kill()
    # Until the mesh knows, connection failures are tried elsewhere (Istio's default retries).
    seen = Counter([(await mesh.call("productpage", "GET", REVIEWS)).status for _ in range(20)])
    assert seen == {200: 20}
    # A killed one is silent; when its time to live is over, nobody tries it any more.
    await mesh.sleep(60)
    attempts = {(await mesh.call("productpage", "GET", REVIEWS)).attempts for _ in range(20)}
    assert attempts == {1}
