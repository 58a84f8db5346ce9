"""The mesh's settings in a ConfigMap's text: read, located, judged."""

from __future__ import annotations

import pytest

from meshd.api.common import Map
from meshd.api.load import Loaded, Loader
from meshd.api.mesh.config import MeshConfig, OutboundTrafficPolicyMode
from meshd.api.mesh.networks import MeshNetworks, Network, NetworkEndpoints
from meshd.api.mesh.providers import BUILT_IN, ExtensionProvider, all_providers
from meshd.api.problem import Level

CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: istio
  namespace: istio-system
data:
  mesh: |-

    trustDomainAliases: [old.example]
    outboundTrafficPolicy:
      mode: REGISTRY_ONLY
  meshNetworks: |
      networks:
        one:
          endpoints:
          - fromCidr: 10.0.0.0/8
"""


def load(text: str, loader: Loader | None = None) -> Loaded:
    [loaded] = (loader or Loader()).load(text, "istio.yaml")
    return loaded


def said(loaded: Loaded) -> list[str]:
    return [f"{loaded.origin_of(problem)} {problem.level.lower()} {problem.text}" for problem in loaded.problems]


def settings(text: str) -> str:
    return CONFIG_MAP[: CONFIG_MAP.index("  mesh:")] + text


def test_settings_are_read_and_located() -> None:
    document = load(CONFIG_MAP).document
    assert document is not None
    config = document.resource.mesh
    assert config.outboundTrafficPolicy.mode is OutboundTrafficPolicyMode.REGISTRY_ONLY
    assert config.trustDomainAliases == ("old.example",)
    assert config.connectTimeout == 10.0
    assert document.resource.meshNetworks == MeshNetworks(
        Map({"one": Network(endpoints=(NetworkEndpoints(fromCidr="10.0.0.0/8"),))})
    )
    assert "trustDomainAliases" in document.resource.data["mesh"]
    mode = ("data", "mesh", "outboundTrafficPolicy", "mode")
    assert str(document.origin_of(mode)) == "istio.yaml:11:7"
    assert str(document.origin_of(mode, value=True)) == "istio.yaml:11:13"
    assert str(document.origin_of(("data", "mesh", "trustDomainAliases", 0))) == "istio.yaml:9:26"
    assert str(document.origin_of(("data", "mesh"))) == "istio.yaml:7:3"
    cidr = ("data", "meshNetworks", "networks", "one", "endpoints", 0, "fromCidr")
    assert str(document.origin_of(cidr)) == "istio.yaml:16:13"
    assert document.has(mode)
    assert not document.has(("data", "mesh", "trustDomain"))


def test_mistakes_stand_where_they_are_made() -> None:
    loaded = load(settings("  mesh: |\n    trustDomian: a\n    enableAutoMtls: 5\n    accessLogFile: x\n"))
    assert said(loaded) == [
        'istio.yaml:8:5 error data.mesh.trustDomian: unknown field; did you mean "trustDomain"?',
        "istio.yaml:9:21 error data.mesh.enableAutoMtls: expected true or false, found the number 5",
        "istio.yaml:10:5 warning data.mesh.accessLogFile: meshd does not support this field yet: it has no effect",
    ]
    assert loaded.document is None
    assert str(loaded.key) == "ConfigMap istio-system/istio"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '  mesh: "{trustDomian: a}"',
            'istio.yaml:7:3 error data.mesh.trustDomian: unknown field; did you mean "trustDomain"?',
        ),
        ("  mesh: >\n    a: b\n    c: d", "istio.yaml:7:9 error data.mesh: in line 1 of the text, column 7: not YAML"),
        ("  mesh: |\n    [a]\n", "istio.yaml:7:9 error data.mesh: expected settings, found a list"),
        ("  mesh: |\n    a: 1\n    ---\n    b: 1\n", "istio.yaml:7:9 error data.mesh: there is more than one document"),
        ("  mesh: |\n    a: [\n", "istio.yaml:7:9 error data.mesh: in line 2 of the text, column 1: not YAML"),
        ("  mesh: |\n    a: &a [*a]\n", "in line 1 of the text, column 8: the alias *a stands inside its own anchor"),
        (
            "  meshNetworks: |\n    networks: []\n",
            "istio.yaml:8:15 error data.meshNetworks.networks: expected a mapping",
        ),
    ],
)
def test_one_mistake(text: str, message: str) -> None:
    loaded = load(settings(text))
    [line] = [line for line in said(loaded) if " error " in line]
    assert message in line
    assert loaded.document is None


@pytest.mark.parametrize("text", ['  mesh: ""', "  mesh: |\n    # nothing\n", "  mesh: '{}'"])
def test_nothing_is_every_default(text: str) -> None:
    document = load(settings(text)).document
    assert document is not None
    assert document.resource.mesh == MeshConfig()


def test_other_config_maps_are_left_alone() -> None:
    document = load(CONFIG_MAP.replace("name: istio\n", "name: mine\n").replace("mode:", "mud:")).document
    assert document is not None
    assert document.resource.mesh is None
    revision = load(CONFIG_MAP.replace("name: istio\n", "name: istio-canary\n")).document
    assert revision is not None
    assert revision.resource.mesh is not None


def test_places_do_not_depend_on_the_line_ends() -> None:
    document = load(CONFIG_MAP.replace("\n", "\r\n")).document
    assert document is not None
    assert str(document.origin_of(("data", "mesh", "outboundTrafficPolicy", "mode"))) == "istio.yaml:11:7"


def test_the_same_text_is_read_once() -> None:
    one = "- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: istio-NAME}\n  data: {mesh: TEXT}\n"
    text = "apiVersion: v1\nkind: List\nitems:\n" + one.replace("TEXT", "&text 'trustDomain: a'").replace("NAME", "0")
    text += "".join(one.replace("NAME", str(number)).replace("TEXT", "*text") for number in range(1, 50))
    loaded = Loader().load(text, "f.yaml")
    configs = {id(each.document.resource.mesh) for each in loaded if each.document is not None}
    assert len(loaded) == 50
    assert len(configs) == 1


def test_a_file_of_settings() -> None:
    loader = Loader()
    loaded = loader.load_settings("rootNamespace: mesh\nconnectTimeout: 3s\n", "mesh.yaml", "mesh")
    document = loaded.document
    assert document is not None
    assert document.resource.mesh == MeshConfig(
        rootNamespace="mesh", connectTimeout=document.resource.mesh.connectTimeout
    )
    assert str(document.key) == "ConfigMap istio-system/istio"
    assert str(document.origin_of(("data", "mesh", "connectTimeout"))) == "mesh.yaml:2:1"
    broken = loader.load_settings("networks:\n  a: {endpoint: []}\n", "networks.yaml", "meshNetworks")
    assert broken.document is None
    assert "networks.yaml:2:7 error data.meshNetworks.networks.a.endpoint: unknown field" in said(broken)[1]
    assert [problem.level for problem in broken.problems] == [Level.WARNING, Level.ERROR]
    assert loader.load_settings("a: [", "mesh.yaml", "mesh").document is None


def test_what_is_given_anyway_is_not_spoken_of() -> None:
    usual = "enablePrometheusMerge: true\ntrustDomain: cluster.local\nenableTracing: true\ndefaultConfig: {statusPort: 15020}\n"
    assert Loader().load_settings(usual, "mesh.yaml", "mesh").problems == ()


def test_built_in_providers() -> None:
    assert all_providers(()) == BUILT_IN
    own = ExtensionProvider("envoy")
    assert [each.name for each in all_providers((ExtensionProvider("x"), own))] == [
        "prometheus",
        "stackdriver",
        "envoy",
        "x",
    ]
    assert own in all_providers((own,))
