"""Webhooks of injection and of a control plane elsewhere."""

from __future__ import annotations

import pytest

from meshd.control.analysis.istio.webhooks import external_control_plane, injectors
from tests.control.analysis.istio.cases import ask, join, said, service

ISTIOD = service("istiod", "{port: 443}", namespace="istio-system")


def webhook(
    name: str,
    selectors: str = "",
    *,
    hook: str = "inject.istio.io",
    client: str = "service: {name: istiod, namespace: istio-system}",
    labels: str = "",
    kind: str = "MutatingWebhookConfiguration",
) -> str:
    return (
        f"apiVersion: admissionregistration.k8s.io/v1\nkind: {kind}\n"
        f"metadata: {{name: {name}, labels: {{{labels}}}}}\n"
        f"webhooks:\n- {{name: {hook}, clientConfig: {{{client}}}, {selectors}}}\n"
    )


LEGACY = "namespaceSelector: {matchLabels: {istio-injection: enabled}}"
CANARY = "namespaceSelector: {matchLabels: {istio.io/rev: canary}}"
NOT_LEGACY = (
    "namespaceSelector: {matchExpressions: [{key: istio.io/rev, operator: In, values: [canary]}, "
    "{key: istio-injection, operator: DoesNotExist}]}"
)


def test_one_injector_for_one_pod() -> None:
    assert said(injectors, join(ISTIOD, webhook("one", LEGACY), webhook("two", NOT_LEGACY))) == []


def test_two_injectors_for_one_pod() -> None:
    found = ask(injectors, join(ISTIOD, webhook("one", LEGACY), webhook("two", CANARY)))
    assert [(each.code, each.resource) for each in found] == [
        ("IST0139", "MutatingWebhookConfiguration one"),
        ("IST0139", "MutatingWebhookConfiguration two"),
    ]
    assert "two/inject.istio.io" in found[0].message


def test_a_webhook_without_selectors_takes_everything() -> None:
    assert len(said(injectors, join(ISTIOD, webhook("one"), webhook("two", LEGACY)))) == 2


def test_webhooks_of_others_are_nobodys_business() -> None:
    assert said(injectors, join(webhook("one", hook="a.example.com"), webhook("two", hook="b.example.com"))) == []
    by_label = webhook("one", hook="a.example.com", labels="istio.io/rev: canary")
    assert said(injectors, by_label) == ["IST0139 MutatingWebhookConfiguration one 5"]


def test_the_service_behind() -> None:
    [finding] = ask(injectors, webhook("one"))
    assert "istio-system/istiod" in finding.message
    assert said(injectors, webhook("one", client="url: 'https://a.example.com'")) == []


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        ("ValidatingWebhookConfiguration", "istiod-default-validator", 1),
        ("ValidatingWebhookConfiguration", "istio-validator-external-istiod", 1),
        ("ValidatingWebhookConfiguration", "gatekeeper", 0),
        ("MutatingWebhookConfiguration", "istio-sidecar-injector-external-istiod", 1),
        ("MutatingWebhookConfiguration", "cert-manager", 0),
    ],
)
def test_whose_address_is_looked_at(kind: str, name: str, expected: int) -> None:
    assert len(said(external_control_plane, webhook(name, kind=kind, client=""))) == expected


@pytest.mark.parametrize(
    ("client", "code"),
    [
        ("", "IST0163"),
        ("service: {name: istiod, namespace: istio-system}", None),
        ("url: 'https://istiod.example.com:15017/inject'", None),
        ("url: 'https://10.0.0.1:15017/inject'", "IST0164"),
        ("url: 'https://[::1]:15017/inject'", "IST0164"),
        ("url: 'https://istiod:15017/inject'", "IST0163"),
        ("url: 'https://istiod.invalid/inject'", "IST0163"),
        ("url: 'https://a..b/inject'", "IST0163"),
        ("url: 'https://[::1/inject'", "IST0163"),
        ("url: ''", "IST0163"),
    ],
)
def test_addresses(client: str, code: str | None) -> None:
    source = webhook("istio-sidecar-injector", client=client)
    assert [each.code for each in ask(external_control_plane, source)] == ([code] if code else [])
