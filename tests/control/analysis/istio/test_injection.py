"""Which namespaces and pods get a sidecar."""

from __future__ import annotations

import json

import pytest

from meshd.control.analysis.istio.injection import automatic_images, images, injection
from tests.control.analysis.istio.cases import deployment, istio, join, mesh, namespace, pod, said

PROXY = "containers: [{name: app, image: app}, {name: istio-proxy, image: hub/proxyv2:1}]"
ENABLED = "istio-injection: enabled"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", ["IST0102"]),
        (ENABLED, []),
        ("istio-injection: disabled", []),
        ("istio.io/rev: canary", []),
        ("istio.io/dataplane-mode: ambient", []),
        (f"{ENABLED}, istio.io/rev: canary", ["IST0123"]),
        ("istio-injection: disabled, istio.io/rev: canary", []),
        (f"{ENABLED}, istio.io/dataplane-mode: ambient", ["IST0123"]),
        ("istio.io/rev: canary, istio.io/dataplane-mode: ambient", ["IST0123"]),
    ],
)
def test_labels_of_namespaces(labels: str, expected: list[str]) -> None:
    assert said(injection, namespace("x", labels)) == [f"{code} Namespace x 3" for code in expected]


@pytest.mark.parametrize("name", ["kube-system", "kube-public", "istio-system"])
def test_namespaces_in_which_nothing_is_injected(name: str) -> None:
    assert said(injection, namespace(name)) == []


def injector(
    name: str = "istio-sidecar-injector", *, default: bool = False, image: str = "proxyv2", tag: str = "1"
) -> str:
    values = {
        "global": {"hub": "hub", "tag": tag, "proxy": {"image": image}},
        "sidecarInjectorWebhook": {"enableNamespacesByDefault": default},
    }
    return (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: istio-system}}\n"
        f"data: {{values: '{json.dumps(values)}'}}\n"
    )


def test_injected_by_default() -> None:
    assert said(injection, join(namespace("x"), injector(default=True))) == ["IST0148 Namespace x 3"]
    assert said(injection, join(namespace("x"), injector())) == ["IST0102 Namespace x 3"]
    broken = injector().replace("values: '", "values: 'x")
    assert said(injection, join(namespace("x"), broken)) == ["IST0102 Namespace x 3"]


def test_pods_without_their_sidecar() -> None:
    inside = namespace("x", ENABLED)

    def of(*arguments: str, **others: str) -> list[str]:
        return said(injection, join(inside, pod("p", *arguments, namespace="x", **others)))

    assert of() == ["IST0103 Pod x/p 7"]
    assert of(spec=PROXY) == []
    native = "containers: [{name: app, image: app}], initContainers: [{name: istio-proxy, image: x}]"
    assert of(spec=native) == []
    assert of(spec="hostNetwork: true") == []
    assert of("sidecar.istio.io/inject: 'false'") == []
    assert of(metadata="annotations: {sidecar.istio.io/inject: 'False'}") == []
    assert said(injection, join(namespace("x", "istio-injection: disabled"), pod("p", namespace="x"))) == []


def test_pods_with_an_old_proxy() -> None:
    source = [namespace("x", ENABLED), pod("p", namespace="x", spec=PROXY)]
    assert said(images, join(*source, injector())) == []
    assert said(images, join(*source, injector(tag="2"))) == ["IST0158 Namespace x 3"]
    assert said(images, join(*source)) == []
    assert said(images, join(*source, injector(image="hub/proxyv2:1"))) == []
    assert said(images, join(namespace("x"), source[1], injector(tag="2"))) == []
    own = pod("p", namespace="x", spec=PROXY, metadata="annotations: {sidecar.istio.io/proxyImage: mine}")
    assert said(images, join(source[0], own, injector(tag="2"))) == []


def test_a_revision_has_an_injector_of_its_own() -> None:
    source = [namespace("x", "istio.io/rev: canary"), pod("p", namespace="x", spec=PROXY)]
    assert said(images, join(*source, injector(tag="2"))) == []
    canary = injector("istio-sidecar-injector-canary", tag="2")
    assert said(images, join(*source, injector(), canary)) == ["IST0158 Namespace x 3"]


@pytest.mark.parametrize(
    ("setting", "annotation"),
    [
        ("", "annotations: {proxy.istio.io/config: '{image: {imageType: debug}}'}"),
        (mesh("defaultConfig: {image: {imageType: debug}}"), ""),
        (istio("ProxyConfig", "c", "{image: {imageType: debug}}", namespace="x").replace("/v1\n", "/v1beta1\n"), ""),
        (
            istio("ProxyConfig", "c", "{image: {imageType: debug}}", namespace="istio-system").replace(
                "/v1\n", "/v1beta1\n"
            ),
            "",
        ),
    ],
)
def test_types_of_images(setting: str, annotation: str) -> None:
    debug = pod("p", namespace="x", spec=PROXY.replace("proxyv2:1", "proxyv2:1-debug"), metadata=annotation)
    inside = namespace("x", ENABLED)
    assert (
        said(images, join(inside, debug, injector(), setting or "{}" if setting else namespace("out", ENABLED))) == []
    )
    plain = pod("p", namespace="x", spec=PROXY.replace("proxyv2:1", "proxyv2:1-debug"))
    assert said(images, join(inside, plain, injector())) == ["IST0158 Namespace x 3"]


def test_the_nearest_proxy_config_counts() -> None:
    def config(name: str, where: str, kind: str, selector: str = "") -> str:
        spec = f"{{{selector}image: {{imageType: {kind}}}}}"
        return istio("ProxyConfig", name, spec, namespace=where).replace("/v1\n", "/v1beta1\n")

    debug = pod("p", "a: b", namespace="x", spec=PROXY.replace("proxyv2:1", "proxyv2:1-debug"))
    settings = [config("root", "istio-system", "distroless"), config("ns", "x", "distroless")]
    chosen = config("chosen", "x", "debug", "selector: {matchLabels: {a: b}}, ")
    inside = namespace("x", ENABLED)
    assert said(images, join(inside, debug, injector(), *settings)) == ["IST0158 Namespace x 3"]
    assert said(images, join(inside, debug, injector(), *settings, chosen)) == []


AUTO = "containers: [{name: istio-proxy, image: auto}]"
WEBHOOK = """
apiVersion: admissionregistration.k8s.io/v1
kind: MutatingWebhookConfiguration
metadata: {name: injector}
webhooks:
- name: %s
  namespaceSelector: {matchLabels: {istio-injection: enabled}}
  objectSelector: {matchExpressions: [{key: skip, operator: DoesNotExist}]}
"""


def test_images_that_nobody_fills_in() -> None:
    hook = WEBHOOK % "x.istio.io"
    inside, outside = namespace("x", ENABLED), namespace("out")
    assert said(automatic_images, pod("p", spec=AUTO)) == ["IST0147 Pod default/p 4"]
    assert said(automatic_images, join(deployment("d", "a: b", namespace="x", spec=AUTO), inside, hook)) == []
    lost = ["IST0146 Deployment out/d 4"]
    assert said(automatic_images, join(deployment("d", "a: b", namespace="out", spec=AUTO), outside, hook)) == lost
    assert said(automatic_images, deployment("d", "a: b", namespace="out", spec=AUTO)) == lost
    skipped = deployment("d", "skip: x", namespace="x", spec=AUTO)
    assert len(said(automatic_images, join(skipped, inside, hook))) == 1
    strange = join(deployment("d", "a: b", namespace="x", spec=AUTO), inside, WEBHOOK % "x.example.com")
    assert len(said(automatic_images, strange)) == 1
