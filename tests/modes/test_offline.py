"""Configuration read once, from files, directories and a pipe."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from meshd.modes.offline import load
from tests.control.analysis.cases import text

GATEWAY = text("Gateway", "{servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [a.example]}]}", name="g")
REFUSED = text("Gateway", "{servers: [{port: {number: 0, name: http, protocol: HTTP}, hosts: [a.example]}]}", name="g")


def test_a_directory_is_read_with_all_that_is_below(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "g.yaml").write_text(GATEWAY)
    found = load([tmp_path])
    assert [str(document) for document in found.documents] == ["Gateway default/g"]
    assert found.documents[0].origin.file == str(tmp_path / "deep" / "g.yaml")
    assert found.errors == ()


def test_what_is_piped_in_wins(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(text("Gateway", "{servers: []}", name="g"))
    found = load([tmp_path, "-"], stdin=GATEWAY)
    assert [document.origin.file for document in found.documents] == ["<stdin>"]


def test_standard_input_is_read_only_when_it_is_named(tmp_path: Path) -> None:
    assert load([tmp_path], stdin=GATEWAY).documents == ()


def test_what_breaks_a_rule_is_apart() -> None:
    found = load(["-"], stdin=REFUSED)
    assert found.documents == ()
    assert [str(document) for document in found.refused] == ["Gateway default/g"]
    assert found.unusable == frozenset()
    assert found.errors


def test_a_good_form_makes_up_for_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "g.yaml").write_text(GATEWAY)
    found = load([tmp_path, "-"], stdin=REFUSED)
    assert len(found.documents) == 1
    assert found.refused == ()


def test_what_cannot_be_understood_is_known_by_name() -> None:
    found = load(["-"], stdin=text("Gateway", "{severs: []}", name="g", metadata="labels: {a: b}"))
    [shell] = found.refused
    assert (str(shell), shell.resource, dict(shell.labels)) == ("Gateway default/g", None, {"a": "b"})


def test_documents_that_name_no_namespace() -> None:
    found = load(["-"], stdin=GATEWAY, namespace="shop")
    assert [str(document) for document in found.documents] == ["Gateway shop/g"]


def test_a_directory_without_its_directories(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "g.yaml").write_text(GATEWAY)
    (tmp_path / "h.yaml").write_text(GATEWAY.replace("name: g", "name: h"))
    (tmp_path / "notes.txt").write_text("no configuration")
    found = load([tmp_path], recursive=False)
    assert [document.name for document in found.documents] == ["h"]
    assert found.files == 1


CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    rootNamespace: here
  meshNetworks: |
    networks: {one: {endpoints: [{fromRegistry: a}]}}
"""


def mesh_of(tmp_path: Path, **files: str) -> tuple[str, int]:
    paths = {}
    for name, source in files.items():
        paths[name] = tmp_path / f"{name}.yaml"
        paths[name].write_text(source)
    found = load([tmp_path / "map.yaml"] if "map" in files else [], paths.get("config"), paths.get("networks"))
    assert found.errors == ()
    [document] = found.documents
    networks = document.resource.meshNetworks
    mesh = document.resource.mesh
    return (mesh.rootNamespace if mesh is not None else "", len(networks.networks) if networks is not None else 0)


def test_settings_come_from_files_of_their_own(tmp_path: Path) -> None:
    assert mesh_of(tmp_path, map=CONFIG_MAP) == ("here", 1)
    assert mesh_of(tmp_path, map=CONFIG_MAP, config="rootNamespace: there") == ("there", 1)
    assert mesh_of(tmp_path, config="rootNamespace: there") == ("there", 0)
    assert mesh_of(tmp_path, config=CONFIG_MAP) == ("here", 1)
    two = "networks: {one: {endpoints: []}, two: {endpoints: []}}"
    assert mesh_of(tmp_path, map=CONFIG_MAP, networks=two) == ("here", 2)
    assert mesh_of(tmp_path, config="rootNamespace: there", networks=two) == ("there", 2)


def test_settings_that_are_wrong_are_told_with_their_place(tmp_path: Path) -> None:
    (tmp_path / "mesh.yaml").write_text("rootNamespace: a\noutboundTrafficPolicies: {}\n")
    [finding] = load([], tmp_path / "mesh.yaml").errors
    assert (finding.origin.line, finding.code) == (2, "IST0106")
    [missing] = load([], tmp_path / "none.yaml").errors
    assert missing.code == "MD0007"


def test_a_path_that_is_not_there() -> None:
    [finding] = load(["nowhere.yaml"]).findings
    assert finding.code == "MD0007"
    assert "no such file" in finding.message


def test_it_needs_no_event_loop() -> None:
    program = "import sys, meshd.modes.offline; sys.exit('trio' in sys.modules or 'cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
