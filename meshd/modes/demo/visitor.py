"""Someone who looks at the demo from outside: the page, the admin interfaces, the plain ports."""

from __future__ import annotations

import hashlib
import re
import ssl

import attrs
import trio

from meshd.errors import ConnectionLost, MeshdError
from meshd.http.head import Headers, RequestHead
from meshd.modes.demo.client import Client
from meshd.modes.demo.page import Hop
from meshd.modes.demo.plan import HOST, Plan, Workload
from meshd.modes.process import World
from meshd.net.address import Address
from meshd.net.connection import Network
from meshd.net.tls import wrap_client

MOST_BODY = 4 * 1024 * 1024
"""Bytes of a page or a configuration dump."""
PATIENCE = 12.0
"""Seconds for a page; a page that waits twice for reviews needs six."""

_HOP = re.compile(
    r"<strong>([\w-]+)</strong> <code>(v\d)</code></td><td>(?:<code title=\"SHA-256 (\w*)\">([^<]+)</code>|none: plain text)"
)


@attrs.frozen
class Page:
    """What a visitor makes of a page."""

    status: int
    text: str = attrs.field(repr=False)
    seconds: float

    @property
    def whole(self) -> bool:
        """Details and reviews are both there."""
        return self.status == 200 and "Error fetching" not in self.text and 'id="reviews"' in self.text

    @property
    def reviews(self) -> str:
        """Who served the reviews: ``reviews-v2``; "" when nobody did."""
        found = re.search(r"served by <code>(reviews-v\d)</code>", self.text)
        return found[1] if found else ""

    @property
    def stars(self) -> str:
        """``none``, ``black``, ``red`` or ``unavailable``."""
        if "Ratings service is currently unavailable" in self.text:
            return "unavailable"
        found = re.search(r'class="rating (black|red)"', self.text)
        return found[1] if found else "none"

    @property
    def hops(self) -> tuple[Hop, ...]:
        """Who answered whom, by which certificate."""
        return tuple(
            Hop(service, version, caller or "", certificate or "")
            for service, version, certificate, caller in _HOP.findall(self.text)
        )


@attrs.frozen
class Visitor:
    """Makes requests. Errors are ``MeshdError``."""

    plan: Plan
    network: Network
    client: Client

    @classmethod
    def make(cls, plan: Plan, world: World) -> Visitor:
        """A visitor in this world."""
        return cls(plan, world.network, Client(world.network))

    async def get(
        self, address: Address, path: str, *, authority: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> tuple[int, str]:
        """Status and body.

        Raises:
            MeshdError: there is no answer.
        """
        head = RequestHead(b"GET", path.encode(), (authority or str(address)).encode(), Headers.of(headers))
        with trio.move_on_after(PATIENCE):
            answer, body = await self.client.request(address, head, most=MOST_BODY)
            return answer.status, body.decode("utf-8", "replace")
        raise ConnectionLost(f"no answer from {address} within {PATIENCE:.0f} seconds")

    async def page(self) -> Page:
        """The product page."""
        began = trio.current_time()
        status, text = await self.get(self.plan.gateway, "/productpage")
        return Page(status, text, trio.current_time() - began)

    async def not_ready(self) -> list[str]:
        """The proxies that are not ready yet."""
        waiting = []
        for name, address in self.plan.admins.items():
            try:
                status, _ = await self.get(address, "/ready")
            except MeshdError:
                status = 0
            if status != 200:
                waiting.append(name)
        return waiting

    async def ask_as(self, caller: Workload, authority: str, path: str) -> tuple[int, str]:
        """What a workload would be told by another one: through its own sidecar."""
        return await self.get(Address(HOST, caller.outbound), path, authority=authority)

    async def plain_text(self, workload: Workload) -> str:
        """Knock at a sidecar's inbound port without TLS: "" when refused, else what it said."""
        connection = await self.network.connect(Address(HOST, workload.inbound))
        try:
            with trio.move_on_after(PATIENCE):
                await connection.send(b"GET /health HTTP/1.1\r\nhost: %b\r\n\r\n" % workload.service.encode())
                return (await connection.receive()).decode("latin-1")
        except MeshdError:
            return ""
        finally:
            connection.close()
        raise ConnectionLost("neither an answer nor a refusal")

    async def certificate(self, workload: Workload) -> str:
        """SHA-256 of the certificate that a sidecar shows to whoever connects now.

        Nothing is proved to it, so it will hang up on us; but it has shown itself first.
        """
        # Not to trust anybody, but to look.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["istio-http/1.1"])
        shown = b""

        def look(tls: ssl.SSLObject) -> str:
            nonlocal shown
            shown = tls.getpeercert(binary_form=True) or b""
            return ""

        connection = await self.network.connect(Address(HOST, workload.inbound))
        try:
            with trio.move_on_after(PATIENCE):
                await wrap_client(connection, context, verify=look)
                return hashlib.sha256(shown).hexdigest()
        finally:
            connection.close()
        raise ConnectionLost(f"the sidecar of {workload.name} does not shake hands")
