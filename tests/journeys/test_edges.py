"""Gateways behind a Service, ingress listeners of a Sidecar, and policies, as traffic meets them."""

from __future__ import annotations

import pytest

from meshd.testing import Mesh

TRANSLATED = """
apiVersion: v1
kind: Service
metadata: {name: door, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, ports: [{port: 80, targetPort: 8080, name: http}, {port: 81, targetPort: 8080, name: more}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}
  - {port: {number: 81, name: more, protocol: HTTP}, hosts: [more.example.com], tls: {httpsRedirect: true}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: door}
spec:
  hosts: [shop.example.com]
  gateways: [door]
  http: [{route: [{destination: {host: reviews, port: {number: 9080}}}]}]
"""


async def test_a_gateway_listens_where_its_service_sends(mesh: Mesh) -> None:
    mesh.service("reviews", b"[1]")
    mesh.gateway()
    mesh.apply(TRANSLATED)
    door = "istio-ingressgateway"
    (await mesh.call(door, "GET http://shop.example.com:8080/")).expect(status=200, hosts=["reviews"])
    # Both servers are there, each with its own hosts.
    redirected = await mesh.call(door, "GET http://more.example.com:8080/a")
    assert (redirected.status, redirected.headers["location"]) == (301, "https://more.example.com:8080/a")
    assert (await mesh.call(door, "GET http://nobody.example.com:8080/")).status == 404


INGRESS = """
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: reviews}
spec:
  workloadSelector: {labels: {app: reviews}}
  ingress: [{port: {number: 7000, protocol: HTTP, name: http}, defaultEndpoint: "127.0.0.1:9080"}]
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: reviews}
spec: {selector: {matchLabels: {app: reviews}}, mtls: {mode: STRICT}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews}
spec:
  selector: {matchLabels: {app: reviews}}
  rules: [{from: [{source: {serviceAccounts: [page]}}], to: [{operation: {ports: ["7000"], paths: ["/free/{**}"]}}]}]
"""


async def test_a_sidecar_takes_what_is_listed_for_the_applications_endpoint(mesh: Mesh) -> None:
    mesh.service("reviews", b"[1]")
    mesh.service("page")
    mesh.service("other")
    mesh.apply(INGRESS)
    # The listener's port is what policies speak of; the application is at its own.
    (await mesh.call("page", "GET http://reviews:9080/free/a/b")).expect(status=200, hosts=["reviews"], mtls=True)
    (await mesh.call("page", "GET http://reviews:9080/else")).expect(status=403)
    (await mesh.call("other", "GET http://reviews:9080/free/a")).expect(status=403)


TOKENS = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: reviews}
spec:
  selector: {matchLabels: {app: reviews}}
  rules: [{from: [{source: {notRequestPrincipals: ["evil/*"]}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: asked}
spec:
  selector: {matchLabels: {app: reviews}}
  action: CUSTOM
  provider: {name: nobody}
  rules: [{to: [{operation: {paths: [/asked]}}]}]
"""
VERIFIED = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens}
spec: {jwtRules: [{issuer: example.com, jwks: '{"keys": []}'}]}
"""


@pytest.mark.parametrize(("documents", "status"), [(TOKENS, 200), (TOKENS + "---" + VERIFIED, 403)])
async def test_nobody_is_let_in_by_a_token_that_is_not_verified(mesh: Mesh, documents: str, status: int) -> None:
    mesh.service("reviews", b"[1]")
    mesh.service("page")
    mesh.apply(documents)
    (await mesh.call("page", "GET http://reviews:9080/")).expect(status=status)
    (await mesh.call("page", "GET http://reviews:9080/asked")).expect(status=403)
