"""Where redirects point: Envoy's rules."""

from __future__ import annotations

import pytest

from meshd.errors import ConfigError
from meshd.proxy.redirect import https_location, redirector
from meshd.snapshot.common import MatchKind, StringMatch
from meshd.snapshot.route import Redirect, RouteMatch
from tests.proxy.routing import exchange, request


def location(redirect: Redirect, match: RouteMatch | None = None, **said: str) -> str:
    reply = redirector(match or RouteMatch(), redirect)(exchange(request(**said)))
    assert (reply.body, reply.detail) == (b"", "direct_response")
    return dict(reply.headers)[b"location"].decode()


@pytest.mark.parametrize(
    ("redirect", "target", "host", "scheme", "expected"),
    [
        (Redirect(path="/n"), "/o?q=1", "e:8080", "http", "http://e:8080/n?q=1"),
        (Redirect(path="/n?x=1"), "/o?q=1", "e", "http", "http://e/n?x=1"),
        (Redirect(host="new"), "/o?q=1", "e:8080", "http", "http://new/o?q=1"),
        (Redirect(host="new:81"), "/o", "e", "http", "http://new:81/o"),
        (Redirect(host="new", port=8443), "/o", "e", "https", "https://new:8443/o"),
        (Redirect(scheme="https"), "/o", "e:80", "http", "https://e/o"),
        (Redirect(scheme="https"), "/o", "e:443", "http", "https://e:443/o"),
        (Redirect(scheme="https"), "/o", "e:8080", "http", "https://e:8080/o"),
        (Redirect(scheme="http"), "/o", "e:443", "https", "http://e/o"),
        (Redirect(scheme="https", port=443), "/o", "e:8080", "http", "https://e/o"),
        (Redirect(port=80), "/o", "e:8080", "http", "http://e/o"),
        (Redirect(port=8080), "/o", "[::1]:80", "http", "http://[::1]:8080/o"),
        (Redirect(path="/n"), "/o", "[::1]:80", "http", "http://[::1]:80/n"),
        (Redirect(scheme="https", path="/n"), "/o", "E:80", "http", "https://E/n"),
    ],
)
def test_parts_not_named_are_the_request_s(
    redirect: Redirect, target: str, host: str, scheme: str, expected: str
) -> None:
    assert location(redirect, target=target, host=host, scheme=scheme) == expected


def test_the_port_of_the_listener() -> None:
    redirect = Redirect(host="new", port_from_request=True)
    made = exchange(request("/o", host="e"), destination_port=8443)
    assert dict(redirector(RouteMatch(), redirect)(made).headers) == {b"location": b"http://new:8443/o"}
    made = exchange(request("/o", host="e"), destination_port=80)
    assert dict(redirector(RouteMatch(), redirect)(made).headers) == {b"location": b"http://new/o"}


def test_a_matched_prefix_is_replaced() -> None:
    match = RouteMatch(path=StringMatch(MatchKind.PREFIX, "/old"))
    assert location(Redirect(prefix="/new"), match, target="/old/x?q", host="e") == "http://e/new/x?q"
    segments = RouteMatch(path=StringMatch(MatchKind.PATH_PREFIX, "/old"))
    assert location(Redirect(prefix="/"), segments, target="/old/x?q", host="e") == "http://e/x?q"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_statuses(status: int) -> None:
    assert redirector(RouteMatch(), Redirect(status=status))(exchange()).status == status


@pytest.mark.parametrize("status", [200, 300, 304, 305, 306, 404])
def test_other_statuses_are_refused(status: int) -> None:
    with pytest.raises(ConfigError, match="no redirect"):
        redirector(RouteMatch(), Redirect(status=status))


def test_https() -> None:
    assert https_location(request("/p?q", host="e:80")) == b"https://e/p?q"
    assert https_location(request("/p", host="e:8080")) == b"https://e:8080/p"
