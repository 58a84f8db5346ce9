"""What Istio takes, meshd takes: no Error for any document of the Istio corpus that Istio regards as valid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from meshd.api.load import Loader
from meshd.api.problem import Level
from meshd.control.finding import Finding
from meshd.control.sources.source import read_entries
from tests.corpus import corpus_path

LOADER = Loader()

TESTDATA = "istio/pkg/config/analysis/analyzers/testdata"

ALSO_REFUSED: dict[tuple[str, str], str] = {
    ("condition-analyzer.yaml", "ServiceEntry default/negative-condition-svcEntry"): "Istio's schema requires hosts",
    ("conflicting-gateways-multiple-ports.yaml", "Gateway default/alpha"): "port names are unique in Istio too",
    ("conflicting-gateways-multiple-ports.yaml", "Gateway default/beta"): "port names are unique in Istio too",
    ("envoy-filter-add-operation.yaml", "EnvoyFilter bookinfo/test-auth-4"): "no match has a field app",
    ("envoy-filter-add-operation.yaml", "EnvoyFilter bookinfo/test-auth-5"): "no match has a field app",
    (
        "envoy-filter-remove-operation.yaml",
        "EnvoyFilter bookinfo/test-remove-2",
    ): "a route is patched, a listener matched: Istio refuses it",
    (
        "envoy-filter-remove-operation.yaml",
        "EnvoyFilter bookinfo/test-remove-3",
    ): "a route is patched, a listener matched: Istio refuses it",
    (
        "envoy-filter-remove-operation.yaml",
        "EnvoyFilter bookinfo/test-remove-4",
    ): "there is no patch: Istio refuses it",
    ("gateway-secrets.yaml", "Gateway default/defaultgateway-bogusCredentialName"): "Kubernetes takes no such name",
    ("gateway-secrets.yaml", "Gateway default/defaultgateway-nocredential"): "SIMPLE needs a certificate in Istio too",
    ("virtualservice_host_not_found_gateway.yaml", "Gateway istio-system/testing-gateway-01-test-04"): (
        "port names are unique in Istio too"
    ),
}
"""Documents of the analyzers' own data that Istio or Kubernetes would not take either, and why."""


def errors(file: Path) -> Iterator[Finding]:
    for entry in read_entries(LOADER, file.read_bytes(), file.name):
        yield from (each for each in entry.findings if each.level is Level.ERROR)


@pytest.mark.parametrize("folder", ["istio/samples", "istio/pilot/pkg/security/authz/builder/testdata"])
def test_what_istio_ships_is_taken(folder: str) -> None:
    files = [file for file in sorted(corpus_path(folder).rglob("*.yaml")) if "-out" not in file.stem]
    assert len(files) > 10
    assert [str(each) for file in files for each in errors(file)] == []


def test_what_istios_analyzers_read_is_taken() -> None:
    refused = {
        (file.name, each.resource) for file in sorted(corpus_path(TESTDATA).rglob("*.yaml")) for each in errors(file)
    }
    assert refused == ALSO_REFUSED.keys()
