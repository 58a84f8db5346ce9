"""Cases written as YAML: what is wrong with them, and what comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from meshd.testing.cases.outcome import Outcome
from meshd.testing.cases.playing import Options, play
from meshd.testing.cases.reading import Read, read

HEAD = "apiVersion: meshd.dev/v1\nkind: MeshTest\n"
CONFIG = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews}
spec:
  host: reviews
  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - name: moved
    match: [{uri: {prefix: /old}}]
    redirect: {uri: /new}
  - name: tried
    match: [{uri: {prefix: /tried}}]
    timeout: 3s
    retries: {attempts: 2, perTryTimeout: 1s, retryOn: 5xx}
    rewrite: {uri: /inner}
    route: [{destination: {host: reviews, subset: v2}}]
  - name: split
    match: [{uri: {prefix: /split}}]
    route:
    - {destination: {host: reviews, subset: v1}, weight: 75}
    - {destination: {host: reviews, subset: v2}, weight: 25}
  - route: [{destination: {host: reviews, subset: v1}}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-posts}
spec:
  selector: {matchLabels: {app: reviews}}
  action: DENY
  rules: [{to: [{operation: {methods: [POST]}}]}]
"""


def found(tmp_path: Path, text: str) -> Read:
    (tmp_path / "reviews.yaml").write_text(CONFIG)
    file = tmp_path / "cases.yaml"
    file.write_text(HEAD + text)
    return read([file])


def problems(tmp_path: Path, text: str) -> list[str]:
    return [str(finding).removeprefix(f"{tmp_path}/") for finding in found(tmp_path, text).findings]


def outcomes(tmp_path: Path, cases: str, head: str = "", **options: Any) -> list[Outcome]:
    services = "services:\n  page:\n  reviews: {versions: {v1: one, v2: two}}\n"
    result = found(tmp_path, f"{head or services}cases:\n{cases}")
    assert result.findings == (), list(map(str, result.findings))
    suite = result.suites[0]
    played = play(suite, suite.test.cases, Options(**options))
    assert played.findings == (), list(map(str, played.findings))
    return list(played.outcomes)


CALL = "- {name: a, from: page, call: GET http://reviews/%s, expect: %s}\n"


@pytest.mark.parametrize(
    ("path", "expect"),
    [
        ("x", "{status: 200, servedBy: reviews-v1, body: one, hosts: reviews-v1, attempts: 1, flags: []}"),
        ("x", "{status: [200, 201], servedBy: [reviews-v1, reviews-v2], took: {atMost: 1s}}"),
        ("x", "{servedBy: reviews, verdict: allow, mtls: mutual, destination: reviews/v1}"),
        ("x", "{route: {resource: VirtualService reviews, rule: 3}}"),
        ("x", "{cluster: outbound|80|v1|reviews.default.svc.cluster.local}"),
        ("x", "{body: {prefix: o, suffix: e, contains: 'n', regex: 'o.e'}}"),
        ("x", "{headers: {x-nothing: {absent: true}, date: {present: true}}}"),
        ("tried/x", "{timeout: 3s, retries: 2, path: /inner/x, receivedPath: /inner/x}"),
        ("tried/x", "{retries: {attempts: 2, retryOn: 5xx}, route: {name: tried}, servedBy: reviews-v2}"),
        ("old", "{verdict: redirect, status: 301, headers: {location: {suffix: /new}}, servedBy: ''}"),
        ("x", "{received: {x-forwarded-proto: http, x-b3: {absent: true}}}"),
    ],
)
def test_what_holds(tmp_path: Path, path: str, expect: str) -> None:
    outcome = outcomes(tmp_path, CALL % (path, expect))[0]
    assert outcome.passed, (outcome.error, outcome.failures)


