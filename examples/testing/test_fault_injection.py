"""Istio's task "Fault Injection": https://istio.io/latest/docs/tasks/traffic-management/fault-injection/"""

from bookinfo import ROUTES, add_bookinfo, see_page

from meshd.testing import Mesh


async def test_a_delay_shows_that_the_page_is_impatient(mesh: Mesh) -> None:
    """Ratings take seven seconds, reviews would wait for them, the page waits three: Bookinfo's well-known bug."""
    add_bookinfo(mesh, "all-v1", "reviews-jason-v2")
    mesh.load(ROUTES / "ratings-jason-delay.yaml")
    answer, page = await see_page(mesh, "jason")
    assert page["reviews"] == {"status": 0}
    assert answer.took == 3.0

    answer, page = await see_page(mesh, "bob")
    assert page["reviews"]["status"] == 200
    assert answer.took == 0.0


async def test_reviews_wait_for_as_long_as_ratings_take(mesh: Mesh) -> None:
    add_bookinfo(mesh, "ratings-jason-delay")
    answer = await mesh.call("reviews-v2", "GET http://ratings:9080/ratings/0", headers={"end-user": "jason"})
    answer.expect(status=200, served_by="ratings-v1", flags="DI", took=7.0)


async def test_an_abort_is_never_seen_by_ratings(mesh: Mesh) -> None:
    add_bookinfo(mesh, "all-v1", "reviews-jason-v2")
    mesh.load(ROUTES / "ratings-jason-abort.yaml")
    _, page = await see_page(mesh, "jason")
    assert page["reviews"] == {"status": 200, "by": "reviews-v2", "ratings": {"status": 500}}
    assert mesh.services["ratings"].requests == []
    to_ratings = [record for record in mesh.workload("reviews-v2").proxy.log if record.host == "ratings:9080"]
    assert to_ratings[-1].flags == ("FI",)
