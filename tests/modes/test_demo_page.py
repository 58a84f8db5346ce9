"""The product page shows what the services said, and nothing that they could smuggle in."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from meshd.modes.demo import books
from meshd.modes.demo.page import Hop, ProductPage, render

PRODUCT = books.PRODUCTS[0]


def page(version: str, *, rated: bool = True, user: str = "") -> str:
    reviews = books.reviews(version, 0, books.ratings(0) if rated else None)
    return render(ProductPage(PRODUCT, books.details("v1", 0), reviews, [], user))


def test_v1_has_no_stars() -> None:
    assert "★" not in page("v1")


@pytest.mark.parametrize(("version", "colour"), [("v2", "black"), ("v3", "red")])
def test_stars_have_the_colour_of_the_version(version: str, colour: str) -> None:
    html = page(version)
    assert html.count("★") == 9
    assert html.count(f'class="rating {colour}"') == 2


def test_without_ratings_the_page_says_so() -> None:
    html = page("v2", rated=False)
    assert html.count("Ratings service is currently unavailable") == 2
    assert "★" not in html


def test_unavailable_parts_are_named() -> None:
    html = render(ProductPage(PRODUCT, books.DETAILS_UNAVAILABLE, books.REVIEWS_UNAVAILABLE, []))
    assert "Error fetching product details!" in html
    assert "Sorry, product reviews are currently unavailable for this book." in html


def test_who_is_signed_in() -> None:
    assert "Signed in as <strong>jason</strong>" in page("v1", user="jason")
    assert 'action="/login"' in page("v1")


def test_hops_show_certificates() -> None:
    hops = [Hop("reviews", "v3", "spiffe://cluster.local/ns/default/sa/productpage"), Hop("ratings", "v1", "")]
    html = render(ProductPage(PRODUCT, {}, books.reviews("v1", 0, None), hops))
    assert "spiffe://cluster.local/ns/default/sa/productpage" in html
    assert "none: plain text" in html


def test_values_are_escaped() -> None:
    evil = "<script>alert(1)</script>\"'"
    hop = Hop(evil, evil, evil)
    reviews = {"podname": evil, "reviews": [{"reviewer": evil, "text": evil, "rating": {"error": evil}}]}
    html = render(ProductPage(PRODUCT | {"title": evil}, {"author": evil, "type": evil}, reviews, [hop], evil))

    class Finder(HTMLParser):
        scripts = 0

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.scripts += tag == "script"

    finder = Finder()
    finder.feed(html)
    assert finder.scripts == 0
