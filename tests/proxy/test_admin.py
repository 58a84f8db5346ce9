"""The small ports: admin, health, metrics."""

from __future__ import annotations

import json

import pytest
import trio

from meshd.certs.identity import utc_text
from meshd.errors import ConnectionLost
from meshd.net.address import Address
from meshd.proxy.admin import Admin, health_server, metrics_server
from tests.certs.pki import REVIEWS, make_ca
from tests.fakes import answer
from tests.proxy.rig import EPOCH, Rig
from tests.proxy.snapshots import cluster, forward, gateway, route

A = "10.0.0.1:9080"
ADMIN = Address("127.0.0.1", 15000)
IDENTITY = make_ca(not_after=EPOCH + 400 * 86400).issue(REVIEWS, not_before=EPOCH, not_after=EPOCH + 86400)


class Known:
    current = IDENTITY


class Console:
    """An engine with its admin port, and what was asked of the process."""

    async def start(self, nursery) -> Console:
        snapshot = gateway(route(forward("c")), clusters=[cluster("c")], endpoints={"c": [A]}, version="v7")
        self.rig = await Rig.start(nursery, snapshot)
        self.quit = False
        self.level = ""
        self.reason = ""
        engine = self.rig.engine
        admin = Admin(
            engine,
            Known(),
            wall_clock=lambda: EPOCH + 100,
            quit=self._quit,
            set_level=self._level,
            ready=lambda: engine.ready.reason or self.reason,
        )
        network, timers = self.rig.network, self.rig.timers
        await nursery.start(admin.server(timers).serve, network.listen(ADMIN))
        await nursery.start(health_server(lambda: self.reason, timers).serve, network.listen(Address("", 15021)))
        await nursery.start(metrics_server(self.rig.registry, timers).serve, network.listen(Address("", 15090)))
        return self

    def _quit(self) -> None:
        self.quit = True

    def _level(self, level: str) -> None:
        self.level = level

    async def get(self, target: str, *, method: str = "GET", host: str = "localhost:15000", **more: object):
        return await self.rig.client.request(ADMIN, method, target, host=host, **more)


async def test_ready_or_why_not(nursery, autojump_clock):
    console = await Console().start(nursery)
    got = await console.get("/ready")
    assert (got.status, got.body) == (200, b"LIVE\n")
    console.reason = "no certificate yet"
    got = await console.get("/ready")
    assert (got.status, got.body) == (503, b"not ready: no certificate yet\n")


async def test_the_configuration_is_shown_with_its_version(nursery, autojump_clock):
    console = await Console().start(nursery)
    shown = json.loads((await console.get("/config_dump")).body)
    assert shown["version"] == "v7"
    assert [c["name"] for c in shown["snapshot"]["clusters"]] == ["c"]


async def test_no_secret_is_shown_anywhere(nursery, autojump_clock):
    console = await Console().start(nursery)
    for path in ("/config_dump", "/certs", "/clusters", "/listeners", "/stats/prometheus"):
        body = (await console.get(path)).body
        assert b"PRIVATE" not in body
        assert IDENTITY.key_pem.encode() not in body


async def test_certificates(nursery, autojump_clock):
    console = await Console().start(nursery)
    (shown,) = json.loads((await console.get("/certs")).body)["certificates"]
    assert shown["spiffe_id"] == REVIEWS
    assert shown["seconds_left"] == 86300
    assert (shown["not_before"], shown["not_after"]) == (utc_text(EPOCH), utc_text(EPOCH + 86400))
    assert shown["not_after"].endswith("Z")


async def test_clusters_as_text_and_as_json(nursery, autojump_clock):
    console = await Console().start(nursery)
    await console.rig.upstream(A, behaviour=answer(500))
    await console.rig.get()
    text = (await console.get("/clusters")).body.decode()
    assert f"c::{A}::rq_total::1\n" in text
    assert f"c::{A}::rq_error::1\n" in text
    (shown,) = json.loads((await console.get("/clusters?format=json")).body)["clusters"]
    (host,) = shown["hosts"]
    assert (host["address"], host["failures"], host["connections"]) == (A, 1, 1)


