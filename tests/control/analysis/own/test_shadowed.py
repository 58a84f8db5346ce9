"""Rules and matches that earlier ones leave nothing to."""

from __future__ import annotations

import pytest

from meshd.api.common import StringMatch
from meshd.api.networking.virtual_service import HTTPMatchRequest
from meshd.control.analysis.own.implication import taken_by_http
from meshd.control.analysis.own.shadowed import MOST_COMPARISONS, Earlier, Place, shadowed_rules
from tests.control.analysis.own.cases import codes, lines, virtual_service

TO_A = "route: [{destination: {host: a}}]"
TO_B = "route: [{destination: {host: b}}]"


def match(*conditions: str, to: str = TO_A) -> str:
    return f"match: [{', '.join(conditions)}], {to}"


def test_a_shorter_prefix_before() -> None:
    text = virtual_service(match("{uri: {prefix: /a}}"), match("{uri: {prefix: /a/b}}", "{uri: {exact: /a}}", to=TO_B))
    [line] = lines(shadowed_rules, text)
    assert line == (
        "MD0010 8:5 rule 1 is never used: rule 0 before it takes everything it would take; "
        "put it before that one, or remove it"
    )


def test_a_prefix_within_a_word_is_pointed_out() -> None:
    [line] = lines(
        shadowed_rules, virtual_service(match("{uri: {prefix: /foo}}"), match("{uri: {exact: /foobar}}", to=TO_B))
    )
    assert '(the prefix "/foo" also takes "/foobar"' in line


def test_several_rules_together() -> None:
    text = virtual_service(
        "name: one, " + match("{uri: {prefix: /a}}"),
        match("{headers: {x: {}}}"),
        "name: late, " + match("{uri: {exact: /a}, port: 1}", "{headers: {X: {exact: v}}, uri: {exact: /z}}", to=TO_B),
    )
    [line] = lines(shadowed_rules, text)
    assert 'rule 2 "late" is never used: rule 0 "one" and rule 1 before it take everything' in line


def test_one_match_of_several() -> None:
    text = virtual_service(match("{uri: {prefix: /a}}"), match("{uri: {exact: /a/b}}", "{uri: {prefix: /c}}", to=TO_B))
    [line] = lines(shadowed_rules, text)
    assert line == (
        "MD0011 8:14 match 0 of rule 1 is never used: rule 0 before it takes everything it would take; "
        "put this rule before that one, or remove the match"
    )


def test_matches_of_one_rule() -> None:
    text = virtual_service(match("{uri: {prefix: /a}}", "{uri: {exact: /a/}}"))
    [line] = lines(shadowed_rules, text)
    assert line.startswith("MD0011 7:35 match 1 of rule 0 is never used: match 0 of the same rule takes everything")


@pytest.mark.parametrize(
    "routes",
    [
        (match("{uri: {prefix: /a/}}", "{uri: {prefix: /a}}"),),
        (match("{uri: {prefix: /a/b}}"), match("{uri: {prefix: /a}}")),
        (match("{headers: {x: {exact: v}}}"), TO_B),
        (match("{uri: {prefix: /a}, headers: {x: {}}}"), match("{uri: {prefix: /a}}")),
        (match("{uri: {prefix: /a}, sourceLabels: {a: b}}"), match("{uri: {prefix: /a/b}}")),
        # A delegate takes only what its own rules take.
        ("match: [{uri: {prefix: /a}}], delegate: {name: d}", match("{uri: {prefix: /a/b}}")),
    ],
)
def test_what_can_be_reached(routes: tuple[str, ...]) -> None:
    assert codes(shadowed_rules, virtual_service(*routes)) == []


@pytest.mark.parametrize(
    "routes",
    [
        (TO_A, match("{uri: {prefix: /a}}")),
        (match("{uri: {exact: /a}}"), match("{uri: {exact: /a}}", to=TO_B)),
        (match("{uri: {prefix: /a}}", "{uri: {prefix: /a/}}"),),
    ],
)
def test_what_istio_has_a_code_for_is_left_to_it(routes: tuple[str, ...]) -> None:
    assert codes(shadowed_rules, virtual_service(*routes)) == []


def test_tls_and_tcp() -> None:
    tls = virtual_service(
        f"match: [{{sniHosts: ['*.a.com']}}], {TO_A}", f"match: [{{sniHosts: [b.a.com]}}], {TO_B}", kind="tls"
    )
    assert codes(shadowed_rules, tls) == ["MD0010"]
    tcp = virtual_service(match("{port: 1}"), match("{port: 1, sourceLabels: {a: b}}", to=TO_B), kind="tcp")
    assert codes(shadowed_rules, tcp) == ["MD0010"]


def exact(path: str, header: str = "") -> HTTPMatchRequest:
    return HTTPMatchRequest(uri=StringMatch(exact=path), **({"headers": {header: StringMatch()}} if header else {}))


def test_work_grows_with_the_number_of_rules_and_not_faster() -> None:
    def comparisons(count: int) -> int:
        earlier = Earlier()
        for number in range(count):
            for form in (
                StringMatch(exact=f"/p{number}"),
                StringMatch(prefix=f"/q{number}/"),
                StringMatch(regex=f"/r{number}/[0-9]+"),
            ):
                taken = taken_by_http(HTTPMatchRequest(uri=form), (), "ns")
                assert earlier.covering(taken) is None
                earlier.add(taken, Place(number))
        return earlier.comparisons

    assert comparisons(2000) <= 2 * comparisons(1000) + 2000 < MOST_COMPARISONS


def test_comparing_ends_somewhere() -> None:
    earlier = Earlier()
    for number in range(400):
        taken = taken_by_http(HTTPMatchRequest(uri=StringMatch(regex=f".*[{number}]")), (), "ns")
        earlier.covering(taken)
        earlier.add(taken, Place(number))
    assert earlier.comparisons == MOST_COMPARISONS
