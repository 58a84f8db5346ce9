"""Explanations against what serves: the same decision for whatever configuration and request."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.errors import ProtocolError
from meshd.explain.call import Call, Told
from meshd.explain.decide import decide
from meshd.explain.decision import Verdict
from meshd.explain.explain import Explanation, explain
from meshd.explain.question import Question
from meshd.explain.world import World
from meshd.http.head import RequestHead
from meshd.proxy.path import normalizer
from meshd.proxy.router import RouteEntry, Router
from meshd.snapshot.common import Direction
from meshd.snapshot.listener import FilterChain, HttpManager, Listener
from meshd.snapshot.route import RouteTable
from meshd.snapshot.snapshot import Snapshot
from meshd.testing import Answer, Mesh
from tests.proxy.routing import REQUESTS, tables


@settings(max_examples=200, deadline=None)
@given(tables(), st.lists(REQUESTS, min_size=1, max_size=4))
def test_an_explanation_takes_the_router_s_route(table: RouteTable, requests: list[RequestHead]) -> None:
    manager = HttpManager(route_table=table.name, use_remote_address=True)
    chain = FilterChain("http", http=manager)
    snapshot = Snapshot(listeners=(Listener("0.0.0.0_80", 80, Direction.GATEWAY, (chain,)),), route_tables=(table,))
    select = Router.compile([table]).selector(manager)
    for head in requests:
        call = Call(
            head.method.decode(),
            head.authority.decode(),
            head.target.decode("latin-1"),
            headers=tuple((name.decode(), value.decode("latin-1")) for name, value in head.headers.items()),
            client="192.0.2.1",
        )
        routed = head.copy()
        routed.scheme = b"http"
        decision = decide(snapshot, Direction.GATEWAY, call)
        try:
            routed.target = normalizer(manager.path_normalization)(head.target)
        except ProtocolError:
            assert (decision.verdict, decision.status) == (Verdict.DENY, 400)
            continue
        found = select(routed)
        if isinstance(found, RouteEntry):
            assert decision.route is not None
            assert (decision.virtual_host, decision.route.name) == (found.virtual_host, found.route.name)
            assert [step.name for step in decision.steps if step.at == "route" and step.matched] == [found.route.name]
        else:
            assert decision.route is None
            assert decision.status == found.status


BASE = """
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec:
  selector: {app: reviews}
  ports: [{name: http, port: 80, targetPort: 9080}]
---
apiVersion: v1
kind: Service
metadata: {name: ratings}
spec:
  selector: {app: ratings}
  ports: [{name: http, port: 80, targetPort: 9080}]
