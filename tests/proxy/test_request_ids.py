"""x-request-id."""

from __future__ import annotations

import random
import uuid

from meshd.proxy.request_ids import RequestIds


def test_they_are_version_4_uuids_and_never_the_same():
    ids = RequestIds(random.Random(7))
    made = [ids.take().decode() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122


def test_the_same_randomness_gives_the_same_ids():
    one, other = RequestIds(random.Random(7)), RequestIds(random.Random(7))
    assert [one.take() for _ in range(300)] == [other.take() for _ in range(300)]
