"""The product page: values in, HTML out. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import attrs

DETAIL_ROWS = (
    ("Type", "type"),
    ("Pages", "pages"),
    ("Publisher", "publisher"),
    ("Language", "language"),
    ("ISBN-10", "ISBN-10"),
    ("ISBN-13", "ISBN-13"),
)
MOST_STARS = 5


@attrs.frozen
class Hop:
    """One call that made the page: who answered, and whose certificate it saw ("" without mutual TLS)."""

    service: str
    version: str
    caller: str
    certificate: str = ""
    """SHA-256, hexadecimal."""


@attrs.frozen
class ProductPage:
    """What a page shows; ``details`` and ``reviews`` are the services' answers, or ``{"error": ...}``."""

    product: Mapping[str, Any]
    details: Mapping[str, Any]
    reviews: Mapping[str, Any]
    hops: Sequence[Hop]
    user: str = ""
    """Who is signed in; "" for nobody."""


def render(page: ProductPage) -> str:
    """The page as HTML; every value is escaped."""
    return _document(
        title=str(page.product["title"]),
        header=_header(page.user),
        body=f"""
<section class="book">
  <div class="cover" aria-hidden="true"><span>The<br>Comedy<br>of<br>Errors</span></div>
  <div>
    <h1>{escape(str(page.product["title"]))}</h1>
    <p class="author">{escape(str(page.details.get("author", "")))}{_year(page.details)}</p>
    <p class="summary">{escape(str(page.product["description"]))}</p>
  </div>
</section>
<div class="columns">
  {_details(page.details)}
  {_reviews(page.reviews)}
</div>
{_hops(page.hops)}""",
    )


def _document(*, title: str, header: str, body: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)} · Bookinfo</title>
<link rel="stylesheet" href="/static/bookinfo.css">
<link rel="icon" href="/static/book.svg">
</head>
<body>
{header}
<main>{body}
</main>
</body>
</html>
"""


def _header(user: str) -> str:
    if user:
        who = f"""<form class="who" method="post" action="/logout">
  <span>Signed in as <strong>{escape(user)}</strong></span><button>Sign out</button></form>"""
    else:
        who = """<form class="who" method="post" action="/login">
  <label for="username">Name</label><input id="username" name="username" maxlength="40" placeholder="jason"
   autocomplete="username" required><button>Sign in</button></form>"""
    return f"""<header><a class="brand" href="/productpage"><img src="/static/book.svg" alt="">Bookinfo</a>{who}</header>"""


def _year(details: Mapping[str, Any]) -> str:
    return f" · {escape(str(details['year']))}" if "year" in details else ""


def _trouble(what: str, error: object) -> str:
    return f"""<p class="trouble" role="alert"><strong>Error fetching product {what}!</strong><br>{escape(str(error))}</p>"""


def _details(details: Mapping[str, Any]) -> str:
    if "error" in details:
        content = _trouble("details", details["error"])
    else:
        rows = "".join(
            f"<tr><th>{label}</th><td>{escape(str(details[key]))}</td></tr>"
            for label, key in DETAIL_ROWS
            if key in details
        )
        content = f"<table>{rows}</table>"
    return f"""<section class="card" id="details"><h2>Book Details</h2>{content}</section>"""


def _reviews(reviews: Mapping[str, Any]) -> str:
    if "error" in reviews:
        content = _trouble("reviews", reviews["error"])
        served = ""
    else:
        content = "".join(_review(review) for review in reviews["reviews"])
        served = f"""<p class="served">Reviews served by <code>{escape(str(reviews["podname"]))}</code></p>"""
    return f"""<section class="card" id="reviews"><h2>Book Reviews</h2>{content}{served}</section>"""


def _review(review: Mapping[str, Any]) -> str:
    rating = review.get("rating")
    return f"""
<blockquote>
  <p>{escape(str(review["text"]))}</p>
  <footer>{escape(str(review["reviewer"]))}</footer>
  {_stars(rating) if rating is not None else ""}
</blockquote>"""


def _stars(rating: Mapping[str, Any]) -> str:
    if "error" in rating:
        return f"""<p class="rating unavailable"><em>{escape(str(rating["error"]))}</em></p>"""
    stars = max(0, min(MOST_STARS, int(rating["stars"])))
    colour = "red" if rating.get("color") == "red" else "black"
    return (
        f"""<p class="rating {colour}" role="img" aria-label="{stars} of {MOST_STARS} stars, {colour}">"""
        f"""{"★" * stars}<span class="missing">{"☆" * (MOST_STARS - stars)}</span></p>"""
    )


def _hops(hops: Sequence[Hop]) -> str:
    if not hops:
        return ""
    rows = "".join(
        f"""<tr class="{"locked" if hop.caller else "open"}"><td><span class="lock" aria-hidden="true"></span>
<strong>{escape(hop.service)}</strong> <code>{escape(hop.version)}</code></td><td>{_caller(hop)}</td></tr>"""
        for hop in hops
    )
    return f"""<section class="card" id="hops"><h2>How this page came to be</h2>
<table><thead><tr><th>Who answered</th><th>Whose certificate it saw</th></tr></thead><tbody>{rows}</tbody></table></section>"""


def _caller(hop: Hop) -> str:
    if not hop.caller:
        return "none: plain text"
    return f"""<code title="SHA-256 {escape(hop.certificate)}">{escape(hop.caller)}</code>"""