"""
PATHS = ("/", "/a", "/a/b", "/a/b/../c", "/b?x=1", "//a", "/%61")
PEOPLE = ("", "alice", "bob")


@attrs.frozen
class Dice:
    """Documents and requests by chance, each as good as another."""

    rng: Random

    def any(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def match(self) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.any(True, False):
            found["uri"] = self.any({"prefix": "/a"}, {"exact": "/a/c"}, {"regex": "/a/.*"}, {"prefix": "/b"})
        if self.any(True, False):
            found["headers"] = {"end-user": self.any({"exact": "alice"}, {"prefix": "b"}, {"regex": ".+"})}
        if self.any(True, False, False):
            found["method"] = {"exact": self.any("GET", "POST")}
        if self.any(True, False, False):
            found["withoutHeaders"] = {"end-user": {"exact": "bob"}}
        if self.any(True, False, False):
            found["queryParams"] = {"x": {"exact": "1"}}
        return found or {"uri": {"prefix": "/"}}

    def destination(self) -> dict[str, Any]:
        subset = self.any("v1", "v1", "v2", "v2", "nobody", "missing")
        return {"host": "reviews", "subset": subset}

    def rule(self) -> dict[str, Any]:
        rule: dict[str, Any] = {"match": [self.match() for _ in range(self.any(1, 2))]} if self.any(1, 1, 0) else {}
        kind = self.any("route", "route", "route", "weights", "redirect", "answer", "abort")
        if kind == "redirect":
            return rule | {"redirect": {"uri": "/elsewhere", "authority": self.any("other.example", "")}}
        if kind == "answer":
            return rule | {"directResponse": {"status": 202, "body": {"string": "here"}}}
        if kind == "weights":
            low = self.any(0, 30)
            routes = [({"host": "reviews", "subset": "v1"}, low), ({"host": "reviews", "subset": "v2"}, 100 - low)]
            return rule | {"route": [{"destination": to, "weight": weight} for to, weight in routes]}
        rule["route"] = [{"destination": self.destination()}]
        if kind == "abort":
            return rule | {"fault": {"abort": {"percentage": {"value": self.any(0, 100)}, "httpStatus": 418}}}
        if self.any(True, False):
            rule["rewrite"] = {"uri": self.any("/new", "/"), "authority": self.any("", "new.example")}
        if self.any(True, False):
            rule["headers"] = {"request": {"set": {"x-set": "%PROTOCOL%"}, "remove": ["end-user"]}}
        return rule

    def policy(self) -> dict[str, Any]:
        rules = [
            {
                "to": [{"operation": {self.any("methods", "notMethods"): ["GET"]}}],
                **(
                    {"from": [{"source": {"principals": [self.any("*/sa/productpage", "*/sa/web")]}}]}
                    if self.any(1, 0)
                    else {}
                ),
            },
            {"to": [{"operation": {"paths": [self.any("/a*", "/new", "*/c")]}}]},
            {"when": [{"key": "request.headers[x-set]", "notValues": ["HTTP/1.1"]}]},
        ]
        spec = {"action": self.any("ALLOW", "ALLOW", "DENY"), "rules": [self.any(*rules), self.any(*rules)]}
        return document("security.istio.io/v1", "AuthorizationPolicy", "who", spec)

    def documents(self) -> list[dict[str, Any]]:
        tls = self.any(None, None, {"mode": "DISABLE"}, {"mode": "ISTIO_MUTUAL"})
        subsets = [{"name": name, "labels": {"version": name}} for name in ("v1", "v2", "nobody")]
        found = [
            document("networking.istio.io/v1", "VirtualService", "reviews", self.virtual_service()),
            document(
                "networking.istio.io/v1",
                "DestinationRule",
                "reviews",
                {"host": "reviews", "subsets": subsets, **({"trafficPolicy": {"tls": tls}} if tls else {})},
            ),
        ]
        mode = self.any("", "STRICT", "PERMISSIVE", "DISABLE")
        if mode:
            found.append(document("security.istio.io/v1", "PeerAuthentication", "how", {"mtls": {"mode": mode}}))
        if self.any(True, False):
            found.append(self.policy())
        return found

    def virtual_service(self) -> dict[str, Any]:
        return {"hosts": ["reviews"], "http": [self.rule() for _ in range(self.any(1, 2, 3))]}

    def request(self) -> Question:
        user = self.any(*PEOPLE)
        headers = (("end-user", user),) if user else ()
        path = self.any(*PATHS)
        host = self.any("reviews", "reviews", "reviews", "reviews.default", "ratings")
        return Question(self.any("GET", "POST"), f"http://{host}{path}", "default/productpage", told=Told(headers))


def document(version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": "default"}, "spec": spec}


def check(mesh: Mesh, found: Explanation, answer: Answer) -> None:
    """The answer is the one that was explained."""
    first = found.hops[0].decision
    if found.status:
        assert answer.status == found.status
    else:
        assert found.verdict is Verdict.ALLOW
        assert answer.status == 200
    if first.location:
        assert answer.headers.get("location") == first.location
    assert answer.cluster in {each.cluster for each in first.shares if each.percent} | {""}
    if found.verdict is not Verdict.ALLOW:
        return
    assert answer.cluster
    assert answer.mtls == (first.mtls.mode == "mutual")
    received = next(each for each in mesh.workload(answer.served_by).requests[::-1])
    assert received.path == (first.rewritten.path or received.path)
    assert received.host == (first.rewritten.host or received.host)
    if len([each for each in first.shares if each.percent]) == 1:
        up = dict(first.headers)
        assert {name: received.headers.get(name) for name in ("x-set", "end-user")} == {
            name: up.get(name) for name in ("x-set", "end-user")
        }


async def compare(mesh: Mesh, dice: Dice, caller: Any, rounds: int) -> set[Verdict]:
    """Random configurations, each with random requests; which verdicts there were."""
    verdicts = set()
    for _ in range(rounds):
        texts = [json.dumps(each) for each in dice.documents()]
        mesh.put("\n---\n".join(texts), "random.yaml")
        await mesh.settled()
        # Connections of chains that have left may serve one request more, for as long as a drain takes.
        await mesh.sleep(60)
        world = World.of(mesh.control.program.documents, complete=True)
        for _ in range(4):
            question = dice.request()
            found = explain(world, question)
            answer = await mesh.call(caller, question.method, question.url, headers=dict(question.told.headers))
            verdicts.add(found.verdict)
            try:
                check(mesh, found, answer)
            except AssertionError as error:
                raise AssertionError("\n".join((str(question), *texts, str(found.to_json()), str(answer)))) from error
    return verdicts


ALL = {
    Verdict.ALLOW,
    Verdict.DENY,
    Verdict.RESET,
    Verdict.NO_ROUTE,
    Verdict.REDIRECT,
    Verdict.DIRECT_RESPONSE,
    Verdict.NO_HEALTHY_UPSTREAM,
}


async def test_an_explanation_is_what_happens(mesh: Mesh) -> None:
    mesh.apply(BASE)
    mesh.service("reviews", v1=b"one", v2=b"two")
    mesh.service("ratings")
    mesh.service("productpage")
    assert await compare(mesh, Dice(Random(11)), "productpage", 30) >= ALL


class GatewayDice(Dice):
    """The same by way of a gateway."""

    def virtual_service(self) -> dict[str, Any]:
        hosts = self.any(["shop.example.com"], ["*.example.com"], ["*"])
        return super().virtual_service() | {"hosts": hosts, "gateways": ["door"]}

    def documents(self) -> list[dict[str, Any]]:
        server = {
            "port": {"number": 80, "name": "http", "protocol": "HTTP"},
            "hosts": [self.any("*", "*.example.com", "shop.example.com", "default/shop.example.com")],
            **({"tls": {"httpsRedirect": True}} if self.any(1, 0, 0, 0, 0) else {}),
        }
        spec = {"selector": {"istio": "ingressgateway"}, "servers": [server]}
        return [document("networking.istio.io/v1", "Gateway", "door", spec), *super().documents()]

    def request(self) -> Question:
        asked = super().request()
        host = self.any("shop.example.com", "shop.example.com", "SHOP.example.com", "other.example.com", "else.org")
        path = asked.url.partition("//")[2].partition("/")[2]
        return attrs.evolve(asked, url=f"http://{host}/{path}", sender="", through="ingressgateway")


async def test_an_explanation_of_a_gateway_is_what_happens(mesh: Mesh) -> None:
    mesh.apply(BASE)
    mesh.service("reviews", v1=b"one", v2=b"two")
    mesh.service("ratings")
    gateway = mesh.gateway()
    assert await compare(mesh, GatewayDice(Random(12)), gateway, 60) >= ALL
