"""The four applications of Bookinfo: a request in, other services asked, an answer out.

They know nothing of the mesh. A call to ``reviews:9080`` is an HTTP request to
the local sidecar with that Host; who is on the other side, over what and by
which rule is none of their business. They do pass on the headers that tracing
needs, and ``end-user``, as every application in a mesh has to.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import Any
from urllib.parse import parse_qs

import attrs
import trio

from meshd.errors import MeshdError
from meshd.modes.demo import books
from meshd.modes.demo.page import Hop, ProductPage, render

logger = logging.getLogger(__name__)

Headers = tuple[tuple[bytes, bytes], ...]

PASSED_ON = (
    b"x-request-id",
    b"traceparent",
    b"tracestate",
    b"b3",
    b"x-b3-traceid",
    b"x-b3-spanid",
    b"x-b3-parentspanid",
    b"x-b3-sampled",
    b"x-b3-flags",
    b"baggage",
    b"user-agent",
)
"""Headers of a request that go with every call it causes."""

STATIC = {"bookinfo.css": b"text/css; charset=utf-8", "book.svg": b"image/svg+xml"}
PRODUCT_PATH = re.compile(r"/api/v1/products/(\d+)(?:/(reviews|ratings))?")
MOST_USER = 40
"""Characters of a user's name."""


@attrs.frozen
class Call:
    """A request, as an application sees it. ``path`` is without the query; ``headers`` have lower-case names."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes = b""

    @property
    def caller(self) -> str:
        """The SPIFFE id in the certificate that the sidecar saw, "" without one (x-forwarded-client-cert)."""
        return self._of_certificate(r"URI=(spiffe://[^;,\"]+)")

    @property
    def certificate(self) -> str:
        """The SHA-256 of that certificate, in hexadecimal, "" without one."""
        return self._of_certificate(r"Hash=([0-9a-f]{64})")

    def _of_certificate(self, pattern: str) -> str:
        # The last element is the one our own sidecar wrote; those before it are what callers say.
        last = self.headers.get(b"x-forwarded-client-cert", b"").decode("latin-1").rpartition(",")[2]
        found = re.search(pattern, last)
        return found[1] if found else ""

    def passed_on(self) -> Headers:
        """The headers that go with every call it causes."""
        return tuple((name, self.headers[name]) for name in (*PASSED_ON, b"end-user") if name in self.headers)


@attrs.frozen
class Answer:
    """A response. ``location`` and ``cookie`` only when not empty."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: Headers = ()

    @classmethod
    def of_json(cls, value: Any, status: int = 200) -> Answer:
        """A JSON answer."""
        return cls(status, json.dumps(value).encode())


Ask = Callable[[str, str, Headers], Awaitable[Answer]]
"""``await ask("reviews:9080", "/reviews/0", headers)``; raises MeshdError when there is no answer."""
App = Callable[[Call], Awaitable[Answer]]

NOT_FOUND = Answer.of_json({"error": "no such page"}, 404)


def hop(service: str, version: str, call: Call) -> dict[str, str]:
    """What a service adds to its answer, so that the page can show who spoke to whom."""
    return {"service": service, "version": version, "caller": call.caller, "certificate": call.certificate}


def product_of(path: str, prefix: str) -> int | None:
    """The product's number in ``/prefix/N``, None when there is none."""
    number = path.removeprefix(prefix)
    return (
        int(number) if path.startswith(prefix) and number.isascii() and number.isdigit() and len(number) < 10 else None
    )


def health(call: Call) -> Answer | None:
    """``/health``, which every service has."""
    return Answer.of_json({"status": "healthy"}) if call.path == "/health" else None


def details(version: str) -> App:
    """The details service."""

    async def app(call: Call) -> Answer:
        product = product_of(call.path, "/details/")
        if product is None:
            return health(call) or NOT_FOUND
        return Answer.of_json(books.details(version, product) | {"hops": [hop("details", version, call)]})

    return app


def ratings(version: str) -> App:
    """The ratings service."""

    async def app(call: Call) -> Answer:
        product = product_of(call.path, "/ratings/")
        if product is None:
            return health(call) or NOT_FOUND
        return Answer.of_json(books.ratings(product) | {"hops": [hop("ratings", version, call)]})

    return app


def reviews(version: str, ask: Ask) -> App:
    """The reviews service; v2 and v3 ask ratings."""

    async def app(call: Call) -> Answer:
        product = product_of(call.path, "/reviews/")
        if product is None:
            return health(call) or NOT_FOUND
        hops = [hop("reviews", version, call)]
        rated = None
        if version in books.RATINGS_TIMEOUT:
            rated = await fetched(
                ask, "ratings:9080", f"/ratings/{product}", call.passed_on(), books.RATINGS_TIMEOUT[version]
            )
            hops += (rated or {}).get("hops", [])
        return Answer.of_json(books.reviews(version, product, rated) | {"hops": hops})

    return app