@pytest.mark.parametrize(
    ("path", "expect", "failures"),
    [
        (
            "x",
            "{status: 503, servedBy: reviews-v2}",
            [("status", "503", "200"), ("servedBy", "reviews-v2", "reviews-v1")],
        ),
        (
            "x",
            "{hosts: [], attempts: 2, flags: [UT, UR]}",
            [("hosts", "none", "reviews-v1"), ("attempts", "2", "1"), ("flags", "UT, UR", "none")],
        ),
        ("x", "{took: 1s}", [("took", "1 s", "0 s")]),
        (
            "x",
            "{body: {prefix: t}, headers: {x: z}}",
            [("body", "beginning with 't'", "'one'"), ("headers.x", "'z'", "none")],
        ),
        ("x", "{received: {x: z}}", [("received.x", "'z'", "none")]),
        ("old", "{receivedPath: /old}", [("receivedPath", "a request", "none reached an application")]),
        ("x", "{error: reset}", [("error", "'reset'", "an answer")]),
        ("x", "{verdict: deny}", [("verdict", "deny", "allow")]),
        ("x", "{route: VirtualService other}", [("route", "VirtualService other", "VirtualService default/reviews")]),
        ("x", "{route: {rule: 0, name: moved}}", [("route.rule", "0", "3"), ("route.name", "moved", "default")]),
        ("x", "{destination: reviews/v2}", [("destination", "reviews/v2", "reviews.default.svc.cluster.local/v1")]),
        ("x", "{policy: no-posts}", [("policy", "no-posts", "none")]),
        ("x", "{mtls: disable, timeout: 1s}", [("mtls", "disable", "mutual"), ("timeout", "1s", "none")]),
        (
            "tried",
            "{retries: {attempts: 1, retryOn: [reset]}}",
            [("retries.attempts", "1", "2"), ("retries.retryOn", "reset", "5xx")],
        ),
        (
            "x",
            "{path: /y, virtualHost: z}",
            [("virtualHost", "z", "reviews.default.svc.cluster.local:80"), ("path", "/y", "none")],
        ),
        ("x", "{grpcStatus: 0}", [("grpcStatus", "0", "None")]),
    ],
)
def test_what_does_not_hold(tmp_path: Path, path: str, expect: str, failures: list[tuple[str, str, str]]) -> None:
    outcome = outcomes(tmp_path, CALL % (path, expect))[0]
    assert [(each.field, each.expected, each.got) for each in outcome.failures] == failures
    assert not outcome.passed
    # Each at its own place: the value of the field that is wrong.
    line = f"{tmp_path}/cases.yaml:7:"
    assert all(str(each.origin).startswith(line) for each in outcome.failures)
    assert len({each.origin for each in outcome.failures}) == len(failures)
    assert outcome.why, "how it was decided is told"


def test_a_host_without_a_port_is_the_service_of_that_name(tmp_path: Path) -> None:
    (tmp_path / "service.yaml").write_text(
        "apiVersion: v1\nkind: Service\nmetadata: {name: reviews}\n"
        "spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}\n"
    )
    expect = "{status: 200, servedBy: reviews-v1, cluster: outbound|9080|v1|reviews.default.svc.cluster.local}"
    for url in ("http://reviews/x", "http://reviews:9080/x"):
        cases = f"- {{name: a, from: page, call: GET {url}, expect: {expect}}}\n"
        outcome = outcomes(tmp_path, cases, "config: [reviews.yaml, service.yaml]\nservices: {page: {}}\n")[0]
        assert outcome.passed, (url, outcome.error, outcome.failures, outcome.why)


