"""Cross-origin requests, as Envoy's filter treats them."""

from __future__ import annotations

import pytest

from meshd.errors import ConfigError
from meshd.http.head import Headers, ResponseHead
from meshd.policy.catalog import FilterContext, build_filters
from meshd.policy.cors import CrossOrigin
from meshd.policy.exchange import Exchange
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.policy import Cors
from tests.policy.subjects import exchange

FRIEND = "https://friend.example.com"
POLICY = Cors(
    origins=(StringMatch(MatchKind.EXACT, FRIEND), StringMatch(MatchKind.REGEX, r"https://[a-z]+\.own\.example\.com")),
    allow_methods="GET,POST",
    allow_headers="x-one",
    expose_headers="x-two",
    max_age="86400",
    allow_credentials=True,
)


def asked(origin: str = FRIEND, method: str = "GET", *more: tuple[str, str]) -> Exchange:
    return exchange(method, headers=(("origin", origin), *more))


def preflight(origin: str = FRIEND) -> Exchange:
    return asked(origin, "OPTIONS", ("access-control-request-method", "POST"))


def marked(made: Exchange, policy: Cors = POLICY, *already: tuple[bytes, bytes]) -> dict[str, str]:
    head = ResponseHead(200, headers=Headers.of(already))
    CrossOrigin(policy).response(made, head)
    return {name.decode(): value.decode() for name, value in head.headers.items()}


def test_a_preflight_from_a_friend_is_answered() -> None:
    reply = CrossOrigin(POLICY).request(preflight())
    assert reply is not None
    assert reply.status == 200
    assert dict(reply.headers) == {
        b"access-control-allow-methods": b"GET,POST",
        b"access-control-allow-headers": b"x-one",
        b"access-control-max-age": b"86400",
    }
    assert reply.detail == "cors_response"
    # The answer passes back through the filter, as any response does.
    assert marked(preflight())["access-control-allow-origin"] == FRIEND


def test_a_preflight_from_a_stranger_goes_on_unless_the_policy_says_otherwise() -> None:
    stranger = preflight("https://stranger.example.com")
    assert CrossOrigin(POLICY).request(stranger) is None
    ignoring = Cors(origins=POLICY.origins, allow_methods="GET", forward_unmatched_preflights=False)
    reply = CrossOrigin(ignoring).request(stranger)
    assert reply is not None
    assert (reply.status, reply.headers) == (200, ())
    assert marked(stranger, ignoring) == {}


@pytest.mark.parametrize(
    "made",
    [
        asked(),
        asked(FRIEND, "OPTIONS"),
        asked(FRIEND, "OPTIONS", ("access-control-request-method", "")),
        exchange("OPTIONS", headers=(("access-control-request-method", "GET"),)),
        preflight(""),
    ],
)
def test_what_is_no_preflight_goes_on(made: Exchange) -> None:
    assert CrossOrigin(POLICY).request(made) is None


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        (FRIEND, True),
        ("https://shop.own.example.com", True),
        ("https://shop.own.example.com.evil.com", False),
        ("https://FRIEND.example.com", False),
        ("null", False),
        ("", False),
    ],
)
def test_responses_to_friends_are_marked(origin: str, allowed: bool) -> None:
    found = marked(asked(origin))
    if not allowed:
        assert found == {}
        return
    assert found == {
        "access-control-allow-origin": origin,
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "x-two",
    }


def test_what_the_service_says_itself_is_replaced() -> None:
    assert marked(asked(), POLICY, (b"access-control-allow-origin", b"*"))["access-control-allow-origin"] == FRIEND


def test_a_star_is_every_origin() -> None:
    found = marked(asked("https://anyone.example.com"), Cors(origins=(StringMatch(MatchKind.EXACT, "*"),)))
    assert found == {"access-control-allow-origin": "https://anyone.example.com"}


def test_without_origins_nobody_may_ask() -> None:
    assert marked(asked(), Cors()) == {}


def test_the_catalog_knows_it_and_refuses_what_is_no_regular_expression() -> None:
    context = FilterContext(rng=None)  # type: ignore[arg-type]
    assert isinstance(build_filters((POLICY,), context)[0], CrossOrigin)
    with pytest.raises(ConfigError):
        build_filters((Cors(origins=(StringMatch(MatchKind.REGEX, "("),)),), context)
