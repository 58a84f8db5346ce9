"""Istio's task "Request Timeouts": https://istio.io/latest/docs/tasks/traffic-management/request-timeouts/"""

from bookinfo import add_bookinfo, see_page

from meshd.testing import Mesh


async def test_slow_ratings_make_the_page_slow(mesh: Mesh) -> None:
    add_bookinfo(mesh, "reviews-jason-v2", "ratings-two-seconds")
    answer, page = await see_page(mesh, "jason")
    assert page["reviews"]["ratings"]["status"] == 200
    assert answer.took == 2.0


async def test_a_timeout_keeps_the_page_quick(mesh: Mesh) -> None:
    add_bookinfo(mesh, "reviews-half-second", "ratings-two-seconds")
    answer, page = await see_page(mesh)
    assert page["reviews"] == {"status": 504}
    assert answer.took == 0.5
    to_reviews = [record for record in mesh.workload("productpage").proxy.log if record.host == "reviews:9080"]
    assert (to_reviews[-1].flags, to_reviews[-1].took) == (("UT",), 0.5)