GATEWAY = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: door, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example.com]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop}
spec:
  hosts: [shop.example.com]
  gateways: [istio-system/door]
  http: [{route: [{destination: {host: reviews, subset: v1}}]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: from-the-door}
spec:
  selector: {matchLabels: {app: reviews}}
  rules: [{from: [{source: {principals: [cluster.local/ns/istio-system/sa/door-keeper]}}]}]
"""


@pytest.mark.parametrize(("account", "status"), [("{account: door-keeper}", 200), ("{}", 403)])
def test_a_gateway_calls_as_its_account(tmp_path: Path, account: str, status: int) -> None:
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    head = (
        "config: [reviews.yaml, gateway.yaml]\nservices: {reviews: {labels: {app: reviews}, versions: {v1: one}}}\n"
        f"gateways: {{istio-ingressgateway: {account}}}\n"
    )
    call = "through: istio-ingressgateway, call: GET http://shop.example.com/x"
    cases = f"- {{name: a, {call}, expect: {{status: {status}}}}}\n"
    outcome = outcomes(tmp_path, cases, head)[0]
    assert outcome.passed, (outcome.error, outcome.failures, outcome.story, outcome.why)


def test_denied_by_the_server(tmp_path: Path) -> None:
    cases = "- {name: a, from: page, call: POST http://reviews/x, expect: {status: 403, verdict: deny, policy: default/no-posts}}\n"
    assert outcomes(tmp_path, cases)[0].passed
    cases = "- {name: a, from: page, call: POST http://reviews/x, expect: {status: 200, policy: other}}\n"
    outcome = outcomes(tmp_path, cases)[0]
    assert [each.got for each in outcome.failures] == ["403", "default/no-posts"]
    assert any("AuthorizationPolicy default/no-posts rule 0" in line and "reviews.yaml" in line for line in outcome.why)


def test_scripts_retries_and_given_answers(tmp_path: Path) -> None:
    cases = """
- {name: a, from: page, call: GET http://reviews/tried, expect: {status: 200, attempts: 3, hosts: [reviews-v2, reviews-v2, reviews-v2]}}
- name: b
  from: page
  call: GET http://reviews/tried
  given: {reviews-v2: hang}
  expect: {status: 504, flags: UT, took: {atLeast: 3s, atMost: 3100ms}}
- {name: c, from: page, call: GET http://reviews/tried, given: {reviews: {status: 404, delay: 500ms}}, expect: {status: 404, took: 500ms}}
- {name: d, from: page, call: GET http://reviews/tried, expect: {attempts: 3}}
- {name: e, from: page, call: GET http://reviews/x, given: {reviews: hang}, timeout: 2s, expect: {error: {contains: 2 virtual seconds}}}
- {name: f, from: page, call: GET http://reviews/x, body: hello, given: {reviews: echo}, expect: {body: hello}}
"""
    head = "services:\n  page: {}\n  reviews:\n    versions:\n      v1: one\n      v2: [503, reset, {status: 200, headers: {x-a: b}}]\n"
    played = outcomes(tmp_path, cases, head)
    expected = [True, True, True, True, True, True]
    assert [each.passed for each in played] == expected, [(each.error, each.failures, each.story) for each in played]


def test_shares_and_seeds(tmp_path: Path) -> None:
    split = "- {name: a, from: page, call: GET http://reviews/split, times: 60, expect: {status: 200, servedBy: %s}}\n"
    assert outcomes(tmp_path, split % "{reviews-v1: 75%, reviews-v2: 25%}")[0].passed
    wrong = outcomes(tmp_path, split % "{shares: {reviews-v1: 20, reviews-v2: 80}}")[0]
    assert [each.field for each in wrong.failures] == ["servedBy.reviews-v1", "servedBy.reviews-v2"]
    assert wrong.story.startswith("60 calls: ")
    again = outcomes(tmp_path, split % "{shares: {reviews-v1: 20, reviews-v2: 80}}")[0]
    assert [each.got for each in again.failures] == [each.got for each in wrong.failures]
    other = outcomes(tmp_path, split % "{shares: {reviews-v1: 20, reviews-v2: 80}}", seed=99)[0]
    assert [each.got for each in other.failures] != [each.got for each in wrong.failures]
    often = outcomes(tmp_path, split % "reviews-v1")[0]
    assert "of 60 times)" in often.failures[0].got


def test_callers_and_their_mistakes(tmp_path: Path) -> None:
    cases = """
- {name: a, from: pag, call: GET http://reviews/, expect: {status: 200}}
- {name: b, from: page, call: GET http://reviews/, given: {review: 503}, expect: {status: 200}}
- {name: c, from: outside, call: GET http://reviews/, expect: {status: 200}}
- {name: d, from: outside, call: GET http://nobody/, expect: {status: 200}}
- {name: e, from: reviews-v2, call: GET http://page/, expect: {status: 200, servedBy: page}}
- {name: f, from: page, call: GET http://revews/, expect: {status: 200}}
"""
    played = outcomes(tmp_path, cases)
    assert [each.passed for each in played] == [False, False, True, False, True, False]
    place = f"{tmp_path}/cases.yaml"
    assert (
        played[0].error
        == f"{place}:8:19: nobody is called 'pag'; did you mean \"page\"?; say who takes part under `services`"
    )
    assert played[1].error == f"{place}:9:68: no service 'review' takes part in this case; did you mean \"reviews\"?"
    assert played[3].error == f"{place}:11:34: nobody is called 'nobody' here"
    assert 'did you mean "reviews"?' in played[5].story


def test_names_outside_of_the_mesh(tmp_path: Path) -> None:
    cases = "- {name: a, from: page, call: GET http://db.example.com:9080/, expect: {status: 200, body: data}}\n"
    services = "services:\n  page:\n  db: {answers: data, sidecar: false}\n"
    assert outcomes(tmp_path, cases, f"{services}names: {{db.example.com: db}}\n")[0].passed
    wrong = outcomes(tmp_path, cases, f"{services}names: {{db.example.com: nobody}}\n")[0]
    assert "db.example.com is 'nobody', which is no IP address and no service here" in wrong.error


def test_who_takes_part_comes_from_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "services.yaml").write_text(
        "".join(
            f"apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: {name}}}\n"
            "  ports: [{name: http, port: 80, targetPort: 9080}]\n---\n"
            for name in ("page", "reviews", "unused")
        )
    )
    cases = CALL % ("x", "{status: 200, servedBy: reviews-v1}")
    result = found(tmp_path, f"cases:\n{cases}")
    suite = result.suites[0]
    assert suite.configuration == (tmp_path,)
    played = play(suite, suite.test.cases, Options())
    assert played.outcomes[0].passed, played


def test_configuration_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {}\n"
    )
    suite = found(tmp_path, f"cases:\n{CALL % ('x', '{status: 200}')}").suites[0]
    played = play(suite, suite.test.cases, Options())
    assert played.outcomes == ()
    assert any("bad.yaml" in str(finding) for finding in played.findings)
    # Another configuration may be given in its place.
    played = play(suite, suite.test.cases, Options(config=(tmp_path / "reviews.yaml",)))
    assert "nobody is called 'page'" in played.outcomes[0].error


def test_mistakes_have_places_and_remedies(tmp_path: Path) -> None:
    assert problems(tmp_path, "confg: []\ncases: []\n") == [
        'cases.yaml:3:1: error IST0106 MeshTest: confg: unknown field; did you mean "config"?'
    ]
    assert problems(tmp_path, "cases: []\n") == [
        "cases.yaml:3:8: error IST0106 MeshTest: cases: there is no case in it"
    ]
    assert problems(tmp_path, "config: nowhere\ncases:\n" + CALL % ("x", "{status: 200}")) == [
        f"cases.yaml:3:1: error IST0106 MeshTest: config[0]: no file or directory 'nowhere' from {tmp_path}"
    ]
    said = "\n".join(
        problems(
            tmp_path,
            """services:
  reviews: {answers: 503, versions: {v1: {hang: true, reset: true}, v2: 99}}
  Bad/name: {protocol: tcp, port: -1}
cases:
- {name: a, call: GET http://reviews/, expect: {}}
- {name: a, from: x, through: z, call: GET reviews, expect: {verdict: alow, mtls: on-and-off}, protocol: h3, times: 0}
- {name: b, from: x, call: GET http://reviews/, expect: {status: {200: 90%}, body: {regex: (}, took: {exactly: 1s, atMost: 2s}}}
- {name: c, from: x, call: GET http://reviews/, times: 5, expect: {servedBy: {a: 70%, b: 40%}, error: x}}
""",
        )
    )
    for part in (
        "services.reviews: give answers, or versions",
        "services.reviews.versions.v1[0]: give one of hang, reset and echo",
        "services.reviews.versions.v2[0].status: 99 is no status to answer with",
        "services.Bad/name: 'Bad/name' is no name of a service",
        "services.Bad/name.protocol: it must be one of http, http2, grpc",
        "services.Bad/name.port: it must be between 1 and 65535",
        "cases[0]: say who calls",
        "cases[0].expect: nothing is expected, so nothing can fail",
        "cases[1].name: this is also the name of case 1",
        "cases[1]: say who calls",
        "cases[1].call: 'reviews' is no URL",
        'cases[1].expect.verdict: unknown value; did you mean "allow"?',
        "cases[1].expect.mtls: unknown value; it must be one of mutual, simple, disable",
        "cases[1].protocol: it must be one of http, h2, grpc",
        "cases[1].times: it must be between 1 and 100000",
        "cases[2].expect.status: shares need `times`",
        "cases[2].expect.body: '(' is not a regular expression",
        "cases[2].expect.took: give exactly, or atLeast and atMost",
        "cases[3].expect.servedBy: shares are percents",
        "cases[3].expect.servedBy: where an error is expected, there is no answer",
    ):
        assert part in said, (part, said)
    (tmp_path / "cases.yaml").write_text("apiVersion: meshd.dev/v2\nkind: MeshTest\ncases: {}\n---\nkind: [\n")
    said = "\n".join(map(str, read([tmp_path / "cases.yaml"]).findings))
    assert "MeshTest is of meshd.dev/v1, found 'meshd.dev/v2'" in said
    assert "cases: expected a list, found a mapping" in said
    assert "MD0001" in said


def test_only_documents_of_the_kind_are_read(tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text("not: [yaml\n")
    result = found(tmp_path, f"metadata: {{name: mine}}\ncases:\n{CALL % ('x', '{status: 200}')}---\n{CONFIG}")
    assert [suite.name for suite in result.suites] == ["mine"]
    assert [suite.name for suite in read([tmp_path]).suites] == ["mine"]
    assert read([tmp_path]).findings == ()
