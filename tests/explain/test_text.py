"""The story's form: what is marked, what is dim, what is only counted, and that no terminal obeys a stranger."""

from __future__ import annotations

import re

import pytest

from meshd.explain.explain import explain
from meshd.explain.question import Question
from meshd.explain.text import story
from tests.explain.documents import told, world

RULES = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
""" + "".join(
    f"""
  - match: [{{uri: {{exact: /{number}}}}}]
    directResponse: {{status: 200, body: {{string: "number {number}"}}}}
"""
    for number in range(12)
)


def test_many_rules_that_do_not_match_are_counted() -> None:
    found = told(RULES, "http://reviews/11", from_="default/web")
    short, whole = story(found), story(found, verbose=True)
    assert short.count("\n - rule ") == 8
    assert re.search(r"\n - +and 3 more that do not match \(-v shows them\)\n > rule 11", short)
    assert whole.count("\n - rule ") == 11
    assert "\n > rule 11" in short
    assert "direct-response 200: answered here with 'number 11'" in short


def test_verbose_shows_chains_and_headers() -> None:
    found = told("", "http://reviews/", from_="default/web")
    short, whole = story(found), story(found, verbose=True)
    assert " - filter chain" not in short
    assert " - filter chain  virtualInbound" in whole
    assert "header        x-request-id: (a new one)" in whole
    assert "x-request-id" not in short


def test_colours_only_where_they_are_wanted() -> None:
    found = told(RULES, "http://reviews/1", from_="default/web")
    assert "\x1b" not in story(found)
    lines = story(found, colour=True).splitlines()
    (taken,) = (line for line in lines if " > " in line)
    (passed,) = (line for line in lines if " - rule 0" in line)
    assert taken.startswith("\x1b[1m")
    assert passed.startswith("\x1b[2m")
    assert any(line.startswith("\x1b[1;32mdirect-response 200\x1b[0m") for line in lines)
    assert any("\x1b[1;31mno-route 404\x1b[0m" in line for line in story(told(RULES), colour=True).splitlines())


@pytest.mark.parametrize("verbose", [False, True])
def test_nothing_of_a_stranger_reaches_the_terminal_as_it_is(verbose: bool) -> None:
    question = Question.of({"url": "http://evil.example/\x1b[2J?\x07", "headers": {"x-evil": "\x1b]0;gotcha\x07"}})
    text = story(explain(world(RULES.replace("- match: [{uri: {exact: /1}}]", "- name: r")), question), verbose=verbose)
    assert all(character.isprintable() or character == "\n" for character in text)


def test_what_changes_on_the_way_up() -> None:
    rule = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http:
  - route: [{destination: {host: reviews}}]
    rewrite: {uri: /new/, authority: other.example}
    timeout: 1.5s
    retries: {attempts: 0}
    headers:
      request: {set: {x-new: a}, remove: [end-user]}
      response: {set: {x-b: c}, remove: [server]}
    mirror: {host: reviews}
    mirrorPercentage: {value: 2.5}
    fault: {abort: {percentage: {value: 0.1}, grpcStatus: UNAVAILABLE}}
"""
    text = story(told(rule, "http://reviews/x", from_="default/web", headers=["end-user: jason"]))
    for line in (
        "path          rewritten to /new/x",
        "host          rewritten to other.example",
        "fault         0.1 % of requests are answered gRPC status 14 here",
        "mirror        2.5 % copied to outbound|80||reviews.default.svc.cluster.local",
        "request       x-new: a",
        "request       end-user is taken out",
        "response      server is taken out",
        "response      x-b is set to 'c'",
    ):
        assert f"   {line}\n" in text
    # A route that injects faults has neither a timeout nor retries.
    assert "timeout" not in text
