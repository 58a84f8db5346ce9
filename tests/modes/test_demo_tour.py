"""The tour says what it saw, and does not say it saw what it did not. The demo itself is played here, on virtual time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio

from meshd.errors import ConnectionLost
from meshd.modes.demo import books
from meshd.modes.demo.page import Hop, ProductPage, render
from meshd.modes.demo.plan import PORTS_NEEDED, Plan, Workload, environment, make_plan
from meshd.modes.demo.tour import Tour, make
from meshd.modes.demo.visitor import Page
from meshd.net.address import Address

CALLER = "spiffe://cluster.local/ns/default/sa/somebody"


def plan(directory: Path) -> Plan:
    made = make_plan(directory, Address("127.0.0.1", 8080), range(20_000, 20_000 + PORTS_NEEDED), certificate_ttl="24h")
    made.store.mkdir()
    made.examples.mkdir()
    for name in ("reviews-v3", "reviews-80-20", "ratings-abort", "ratings-delay", "ratings-deny"):
        (made.examples / f"{name}.yaml").write_text(name)
    return made


@attrs.define
class Play:
    """A demo that does what its store says, ``lag`` seconds later, and can be made to misbehave."""

    plan: Plan
    lag: float = 0.2
    seconds: float = 0.02
    hops: Callable[[Hop], Hop] = lambda hop: hop
    plain_text_answer: str = ""
    denied: int = 403
    fails_while_dead: bool = False
    renews: bool = True
    pids: dict[str, int] = attrs.Factory(dict)
    _turn: int = 0
    _looks: int = 0
    _known: frozenset[str] = frozenset()
    _changes: list[tuple[float, frozenset[str]]] = attrs.Factory(list)
    _dead: dict[str, float] = attrs.Factory(dict)

    def _active(self) -> frozenset[str]:
        now = trio.current_time()
        names = frozenset(path.stem for path in self.plan.store.iterdir())
        if not self._changes or self._changes[-1][1] != names:
            self._changes.append((now, names))
        for at, then in self._changes:
            if at + self.lag <= now:
                self._known = then
        return self._known

    # What the visitor sees.

    async def page(self) -> Page:
        active = self._active()
        took = self.seconds + (1.5 if "ratings-delay" in active else 0)
        await trio.sleep(took)
        if self.fails_while_dead and any(not self.is_alive(name) for name in self._dead):
            raise ConnectionLost("connection refused")
        self._turn += 1
        if "reviews-v3" in active:
            version = "v3"
        elif "reviews-80-20" in active:
            version = "v2" if self._turn % 5 == 0 else "v1"
        else:
            version = f"v{self._turn % 3 + 1}"
        rated = None if active & {"ratings-abort", "ratings-deny"} else books.ratings(0)
        names = (("productpage", "v1"), ("details", "v1"), ("reviews", version), ("ratings", "v1"))
        hops = [self.hops(Hop(service, number, CALLER, "ab" * 32)) for service, number in names]
        text = render(ProductPage(books.PRODUCTS[0], books.details("v1", 0), books.reviews(version, 0, rated), hops))
        return Page(200, text, took)

    async def plain_text(self, workload: Workload) -> str:
        return self.plain_text_answer

    async def ask_as(self, caller: Workload, authority: str, path: str) -> tuple[int, str]:
        return (200, "{}") if caller.service == "productpage" else (self.denied, "RBAC: access denied")

    async def certificate(self, workload: Workload) -> str:
        self._looks += 1
        return ("new" if self.renews and self._looks > 5 else "old") * 8

    # The processes.

    def pid(self, name: str) -> int:
        if self.is_alive(name) and name in self._dead:
            return 2
        return 1

    def is_alive(self, name: str) -> bool:
        return trio.current_time() >= self._dead.get(name, 0.0)

    def signal(self, name: str, number: int) -> None:
        self._dead[name] = trio.current_time() + 1.0


async def toured(play: Play) -> tuple[int, list[str]]:
    said: list[str] = []
    code = await make(play.plan, play, play, said.append, 3.0)  # type: ignore[arg-type]
    return code, said


async def test_all_is_seen(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    play = Play(plan(tmp_path))
    code, said = await toured(play)
    assert code == 0, said
    stops = Tour(play.plan, play, play).stops()  # type: ignore[arg-type]
    assert len([line for line in said if line.startswith("ok    ")]) == len(stops) + 1
    assert said[-1].startswith("All seen")
    assert list(play.plan.store.iterdir()) == [], "what was put into the store is taken out again"


@pytest.mark.parametrize(
    ("change", "stop", "why"),
    [
        ({"hops": lambda hop: attrs.evolve(hop, caller="")}, "mutual TLS on every hop", "without a certificate"),
        ({"plain_text_answer": "HTTP/1.1 200 OK"}, "plain text is refused", "answered: HTTP/1.1 200 OK"),
        ({"lag": 1.4}, "a route changes", "not within 1 s"),
        ({"denied": 200}, "a policy refuses", "reviews 200 (expected 403)"),
        (
            {"fails_while_dead": True},
            "a sidecar is killed under traffic",
            "requests failed, the first: connection refused",
        ),
        ({"renews": False}, "certificates are renewed under traffic", "still shows"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
async def test_what_is_not_seen_is_said(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, change: dict, stop: str, why: str
) -> None:
    code, said = await toured(Play(plan(tmp_path), **change))
    assert code == 1
    failed = [line for line in said if line.startswith(f"FAIL  {stop}: ")]
    assert len(failed) == 1, said
    assert why in failed[0]


async def test_a_tour_ends(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    code, said = await toured(Play(plan(tmp_path), seconds=5.0))
    assert code == 1
    assert trio.current_time() <= 60
    assert "took longer than" in said[-2]


def test_every_process_has_its_own_ports(tmp_path: Path) -> None:
    made = plan(tmp_path)
    members = made.members()
    assert len({member.name for member in members}) == len(members) == 16
    ports = [port for each in made.workloads for port in (each.app, each.inbound, each.outbound, each.admin)]
    assert len({*ports, made.control, made.console, made.gateway_admin}) == PORTS_NEEDED
    assert [member.name for member in members if member.waits] == [
        *(f"{each.name}.sidecar" for each in made.workloads),
        "gateway",
    ]


def test_the_users_own_settings_do_not_reach_the_demo(tmp_path: Path) -> None:
    made = plan(tmp_path)
    found = environment(made, {"MESHD_SIDECAR_CONTROL": "https://elsewhere", "PATH": "/bin"})
    assert found == {"PATH": "/bin", "MESHD_RUNTIME_DIR": str(made.runtime), "PYTHONUNBUFFERED": "1"}
