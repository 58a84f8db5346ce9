"""Questions in, explanations out: whatever is asked, there is an answer or a clear no."""

from __future__ import annotations

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from meshd.explain.call import QuestionError, Told
from meshd.explain.decision import SERVED
from meshd.explain.explain import explain
from meshd.explain.question import MODES, Question
from meshd.explain.text import story
from tests.explain.documents import told, world

WORLD = world(
    """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: ["*"]
    tls: {mode: MUTUAL, credentialName: door}
  - {port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews, "*.example.com"]
  gateways: [mesh, door]
  http:
  - match: [{uri: {regex: "/(a|b)+"}, queryParams: {q: {prefix: "1"}}}]
    redirect: {authority: new.example}
  - match: [{headers: {x: {regex: ".*"}}}]
    route: [{destination: {host: reviews}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: some}
spec: {rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}, {to: [{operation: {hosts: ["*"]}}]}]}
"""
)

URLS = st.one_of(
    st.text(max_size=30),
    st.builds(
        "{}://{}{}{}".format,
        st.sampled_from(["http", "https", "tcp"]),
        st.sampled_from(["reviews", "a.example.com", "10.0.0.1", "[::1]", "bücher", "x" * 300]),
        st.sampled_from(["", ":80", ":443", ":15443", ":15006"]),
        st.text(st.characters(codec="utf-8"), max_size=12).map(lambda text: f"/{text}"),
    ),
)
WORDS = st.sampled_from(["", "", "", "x", "10.0.0.1", "a/b"])


@settings(max_examples=150, deadline=None)
@given(
    url=URLS,
    method=st.sampled_from(["GET", "POST", "CONNECT", "", "x y"]),
    mode=st.sampled_from(["", "", *MODES]),
    sender=st.sampled_from(["", "", "default/web", "a"]),
    through=st.sampled_from(["", "", "ingressgateway"]),
    headers=st.lists(
        st.tuples(st.sampled_from(["x", "host", "Content-Type", ":authority", "é"]), st.text(max_size=8)), max_size=3
    ),
    address=st.sampled_from(["", "", ":443", "10.0.0.1:80", "::1", "nowhere"]),
    protocol=st.sampled_from(["", "http", "http2", "tcp", "udp"]),
    tls=st.sampled_from(["", "plaintext", "tls", "mtls"]),
    sni=st.sampled_from(["", "", "a.example.com", "outbound_.80_._.reviews.default.svc.cluster.local", "é"]),
    alpn=st.sampled_from(["", "", "h2", "istio", ","]),
    peer=st.sampled_from(["", "", "spiffe://cluster.local/ns/a/sa/b", "spiffe://", "x"]),
    client=WORDS,
)
def test_whatever_is_asked(url: str, method: str, mode: str, sender: str, through: str, **said: object) -> None:
    try:
        question = Question(
            method, url, sender, through, mode, told=Told(**{**said, "headers": tuple(said["headers"])})
        )
        found = explain(WORLD, question)
    except QuestionError:
        return
    assert found.served == (found.verdict in SERVED)
    assert json.loads(json.dumps(found.to_json()))["verdict"] == found.verdict
    assert found.verdict.value in story(found, verbose=True)
    # Who refuses says why; a status is what meshd answers.
    assert found.served or found.reason
    assert found.status == 0 or 200 <= found.status < 600


def test_the_call_s_verdict_is_the_first_refusal_s() -> None:
    found = told(
        """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody}
spec: {}
""",
        from_="default/web",
    )
    document = found.to_json()
    assert (document["verdict"], document["status"]) == ("deny", 403)
    assert document["decided_by"] == "sidecar of default/reviews-v1, inbound"
    # The rest is the asked proxy's own.
    assert document["cluster"] == "outbound|80||reviews.default.svc.cluster.local"
    (server,) = document["next"]
    assert (server["verdict"], server["status"], server["listener"]) == ("deny", 403, "virtualInbound")
