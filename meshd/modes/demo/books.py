"""What Bookinfo's services know, and how they answer. Pure.

The services, their paths and the shape of their answers are those of Istio's
Bookinfo sample, so that its task pages work here word for word; texts are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

PRODUCTS: tuple[Json, ...] = (
    {
        "id": 0,
        "title": "The Comedy of Errors",
        "description": (
            "Two pairs of twins, parted by a shipwreck, walk about in the same town without knowing it. "
            "Every message reaches the wrong person, which is what a mesh is for."
        ),
    },
)

RATINGS = {"Reviewer1": 5, "Reviewer2": 4}

# Seconds. Version 3 of reviews is the one whose author had thought about it: Istio's
# fault-injection task finds that v2 waits longer than productpage does.
RATINGS_TIMEOUT = {"v2": 10.0, "v3": 2.5}
# Seconds a try; productpage tries twice, so a visitor waits six at most.
PAGE_TIMEOUT = 3.0
PAGE_TRIES = 2

STAR_COLOURS = {"v2": "black", "v3": "red"}

RATINGS_UNAVAILABLE = {"error": "Ratings service is currently unavailable"}
DETAILS_UNAVAILABLE = {"error": "Sorry, product details are currently unavailable for this book."}
REVIEWS_UNAVAILABLE = {"error": "Sorry, product reviews are currently unavailable for this book."}


def details(version: str, product: int) -> Json:
    """What the details service says; v2 has it from the publisher and knows a little more."""
    known: Json = {
        "id": product,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    }
    if version == "v2":
        known |= {"publisher": "Dover Publications", "pages": 96, "ISBN-10": "0486424618", "ISBN-13": "978-0486424613"}
    return known


def ratings(product: int) -> Json:
    """What the ratings service says."""
    return {"id": product, "ratings": dict(RATINGS)}


def reviews(version: str, product: int, rated: Mapping[str, Any] | None) -> Json:
    """What the reviews service says.

    Args:
        version: v1 shows no stars, v2 black ones, v3 red ones.
        product: The book.
        rated: The answer of ratings; None when it did not give one. v1 does not ask.
    """
    texts = {
        "Reviewer1": "I laughed from the first beating to the last. Read it aloud and give everyone two parts.",
        "Reviewer2": "Very funny, and over before one asks why nobody ever says where he has just been.",
    }
    answers: list[Json] = []
    for reviewer, text in texts.items():
        answer: Json = {"reviewer": reviewer, "text": text}
        if version in STAR_COLOURS:
            stars = (rated or {}).get("ratings", {}).get(reviewer)
            colour = STAR_COLOURS[version]
            answer["rating"] = {"stars": stars, "color": colour} if stars is not None else dict(RATINGS_UNAVAILABLE)
        answers.append(answer)
    return {"id": str(product), "podname": f"reviews-{version}", "clustername": "null", "reviews": answers}
