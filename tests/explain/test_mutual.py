"""Who is behind TLS: a DestinationRule's field, a PeerAuthentication, or nobody."""

from __future__ import annotations

import pytest

from meshd.api.networking.destination_rule import DestinationRule
from meshd.explain.explain import Explanation
from meshd.explain.mutual import tls_path
from tests.control.documents import documents
from tests.explain.documents import place, told

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  trafficPolicy:
    tls: {mode: SIMPLE}
    portLevelSettings:
    - port: {number: 81}
      tls: {mode: DISABLE}
  subsets:
  - name: v1
    labels: {version: v1}
  - name: v2
    labels: {version: v2}
    trafficPolicy:
      portLevelSettings:
      - port: {number: 80}
        tls: {mode: ISTIO_MUTUAL}
"""


@pytest.mark.parametrize(
    ("subset", "port", "path"),
    [
        ("", 80, ("spec", "trafficPolicy", "tls")),
        ("", 81, ("spec", "trafficPolicy", "portLevelSettings", 0, "tls")),
        ("v1", 80, ("spec", "trafficPolicy", "tls")),
        ("v2", 80, ("spec", "subsets", 1, "trafficPolicy", "portLevelSettings", 0, "tls")),
        ("v2", 81, ("spec", "trafficPolicy", "portLevelSettings", 0, "tls")),
    ],
)
def test_where_the_tls_of_a_cluster_stands(subset: str, port: int, path: tuple[str | int, ...]) -> None:
    (document,) = documents(RULE)
    assert isinstance(document.resource, DestinationRule)
    assert tls_path(document.resource, subset, port) == path


def peer(mode: str, more: str = "", name: str = "how", namespace: str = "default") -> str:
    return f"""
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  mtls: {{mode: {mode}}}
  {more}
"""


def called(text: str, **said: str) -> Explanation:
    return told(text, "http://reviews/", **{"from_": "default/web", **said})


def test_a_client_s_rule_is_named_with_its_line() -> None:
    found = called(RULE).hops[0].decision.mtls
    assert (found.mode, found.because, found.resource) == (
        "simple",
        "DestinationRule default/reviews says SIMPLE",
        "DestinationRule default/reviews",
    )
    assert found.file == place("mode: SIMPLE", RULE)


def test_automatic_mtls_and_istio_s_default() -> None:
    client, server = (hop.decision.mtls for hop in called("").hops)
    assert (client.mode, client.because, client.file) == ("mutual", "automatic: mTLS to endpoints of the mesh", "")
    assert server.because == (
        "mTLS came, from spiffe://cluster.local/ns/default/sa/default; "
        "port 9080 takes mesh mTLS and plaintext (PERMISSIVE, Istio's default)"
    )


def test_the_policy_of_the_port() -> None:
    policy = peer("PERMISSIVE", "selector: {matchLabels: {app: reviews}}\n  portLevelMtls: {9080: {mode: STRICT}}")
    server = called(policy).hops[1].decision.mtls
    assert server.resource == "PeerAuthentication default/how"
    assert server.file == place("portLevelMtls", policy)
    assert "takes nothing but mesh mTLS: PeerAuthentication default/how says STRICT" in server.because


def test_plaintext_to_a_strict_port() -> None:
    plain = RULE.replace("SIMPLE", "DISABLE").replace("ISTIO_MUTUAL", "DISABLE")
    found = called(f"{plain}\n---\n{peer('STRICT', namespace='istio-system')}")
    assert (found.verdict, found.status) == ("reset", 503)
    assert found.reason == (
        "at the sidecar of default/reviews-v1, inbound: the client speaks plaintext, and port 9080 takes nothing but "
        "mesh mTLS: PeerAuthentication istio-system/how says STRICT"
    )


def test_somebody_else_s_tls_to_a_strict_port() -> None:
    found = called(f"{RULE}\n---\n{peer('STRICT')}")
    assert found.verdict == "reset"
    assert "the client's TLS is not the mesh's" in found.reason
