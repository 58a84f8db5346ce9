"""The demo's configuration says what Istio's Bookinfo sample says."""

from __future__ import annotations

from importlib import resources
from typing import Any

import pytest
import yaml

from tests.corpus import corpus_path

STORE = resources.files("meshd.modes.demo").joinpath("store")


def objects(text: str) -> dict[tuple[str, str], Any]:
    found = [document for document in yaml.safe_load_all(text) if document]
    return {(each["kind"], each["metadata"]["name"]): each.get("spec") for each in found}


@pytest.mark.parametrize(
    ("ours", "theirs"), [("gateway.yaml", "bookinfo-gateway.yaml"), ("versions.yaml", "destination-rule-all.yaml")]
)
def test_same_meaning_as_the_sample(ours: str, theirs: str) -> None:
    sample = corpus_path(f"istio/samples/bookinfo/networking/{theirs}").read_text(encoding="utf-8")
    assert objects(STORE.joinpath(ours).read_text(encoding="utf-8")) == objects(sample)


def test_services_are_those_of_the_sample() -> None:
    sample = objects(corpus_path("istio/samples/bookinfo/platform/kube/bookinfo.yaml").read_text(encoding="utf-8"))
    ours = objects(STORE.joinpath("services.yaml").read_text(encoding="utf-8"))
    services = {name: spec for (kind, name), spec in sample.items() if kind == "Service"}
    assert {name: spec for (_, name), spec in ours.items()} == services