async def fetched(ask: Ask, authority: str, path: str, headers: Headers, seconds: float) -> dict[str, Any] | None:
    """A service's JSON answer; None when it failed, took too long or made no sense (the log says which)."""
    try:
        with trio.fail_after(seconds):
            answer = await ask(authority, path, headers)
        value = json.loads(answer.body) if answer.status == 200 else None
    except trio.TooSlowError:
        logger.warning("no answer in time", extra={"service": authority, "seconds": seconds})
    except (MeshdError, ValueError) as error:
        logger.warning("no answer", extra={"service": authority, "error": str(error)})
    else:
        if isinstance(value, dict):
            return value
        logger.warning("no usable answer", extra={"service": authority, "status": answer.status})
    return None


@attrs.frozen
class Shop:
    """The productpage: pages for people, an API for programs, signing in and out."""

    version: str
    ask: Ask
    session_key: bytes = attrs.field(repr=False)

    async def __call__(self, call: Call) -> Answer:
        """Answer one request."""
        if call.path == "/productpage":
            return await self._page(call)
        if call.path == "/login" and call.method == "POST":
            return self._login(call)
        if call.path in {"/login", "/logout"}:
            return self._redirect(b"session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
        if call.path.startswith("/static/"):
            return self._static(call.path.removeprefix("/static/"))
        if call.path == "/api/v1/products":
            return Answer.of_json(books.PRODUCTS)
        if found := PRODUCT_PATH.fullmatch(call.path):
            return await self._api(call, int(found[1]), found[2] or "")
        return health(call) or NOT_FOUND

    async def _page(self, call: Call) -> Answer:
        user = self._user(call)
        found: dict[str, dict[str, Any]] = {}

        async def look_up(service: str, missing: dict[str, str]) -> None:
            found[service] = await self._fetch(service, 0, self._headers(call, user)) or missing

        # Neither look-up raises what a service can cause; a bug in one takes the page down.
        async with trio.open_nursery() as page_nursery:
            page_nursery.start_soon(look_up, "details", books.DETAILS_UNAVAILABLE)
            page_nursery.start_soon(look_up, "reviews", books.REVIEWS_UNAVAILABLE)
        hops = [hop("productpage", self.version, call)]
        hops += [*found["details"].get("hops", ()), *found["reviews"].get("hops", ())]
        page = ProductPage(
            product=books.PRODUCTS[0],
            details=found["details"],
            reviews=found["reviews"],
            hops=[Hop(**entry) for entry in hops],
            user=user,
        )
        return Answer(200, render(page).encode(), b"text/html; charset=utf-8", ((b"cache-control", b"no-store"),))

    async def _api(self, call: Call, product: int, part: str) -> Answer:
        if product >= len(books.PRODUCTS):
            return Answer.of_json({"error": "no such product"}, 404)
        service = part or "details"
        answer = await self._fetch(service, product, self._headers(call, self._user(call)))
        if answer is None:
            return Answer.of_json({"error": f"{service} gives no answer"}, 503)
        return Answer.of_json(answer)

    async def _fetch(self, service: str, product: int, headers: Headers) -> dict[str, Any] | None:
        for _ in range(books.PAGE_TRIES):
            answer = await fetched(self.ask, f"{service}:9080", f"/{service}/{product}", headers, books.PAGE_TIMEOUT)
            if answer is not None:
                return answer
        return None

    def _headers(self, call: Call, user: str) -> Headers:
        passed = tuple(item for item in call.passed_on() if item[0] != b"end-user")
        return (*passed, (b"end-user", user.encode())) if user else passed

    def _static(self, name: str) -> Answer:
        if name not in STATIC:
            return NOT_FOUND
        content = resources.files("meshd.modes.demo").joinpath("static", name).read_bytes()
        return Answer(200, content, STATIC[name], ((b"cache-control", b"max-age=3600"),))

    def _login(self, call: Call) -> Answer:
        form = parse_qs(call.body.decode("latin-1"), max_num_fields=8)
        user = form.get("username", [""])[0]
        # It becomes a header: visible ASCII is all that may.
        user = "".join(character for character in user if "!" <= character <= "~")[:MOST_USER]
        if not user:
            return self._redirect(b"session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
        name = base64.urlsafe_b64encode(user.encode())
        return self._redirect(b"session=%b.%b; Path=/; HttpOnly; SameSite=Lax" % (name, self._sign(name)))

    def _redirect(self, cookie: bytes) -> Answer:
        return Answer(302, b"", b"text/plain", ((b"location", b"/productpage"), (b"set-cookie", cookie)))

    def _sign(self, name: bytes) -> bytes:
        return hmac.new(self.session_key, name, hashlib.sha256).hexdigest().encode()

    def _user(self, call: Call) -> str:
        """Who is signed in, by the cookie that was given at the login; "" for nobody or a cookie that is not ours."""
        for pair in call.headers.get(b"cookie", b"").split(b";"):
            key, _, value = pair.strip().partition(b"=")
            name, _, signature = value.rpartition(b".")
            if key == b"session" and name and hmac.compare_digest(signature, self._sign(name)):
                return base64.urlsafe_b64decode(name).decode("ascii")
        return ""
