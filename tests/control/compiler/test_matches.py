"""What a match asks of a request, and whether it concerns a proxy at all."""

from __future__ import annotations

import pytest

from meshd.api.common import Map
from meshd.api.common import StringMatch as Api
from meshd.api.networking.virtual_service import HTTPMatchRequest
from meshd.control.compiler.matches import Place, catches_all, concerns, route_match, string_match
from meshd.snapshot.common import HeaderMatch, MatchKind, StringMatch
from meshd.snapshot.route import RouteMatch

PLACE = Place(80, ("mesh",), "client", (("app", "a"), ("version", "v1")))


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (HTTPMatchRequest(), True),
        (HTTPMatchRequest(port=80), True),
        (HTTPMatchRequest(port=81), False),
        (HTTPMatchRequest(sourceLabels=Map({"app": "a"})), True),
        (HTTPMatchRequest(sourceLabels=Map({"app": "b"})), False),
        (HTTPMatchRequest(sourceNamespace="client"), True),
        (HTTPMatchRequest(sourceNamespace="other"), False),
        (HTTPMatchRequest(gateways=("mesh",)), True),
        (HTTPMatchRequest(gateways=("gw",)), False),
        # With gateways, labels are not looked at.
        (HTTPMatchRequest(gateways=("gw", "mesh"), sourceLabels=Map({"app": "b"})), True),
    ],
)
def test_concerns(match: HTTPMatchRequest, *, expected: bool) -> None:
    assert concerns(match, "owner", PLACE) is expected


def test_a_gateway_is_named_by_its_namespace() -> None:
    at_gateway = Place(80, ("owner/gw",), "istio-system", ())
    assert concerns(HTTPMatchRequest(gateways=("gw",)), "owner", at_gateway)
    assert not concerns(HTTPMatchRequest(gateways=("gw",)), "other", at_gateway)


def test_string_matches() -> None:
    assert string_match(Api()) == StringMatch(MatchKind.PRESENT)
    assert string_match(Api(regex="*")) == StringMatch(MatchKind.PRESENT)
    assert string_match(Api(exact="")) == StringMatch(MatchKind.EXACT, "")
    assert string_match(Api(prefix="a"), ignore_case=True) == StringMatch(MatchKind.PREFIX, "a", ignore_case=True)
    # Istio: case is ignored for exact and prefix only.
    assert string_match(Api(regex="a.*"), ignore_case=True) == StringMatch(MatchKind.REGEX, "a.*")


def test_without_headers_sees_an_empty_value_where_there_is_none() -> None:
    found = route_match(HTTPMatchRequest(withoutHeaders=Map({"X-A": Api(exact="a"), "x-b": Api()})))
    assert found == RouteMatch(
        headers=(
            HeaderMatch("x-a", StringMatch(MatchKind.EXACT, "a"), invert=True, treat_missing_as_empty=True),
            HeaderMatch("x-b", StringMatch(MatchKind.PRESENT), invert=True),
        )
    )


def test_claims_that_nobody_verifies_never_match() -> None:
    assert route_match(HTTPMatchRequest(headers=Map({"@request.auth.claims.sub": Api(exact="a")}))) is None


def test_order_of_headers_does_not_matter() -> None:
    one = HTTPMatchRequest(headers=Map({"a": Api(exact="1"), "b": Api(exact="2")}))
    two = HTTPMatchRequest(headers=Map({"b": Api(exact="2"), "a": Api(exact="1")}))
    assert route_match(one) == route_match(two)


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        (HTTPMatchRequest(), True),
        (HTTPMatchRequest(uri=Api(prefix="/")), True),
        (HTTPMatchRequest(uri=Api(regex="*")), True),
        (HTTPMatchRequest(uri=Api(prefix="/a")), False),
        (HTTPMatchRequest(uri=Api(exact="/")), False),
        (HTTPMatchRequest(method=Api(exact="GET")), False),
        (HTTPMatchRequest(uri=Api(prefix="/"), queryParams=Map({"q": Api()})), False),
    ],
)
def test_catches_all(match: HTTPMatchRequest, *, expected: bool) -> None:
    found = route_match(match)
    assert found is not None
    assert catches_all(found) is expected
