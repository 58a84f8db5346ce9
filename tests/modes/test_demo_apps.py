"""Bookinfo's applications, without a network: the other services are functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.modes.demo import apps
from meshd.modes.demo.apps import Answer, Call, Headers, Shop

HASH = "ab" * 32
XFCC = (
    b'By=spiffe://x/ns/a/sa/c;Hash=00;Subject="";URI=spiffe://x/ns/a/sa/b,'
    b'By=spiffe://x/ns/a/sa/b;Hash=%b;Subject="";URI=spiffe://cluster.local/ns/default/sa/productpage' % HASH.encode()
)


class Services:
    """The others: what they answer, and what they were asked."""

    def __init__(self, **answers: Callable[[str], Answer] | Answer | Exception | float) -> None:
        self.answers = answers
        self.asked: list[tuple[str, str, dict[bytes, bytes]]] = []

    async def __call__(self, authority: str, path: str, headers: Headers) -> Answer:
        self.asked.append((authority, path, dict(headers)))
        answer = self.answers[authority.partition(":")[0]]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, float):
            await trio.sleep(answer)
            return Answer.of_json({})
        return answer if isinstance(answer, Answer) else answer(path)


def get(path: str, **headers: bytes) -> Call:
    return Call("GET", path, {name.replace("_", "-").encode(): value for name, value in headers.items()})


def json_of(answer: Answer) -> Any:
    return json.loads(answer.body)


async def test_details_name_the_certificate_they_saw() -> None:
    answer = json_of(await apps.details("v1")(get("/details/0", x_forwarded_client_cert=XFCC)))
    assert answer["author"] == "William Shakespeare"
    caller = "spiffe://cluster.local/ns/default/sa/productpage"
    assert answer["hops"] == [{"service": "details", "version": "v1", "caller": caller, "certificate": HASH}]


async def test_details_v2_knows_something_else() -> None:
    first = json_of(await apps.details("v1")(get("/details/0")))
    second = json_of(await apps.details("v2")(get("/details/0")))
    assert first["ISBN-10"] != second["ISBN-10"]


@pytest.mark.parametrize(
    "path", ["/details/x", "/details/", "/details/-1", "/details/0/x", "/other", "/details/\u0663"]
)
async def test_details_has_no_other_pages(path: str) -> None:
    assert (await apps.details("v1")(get(path))).status == 404


async def test_every_service_is_healthy() -> None:
    services = Services()
    for app in (apps.details("v1"), apps.ratings("v1"), apps.reviews("v1", services), Shop("v1", services, b"k")):
        assert (await app(get("/health"))).status == 200


async def test_reviews_v1_asks_nobody() -> None:
    services = Services()
    answer = json_of(await apps.reviews("v1", services)(get("/reviews/0")))
    assert services.asked == []
    assert "rating" not in answer["reviews"][0]


async def test_reviews_pass_tracing_and_user_on() -> None:
    services = Services(ratings=Answer.of_json({"ratings": {"Reviewer1": 5, "Reviewer2": 4}}))
    call = get("/reviews/0", end_user=b"jason", traceparent=b"00-1-2-01", cookie=b"secret", x_request_id=b"7")
    answer = json_of(await apps.reviews("v3", services)(call))
    assert services.asked == [
        ("ratings:9080", "/ratings/0", {b"x-request-id": b"7", b"traceparent": b"00-1-2-01", b"end-user": b"jason"})
    ]
    assert answer["reviews"][0]["rating"] == {"stars": 5, "color": "red"}


@pytest.mark.parametrize(
    "trouble", [ConnectionLost("refused"), Answer(503, b"no"), Answer(200, b"not json"), Answer(200, b"[]")]
)
async def test_reviews_do_without_ratings(trouble: Answer | Exception) -> None:
    answer = json_of(await apps.reviews("v2", Services(ratings=trouble))(get("/reviews/0")))
    assert answer["reviews"][0]["rating"] == {"error": "Ratings service is currently unavailable"}


async def test_reviews_v3_waits_less_than_v2(autojump_clock: trio.testing.MockClock) -> None:
    slow = Services(ratings=7.0)
    await apps.reviews("v3", slow)(get("/reviews/0"))
    assert trio.current_time() == pytest.approx(2.5)
    await apps.reviews("v2", slow)(get("/reviews/0"))
    assert trio.current_time() == pytest.approx(2.5 + 7.0)


async def test_a_slow_review_leaves_the_page_whole(autojump_clock: trio.testing.MockClock) -> None:
    services = Services(details=Answer.of_json({"author": "W"}), reviews=7.0)
    answer = await Shop("v1", services, b"k")(get("/productpage"))
    assert trio.current_time() == pytest.approx(6.0), "two tries of three seconds"
    assert answer.status == 200
    assert b"Error fetching product reviews!" in answer.body
    assert b"Error fetching product details!" not in answer.body


async def test_signing_in_and_out() -> None:
    services = Services(details=Answer.of_json({}), reviews=Answer(500, b""))
    shop = Shop("v1", services, b"key")
    answer = await shop(Call("POST", "/login", {}, b"username=jason&password="))
    headers = dict(answer.headers)
    assert (answer.status, headers[b"location"]) == (302, b"/productpage")
    cookie = headers[b"set-cookie"].partition(b";")[0]

    page = await shop(get("/productpage", cookie=b"a=b; " + cookie))
    assert b"Signed in as <strong>jason</strong>" in page.body
    assert services.asked[-1][2][b"end-user"] == b"jason"

    out = await shop(Call("POST", "/logout", {}))
    assert b"Max-Age=0" in dict(out.headers)[b"set-cookie"]


@pytest.mark.parametrize("cookie", [b"session=amFzb24=.00", b"session=.", b"session", b"session=amFzb24=", b";;;="])
async def test_a_made_up_cookie_signs_nobody_in(cookie: bytes) -> None:
    services = Services(details=Answer.of_json({}), reviews=Answer.of_json({"reviews": [], "podname": "x"}))
    page = await Shop("v1", services, b"key")(get("/productpage", cookie=cookie))
    assert b"Sign in" in page.body
    assert all(b"end-user" not in headers for _, _, headers in services.asked)


async def test_a_stranger_cannot_say_who_he_is() -> None:
    services = Services(details=Answer.of_json({}), reviews=Answer.of_json({"reviews": [], "podname": "x"}))
    await Shop("v1", services, b"key")(get("/productpage", end_user=b"jason"))
    assert all(b"end-user" not in headers for _, _, headers in services.asked)


@pytest.mark.parametrize("name", [b"a%0d%0aset-cookie:x", b"%c3%a9%00jason", b"x" * 4000])
async def test_names_become_harmless_headers(name: bytes) -> None:
    services = Services(details=Answer.of_json({}), reviews=Answer.of_json({"reviews": [], "podname": "x"}))
    shop = Shop("v1", services, b"key")
    cookie = dict((await shop(Call("POST", "/login", {}, b"username=" + name))).headers)[b"set-cookie"]
    assert b"\r" not in cookie
    await shop(get("/productpage", cookie=cookie.partition(b";")[0]))
    assert all(len(headers[b"end-user"]) <= 40 and headers[b"end-user"].isascii() for _, _, headers in services.asked)


async def test_the_interface_for_programs() -> None:
    services = Services(
        details=Answer.of_json({"id": 0}), reviews=Answer.of_json({"id": "0"}), ratings=Answer(503, b"")
    )
    shop = Shop("v1", services, b"k")
    assert json.loads((await shop(get("/api/v1/products"))).body)[0]["title"] == "The Comedy of Errors"
    assert json_of(await shop(get("/api/v1/products/0"))) == {"id": 0}
    assert json_of(await shop(get("/api/v1/products/0/reviews"))) == {"id": "0"}
    assert (await shop(get("/api/v1/products/0/ratings"))).status == 503
    assert (await shop(get("/api/v1/products/9"))).status == 404
    assert (await shop(get("/api/v1/products/0/other"))).status == 404


async def test_static_files() -> None:
    shop = Shop("v1", Services(), b"k")
    assert (await shop(get("/static/bookinfo.css"))).content_type.startswith(b"text/css")
    assert (await shop(get("/static/../apps.py"))).status == 404
