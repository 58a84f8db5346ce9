"""Istio's Bookinfo, and every file of the sample that changes where its requests go, applied one after the other."""

from __future__ import annotations

import math
from collections import Counter

from meshd.testing import AccessRecord, Mesh, ProxyProcess
from tests.corpus import corpus_path
from tests.journeys.bookinfo import NETWORKING, Bookinfo, open_bookinfo

MANY = 60


async def apply(bookinfo: Bookinfo, name: str) -> None:
    await bookinfo.mesh.apply(corpus_path(f"{NETWORKING}/{name}.yaml"))


async def reviewers(bookinfo: Bookinfo, pages: int, user: str = "") -> Counter[str]:
    """Which version of reviews answered, over many pages."""
    seen: Counter[str] = Counter()
    for _ in range(pages):
        page = await bookinfo.page(user)
        assert page.reviews["status"] == 200
        seen[page.reviews["by"]] += 1
    return seen


def shared(seen: Counter[str], weights: dict[str, float]) -> bool:
    """Are the counts those of the weights, within three and a half standard deviations?"""
    total = sum(seen.values())
    return set(seen) == set(weights) and all(
        abs(seen[name] - total * share) <= 3.5 * math.sqrt(total * share * (1 - share))
        for name, share in weights.items()
    )


def last_call(proxy: ProxyProcess, host: str) -> AccessRecord:
    """What a proxy noted of its application's last call to a host."""
    return [record for record in proxy.log if record.direction == "outbound" and record.host == host][-1]


async def test_every_file_of_the_sample(mesh: Mesh) -> None:
    bookinfo = await open_bookinfo(mesh)
    assert set(await reviewers(bookinfo, 30)) == {"reviews-v1", "reviews-v2", "reviews-v3"}

    await apply(bookinfo, "virtual-service-all-v1")
    assert await reviewers(bookinfo, 10) == {"reviews-v1": 10}
    assert (await bookinfo.page()).details["by"] == "details-v1"
    assert (await bookinfo.page()).ratings is None

    await apply(bookinfo, "virtual-service-reviews-v3")
    assert await reviewers(bookinfo, 10) == {"reviews-v3": 10}
    ratings = (await bookinfo.page()).ratings
    assert ratings == {"status": 200, "by": "ratings-v1"}

    await apply(bookinfo, "virtual-service-reviews-50-v3")
    assert shared(await reviewers(bookinfo, MANY), {"reviews-v1": 0.5, "reviews-v3": 0.5})
    await apply(bookinfo, "virtual-service-reviews-80-20")
    assert shared(await reviewers(bookinfo, MANY), {"reviews-v1": 0.8, "reviews-v2": 0.2})
    await apply(bookinfo, "virtual-service-reviews-90-10")
    assert shared(await reviewers(bookinfo, MANY), {"reviews-v1": 0.9, "reviews-v2": 0.1})
    await apply(bookinfo, "virtual-service-reviews-v2-v3")
    assert shared(await reviewers(bookinfo, MANY), {"reviews-v2": 0.5, "reviews-v3": 0.5})

    await apply(bookinfo, "virtual-service-reviews-test-v2")
    assert await reviewers(bookinfo, 5, "jason") == {"reviews-v2": 5}
    assert await reviewers(bookinfo, 5) == {"reviews-v1": 5}

    await apply(bookinfo, "virtual-service-ratings-test-delay")
    before = mesh.now()
    page = await bookinfo.page("jason")
    assert (page.ratings, page.answer.took) == ({"status": 200, "by": "ratings-v1"}, 7.0)
    assert mesh.now() - before < 7.1
    assert (await bookinfo.page()).answer.took == 0.0

    await apply(bookinfo, "virtual-service-ratings-test-abort")
    page = await bookinfo.page("jason")
    assert (page.ratings, page.answer.took) == ({"status": 500}, 0.0)
    assert last_call(bookinfo.reviews["v2"].proxy, "ratings:9080").flags == ("FI",)

    await apply(bookinfo, "virtual-service-reviews-jason-v2-v3")
    assert await reviewers(bookinfo, 5, "jason") == {"reviews-v2": 5}
    assert await reviewers(bookinfo, 5) == {"reviews-v3": 5}

    await apply(bookinfo, "virtual-service-details-v2")
    assert {(await bookinfo.page()).details["by"] for _ in range(5)} == {"details-v2"}

    await apply(bookinfo, "fault-injection-details-v1")
    assert (await bookinfo.page()).details == {"status": 555}
    assert last_call(bookinfo.productpage.sidecar, "details:9080").flags == ("FI",)


async def test_destination_rules_of_the_sample(mesh: Mesh) -> None:
    bookinfo = await open_bookinfo(mesh)
    await apply(bookinfo, "virtual-service-reviews-v3")
    for name in ("destination-rule-all-mtls", "destination-rule-reviews", "destination-rule-all"):
        await apply(bookinfo, name)
        assert await reviewers(bookinfo, 5) == {"reviews-v3": 5}, name
    outbound = [record for record in bookinfo.productpage.sidecar.log if record.direction == "outbound"]
    assert outbound
    assert all(record.upstream_mtls for record in outbound)


async def test_every_hop_is_mutual_tls(mesh: Mesh) -> None:
    bookinfo = await open_bookinfo(mesh)
    await apply(bookinfo, "virtual-service-reviews-v3")
    await bookinfo.page()
    callers = {
        service.name: {
            record.principal for workload in service for record in workload.proxy.log if record.direction == "inbound"
        }
        for service in (bookinfo.productpage, bookinfo.details, bookinfo.reviews, bookinfo.ratings)
    }
    account = "cluster.local/ns/{}/sa/{}".format
    assert callers == {
        "productpage": {account("istio-system", "istio-ingressgateway")},
        "details": {account("default", "bookinfo-productpage")},
        "reviews": {account("default", "bookinfo-productpage")},
        "ratings": {account("default", "bookinfo-reviews")},
    }