async def test_listeners(nursery, autojump_clock):
    console = await Console().start(nursery)
    assert (await console.get("/listeners")).body == b"0.0.0.0_80:::80\n"
    shown = json.loads((await console.get("/listeners?format=json")).body)
    assert shown["listeners"][0]["name"] == "0.0.0.0_80"


async def test_metrics_on_both_ports(nursery, autojump_clock):
    console = await Console().start(nursery)
    await console.rig.upstream(A)
    await console.rig.get()
    one = await console.get("/stats/prometheus")
    other = await console.rig.client.get(Address("127.0.0.1", 15090), "/stats/prometheus", host="anyone:1")
    for got in (one, other):
        assert b"istio_requests_total{" in got.body
        assert (got.header("content-type") or "").startswith("text/plain; version=0.0.4")


async def test_health_is_for_anyone(nursery, autojump_clock):
    console = await Console().start(nursery)
    at = Address("127.0.0.1", 15021)
    assert (await console.rig.client.get(at, "/healthz/ready", host="10.1.2.3:15021")).status == 200
    console.reason = "draining"
    assert (await console.rig.client.get(at, "/healthz/ready")).status == 503


@pytest.mark.parametrize("path", ["/drain", "/quitquitquit", "/logging?level=debug"])
async def test_changes_need_post(nursery, autojump_clock, path):
    console = await Console().start(nursery)
    got = await console.get(path)
    assert (got.status, got.headers.get(b"allow")) == (405, b"POST")
    assert not console.quit
    assert console.level == ""
    assert console.rig.engine.ready


async def test_looking_needs_get(nursery, autojump_clock):
    console = await Console().start(nursery)
    refused = await console.get("/ready", method="POST")
    assert (refused.status, refused.headers.get(b"allow")) == (405, b"GET, HEAD")
    got = await console.get("/ready", method="HEAD")
    assert (got.status, got.body) == (200, b"")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:15000", "10.0.0.1", "localhost.evil.example"])
async def test_another_name_is_refused(nursery, autojump_clock, host):
    console = await Console().start(nursery)
    assert (await console.get("/quitquitquit", method="POST", host=host)).status == 403
    assert not console.quit


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:15000", "[::1]:15000"])
async def test_loopback_names_are_accepted(nursery, autojump_clock, host):
    console = await Console().start(nursery)
    assert (await console.get("/ready", host=host)).status == 200


async def test_a_page_of_another_origin_is_refused(nursery, autojump_clock):
    console = await Console().start(nursery)
    got = await console.get("/quitquitquit", method="POST", headers=[(b"origin", b"http://evil.example")])
    assert got.status == 403
    got = await console.get("/quitquitquit", method="POST", headers=[(b"origin", b"http://localhost:15000")])
    assert (got.status, console.quit) == (200, True)


async def test_the_log_level(nursery, autojump_clock):
    console = await Console().start(nursery)
    assert (await console.get("/logging?level=debug", method="POST")).status == 200
    assert console.level == "debug"
    assert (await console.get("/logging?level=loud", method="POST")).status == 400


async def test_drain_by_admin(nursery, autojump_clock):
    console = await Console().start(nursery)
    assert (await console.get("/drain", method="POST")).status == 200
    assert (await console.get("/ready")).status == 503
    with pytest.raises(ConnectionLost):
        await console.rig.network.connect(Address("127.0.0.1", 80))


async def test_help_and_the_unknown(nursery, autojump_clock):
    console = await Console().start(nursery)
    got = await console.get("/")
    assert got.status == 200
    assert b"POST /drain\n" in got.body
    assert (await console.get("/nothing")).status == 404


async def test_connections_are_bounded(nursery, autojump_clock):
    console = await Console().start(nursery)
    network = console.rig.network
    held = [await network.connect(ADMIN) for _ in range(100)]
    await trio.sleep(0.1)
    extra = await network.connect(ADMIN)
    assert await extra.receive() == b""
    for connection in held:
        connection.close()
    await trio.sleep(0.1)
    assert (await console.get("/ready")).status == 200
